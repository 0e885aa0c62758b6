//! Tokens per second of LoRA steps on a random base, or with `scratch` of steps on all weights, beside `training_speed.py`
//! with PyTorch and PEFT.
//!
//! ```text
//! cargo run --release -p training --example training_speed -- HIDDEN INNER LAYERS HEADS[/KEYHEADS] VOCAB LENGTH ROWS THREADS STEPS [scratch] [recompute]
//! ```
//!
//! Built with `--features cuda` it takes `cuda` or `cuda-f32`, too, and `profile`, which waits for each kernel.

use checkpoint::{AdapterConfig, Family, Rotary, RotaryLayout, RotaryScaling, Shape, Targets};
use std::time::Instant;
use training::Result;
use training::cpu::Cpu;
use training::device::Device;
use training::lora::LoraMap;
use training::model::{Model, Pack};
use training::optimizer::{Optimizer, StepReport, Trainer, UpdateRule};
use training::rocit::{LoraTrainer, TrainerOptions};

const RULE: UpdateRule =
    UpdateRule { optimizer: Optimizer::Adamw, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, clip: 1.0 };

struct Settings {
    shape: Shape,
    length: usize,
    rows: usize,
    threads: usize,
    steps: usize,
    scratch: bool,
    recompute: bool,
}

fn main() -> anyhow::Result<()> {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .flat_map(|argument| argument.split('/').map(str::parse).collect::<Vec<_>>())
        .flatten()
        .collect();
    let word = |word: &str| std::env::args().any(|argument| argument == word);
    let (hidden, inner, layers, heads, key_heads, rest) = match numbers[..] {
        [hidden, inner, layers, heads, ref rest @ ..] if rest.len() == 5 => (hidden, inner, layers, heads, heads, rest),
        [hidden, inner, layers, heads, keys, ref rest @ ..] if rest.len() == 5 => {
            (hidden, inner, layers, heads, keys, rest)
        }
        _ => anyhow::bail!("nine numbers are needed: see the first lines of this file"),
    };
    let shape = Shape {
        family: Family::Llama,
        vocab_size: rest[0],
        hidden_size: hidden,
        intermediate_size: inner,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: key_heads,
        head_dim: hidden / heads,
        max_position_embeddings: rest[1],
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
    let [length, rows, threads, steps] = [rest[1], rest[2], rest[3], rest[4]];
    let [scratch, recompute] = ["scratch", "recompute"].map(word);
    let settings = Settings { shape, length, rows, threads, steps, scratch, recompute };
    #[cfg(feature = "cuda")]
    if word("cuda-f32") {
        return gpu::run::<f32>(settings, word("profile"));
    } else if word("cuda") {
        return gpu::run::<half::bf16>(settings, word("profile"));
    }
    let memory = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("").to_string()
    };
    let report = speed(Cpu::new(threads), settings, memory)?;
    eprintln!("{report}");
    Ok(())
}

/// Tokens per second, and what `memory` says at the end.
fn speed<D: Device>(device: D, settings: Settings, memory: impl Fn() -> String) -> Result<String> {
    let Settings { shape, length, rows, threads, steps, scratch, recompute } = settings;
    let batch: Vec<Pack> = (0..rows)
        .map(|row| {
            let mut pack = Pack::default();
            let token = |i: usize| ((row * 7919 + i * 104_729) % shape.vocab_size) as u32;
            pack.push((0..length).map(token), (1..=length).map(token));
            pack
        })
        .collect();
    let report = |seconds: f64| format!("{:.0} tokens/s, {}", (steps * rows * length) as f64 / seconds, memory());
    let model = Model::new(shape);
    let weights = random_weights(&model);
    if scratch {
        let mut trainer = Trainer::on(device, model, weights);
        let seconds = seconds(steps, || {
            let report = trainer.train(&batch, RULE, 1e-3);
            trainer.check().map(|()| report)
        })?;
        Ok(report(seconds))
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
        let mut trainer = LoraTrainer::on(device, model, weights, map, values, options);
        let seconds = seconds(steps, || trainer.train(&batch, RULE, 1e-3))?;
        Ok(report(seconds))
    }
}

/// Small numbers for matrices, ones for norms.
fn random_weights(model: &Model) -> Vec<f32> {
    let mut state = 1u32;
    let number = |index| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if index < model.map.decay_len { (state >> 8) as f32 / (1 << 24) as f32 * 0.07 - 0.035 } else { 1.0 }
    };
    (0..model.map.len).map(number).collect()
}

/// The time of `steps` steps after two first ones.
fn seconds(steps: usize, mut step: impl FnMut() -> Result<StepReport>) -> Result<f64> {
    for _ in 0..2 {
        step()?;
    }
    let started = Instant::now();
    for _ in 0..steps {
        step()?;
    }
    Ok(started.elapsed().as_secs_f64())
}

#[cfg(feature = "cuda")]
mod gpu {
    use super::{Settings, speed};
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};
    use training::cuda::driver::{Driver, Launch, Outcome, Product};
    use training::cuda::{Cuda, Nvidia, Storage};

    pub fn run<T: Storage>(settings: Settings, profile: bool) -> anyhow::Result<()> {
        let driver = Nvidia::open(T::ELEMENT)?;
        let times = Arc::<Times>::default();
        let driver: Box<dyn Driver> = match profile {
            true => Box::new(Timed { driver, times: times.clone() }),
            false => Box::new(driver),
        };
        let steps = settings.steps + 2;
        let report = speed(Cuda::<T>::new(driver), settings, cuda_memory)?;
        eprintln!("{report}");
        let times = times.lock().map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut times: Vec<_> = times.iter().collect();
        times.sort_by_key(|(_, (time, _))| std::cmp::Reverse(*time));
        for (name, (time, calls)) in times {
            let (time, calls) = (time.as_secs_f64() * 1e3 / steps as f64, *calls as f64 / steps as f64);
            eprintln!("{time:9.3} ms in {calls:5.0} calls a step: {name}");
        }
        Ok(())
    }

    fn cuda_memory() -> String {
        cudarc::driver::result::mem_get_info()
            .map_or(String::new(), |(free, total)| format!("{} MB of the GPU are in use", (total - free) >> 20))
    }

    type Times = Mutex<BTreeMap<String, (Duration, u64)>>;

    /// Waits for each kernel and notes its time.
    struct Timed {
        driver: Nvidia,
        times: Arc<Times>,
    }

    impl Timed {
        fn time<R>(&self, name: String, run: impl FnOnce(&Nvidia) -> Outcome<R>) -> Outcome<R> {
            let started = Instant::now();
            let result = run(&self.driver)?;
            cudarc::driver::result::ctx::synchronize().map_err(|error| error.to_string())?;
            let mut times = self.times.lock().map_err(|error| error.to_string())?;
            let (time, calls) = times.entry(name).or_default();
            (*time, *calls) = (*time + started.elapsed(), *calls + 1);
            Ok(result)
        }
    }

    impl Driver for Timed {
        fn name(&self) -> String {
            self.driver.name()
        }

        fn allocate(&self, bytes: usize) -> Outcome<u64> {
            self.time("allocate".into(), |driver| driver.allocate(bytes))
        }

        fn free(&self, pointer: u64) {
            self.driver.free(pointer);
        }

        fn upload(&self, to: u64, bytes: &[u8]) -> Outcome {
            self.time("upload".into(), |driver| driver.upload(to, bytes))
        }

        fn download(&self, bytes: &mut [u8], from: u64) -> Outcome {
            self.time("download".into(), |driver| driver.download(bytes, from))
        }

        fn copy(&self, to: u64, from: u64, bytes: usize) -> Outcome {
            self.time("copy".into(), |driver| driver.copy(to, from, bytes))
        }

        fn clear(&self, at: u64, bytes: usize) -> Outcome {
            self.time("clear".into(), |driver| driver.clear(at, bytes))
        }

        fn launch(&self, launch: Launch<'_>) -> Outcome {
            self.time(launch.kernel.into(), |driver| driver.launch(launch))
        }

        fn multiply(&self, product: &Product) -> Outcome {
            let Product { rows, columns, inner, product: element, .. } = product;
            self.time(format!("product {rows} x {columns} x {inner}, {element:?}"), |driver| driver.multiply(product))
        }
    }
}
