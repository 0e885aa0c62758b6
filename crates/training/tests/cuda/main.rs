//! The passes and steps of the GPU's device against those of the processor: on an emulated GPU, or on NVIDIA's first one
//! where TEST_GPU is set.

#[path = "../common/mod.rs"]
mod common;
mod emulator;
mod runs;

use checkpoint::{Family, Rotary, RotaryLayout, Shape};
use common::{adapter, model_of, pack, tiny_config};
use emulator::{Build, Emulator};
use half::bf16;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use training::cpu::Cpu;
use training::cuda::driver::{Driver, Element};
use training::cuda::{Cuda, Nvidia, Storage};
use training::device::Device;
use training::lora::LoraMap;
use training::model::pass::{Gradient, LoraPass, Parameters};
use training::model::{Dropout, IGNORE, Model, Pack, Workspace};
use training::optimizer::{Optimizer, Trainer, UpdateRule};
use training::rocit::{LoraTrainer, TrainerOptions};

const RULE: UpdateRule =
    UpdateRule { optimizer: Optimizer::Adamw, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.1, clip: 0.5 };

/// Tokens of an adapter's pass.
const AT_ONCE: usize = 64;

fn driver(values: Element) -> Box<dyn Driver> {
    match std::env::var_os("TEST_GPU") {
        Some(_) => Box::new(Nvidia::open(values).unwrap()),
        None => Box::new(Emulator::new(Build::of(values))),
    }
}

fn gpu<T: Storage>() -> Cuda<T> {
    Cuda::new(driver(T::ELEMENT))
}

/// The tiny model with every switch of every family; heads that share keys, are wider than a warp, or are not.
fn shapes() -> Vec<Shape> {
    let plain = tiny_config(false).shape();
    let halved = Rotary { width: 4, layout: RotaryLayout::Neighbours, ..plain.rotary.clone() };
    let wide = Rotary { width: 40, ..plain.rotary.clone() };
    vec![
        Shape { tie_word_embeddings: true, ..plain.clone() },
        Shape { head_dim: 40, num_attention_heads: 2, num_key_value_heads: 1, rotary: wide.clone(), ..plain.clone() },
        Shape { head_dim: 72, num_attention_heads: 2, num_key_value_heads: 1, rotary: wide, ..plain.clone() },
        Shape { family: Family::Qwen2, qkv_bias: true, ..plain.clone() },
        Shape { family: Family::Qwen3, head_norms: true, output_bias: true, ..plain.clone() },
        Shape { family: Family::ChatGlm, qkv_bias: true, rotary: halved.clone(), ..plain.clone() },
        Shape { family: Family::Glm4, qkv_bias: true, post_norms: true, rotary: halved, ..plain },
    ]
}

/// Two chats under one instruction, and documents of other lengths.
fn packs() -> Pack {
    let mut pack = pack(50, 4);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut tokens = |count: usize| (0..count).map(|_| rng.random_range(0..50)).collect::<Vec<u32>>();
    let prefix = pack.push(tokens(37), vec![IGNORE; 37]);
    for count in [3, 41] {
        pack.push_after(prefix.clone(), tokens(count), tokens(count));
    }
    pack
}

fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(&f, &e)| f64::from(f) - f64::from(e)));
    difference / norm(&mut expected.iter().map(|&e| f64::from(e))).max(1e-9)
}

/// Loss and gradient of all weights.
fn full<D: Device>(device: &D, model: &Model, weights: &[f32], pack: &Pack) -> (f64, Vec<f32>) {
    let (weights, mut gradient) = (device.values(weights.to_vec()), device.floats(vec![0.0; model.map.len]));
    let mut work = Workspace::new(device.clone(), false);
    let p = Parameters::base(&*weights);
    let loss = model.loss_and_gradient(&p, Gradient::Weights(&mut *gradient), &mut work, pack, 0.01);
    device.check().unwrap();
    (loss, device.read_floats(&gradient).into_owned())
}

/// Loss and gradient of an adapter.
fn lora<D: Device>(
    device: &D,
    model: &Model,
    weights: &[f32],
    (map, values): &(LoraMap, Vec<f32>),
    pack: &Pack,
    recompute: bool,
) -> (f64, Vec<f32>) {
    let (weights, values) = (device.values(weights.to_vec()), device.values(values.clone()));
    let mut gradient = device.floats(vec![0.0; map.len]);
    let mut work = Workspace::new(device.clone(), recompute);
    let dropout = Some(Dropout { share: 0.1, seed: 3 });
    let p = Parameters { weights: &*weights, lora: Some(LoraPass { map, values: &*values, dropout }) };
    let loss = model.loss_and_gradient(&p, Gradient::Lora(&mut *gradient), &mut work, pack, 0.01);
    device.check().unwrap();
    (loss, device.read_floats(&gradient).into_owned())
}

fn check_gradients<T: Storage>(device: &Cuda<T>, loss_tolerance: f64, tolerance: f64) {
    for shape in shapes() {
        let (model, weights) = model_of(shape);
        let pack = packs();
        let name = format!("{:?}, heads of {}", model.shape.family, model.shape.head_dim);
        let (expected_loss, expected) = full(&Cpu::default(), &model, &weights, &pack);
        let (loss, found) = full(device, &model, &weights, &pack);
        assert!((loss / expected_loss - 1.0).abs() < loss_tolerance, "{name}: {loss} {expected_loss}");
        for tensor in &model.map.tensors {
            let error = relative_error(&found[tensor.range.clone()], &expected[tensor.range.clone()]);
            assert!(error < tolerance, "{name}, {}: relative error {error:.1e}", tensor.spec.name);
        }

        let adapter = adapter(&model);
        let (expected_loss, expected) = lora(&Cpu::default(), &model, &weights, &adapter, &pack, false);
        let (loss, found) = lora(device, &model, &weights, &adapter, &pack, false);
        assert!((loss / expected_loss - 1.0).abs() < loss_tolerance, "{name}: {loss} {expected_loss}");
        for slot in &adapter.0.slots {
            for range in [&slot.a, &slot.b] {
                let error = relative_error(&found[range.clone()], &expected[range.clone()]);
                assert!(error < tolerance, "{name}, {}: relative error {error:.1e}", slot.target.name);
            }
        }
        assert_eq!((loss, found), lora(device, &model, &weights, &adapter, &pack, true), "{name}, recomputed");
    }
}

#[test]
fn gradients_in_f32_are_the_processors() {
    // Tensor cores cut what does not fit into a sum instead of rounding it: on an H200 one gradient was off by 1.5e-5.
    check_gradients(&gpu::<f32>(), 1e-6, 3e-5);
}

#[test]
fn gradients_without_tensor_cores_are_the_processors() {
    let driver = Emulator::new(Build { tf32: false, ..Build::of(Element::F32) });
    check_gradients(&Cuda::<f32>::new(Box::new(driver)), 1e-6, 1e-5);
}

#[test]
fn gradients_in_bf16_are_the_processors_but_for_rounding() {
    check_gradients(&gpu::<bf16>(), 0.02, 0.15);
}

#[test]
fn the_emulator_notices_missing_barriers() {
    let (model, weights) = model_of(shapes().remove(0));
    let (_, expected) = full(&Cpu::default(), &model, &weights, &packs());
    let driver = Emulator::new(Build { barriers: false, ..Build::of(Element::F32) });
    let device = Cuda::<f32>::new(Box::new(driver));
    let (_, found) = full(&device, &model, &weights, &packs());
    let error = relative_error(&found, &expected);
    assert!(error.is_nan() || error > 1e-2, "{error:.1e}");
}

/// Three steps of all weights and of an adapter, with clipping.
fn steps<D: Device>(device: &D) -> (Vec<f64>, Vec<f32>, Vec<f32>) {
    let (model, weights) = model_of(shapes().remove(2));
    let rows = [pack(50, 1), pack(50, 2)];
    let mut trainer = Trainer::on(device.clone(), model.clone(), weights.clone());
    let mut losses: Vec<f64> = (0..3).map(|_| trainer.train(&rows, RULE, 1e-2).loss).collect();
    losses.push(trainer.evaluate(&rows));
    let (map, values) = adapter(&model);
    let options = TrainerOptions { dropout: 0.1, seed: 1, recompute: false, at_once: AT_ONCE, threads: 1 };
    let mut adapted = LoraTrainer::on(device.clone(), model, weights, map, values, options);
    losses.extend((0..3).map(|_| adapted.train(&rows, RULE, 1e-2).unwrap().loss));
    losses.push(adapted.evaluate(&rows));
    let trained = device.read_trained(&trainer.weights).into_owned();
    let values = adapted.read_values().into_owned();
    device.check().unwrap();
    (losses, trained, values)
}

fn check_steps<T: Storage>(tolerance: f64) {
    let (expected_losses, expected_weights, expected_values) = steps(&Cpu::default());
    // Dropout depends on what is in a pass.
    let device = gpu::<T>().with_tokens_at_once(AT_ONCE);
    let found = steps(&device);
    for (loss, expected) in found.0.iter().zip(&expected_losses) {
        assert!((loss / expected - 1.0).abs() < tolerance, "{:?} {expected_losses:?}", found.0);
    }
    let error = relative_error(&found.1, &expected_weights);
    assert!(error < tolerance, "weights: {error:.1e}");
    let error = relative_error(&found.2, &expected_values);
    assert!(error < tolerance, "adapter: {error:.1e}");
    assert_eq!(found, steps(&device), "a second run is the same bit for bit");
}

#[test]
fn steps_in_f32_are_the_processors() {
    check_steps::<f32>(1e-3);
}

#[test]
fn muons_steps_are_the_processors() {
    fn steps<D: Device>(device: &D) -> (Vec<f64>, Vec<f32>) {
        let (model, weights) = model_of(shapes().remove(0));
        let rows = [pack(50, 1), pack(50, 2)];
        let mut trainer = Trainer::on(device.clone(), model, weights);
        let rule = UpdateRule { optimizer: Optimizer::Muon, ..RULE };
        let losses = (0..3).map(|_| trainer.train(&rows, rule, 1e-2).loss).collect();
        trainer.check().unwrap();
        (losses, device.read_trained(&trainer.weights).into_owned())
    }
    let (expected, found) = (steps(&Cpu::default()), steps(&gpu::<f32>()));
    for (loss, wanted) in found.0.iter().zip(&expected.0) {
        assert!((loss / wanted - 1.0).abs() < 1e-3, "{:?} {:?}", found.0, expected.0);
    }
    let error = relative_error(&found.1, &expected.1);
    assert!(error < 1e-3, "weights: {error:.1e}");
}

#[test]
fn steps_in_bf16_are_the_processors_but_for_rounding() {
    check_steps::<bf16>(0.05);
}

#[test]
fn kept_keys_and_values_give_the_processors_answer() {
    for shape in shapes() {
        let (model, weights) = model_of(shape);
        let device = gpu::<f32>();
        let prompt: Vec<u32> = (0..41).map(|i| i * 7 % 50).collect();
        let expected =
            model.answer(&Parameters::<Cpu>::base(&weights), &mut Workspace::default(), &prompt, 12, |_| false);
        let (weights, mut work) = (device.values(weights), Workspace::new(device.clone(), false));
        let found = model.answer(&Parameters::base(&*weights), &mut work, &prompt, 12, |_| false);
        device.check().unwrap();
        assert_eq!(found, expected, "{:?}", model.shape.family);
    }
}

#[test]
fn heads_wider_than_the_kernels_know_are_refused() {
    let shape = Shape { head_dim: 136, ..tiny_config(false).shape() };
    let error = gpu::<f32>().accepts(&shape).unwrap_err().to_string();
    assert!(error.contains("head_dim is 136") && error.contains("--device cuda"), "{error}");
}
