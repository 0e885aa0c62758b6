use crate::random::SplitMix64;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 1000;
/// The seed: the same scores give the same interval everywhere.
const SEED: u64 = 20231001;
/// Sign flips of a permutation test.
const FLIPS: usize = 10_000;

/// Means of resamples with replacement, made some at a time.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    values: Vec<f64>,
    means: Vec<f64>,
    random: SplitMix64,
}

impl Bootstrap {
    /// A bootstrap of these values' mean.
    pub fn new(values: Vec<f64>) -> Bootstrap {
        Bootstrap::with_stream(values, 0)
    }

    /// The same with other draws: for means that are put together, each has a stream of its own.
    pub fn with_stream(values: Vec<f64>, stream: u64) -> Bootstrap {
        Bootstrap { values, means: Vec::with_capacity(RESAMPLES), random: SplitMix64(SEED.wrapping_add(stream)) }
    }

    /// Makes resamples of some `draws` values in all; says whether there are more to make.
    pub fn step(&mut self, draws: usize) -> bool {
        let rows = self.values.len();
        for _ in 0..(draws / rows.max(1)).max(1).min(RESAMPLES - self.means.len()) {
            let sum = (0..rows).fold(0.0, |sum, _| sum + self.values[self.random.below(rows)]);
            self.means.push(sum / rows.max(1) as f64);
        }
        self.means.len() < RESAMPLES
    }

    /// The 95 % interval of the mean: the 2.5th and the 97.5th percentile of all resamples.
    pub fn interval(self) -> [f64; 2] {
        percentiles(self.finish())
    }

    fn finish(mut self) -> Vec<f64> {
        while self.step(usize::MAX) {}
        self.means
    }
}

/// The 95 % interval of the mean of several means, whose rows have nothing to do with each other.
pub fn interval_of_means(parts: Vec<Vec<f64>>) -> [f64; 2] {
    let count = parts.len() as f64;
    let mut sums = vec![0.0; RESAMPLES];
    for (stream, values) in parts.into_iter().enumerate() {
        let means = Bootstrap::with_stream(values, stream as u64).finish();
        sums.iter_mut().zip(means).for_each(|(sum, mean)| *sum += mean / count);
    }
    percentiles(sums)
}

fn percentiles(mut means: Vec<f64>) -> [f64; 2] {
    means.sort_by(f64::total_cmp);
    [means[RESAMPLES / 40], means[RESAMPLES - 1 - RESAMPLES / 40]]
}

/// How probable so large a mean is, up or down, if the sign of each difference were a coin's: a paired permutation test.
pub fn sign_flip_p(differences: &[f64]) -> f64 {
    let sum = differences.iter().sum::<f64>().abs();
    let scale = differences.iter().map(|difference| difference.abs()).sum::<f64>();
    let mut random = SplitMix64(SEED);
    let as_large = (0..FLIPS).filter(|_| {
        let mut bits = 0;
        let flipped: f64 = differences
            .iter()
            .enumerate()
            .map(|(at, difference)| {
                bits = if at % 64 == 0 { random.bits() } else { bits >> 1 };
                if bits & 1 == 0 { *difference } else { -difference }
            })
            .sum();
        // Sums of the same numbers in other signs may differ by rounding alone.
        flipped.abs() >= sum - 1e-12 * scale
    });
    (1 + as_large.count()) as f64 / (1 + FLIPS) as f64
}

pub(crate) fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let rows = values.len();
    values.fold(0.0, |sum, value| sum + value) / rows.max(1) as f64
}
