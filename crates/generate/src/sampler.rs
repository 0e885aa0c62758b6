use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::Error;

/// How a reply is sampled. Every field has a default, also when deserialized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// 0 takes the most probable token; above, logits are divided by it.
    pub temperature: f32,
    /// Keep this many most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the fewest tokens whose probabilities reach this sum, in (0, 1]; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this fraction as probable as the best, in [0, 1); 0 keeps all.
    pub min_p: f32,
    /// Positive logits of recent tokens are divided by it, negative ones multiplied; 1 is off.
    pub repetition_penalty: f32,
    /// How many recent tokens, of prompt and reply, the penalty looks at.
    pub repetition_window: usize,
    /// Seed of the random numbers: the same seed, model and prompt give the same text.
    pub seed: u64,
    /// Most tokens of the reply.
    pub max_tokens: usize,
    /// Texts that end the reply and are not part of it.
    pub stop: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            temperature: 0.7,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repetition_penalty: 1.1,
            repetition_window: 64,
            seed: 0,
            max_tokens: 256,
            stop: Vec::new(),
        }
    }
}

impl Options {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Option`] names the first option that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |name, value: f32, valid: bool, expected| match valid {
            true => Ok(()),
            false => Err(Error::Option { name, found: value.to_string(), expected }),
        };
        let penalty = self.repetition_penalty;
        check("temperature", self.temperature, self.temperature.is_finite() && self.temperature >= 0.0, "0 or more")?;
        check("top-p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0 and at most 1")?;
        check("min-p", self.min_p, (0.0..1.0).contains(&self.min_p), "at least 0 and below 1")?;
        check("repetition penalty", penalty, penalty.is_finite() && penalty > 0.0, "above 0")?;
        if self.max_tokens == 0 {
            return Err(Error::Option { name: "max-tokens", found: "0".into(), expected: "at least 1" });
        }
        Ok(())
    }
}

/// Chooses a token from logits, in llama.cpp's order: repetition penalty, top-k, top-p, min-p, temperature, draw.
#[derive(Debug, Clone)]
pub struct Sampler {
    options: Options,
    rng: ChaCha8Rng,
    /// With the penalty, and without what is no number.
    logits: Vec<f32>,
    candidates: Vec<Candidate>,
}

/// Logits that are looked at together.
const CHUNK: usize = 32;

#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    logit: f32,
}

impl Sampler {
    /// A sampler at the start of its random sequence.
    ///
    /// # Errors
    /// See [`Options::validate`].
    pub fn new(options: Options) -> Result<Self, Error> {
        options.validate()?;
        let rng = ChaCha8Rng::seed_from_u64(options.seed);
        Ok(Self { options, rng, logits: Vec::new(), candidates: Vec::new() })
    }

    /// The options it was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Chooses among `logits`, one per token id; `history` are the tokens so far, oldest first.
    ///
    /// At temperature 0 the lowest id among equal maxima wins. A NaN is never chosen unless all logits are NaN; no logits give 0.
    pub fn sample(&mut self, logits: &[f32], history: &[u32]) -> u32 {
        self.logits.clear();
        self.logits.extend(logits.iter().map(|&logit| if logit.is_nan() { f32::NEG_INFINITY } else { logit }));
        self.penalize(history);
        if self.options.temperature == 0.0 || self.options.top_k == 1 {
            return greedy(&self.logits);
        }
        self.take_top_k();
        self.keep_top_p();
        self.keep_min_p();
        self.draw()
    }

    fn penalize(&mut self, history: &[u32]) {
        let penalty = self.options.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        let recent = &history[history.len().saturating_sub(self.options.repetition_window)..];
        for (index, token) in recent.iter().enumerate() {
            if recent[..index].contains(token) {
                continue;
            }
            if let Some(logit) = self.logits.get_mut(*token as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    /// The `top_k` best by falling logit (rising id among equals), sorted.
    fn take_top_k(&mut self) {
        let by_rank = |a: &Candidate, b: &Candidate| b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token));
        let Self { logits, candidates, .. } = self;
        let k = match self.options.top_k {
            0 => logits.len(),
            k => k.min(logits.len()),
        };
        candidates.clear();
        // Most chunks of a large vocabulary have nothing above the worst of the best so far. An equal logit comes too late.
        let mut bar = None;
        for (first, chunk) in (0..).step_by(CHUNK).zip(logits.chunks(CHUNK)) {
            if bar.is_some_and(|bar| chunk.iter().fold(true, |below, &logit| below & (logit < bar))) {
                continue;
            }
            let better = |logit: f32| bar.is_none_or(|bar| logit.total_cmp(&bar).is_gt());
            let found = (first..).zip(chunk).map(|(token, &logit)| Candidate { token, logit });
            candidates.extend(found.filter(|found| better(found.logit)));
            if candidates.len() > 2 * k + CHUNK {
                candidates.select_nth_unstable_by(k - 1, by_rank);
                candidates.truncate(k);
                bar = candidates.last().map(|worst| worst.logit);
            }
        }
        candidates.sort_unstable_by(by_rank);
        candidates.truncate(k);
    }

    fn keep_top_p(&mut self) {
        if self.options.top_p >= 1.0 {
            return;
        }
        let weights = weights(&self.candidates, 1.0);
        let target = self.options.top_p * weights.iter().sum::<f32>();
        let mut sum = 0.0;
        let reached = weights.iter().position(|weight| {
            sum += weight;
            sum >= target
        });
        self.candidates.truncate(reached.map_or(weights.len(), |last| last + 1));
    }

    fn keep_min_p(&mut self) {
        if self.options.min_p <= 0.0 {
            return;
        }
        let weights = weights(&self.candidates, 1.0);
        let kept = weights.partition_point(|&weight| weight >= self.options.min_p);
        self.candidates.truncate(kept.max(1));
    }

    fn draw(&mut self) -> u32 {
        let weights = weights(&self.candidates, self.options.temperature);
        let mut rest = self.rng.random::<f32>() * weights.iter().sum::<f32>();
        for (candidate, weight) in self.candidates.iter().zip(&weights) {
            rest -= weight;
            if rest < 0.0 {
                return candidate.token;
            }
        }
        self.candidates.first().map_or(0, |best| best.token)
    }
}

/// Unnormalised probabilities of candidates sorted by falling logit: the first is 1.
fn weights(candidates: &[Candidate], temperature: f32) -> Vec<f32> {
    let max = candidates.first().map_or(0.0, |best| best.logit);
    let weight = |candidate: &Candidate| match candidate.logit == max {
        // Also when both are infinite.
        true => 1.0,
        false => ((candidate.logit - max) / temperature).exp(),
    };
    candidates.iter().map(weight).collect()
}

/// The first of the largest; 0 of none.
fn greedy(logits: &[f32]) -> u32 {
    let mut largest = [f32::NEG_INFINITY; CHUNK];
    let (chunks, rest) = logits.as_chunks::<CHUNK>();
    for chunk in chunks {
        largest
            .iter_mut()
            .zip(chunk)
            .for_each(|(largest, &logit)| *largest = if logit > *largest { logit } else { *largest });
    }
    let largest = largest.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    logits.iter().position(|&logit| logit == largest).unwrap_or(0) as u32
}
