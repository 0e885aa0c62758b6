use crate::{
    Bootstrap, Sample,
    bootstrap::{mean, sign_flip_p},
    join,
    report::score_pair,
};
use rouge::Scorer;
use serde::Serialize;
use std::collections::BTreeMap;

/// Two systems on the test rows that both have answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The rule's name.
    pub rule: &'static str,
    /// What was done where a row has several references.
    pub references: &'static str,
    /// Test rows that both have answered.
    pub rows: usize,
    /// Rows that only the first has answered.
    pub only_first: usize,
    /// Rows that only the second has answered.
    pub only_second: usize,
    /// The first's mean.
    pub first: f64,
    /// The second's mean.
    pub second: f64,
    /// The first's mean less the second's.
    pub difference: f64,
    /// 95 % interval of the difference: percentiles of 1,000 paired bootstrap resamples.
    pub ci95: [f64; 2],
    /// How probable so large a difference is if it did not matter which system answers: 10,000 random sign flips.
    pub p: f64,
    /// Rows in which the first scores more.
    pub wins: usize,
    /// Rows in which both score the same.
    pub ties: usize,
    /// Rows in which the second scores more.
    pub losses: usize,
    /// The difference of each role's means.
    pub per_role: BTreeMap<String, f64>,
}

/// Compares two systems' predictions for the same test.
pub fn compare(scorer: &Scorer, test: &[Sample], first: &[Sample], second: &[Sample]) -> Comparison {
    let [first, second] = [first, second].map(|predictions| values(scorer, test, predictions));
    let both: Vec<(usize, f64, f64)> =
        first.iter().filter_map(|(place, &value)| Some((*place, value, *second.get(place)?))).collect();
    let differences: Vec<f64> = both.iter().map(|(_, first, second)| first - second).collect();
    let mut by_role: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for ((place, ..), difference) in both.iter().zip(&differences) {
        by_role.entry(test[*place].key().0.to_string()).or_default().push(*difference);
    }
    let count = |of: fn(&f64) -> bool| differences.iter().filter(|difference| of(difference)).count();
    Comparison {
        rule: scorer.rule().name(),
        references: scorer.references().name(),
        rows: both.len(),
        only_first: first.len() - both.len(),
        only_second: second.len() - both.len(),
        first: mean(both.iter().map(|(_, first, _)| *first)),
        second: mean(both.iter().map(|(.., second)| *second)),
        difference: mean(differences.iter().copied()),
        wins: count(|difference| *difference > 0.0),
        ties: count(|difference| *difference == 0.0),
        losses: count(|difference| *difference < 0.0),
        per_role: by_role.into_iter().map(|(role, values)| (role, mean(values.into_iter()))).collect(),
        p: sign_flip_p(&differences),
        ci95: Bootstrap::new(differences).interval(),
    }
}

fn values(scorer: &Scorer, test: &[Sample], predictions: &[Sample]) -> BTreeMap<usize, f64> {
    let joined = join(test, predictions);
    joined.pairs.iter().map(|pair| (pair.place, score_pair(scorer, pair).value)).collect()
}
