use crate::{Instruction, Sample};
use std::collections::HashMap;

/// A test row and the prediction for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The test row.
    pub sample: &'a Sample,
    /// Its place in the test, from 0.
    pub place: usize,
    /// The predicted answer, raw.
    pub prediction: &'a str,
}

/// Test rows with their predictions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined<'a> {
    /// One for each test row that has a prediction, in the order of the test.
    pub pairs: Vec<Pair<'a>>,
    /// Test rows without a prediction.
    pub missing: usize,
    /// Predictions that a later one of the same key replaces.
    pub repeated: usize,
}

/// Joins test rows and predictions on [`Sample::key`]; the last prediction of a key counts, and of it the first answer.
pub fn join<'a>(test: &'a [Sample], predictions: &'a [Sample]) -> Joined<'a> {
    let mut by_key: HashMap<_, &Sample> = HashMap::with_capacity(predictions.len());
    let mut joined = Joined::default();
    for prediction in predictions {
        joined.repeated += usize::from(by_key.insert(prediction.key(), prediction).is_some());
    }
    for (place, sample) in test.iter().enumerate() {
        match by_key.get(&sample.key()).and_then(|prediction| prediction.generated.first()) {
            Some(prediction) => joined.pairs.push(Pair { sample, place, prediction }),
            None => joined.missing += 1,
        }
    }
    joined
}

/// RAW's test rows: those of the general part whose question is an instruction, with its plain answers as references.
///
/// The second figure counts test rows whose question is no instruction.
pub fn raw_rows(test: &[Sample], instructions: &[Instruction]) -> (Vec<Sample>, usize) {
    let mut answers: HashMap<&str, Vec<String>> = HashMap::with_capacity(instructions.len());
    for row in instructions {
        answers.entry(row.instruction.trim()).or_default().push(row.answer.clone());
    }
    let with_answers = |row: &Sample| {
        let generated = answers.get(row.key().1)?.clone();
        Some(Sample { generated, kind: Vec::new(), ..row.clone() })
    };
    let rows: Vec<Sample> = test.iter().filter_map(with_answers).collect();
    let unknown = test.len() - rows.len();
    (rows, unknown)
}
