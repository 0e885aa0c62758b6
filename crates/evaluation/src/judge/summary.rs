use super::{PairVerdict, RankVerdict};
use rolebench::Bootstrap;
use serde::Serialize;

/// How often a system is better than another, over all questions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairSummary {
    /// Questions with a verdict in both orders.
    pub questions: usize,
    /// Questions without; they count for nobody.
    pub invalid: usize,
    /// Better in both orders, or in one while the other is a tie.
    pub wins: usize,
    /// As good, or better in one order and worse in the other.
    pub ties: usize,
    /// Worse.
    pub losses: usize,
    /// Share of wins, a tie counted as half.
    pub win_rate: f64,
    /// Its 95 % interval: 1,000 bootstrap resamples of the questions.
    pub ci95: [f64; 2],
    /// Share of the questions on which the two orders contradict each other.
    pub flip_rate: f64,
    /// Share of the single verdicts for one side that are for the answer shown first; 0.5 is fair.
    pub first_shown: f64,
    /// Share of the single verdicts for one side that are for the longer answer.
    pub longer_wins: f64,
    /// Mean of how many characters longer the system's answers are.
    pub length_gap: f64,
}

/// How a system is ranked among others, over all questions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankSummary {
    /// Mean rank over both orders, from 1.
    pub mean_rank: f64,
    /// Its 95 % interval.
    pub ci95: [f64; 2],
    /// Share of the questions on which its mean rank is better than the first system's, a tie counted as half.
    pub win_rate: f64,
    /// Share of the questions on which the two orders give it different ranks.
    pub flip_rate: f64,
}

/// Adds up verdicts on pairs.
pub fn summarize_pairs(verdicts: &[PairVerdict]) -> PairSummary {
    let valid: Vec<(&PairVerdict, i8, i8)> = verdicts
        .iter()
        .filter_map(|verdict| match verdict.orders {
            [Some(first), Some(second)] => Some((verdict, first, second)),
            _ => None,
        })
        .collect();
    let sums = || valid.iter().map(|(_, first, second)| first + second);
    let points: Vec<f64> = sums().map(|sum| 0.5 + 0.5 * f64::from(sum.signum())).collect();
    // Each verdict for one side: was it the one shown first, was it the longer one?
    let sided = || valid.iter().flat_map(|(verdict, first, second)| [(*verdict, *first, 1), (*verdict, *second, -1)]);
    let sided = || sided().filter(|(_, better, _)| *better != 0);
    let uneven = || sided().filter(|(verdict, ..)| verdict.longer != 0);
    PairSummary {
        questions: valid.len(),
        invalid: verdicts.len() - valid.len(),
        wins: sums().filter(|sum| *sum > 0).count(),
        ties: sums().filter(|sum| *sum == 0).count(),
        losses: sums().filter(|sum| *sum < 0).count(),
        win_rate: share(points.iter().sum(), points.len()),
        ci95: Bootstrap::new(points).interval(),
        flip_rate: share(valid.iter().filter(|(_, first, second)| first * second < 0).count() as f64, valid.len()),
        first_shown: share(sided().filter(|(_, better, shown)| better == shown).count() as f64, sided().count()),
        longer_wins: share(
            uneven().filter(|(verdict, better, _)| i64::from(*better) == verdict.longer.signum()).count() as f64,
            uneven().count(),
        ),
        length_gap: share(verdicts.iter().map(|verdict| verdict.longer as f64).sum(), verdicts.len()),
    }
}

/// Adds up rankings of `systems` systems; with how many questions have no verdict.
pub fn summarize_ranks(verdicts: &[RankVerdict], systems: usize) -> (Vec<RankSummary>, usize) {
    let valid: Vec<[&Vec<usize>; 2]> = verdicts
        .iter()
        .filter_map(|verdict| match &verdict.orders {
            [Some(first), Some(second)] => Some([first, second]),
            _ => None,
        })
        .collect();
    let summary = |system: usize| {
        let rank = |of: usize| move |orders: &[&Vec<usize>; 2]| (orders[0][of] + orders[1][of]) as f64 / 2.0;
        let ranks: Vec<f64> = valid.iter().map(rank(system)).collect();
        let points = ranks.iter().zip(valid.iter().map(rank(0))).map(|(mine, first)| match mine.total_cmp(&first) {
            std::cmp::Ordering::Less => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 0.0,
        });
        RankSummary {
            mean_rank: share(ranks.iter().sum(), ranks.len()),
            win_rate: share(points.sum(), valid.len()),
            flip_rate: share(
                valid.iter().filter(|orders| orders[0][system] != orders[1][system]).count() as f64,
                valid.len(),
            ),
            ci95: Bootstrap::new(ranks).interval(),
        }
    };
    ((0..systems).map(summary).collect(), verdicts.len() - valid.len())
}

/// 0 of nothing is 0.
fn share(part: f64, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part / whole as f64 }
}
