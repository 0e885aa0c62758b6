//! RAW, CUS, SPE: one metric against three sets of references (paper, section 4.1).

use crate::{Instruction, Report, Sample, bootstrap::interval_of_means, join, raw_rows, report::score_pair};
use rouge::{Score, Scorer};
use serde::Serialize;

/// What a system is compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct References<'a> {
    /// The test rows of the general part.
    pub general: &'a [Sample],
    /// The test rows of the role-specific part.
    pub role_specific: &'a [Sample],
    /// The general instructions with their plain answers.
    pub instructions: &'a [Instruction],
}

/// The paper's row for one system. A part is missing where none of its rows has a prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// The rule's name.
    pub rule: &'static str,
    /// What was done where a row has several references.
    pub references: &'static str,
    /// General questions against plain answers: is the answer right?
    pub raw: Option<Report>,
    /// General questions against the role's own answers: is the style right?
    pub cus: Option<Report>,
    /// Questions about the role's life and knowledge.
    pub spe: Option<Report>,
    /// Plain mean of the three; none where one is missing.
    pub mean: Option<f64>,
    /// Its 95 % interval, the three parts resampled each by itself.
    pub ci95: Option<[f64; 2]>,
}

/// Scores a system's predictions on all parts.
pub fn table(scorer: &Scorer, references: References, predictions: &[Sample]) -> Table {
    let (raw, _) = raw_rows(references.general, references.instructions);
    let parts = [&raw[..], references.general, references.role_specific];
    let [raw, cus, spe] = parts.map(|test| part(scorer, test, predictions));
    let all = [&raw, &cus, &spe].map(Option::as_ref).into_iter().collect::<Option<Vec<_>>>();
    let mean = all.as_ref().map(|parts| parts.iter().map(|(report, _)| report.mean).sum::<f64>() / parts.len() as f64);
    let ci95 = all.map(|parts| interval_of_means(parts.into_iter().map(|(_, values)| values.clone()).collect()));
    let [raw, cus, spe] = [raw, cus, spe].map(|part| part.map(|(report, _)| report));
    Table { rule: scorer.rule().name(), references: scorer.references().name(), raw, cus, spe, mean, ci95 }
}

fn part(scorer: &Scorer, test: &[Sample], predictions: &[Sample]) -> Option<(Report, Vec<f64>)> {
    let joined = join(test, predictions);
    if joined.pairs.is_empty() {
        return None;
    }
    let scores: Vec<Score> = joined.pairs.iter().map(|pair| score_pair(scorer, pair)).collect();
    let report = Report::new(scorer, &joined, &scores, crate::interval(&scores));
    Some((report, scores.into_iter().map(|score| score.value).collect()))
}
