//! The forward pass on a graphics processor against the CPU's on the very same weights, widened to F32.

mod common;

use std::{
    future::Future,
    io::Cursor,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use candle_core::quantized::{GgmlDType, gguf_file::Value};
use common::{TinyModel, families, load, max_difference, tokens};
use decoder::{Advance, Alone, CacheType, Gguf, Gpu, LoadError, Loader, Session, Weights};

const VOCAB: u32 = 48;
const CONTEXT: usize = 512;

fn gpu() -> Gpu {
    wait(Gpu::open()).expect("a GPU, or a program that stands in for one (Debian: mesa-vulkan-drivers)")
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

fn load_on(gpu: &Gpu, gguf: &[u8]) -> Result<Arc<Weights>, LoadError> {
    let mut reader = Cursor::new(gguf);
    let header = Gguf::read(&mut reader)?;
    let mut loader = Loader::on_gpu(&header, gpu.clone())?;
    while loader.step(std::slice::from_mut(&mut reader))?.is_continue() {}
    Ok(Arc::new(loader.finish()))
}

fn spread(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::MIN, f32::max) - logits.iter().copied().fold(f32::MAX, f32::min)
}

/// Logits after each of these runs of tokens, and how far they spread.
fn exact(model: &TinyModel, runs: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let weights = load(&model.write_dequantized()).expect("the model loads");
    let mut session = Session::with_comm(weights, Box::new(Alone), CONTEXT, CacheType::F16);
    runs.iter().map(|run| session.forward(run).expect("they fit").to_vec()).collect()
}

fn assert_equal(gpu: &Gpu, name: &str, model: &TinyModel, runs: &[Vec<u32>], tolerance: f32) {
    let mut session = Session::new(load_on(gpu, &model.write()).expect("the model loads"), CONTEXT);
    for (run, exact) in runs.iter().zip(exact(model, runs)) {
        let logits = session.forward(run).expect("they fit");
        let error = max_difference(logits, &exact) / spread(&exact);
        assert!(error <= tolerance, "{name}: {} tokens are off by {error} of the spread", run.len());
    }
}

#[test]
fn every_tensor_type_equals_its_exact_weights() {
    use GgmlDType::{BF16, F16, F32, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    let gpu = gpu();
    for dtype in [F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2K, Q3K, Q4K, Q5K, Q6K] {
        let runs = [tokens(20, VOCAB), tokens(1, VOCAB), tokens(3, VOCAB)];
        let weights = load_on(&gpu, &TinyModel::new(dtype).write()).expect("the model loads");
        wait(gpu.verify(&weights)).expect("what computes rightly passes the check of drivers");
        assert_equal(&gpu, &format!("{dtype:?}"), &TinyModel::new(dtype), &runs, 2e-3);
    }
}

#[test]
fn every_family_equals_its_exact_weights() {
    let gpu = gpu();
    for (name, model) in families::models() {
        assert_equal(&gpu, &name, &model, &[families::prompt(), vec![7], vec![3]], 2e-3);
    }
}

#[test]
fn rows_that_are_no_whole_units_are_padded() {
    let gpu = gpu();
    for dtype in [GgmlDType::F32, GgmlDType::F16, GgmlDType::BF16] {
        let mut model = TinyModel::new(dtype);
        model = model.set("llama.feed_forward_length", Value::U32(172));
        for block in 0..2 {
            let name = |part: &str| format!("blk.{block}.{part}.weight");
            model = model.with_tensor(&name("ffn_gate"), &[172, 256]).with_tensor(&name("ffn_up"), &[172, 256]);
            model = model.with_tensor(&name("ffn_down"), &[256, 172]);
        }
        assert_equal(&gpu, &format!("{dtype:?}"), &model, &[tokens(9, VOCAB), tokens(1, VOCAB)], 2e-3);
    }
}

#[test]
fn the_cache_grows_and_a_common_prefix_is_reused() {
    let model = TinyModel::new(GgmlDType::Q8_0);
    let mut session = Session::new(load_on(&gpu(), &model.write()).expect("the model loads"), CONTEXT);
    let (prefix, old, new) = (tokens(250, VOCAB), tokens(150, VOCAB), tokens(40, VOCAB));
    session.forward(&[prefix.clone(), old].concat()).expect("they fit");
    session.truncate(prefix.len()).expect("there are no other shards");
    let again = session.forward(&new).expect("they fit").to_vec();
    let [exact] = &exact(&model, &[[prefix, new].concat()])[..] else { unreachable!("one run gives one row") };
    assert!(max_difference(&again, exact) / spread(exact) <= 2e-3);
}

#[test]
fn an_abandoned_pass_leaves_whole_batches_and_can_be_taken_up_again() {
    let model = TinyModel::new(GgmlDType::Q4_0);
    let mut session = Session::new(load_on(&gpu(), &model.write()).expect("the model loads"), CONTEXT);
    let tokens = tokens(200, VOCAB);
    session.start(&tokens).expect("they fit");
    assert_ne!(session.advance().expect("the pass goes on"), Advance::Done);
    session.abandon().expect("there are no other shards");
    let kept = session.tokens().len();
    assert!(kept < tokens.len(), "{kept} tokens are kept");
    let resumed = session.forward(&tokens[kept..]).expect("the rest fits").to_vec();
    let [exact] = &exact(&model, &[tokens])[..] else { unreachable!("one run gives one row") };
    assert!(max_difference(&resumed, exact) / spread(exact) <= 2e-3);
}

#[test]
fn what_the_kernels_have_no_room_for_is_refused() {
    let gpu = gpu();
    let wide = TinyModel::new(GgmlDType::F32).set("llama.attention.key_length", Value::U32(512));
    let wide = wide.set("llama.attention.value_length", Value::U32(512));
    let error = load_on(&gpu, &wide.write()).expect_err("heads of 512 elements");
    assert!(error.to_string().contains("512"), "{error}");
}

#[test]
fn an_adapter_is_refused_by_name() {
    let gpu = gpu();
    let gguf = TinyModel::new(GgmlDType::F32).write();
    let mut reader = Cursor::new(&gguf);
    let header = Gguf::read(&mut reader).expect("a header");
    let mut weights = Arc::into_inner(load_on(&gpu, &gguf).expect("the model loads")).expect("nobody else has it");
    let error = weights.add_adapter(&header, &mut reader).expect_err("the kernels know no adapters");
    assert!(error.to_string().contains("LoRA adapter"), "{error}");
}
