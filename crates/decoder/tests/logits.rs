//! Logits against candle's quantized LLaMA, and against our own in another order.

mod common;

use std::{io::Cursor, sync::Arc};

use candle_core::{
    Device, Tensor,
    quantized::{
        GgmlDType,
        gguf_file::{self, Value},
    },
};
use candle_transformers::models::quantized_llama::ModelWeights;
use common::{TinyModel, load, load_part, max_difference, tokens};
use decoder::{Advance, Alone, CacheType, Cpu, ForwardError, Session, Shard, Weights};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

const VOCAB: u32 = 48;
const CONTEXT: usize = 512;

fn candle_logits(gguf: &[u8], tokens: &[u32]) -> Vec<f32> {
    let mut reader = Cursor::new(gguf);
    let content = gguf_file::Content::read(&mut reader).expect("candle reads its own file");
    let mut model = ModelWeights::from_gguf(content, &mut reader, &Device::Cpu).expect("candle loads its own file");
    let input = Tensor::new(tokens, &Device::Cpu).and_then(|row| row.unsqueeze(0)).expect("a row of tokens");
    model.forward(&input, 0).and_then(|logits| logits.flatten_all()?.to_vec1()).expect("candle computes")
}

/// Logits on the fastest instruction set, keys and values as exact as the reference's.
fn logits(gguf: &[u8], tokens: &[u32]) -> Vec<f32> {
    logits_on(Cpu::detect(), gguf, tokens)
}

fn logits_on(cpu: Cpu, gguf: &[u8], tokens: &[u32]) -> Vec<f32> {
    let weights = load_part(gguf, Shard::WHOLE, cpu).expect("the model loads");
    exact_session(weights).forward(tokens).expect("the forward pass succeeds").to_vec()
}

fn exact_session(weights: Arc<Weights>) -> Session {
    Session::with_comm(weights, Box::new(Alone), CONTEXT, CacheType::F32)
}

/// How far logits spread, so that a tolerance means something.
fn spread(logits: &[f32]) -> f32 {
    let (min, max) = logits.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), &x| (min.min(x), max.max(x)));
    max - min
}

#[test]
fn f32_equals_candle() {
    let gguf = TinyModel::new(GgmlDType::F32).write();
    for count in [1, 2, 33, 200] {
        let tokens = tokens(count, VOCAB);
        let reference = candle_logits(&gguf, &tokens);
        assert!(spread(&reference) > 1.0, "the reference says nothing");
        for cpu in Cpu::available() {
            let difference = max_difference(&logits_on(cpu, &gguf, &tokens), &reference);
            assert!(difference <= 1e-4, "{count} tokens on {} differ by {difference}", cpu.name());
        }
    }
}

#[test]
fn every_tensor_type_is_as_close_to_its_exact_weights_as_candle() {
    use GgmlDType::{BF16, F16, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    for dtype in [F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2K, Q3K, Q4K, Q5K, Q6K] {
        let model = TinyModel::new(dtype);
        let tokens = tokens(20, VOCAB);
        // Both round activations to 8 bits, so what both stray from is the same weights in F32.
        let exact = candle_logits(&model.write_dequantized(), &tokens);
        let gguf = model.write();
        let error = |logits: &[f32]| max_difference(logits, &exact) / spread(&exact);
        let tolerance = if matches!(dtype, F16 | BF16) { 1e-4 } else { 0.03 };
        for cpu in Cpu::available() {
            let ours = error(&logits_on(cpu, &gguf, &tokens));
            assert!(
                ours <= tolerance,
                "{dtype:?} on {} is off by {ours} of the spread, candle by {}",
                cpu.name(),
                error(&candle_logits(&gguf, &tokens))
            );
        }
    }
}

#[test]
fn a_tied_output_equals_candle() {
    let gguf = TinyModel::new(GgmlDType::F32).without_tensor("output.weight").write();
    let tokens = tokens(9, VOCAB);
    assert!(max_difference(&logits(&gguf, &tokens), &candle_logits(&gguf, &tokens)) <= 1e-4);
}

const QUANTIZED: [GgmlDType; 8] = {
    use GgmlDType::{Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4K, Q5K, Q6K]
};

#[test]
fn a_batch_gives_the_very_numbers_of_its_tokens_one_by_one() {
    for (dtype, cpu) in
        QUANTIZED.into_iter().flat_map(|dtype| Cpu::available().into_iter().map(move |cpu| (dtype, cpu)))
    {
        let gguf = TinyModel::new(dtype).write();
        let weights = load_part(&gguf, Shard::WHOLE, cpu).expect("the model loads");
        let tokens = tokens(75, VOCAB);
        let mut stepwise = Session::new(weights.clone(), CONTEXT);
        for token in &tokens {
            stepwise.forward(&[*token]).expect("the forward pass succeeds");
        }
        let mut batch = Session::new(weights, CONTEXT);
        batch.forward(&tokens).expect("the forward pass succeeds");
        assert_eq!(batch.logits(), stepwise.logits(), "{dtype:?} on {}", cpu.name());
    }
}

#[test]
fn all_sets_with_fused_arithmetic_give_the_same_numbers() {
    for dtype in QUANTIZED {
        let gguf = TinyModel::new(dtype).write();
        let tokens = tokens(75, VOCAB);
        let fused = Cpu::available().into_iter().filter(|cpu| cpu.name() != "portable");
        let logits: Vec<_> = fused.map(|cpu| (cpu.name(), logits_on(cpu, &gguf, &tokens))).collect();
        for two in logits.windows(2) {
            assert_eq!(two[0].1, two[1].1, "{dtype:?}: {} and {}", two[0].0, two[1].0);
        }
    }
}

#[test]
fn truncating_to_a_common_prefix_equals_a_fresh_session() {
    let weights = load(&TinyModel::new(GgmlDType::Q8_0).write()).expect("the model loads");
    let (prefix, old, new) = (tokens(20, VOCAB), tokens(17, VOCAB), tokens(11, VOCAB));
    let mut reused = Session::new(weights.clone(), CONTEXT);
    reused.forward(&[prefix.clone(), old].concat()).expect("the forward pass succeeds");
    reused.truncate(prefix.len()).expect("a single shard has nobody to lose");
    assert_eq!(reused.tokens(), prefix);
    let again = reused.forward(&new).expect("the forward pass succeeds").to_vec();
    let whole = [prefix, new].concat();
    assert_eq!(reused.tokens(), whole);
    let mut fresh = Session::new(weights, CONTEXT);
    assert_eq!(again, fresh.forward(&whole).expect("the forward pass succeeds"));
}

#[test]
fn an_abandoned_pass_leaves_whole_batches_and_can_be_taken_up_again() {
    let weights = load(&TinyModel::new(GgmlDType::Q4_0).write()).expect("the model loads");
    let tokens = tokens(200, VOCAB);
    let mut session = Session::new(weights.clone(), CONTEXT);
    session.start(&tokens).expect("they fit");
    for _ in 0..7 {
        assert_ne!(session.advance().expect("the pass goes on"), Advance::Done);
    }
    session.abandon().expect("a single shard has nobody to lose");
    let kept = session.tokens().len();
    assert!(kept > 0 && kept < tokens.len(), "{kept} tokens are kept");
    assert_eq!(session.tokens(), &tokens[..kept]);
    let resumed = session.forward(&tokens[kept..]).expect("the rest fits").to_vec();
    assert_eq!(resumed, Session::new(weights, CONTEXT).forward(&tokens).expect("they fit"));
}

#[test]
fn keys_and_values_may_be_kept_in_fewer_bits() {
    let weights = load(&TinyModel::new(GgmlDType::F32).write()).expect("the model loads");
    let tokens = tokens(100, VOCAB);
    let logits = |cache_type| {
        let mut session = Session::with_comm(weights.clone(), Box::new(Alone), CONTEXT, cache_type);
        session.forward(&tokens).expect("they fit").to_vec()
    };
    let exact = logits(CacheType::F32);
    let error = |cache_type| max_difference(&logits(cache_type), &exact) / spread(&exact);
    let (half, eight_bits) = (error(CacheType::F16), error(CacheType::Q8));
    assert!(half > 0.0 && half < 2e-3, "F16 is off by {half} of the spread");
    assert!(eight_bits > half && eight_bits < 2e-2, "Q8 is off by {eight_bits} of the spread");
}

#[test]
fn rope_factors_of_two_equal_linear_scaling_by_two() {
    let plain = TinyModel::new(GgmlDType::F32);
    let factors = plain.clone().with_tensor("rope_freqs.weight", &[16]);
    let with_factor = |factor: f32| factors.write_with(|name| (name == "rope_freqs.weight").then(|| vec![factor; 16]));
    let scaled = plain.clone().set("llama.rope.scaling.type", Value::String("linear".into()));
    let scaled = scaled.set("llama.rope.scaling.factor", Value::F32(2.0)).write();
    let tokens = tokens(30, VOCAB);
    let unscaled = logits(&plain.write(), &tokens);
    assert_eq!(logits(&with_factor(1.0), &tokens), unscaled);
    assert_eq!(logits(&with_factor(2.0), &tokens), logits(&scaled, &tokens));
    assert!(max_difference(&logits(&scaled, &tokens), &unscaled) > 1e-2, "scaling changes nothing");
}

#[test]
fn a_refused_call_leaves_the_session_as_it_was() {
    let weights = load(&TinyModel::new(GgmlDType::F32).write()).expect("the model loads");
    let mut session = Session::new(weights, 4);
    session.forward(&[1, 2, 3]).expect("three fit");
    let full = ForwardError::ContextFull { len: 3, adding: 2, max: 4 };
    assert_eq!(session.forward(&[4, 5]).unwrap_err(), full);
    let out_of_range = ForwardError::TokenOutOfRange { token: VOCAB, vocab_size: VOCAB as usize };
    assert_eq!(session.forward(&[VOCAB]).unwrap_err(), out_of_range);
    assert_eq!(session.forward(&[]).unwrap_err(), ForwardError::Empty);
    assert_eq!(session.tokens(), [1, 2, 3]);
    assert_eq!(session.forward(&[4]).map(<[f32]>::len), Ok(VOCAB as usize));
}
