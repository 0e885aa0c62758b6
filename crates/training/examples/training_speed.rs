//! Tokens per second of LoRA steps on a random base, or with `scratch` of steps on all weights, beside `training_speed.py`
//! with PyTorch and PEFT.
//!
//! ```text
//! cargo run --release -p training --example training_speed -- HIDDEN INNER LAYERS HEADS VOCAB LENGTH ROWS THREADS STEPS [scratch] [recompute]
//! ```

use checkpoint::{AdapterConfig, Family, Rotary, RotaryLayout, RotaryScaling, Shape, Targets};
use std::time::Instant;
use training::lora::LoraMap;
use training::model::{Model, Pack};
use training::optimizer::{Optimizer, StepReport, Trainer, UpdateRule};
use training::rocit::{LoraTrainer, TrainerOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let [scratch, recompute] = ["scratch", "recompute"].map(|word| std::env::args().any(|argument| argument == word));
    let [hidden, inner, layers, heads, vocab, length, rows, threads, steps] = numbers[..] else {
        return Err("nine numbers are needed: see the first lines of this file".into());
    };
    let shape = Shape {
        family: Family::Llama,
        vocab_size: vocab,
        hidden_size: hidden,
        intermediate_size: inner,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim: hidden / heads,
        max_position_embeddings: length,
        rotary: Rotary {
            width: hidden / heads,
            layout: RotaryLayout::Halves,
            base: 10_000.0,
            scaling: RotaryScaling::None,
        },
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        qkv_bias: false,
        output_bias: false,
        head_norms: false,
        post_norms: false,
    };
    let batch: Vec<Pack> = (0..rows)
        .map(|row| {
            let mut pack = Pack::default();
            let token = |i: usize| ((row * 7919 + i * 104_729) % vocab) as u32;
            pack.push((0..length).map(token), (1..=length).map(token));
            pack
        })
        .collect();
    let rule = UpdateRule { optimizer: Optimizer::Adamw, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, clip: 1.0 };
    let model = Model::new(shape);
    let weights = model.map.initialize(0.02, 1);
    let seconds = if scratch {
        let mut trainer = Trainer::new(model, weights, threads);
        seconds(steps, || Ok(trainer.train(&batch, rule, 1e-3)))?
    } else {
        let config = AdapterConfig {
            r: 16,
            lora_alpha: 32.0,
            lora_dropout: 0.0,
            use_rslora: false,
            base_model_name_or_path: None,
        };
        let map = LoraMap::new(&model.shape, &config, Targets::All.of(&model.shape)?);
        let values = map.initialize(2);
        let options = TrainerOptions { dropout: 0.0, seed: 0, recompute, at_once: length.max(256), threads };
        let mut trainer = LoraTrainer::new(model, weights, map, values, options);
        seconds(steps, || trainer.train(&batch, rule, 1e-3))?
    };
    let speed = (steps * rows * length) as f64 / seconds;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("");
    eprintln!("{speed:.0} tokens/s, {peak}");
    Ok(())
}

/// The time of `steps` steps after a first one.
fn seconds(steps: usize, mut step: impl FnMut() -> training::Result<StepReport>) -> training::Result<f64> {
    step()?;
    let started = Instant::now();
    for _ in 0..steps {
        step()?;
    }
    Ok(started.elapsed().as_secs_f64())
}
