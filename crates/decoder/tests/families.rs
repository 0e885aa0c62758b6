//! Every family in every tensor type against llama.cpp: `reference.jsonl` is what `reference.py` made of the very same models.

mod common;

use std::sync::Arc;

use common::{families, load_part};
use decoder::{Alone, CacheType, Cpu, Session, Shard, Weights};
use serde::Deserialize;

const CONTEXT: usize = 256;
/// Steps between two of the reference's rows of log-probabilities.
const EVERY: usize = 9;

#[derive(Deserialize)]
struct Reference {
    name: String,
    prompt: Vec<u32>,
    /// With the prompt read at once.
    #[serde(flatten)]
    at_once: Way,
    /// With the prompt read token by token.
    by_one: Way,
}

/// What llama.cpp makes of its own greedy path.
#[derive(Deserialize)]
struct Way {
    tokens: Vec<u32>,
    margins: Vec<f32>,
    logprobs: Vec<Vec<f32>>,
}

/// How near the log-probabilities of F32 models come, and how far above the runner-up its best token must be for llama.cpp to be sure of it.
const EXACT: (f32, f32) = (1e-3, 1e-2);
/// The same for models of other types. Sums in another order let an activation now and then round to the neighbouring step, and in models as narrow
/// as these each such step shows: llama.cpp's two ways differ by up to 0.053.
const ROUNDED: (f32, f32) = (5.1e-2, 2.7e-2);

/// What our greedy path strays from the reference's, which it is made to follow.
struct Agreement {
    /// Steps with another best token although llama.cpp is sure of its own, in both of its ways.
    wrong: usize,
    largest_difference: f32,
}

fn log_probabilities(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
    logits.iter().map(|&logit| (f64::from(logit - max) - total.ln()) as f32).collect()
}

fn best(logits: &[f32]) -> u32 {
    let (best, _) = (0..).zip(logits).max_by(|a, b| a.1.total_cmp(b.1)).expect("there are logits");
    best
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn follow(weights: Arc<Weights>, reference: &Reference, sure: f32) -> Agreement {
    let ways = [&reference.at_once, &reference.by_one];
    let mut session = Session::with_comm(weights, Box::new(Alone), CONTEXT, CacheType::F32);
    let mut agreement = Agreement { wrong: 0, largest_difference: 0.0 };
    let mut logits = session.forward(&reference.prompt).expect("the prompt fits");
    for (step, &token) in reference.at_once.tokens.iter().enumerate() {
        let is_sure = ways.iter().all(|way| way.margins[step] > sure);
        agreement.wrong += usize::from(is_sure && ways.iter().all(|way| way.tokens[step] != best(logits)));
        if step % EVERY == 0 {
            let ours = log_probabilities(logits);
            let [at_once, by_one] = ways.map(|way| largest_difference(&ours, &way.logprobs[step / EVERY]));
            agreement.largest_difference = agreement.largest_difference.max(at_once.min(by_one));
        }
        logits = session.forward(&[token]).expect("the token fits");
    }
    agreement
}

#[test]
fn every_family_and_type_agrees_with_llama_cpp() {
    let references: Vec<Reference> = include_str!("reference.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of the reference"))
        .collect();
    let mut failures = Vec::new();
    for (name, model) in families::models() {
        let reference = references.iter().find(|reference| reference.name == name).expect("a reference of each model");
        assert_eq!((&reference.prompt, reference.at_once.tokens.len()), (&families::prompt(), 64));
        let weights = load_part(&model.write(), Shard::WHOLE, Cpu::detect()).expect("the model loads");
        let (tolerance, sure) = if name.contains("f32") { EXACT } else { ROUNDED };
        let Agreement { wrong, largest_difference } = follow(weights, reference, sure);
        eprintln!("{name:20} largest difference {largest_difference:.6}, {wrong} of 64 tokens differ");
        if wrong > 0 || largest_difference > tolerance {
            failures.push(format!("{name}: {largest_difference} (at most {tolerance}), {wrong} tokens"));
        }
    }
    assert_eq!(references.len(), families::models().len());
    assert!(failures.is_empty(), "{failures:#?}");
}
