use crate::{Kind, Line, Sample};
use std::{collections::HashMap, fmt};

/// Something odd about a row that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The line, counted from 1.
    pub line: usize,
    /// What is odd.
    pub oddity: Oddity,
}

/// What is odd about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Oddity {
    /// White space around the role or the question; it is trimmed to join rows.
    StraySpace,
    /// An answer without words.
    EmptyAnswer,
    /// The same answer twice.
    RepeatedAnswer,
    /// As many kinds as neither one nor one for each answer.
    CountOfKinds,
    /// A kind that RoleBench does not know.
    UnknownKind,
    /// The role has this question in an earlier line already.
    RepeatedRow {
        /// That line.
        first: usize,
    },
}

impl fmt::Display for Oddity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Oddity::StraySpace => write!(out, "white space around the role or the question"),
            Oddity::EmptyAnswer => write!(out, "an answer is empty"),
            Oddity::RepeatedAnswer => write!(out, "the same answer stands there twice"),
            Oddity::CountOfKinds => write!(out, "\"type\" has neither one entry nor one for each answer"),
            Oddity::UnknownKind => write!(out, "\"type\" is neither script_based nor script_agnostic"),
            Oddity::RepeatedRow { first } => write!(out, "role and question are those of line {first}"),
        }
    }
}

/// Looks for rows that can be read and yet are probably not meant so, in the order of the file.
pub fn check(rows: &[Line<Sample>]) -> Vec<Notice> {
    let mut seen = HashMap::with_capacity(rows.len());
    let mut notices = Vec::new();
    for Line { number, row } in rows {
        let mut note = |oddity| notices.push(Notice { line: *number, oddity });
        if (row.role.as_str(), row.question.as_str()) != row.key() {
            note(Oddity::StraySpace);
        }
        if row.generated.iter().any(|answer| answer.trim().is_empty()) {
            note(Oddity::EmptyAnswer);
        }
        let repeats = |(at, answer): (usize, &String)| row.generated[..at].contains(answer);
        if row.generated.iter().enumerate().any(repeats) {
            note(Oddity::RepeatedAnswer);
        }
        if row.kind.len() > 1 && row.kind.len() != row.generated.len() {
            note(Oddity::CountOfKinds);
        }
        if row.kind.contains(&Kind::Other) {
            note(Oddity::UnknownKind);
        }
        match seen.get(&row.key()) {
            Some(&first) => note(Oddity::RepeatedRow { first }),
            None => {
                seen.insert(row.key(), *number);
            }
        }
    }
    notices
}
