//! The run: data, steps, evaluation, checkpoints and the files of the run folder.

use super::options::FIXED;
use super::samples::{self, Samples};
use super::{LoraTrainer, RocitOptions, TrainerOptions, curve};
use crate::base::{ChatEncoder, read_model};
use crate::batch::{Sampler, held_out_rows};
use crate::corpus::{RoleFolder, Source, SourceSpec};
use crate::device::Device;
use crate::lora::LoraMap;
use crate::metrics::{Metrics, Progress, StepLines};
use crate::model::{Model, Pack};
use crate::optimizer::{Optimizer, Schedule, UpdateRule};
use crate::placement::{Job, Place};
use crate::pretrain::RunReport;
use crate::{Error, Result, record, state};
use checkpoint::{Adapter, AdapterConfig, Base, write_atomically, write_json};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Held-out positions of each source that an evaluation reads at most.
const EVALUATION_POSITIONS: usize = 16_384;
/// A pass of fewer tokens leaves the matrix products idle.
const MIN_AT_ONCE: usize = 256;

/// Trains, or goes on training, the adapter in `options.out`.
pub fn rocit(options: &RocitOptions) -> Result<RunReport> {
    options.check()?;
    rocit_at(options, options.placement.open()?)
}

/// As [`rocit`] with options that have sense, on a device that is open.
pub fn rocit_at(options: &RocitOptions, place: Place) -> Result<RunReport> {
    let threads = options.thread_count();
    let base = Base::open(&options.base)?;
    let encoder = ChatEncoder::read(&base, options.layout)?;
    let roles = options.roles.as_deref().map(RoleFolder::read).transpose()?.unwrap_or_default();
    let load = |spec: &SourceSpec| Source::load(spec, &roles, &encoder, options.held_out, options.max_length);
    let sources = record::load_sources(&options.data, threads, load)?;
    let steps = options.steps.unwrap_or_else(|| {
        let tokens: usize = sources.iter().map(Source::token_count).sum();
        (options.epochs * tokens as f64 / (options.rows() * options.max_length) as f64).ceil() as u64
    });

    let (model, weights) = read_model(&base, options.max_length)?;
    let (config, map, values) = match &options.init {
        Some(folder) => {
            let adapter = Adapter::read(folder, &model.shape)?;
            let targets = adapter.matrices.iter().map(|matrix| matrix.target.clone()).collect();
            let map = LoraMap::new(&model.shape, &adapter.config, targets);
            let values = map.values_of(&adapter);
            (AdapterConfig { lora_dropout: options.dropout, ..adapter.config }, map, values)
        }
        None => {
            let config = options.adapter_config();
            let map = LoraMap::new(&model.shape, &config, options.targets().of(&model.shape)?);
            let values = map.initialize(options.seed);
            (config, map, values)
        }
    };
    let record = describe(options, &place, &base, steps, &map, &sources)?;
    place.run(Tuning { options, encoder, sources, steps, model, weights, config, map, values, record }, threads)
}

/// A run with all that it reads.
struct Tuning<'a> {
    options: &'a RocitOptions,
    encoder: ChatEncoder,
    sources: Vec<Source>,
    steps: u64,
    model: Model,
    weights: Vec<f32>,
    config: AdapterConfig,
    map: LoraMap,
    values: Vec<f32>,
    record: Value,
}

impl Job for Tuning<'_> {
    type Outcome = RunReport;

    fn run<D: Device>(self, device: D) -> Result<RunReport> {
        let Tuning { options, encoder, sources, steps, model, weights, config, map, values, record } = self;
        device.accepts(&model.shape)?;
        let description = device.description();
        let settings = TrainerOptions {
            dropout: options.dropout as f32,
            seed: options.seed,
            recompute: options.recompute,
            at_once: options.max_length.max(MIN_AT_ONCE),
            threads: options.thread_count(),
        };
        let trainer = LoraTrainer::on(device, model, weights, map, values, settings);
        trainer.check()?;
        let template = encoder.template_text.clone();
        let samples = Samples::choose(&sources, encoder.into_tokenizer(), options.samples)
            .map_err(|error| Error::Argument(error.to_string()))?;
        let mut run = Run { options, steps, trainer, config, best: f64::INFINITY, template };
        run.open(&record)?;
        let (trained, all) = (run.trainer.map.len as f64 / 1e6, run.trainer.model.map.len as f64 / 1e6);
        eprintln!("{trained:.2} M of {all:.2} M parameters are trained, {steps} steps, {description}");
        record::announce_sources(&sources, steps * options.rows() as u64, options.max_length);
        let report = run.steps(&sources, &samples)?;
        curve::draw(&run.options.out.join("metrics.jsonl"), &run.options.out.join("loss.svg"))?;
        Ok(report)
    }
}

/// `train.json`: everything that decides the result.
fn describe(
    options: &RocitOptions,
    place: &Place,
    base: &Base,
    steps: u64,
    map: &LoraMap,
    sources: &[Source],
) -> Result<Value> {
    let mut arguments = json!(options);
    place.note(&mut arguments);
    arguments["threads"] = options.thread_count().into();
    arguments["steps"] = steps.into();
    let tokenizer = match base.folder() {
        Some(folder) => {
            let files = ["tokenizer.json", "tokenizer.model"].map(|name| folder.join(name));
            record::file_sha256(files.iter().find(|path| path.is_file()).unwrap_or(&files[0]))
        }
        None => record::text_sha256(&format!("{:?}", base.vocabulary()?.metadata())),
    };
    Ok(json!({
        "program": concat!("train rocit ", env!("CARGO_PKG_VERSION")),
        "arguments": arguments,
        "parameters": map.len,
        "model": base.config()?,
        "tokenizer_sha256": tokenizer,
        "data": record::data(sources),
    }))
}

struct Run<'a, D: Device> {
    options: &'a RocitOptions,
    steps: u64,
    trainer: LoraTrainer<D>,
    config: AdapterConfig,
    /// The least held-out loss so far.
    best: f64,
    template: String,
}

impl<D: Device> Run<'_, D> {
    /// Continues what the folder holds, or begins it.
    fn open(&mut self, record: &Value) -> Result<()> {
        let run = &self.options.out;
        fs::create_dir_all(run).map_err(Error::io(run))?;
        if state::path(run).is_file() {
            let fixed: Vec<&str> = FIXED.into_iter().chain(["steps"]).collect();
            record::check_same_run(record, run, &fixed)?;
            if let Some((buffers, notes)) = state::read(run, ["values", "first", "second"], self.trainer.map.len)? {
                self.trainer.set_state(buffers);
                self.trainer.step = state::number(&notes, "step", run)?;
                self.best = state::number(&notes, "best", run)?;
            }
            eprintln!("continuing at step {} of {}", self.trainer.step, self.steps);
        }
        Ok(write_json(&run.join("train.json"), record)?)
    }

    fn steps(&mut self, sources: &[Source], samples: &Samples) -> Result<RunReport> {
        let options = self.options;
        let schedule = Schedule {
            decay: options.schedule,
            lr: options.lr,
            warmup: options.warmup,
            steps: self.steps,
            min_ratio: options.min_lr_ratio,
        };
        let rule = UpdateRule {
            optimizer: Optimizer::Adamw,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: options.weight_decay as f32,
            clip: options.clip as f32,
        };
        let evaluation: Vec<(String, Vec<Pack>)> = sources
            .iter()
            .map(|s| (s.name.clone(), held_out_rows(s, options.max_length, EVALUATION_POSITIONS)))
            .filter(|(_, rows)| !rows.is_empty())
            .collect();
        let start = self.trainer.step;
        let end = options.stop_at.unwrap_or(self.steps).min(self.steps);
        let due = |every: u64, step: u64| step == end || (every > 0 && step.is_multiple_of(every));
        let mut metrics = Metrics::open(&options.out.join("metrics.jsonl"), start)?;
        let mut answers = StepLines::open(&options.out.join("samples.jsonl"), start)?;
        let mut progress = Progress::new(start, end);
        let mut report = RunReport { step: start, loss: f64::NAN, held_out: BTreeMap::new() };
        let batches = Sampler::new(sources, options.rows(), options.max_length, options.seed, start);
        for rows in batches.take(end.saturating_sub(start) as usize) {
            let lr = schedule.at(self.trainer.step);
            let step = self.trainer.train(&rows, rule, lr)?;
            let speed = progress.step(&step, lr);
            let number = self.trainer.step;
            metrics.step(number, &step, lr, speed)?;
            (report.step, report.loss) = (number, step.loss);
            if !evaluation.is_empty() && due(options.eval_every, number) {
                report.held_out = self.evaluate(&evaluation, &mut progress)?;
                let rouge_l = self.sample(samples, &mut answers, &mut progress)?;
                metrics.held_out(number, &report.held_out, rouge_l)?;
            }
            if due(options.checkpoint_every, number) {
                metrics.flush()?;
                self.save()?;
            }
        }
        metrics.flush()?;
        Ok(report)
    }

    /// Held-out losses; the best adapter so far is kept in `best`.
    fn evaluate(
        &mut self,
        evaluation: &[(String, Vec<Pack>)],
        progress: &mut Progress,
    ) -> Result<BTreeMap<String, f64>> {
        let losses: BTreeMap<String, f64> =
            evaluation.iter().map(|(name, rows)| (name.clone(), self.trainer.evaluate(rows))).collect();
        self.trainer.check()?;
        let words: Vec<String> = losses.iter().map(|(name, loss)| format!("{name} {loss:.4}")).collect();
        progress.say(&format!("step {}: held-out loss: {}", self.trainer.step, words.join(", ")));
        let mean = losses.values().sum::<f64>() / losses.len() as f64;
        if mean < self.best {
            self.best = mean;
            self.write_adapter(&self.options.out.join("best"))?;
        }
        Ok(losses)
    }

    /// Answers to the samples; returns their mean ROUGE-L.
    fn sample(&mut self, samples: &Samples, file: &mut StepLines, progress: &mut Progress) -> Result<Option<f64>> {
        if samples.is_empty() {
            return Ok(None);
        }
        let answers = samples.answers(&mut self.trainer);
        self.trainer.check()?;
        for answer in &answers {
            file.line(answer)?;
            progress.say(&samples::line(answer));
        }
        file.flush()?;
        Ok(Some(answers.iter().map(|answer| answer.rouge_l).sum::<f64>() / answers.len() as f64))
    }

    /// The state to go on from, and the adapter for others.
    fn save(&self) -> Result<()> {
        let (state, step) = (self.trainer.state(), self.trainer.step);
        self.trainer.check()?;
        let notes = [("step".to_string(), step.to_string()), ("best".to_string(), self.best.to_string())];
        state::write(&self.options.out, &state, &notes.into())?;
        self.write_adapter(&self.options.out.join("adapter"))
    }

    fn write_adapter(&self, folder: &Path) -> Result<()> {
        let values = self.trainer.read_values();
        self.trainer.check()?;
        self.trainer.map.adapter(&self.config, &values).write(folder)?;
        let path = folder.join("chat_template.jinja");
        write_atomically(&path, |to| fs::write(to, &self.template).map_err(Error::io(to)))
    }
}
