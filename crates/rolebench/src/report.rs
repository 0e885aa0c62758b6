use crate::{
    Joined, Kind, Language, Pair,
    bootstrap::{Bootstrap, mean},
};
use rouge::{Score, Scorer, Unit};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a run scored, under a named rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The rule's name.
    pub rule: &'static str,
    /// What was done where a row has several references.
    pub references: &'static str,
    /// Test rows scored.
    pub rows: usize,
    /// Test rows without a prediction; they are not in the mean.
    pub missing: usize,
    /// Predictions that a later one for the same row replaces.
    pub repeated: usize,
    /// Mean of the rows' scores; 0 when there is none.
    pub mean: f64,
    /// 95 % confidence interval of the mean: percentiles of 1,000 bootstrap resamples of the rows.
    pub ci95: [f64; 2],
    /// Mean precision: what a long answer loses.
    pub precision: f64,
    /// Mean recall: what a long answer gains.
    pub recall: f64,
    /// Mean F.
    pub f1: f64,
    /// The parts by where the knowledge comes from; rows of several kinds are under the first.
    pub per_type: BTreeMap<&'static str, Part>,
    /// Each role's part.
    pub per_role: BTreeMap<String, Part>,
}

/// A part of a [`Report`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Part {
    /// Test rows scored.
    pub rows: usize,
    /// Mean of their scores.
    pub mean: f64,
}

/// What a language is counted in under [`Rule::Paper`](rouge::Rule::Paper).
pub fn unit(language: Language) -> Unit {
    match language {
        Language::En => Unit::Word,
        Language::Zh => Unit::Character,
    }
}

/// Scores a pair against its references, texts raw.
pub fn score_pair(scorer: &Scorer, pair: &Pair) -> Score {
    scorer.score_all(pair.prediction, &pair.sample.generated)
}

/// Scores all pairs.
pub fn score(scorer: &Scorer, joined: &Joined) -> Report {
    let scores: Vec<Score> = joined.pairs.iter().map(|pair| score_pair(scorer, pair)).collect();
    let interval = interval(&scores);
    Report::new(scorer, joined, &scores, interval)
}

/// The 95 % interval of the scores' mean.
pub fn interval(scores: &[Score]) -> [f64; 2] {
    Bootstrap::new(scores.iter().map(|score| score.value).collect()).interval()
}

impl Report {
    /// A report of pairs that are scored, one score for each, and of their mean's interval.
    pub fn new(scorer: &Scorer, joined: &Joined, scores: &[Score], ci95: [f64; 2]) -> Report {
        let mut by_role: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut by_type: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for (pair, score) in joined.pairs.iter().zip(scores) {
            by_role.entry(pair.sample.key().0.to_string()).or_default().push(score.value);
            if let Some(kind) = pair.sample.kind.first() {
                by_type.entry(Kind::name(*kind)).or_default().push(score.value);
            }
        }
        let of = |figure: fn(&Score) -> f64| mean(scores.iter().map(figure));
        Report {
            rule: scorer.rule().name(),
            references: scorer.references().name(),
            rows: scores.len(),
            missing: joined.missing,
            repeated: joined.repeated,
            mean: of(|score| score.value),
            ci95,
            precision: of(|score| score.precision),
            recall: of(|score| score.recall),
            f1: of(|score| score.f1),
            per_type: parts(by_type),
            per_role: parts(by_role),
        }
    }
}

fn parts<K: Ord>(scores: BTreeMap<K, Vec<f64>>) -> BTreeMap<K, Part> {
    let part = |scores: Vec<f64>| Part { rows: scores.len(), mean: mean(scores.into_iter()) };
    scores.into_iter().map(|(key, scores)| (key, part(scores))).collect()
}
