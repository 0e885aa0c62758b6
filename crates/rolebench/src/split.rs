use crate::{Sample, draw};
use std::collections::HashSet;

/// Rows for training and rows for the test, each in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// What a model may learn from.
    pub train: Vec<Sample>,
    /// What it is asked.
    pub test: Vec<Sample>,
}

/// A role that no row asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no row asks {role}; there are {}", known.join(", "))]
pub struct UnknownRole {
    /// The name that was given.
    pub role: String,
    /// The names in the rows.
    pub known: Vec<String>,
}

/// Instruction generalization: a share of the *questions* is for the test, whoever is asked, so that none is in both.
pub fn split_by_question(rows: Vec<Sample>, share: f64, seed: u64) -> Split {
    let questions = distinct(rows.iter().map(|row| row.key().1));
    let count = (questions.len() as f64 * share.clamp(0.0, 1.0)).round() as usize;
    let test: HashSet<String> =
        draw(questions.len(), count, seed).into_iter().map(|at| questions[at].clone()).collect();
    split(rows, |row| test.contains(row.key().1))
}

/// Role generalization: the rows of the roles held out are for the test.
///
/// # Errors
/// A role that has no rows.
pub fn split_by_role(rows: Vec<Sample>, held_out: &[String]) -> Result<Split, UnknownRole> {
    let known = distinct(rows.iter().map(|row| row.key().0));
    if let Some(role) = held_out.iter().find(|role| !known.iter().any(|name| name == role.trim())) {
        return Err(UnknownRole { role: role.clone(), known });
    }
    Ok(split(rows, |row| held_out.iter().any(|role| role.trim() == row.key().0)))
}

/// Draws `count` of the roles that rows ask.
pub fn draw_roles(rows: &[Sample], count: usize, seed: u64) -> Vec<String> {
    let known = distinct(rows.iter().map(|row| row.key().0));
    draw(known.len(), count, seed).into_iter().map(|at| known[at].clone()).collect()
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(*name)).map(str::to_string).collect()
}

fn split(rows: Vec<Sample>, is_test: impl Fn(&Sample) -> bool) -> Split {
    let (test, train) = rows.into_iter().partition(|row| is_test(row));
    Split { train, test }
}
