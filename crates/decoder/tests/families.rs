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
    tokens: Vec<u32>,
    margins: Vec<f32>,
    logprobs: Vec<Vec<f32>>,
}

/// How near to the reference F32 models come, and how sure of its best token it must be to be followed.
const EXACT: (f32, f32) = (1e-3, 1e-2);
/// The same for models of other types. Sums in another order let an activation now and then round to the neighbouring step, in both
/// engines; in models as narrow as these each such step shows.
const ROUNDED: (f32, f32) = (6e-2, 6e-2);

/// What our greedy path strays from the reference's, which it is made to follow.
struct Agreement {
    /// Steps with another best token although the reference is sure of its own.
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

fn follow(weights: Arc<Weights>, reference: &Reference, sure: f32) -> Agreement {
    let mut session = Session::with_comm(weights, Box::new(Alone), CONTEXT, CacheType::F32);
    let mut agreement = Agreement { wrong: 0, largest_difference: 0.0 };
    let mut logits = session.forward(&reference.prompt).expect("the prompt fits");
    for (step, (&token, &margin)) in reference.tokens.iter().zip(&reference.margins).enumerate() {
        agreement.wrong += usize::from(best(logits) != token && margin > sure);
        if step % EVERY == 0 {
            let differences = log_probabilities(logits)
                .into_iter()
                .zip(&reference.logprobs[step / EVERY])
                .map(|(a, b)| (a - b).abs());
            agreement.largest_difference = differences.fold(agreement.largest_difference, f32::max);
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
        assert_eq!((reference.prompt.clone(), reference.tokens.len()), (families::prompt(), 64));
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
