use crate::Sample;
use serde::Serialize;
use std::collections::HashSet;

/// How much of a test set the training set gives away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// Rows of the test.
    pub test_rows: usize,
    /// Of these, rows whose question, trimmed, is asked in training, whoever is asked.
    pub same_question: usize,
    /// Of these, rows whose question is asked of the same role in training.
    pub same_role_and_question: usize,
    /// The test's different questions.
    pub test_questions: usize,
    /// Of these, questions asked in training.
    pub shared_questions: usize,
    /// The shared questions, in the order of the test.
    pub questions: Vec<String>,
}

/// Looks for the test's questions in the training rows.
pub fn question_overlap(train: &[Sample], test: &[Sample]) -> Overlap {
    let trained_keys: HashSet<_> = train.iter().map(Sample::key).collect();
    let trained_questions: HashSet<_> = trained_keys.iter().map(|(_, question)| *question).collect();
    let mut seen = HashSet::new();
    let questions: Vec<&str> = test.iter().map(|row| row.key().1).filter(|question| seen.insert(*question)).collect();
    let shared: Vec<String> =
        questions.iter().filter(|question| trained_questions.contains(*question)).map(ToString::to_string).collect();
    Overlap {
        test_rows: test.len(),
        same_question: test.iter().filter(|row| trained_questions.contains(row.key().1)).count(),
        same_role_and_question: test.iter().filter(|row| trained_keys.contains(&row.key())).count(),
        test_questions: questions.len(),
        shared_questions: shared.len(),
        questions: shared,
    }
}
