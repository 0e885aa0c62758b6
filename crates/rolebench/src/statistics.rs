use crate::{Language, Sample};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// What a file of rows holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Statistics {
    /// Rows.
    pub rows: usize,
    /// Different questions.
    pub questions: usize,
    /// Answers of all rows.
    pub answers: usize,
    /// How many rows have so many answers.
    pub answers_per_row: BTreeMap<usize, usize>,
    /// How many rows are of a kind; rows of several kinds are under the first.
    pub per_type: BTreeMap<&'static str, usize>,
    /// The questions' lengths.
    pub question_length: Lengths,
    /// The answers' lengths.
    pub answer_length: Lengths,
    /// How many rows ask a role.
    pub per_role: BTreeMap<String, usize>,
}

/// Lengths in words (English) or characters without white space (Chinese).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Lengths {
    /// Their mean.
    pub mean: f64,
    /// Half are no longer.
    pub median: usize,
    /// The longest.
    pub max: usize,
}

/// Counts and measures rows.
pub fn statistics(language: Language, rows: &[Sample]) -> Statistics {
    let mut found = Statistics { rows: rows.len(), ..Statistics::default() };
    let mut questions = HashSet::new();
    for row in rows {
        let (role, question) = row.key();
        questions.insert(question);
        found.answers += row.generated.len();
        *found.answers_per_row.entry(row.generated.len()).or_default() += 1;
        *found.per_role.entry(role.to_string()).or_default() += 1;
        if let Some(kind) = row.kind.first() {
            *found.per_type.entry(kind.name()).or_default() += 1;
        }
    }
    found.questions = questions.len();
    found.question_length = lengths(rows.iter().map(|row| length(language, &row.question)).collect());
    found.answer_length =
        lengths(rows.iter().flat_map(|row| &row.generated).map(|text| length(language, text)).collect());
    found
}

fn length(language: Language, text: &str) -> usize {
    match language {
        Language::En => text.split_whitespace().count(),
        Language::Zh => text.chars().filter(|letter| !letter.is_whitespace()).count(),
    }
}

fn lengths(mut lengths: Vec<usize>) -> Lengths {
    lengths.sort_unstable();
    let Some(&max) = lengths.last() else { return Lengths::default() };
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
    Lengths { mean, median: lengths[(lengths.len() - 1) / 2], max }
}
