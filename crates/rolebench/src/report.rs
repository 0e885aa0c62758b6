use crate::{Joined, Language, random::SplitMix64};
use rouge::{Rule, Unit};
use serde::Serialize;
use std::collections::BTreeMap;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 1000;
/// The bootstrap's seed: the same scores give the same interval everywhere.
const SEED: u64 = 20231001;

/// What a run scored, under a named rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The rule's name.
    pub rule: &'static str,
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
    /// Each role's part.
    pub per_role: BTreeMap<String, RoleScore>,
}

/// One role's part of a [`Report`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RoleScore {
    /// Test rows scored.
    pub rows: usize,
    /// Mean of their scores.
    pub mean: f64,
}

/// Scores each pair against the best of its references, texts raw.
pub fn score(rule: Rule, language: Language, joined: &Joined) -> Report {
    let unit = match language {
        Language::En => Unit::Word,
        Language::Zh => Unit::Character,
    };
    let mut scores = Vec::with_capacity(joined.pairs.len());
    let mut by_role: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for pair in &joined.pairs {
        let value = rule.best_in(unit, pair.prediction, &pair.sample.generated).value;
        scores.push(value);
        by_role.entry(pair.sample.key().0.to_string()).or_default().push(value);
    }
    let of_role = |(role, scores): (String, Vec<f64>)| (role, RoleScore { rows: scores.len(), mean: mean(&scores) });
    Report {
        rule: rule.name(),
        rows: scores.len(),
        missing: joined.missing,
        repeated: joined.repeated,
        mean: mean(&scores),
        ci95: confidence_interval(&scores),
        per_role: by_role.into_iter().map(of_role).collect(),
    }
}

fn mean(scores: &[f64]) -> f64 {
    if scores.is_empty() { 0.0 } else { scores.iter().sum::<f64>() / scores.len() as f64 }
}

/// The 2.5th and 97.5th percentile of the means of resamples with replacement.
fn confidence_interval(scores: &[f64]) -> [f64; 2] {
    if scores.is_empty() {
        return [0.0; 2];
    }
    let mut random = SplitMix64(SEED);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| scores.iter().map(|_| scores[random.below(scores.len())]).sum::<f64>() / scores.len() as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    [means[RESAMPLES / 40], means[RESAMPLES - 1 - RESAMPLES / 40]]
}
