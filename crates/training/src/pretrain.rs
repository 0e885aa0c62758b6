//! The pretraining run: data, steps, evaluation, checkpoints and the files of the run folder.

use crate::batch::{Sampler, held_out_rows};
use crate::config::ModelConfig;
use crate::corpus::{RoleFolder, Source, SourceSpec};
use crate::device::Device;
use crate::metrics::{Metrics, Progress};
use crate::model::{Model, Pack};
use crate::optimizer::{Decay, Optimizer, Schedule, Trainer, UpdateRule};
use crate::placement::{Job, Place, Placement};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result, record, state};
use checkpoint::{Weights, write_json};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, thread};

/// Held-out positions of each source that an evaluation reads at most.
const EVALUATION_POSITIONS: usize = 16_384;

/// Arguments that a continued run must share with its beginning, as `train.json` names them.
const FIXED: [&str; 11] =
    ["init", "steps", "batch", "context", "lr", "warmup", "min_lr_ratio", "weight_decay", "clip", "seed", "held_out"];

/// The arguments of `train pretrain`.
#[derive(Clone, Debug, Serialize, clap::Args)]
pub struct PretrainOptions {
    /// Model shape as a Hugging Face config.json; its vocab_size is replaced by the tokenizer's
    #[arg(long, value_name = "FILE", conflicts_with_all = ["preset", "init"])]
    pub config: Option<PathBuf>,
    /// Built-in model shape: 1m, 8m, 15m or 30m
    #[arg(long, default_value = "8m", conflicts_with = "init")]
    pub preset: String,
    /// Start from the model of this folder (config.json, model.safetensors) instead of from scratch
    #[arg(long, value_name = "DIR")]
    pub init: Option<PathBuf>,
    /// Folder with tokenizer.json
    #[arg(long, value_name = "DIR")]
    pub tokenizer: PathBuf,
    /// Data sources: JSONL files, or `roles` for the dialogues of --roles; WEIGHT is the share of rows (1)
    #[arg(long, value_name = "FILE[:WEIGHT]", num_args = 1.., required = true)]
    pub data: Vec<SourceSpec>,
    /// Folder with ID/role.json and ID/dialogue.jsonl
    #[arg(long, value_name = "DIR")]
    pub roles: Option<PathBuf>,
    /// Run folder; an interrupted run in it is continued
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Steps of the whole run; the learning rate's schedule depends on it
    #[arg(long)]
    pub steps: u64,
    /// End after this step; the same command without it goes on
    #[arg(long, value_name = "STEP")]
    pub stop_at: Option<u64>,
    /// Rows of a step
    #[arg(long, default_value_t = 16)]
    pub batch: usize,
    /// Longest row, in tokens
    #[arg(long, default_value_t = 256)]
    pub context: usize,
    /// Muon learns more from a token and costs more for small batches
    #[arg(long, value_enum, default_value = "adamw")]
    pub optimizer: Optimizer,
    /// Peak learning rate
    #[arg(long, default_value_t = 2e-3)]
    pub lr: f64,
    /// Steps until the peak
    #[arg(long, default_value_t = 100)]
    pub warmup: u64,
    /// Last learning rate as a share of the peak
    #[arg(long, default_value_t = 0.1)]
    pub min_lr_ratio: f64,
    /// Decoupled weight decay, on matrices only
    #[arg(long, default_value_t = 0.1)]
    pub weight_decay: f64,
    /// Largest norm of the gradient; 0 = no clipping
    #[arg(long, default_value_t = 1.0)]
    pub clip: f64,
    /// Seed of weights and batches
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Share of the documents kept for evaluation
    #[arg(long, default_value_t = 0.01)]
    pub held_out: f64,
    /// Steps between evaluations; 0 = only at the end
    #[arg(long, default_value_t = 500)]
    pub eval_every: u64,
    /// Steps between checkpoints; 0 = only at the end
    #[arg(long, default_value_t = 200)]
    pub checkpoint_every: u64,
    /// Threads; 0 = one for each processor
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Where to compute
    #[command(flatten)]
    #[serde(flatten)]
    pub placement: Placement,
}

impl PretrainOptions {
    fn check(&self) -> Result<()> {
        let must = |ok: bool, message: &str| if ok { Ok(()) } else { Err(Error::Argument(message.into())) };
        must(self.steps > 0, "--steps must be at least 1")?;
        must(self.batch > 0, "--batch must be at least 1")?;
        must(self.context > 1, "--context must be at least 2")?;
        must(self.lr.is_finite() && self.lr > 0.0, "--lr must be above 0")?;
        must((0.0..=1.0).contains(&self.min_lr_ratio), "--min-lr-ratio must lie between 0 and 1")?;
        must((0.0..1.0).contains(&self.held_out), "--held-out must lie between 0 and 1")?;
        must(self.weight_decay >= 0.0 && self.clip >= 0.0, "--weight-decay and --clip must not be negative")
    }

    fn thread_count(&self) -> usize {
        match self.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunReport {
    /// Steps done in all.
    pub step: u64,
    /// Loss of the last step, in nats a target.
    pub loss: f64,
    /// Held-out loss of each source at the end, in nats a target.
    pub held_out: BTreeMap<String, f64>,
}

/// Trains, or goes on training, the model in `options.out`.
pub fn pretrain(options: &PretrainOptions) -> Result<RunReport> {
    options.check()?;
    let (place, threads) = (options.placement.open()?, options.thread_count());
    let tokenizer = Tokenizer::load(&options.tokenizer)?;
    let roles = options.roles.as_deref().map(RoleFolder::read).transpose()?.unwrap_or_default();
    let (config, model, weights) = initial_model(options, &tokenizer)?;
    let load = |spec: &SourceSpec| Source::load(spec, &roles, &tokenizer, options.held_out, options.context);
    let sources = record::load_sources(&options.data, threads, load)?;
    let record = describe(options, &place, &config, &model, &sources);
    place.run(Pretraining { options, tokenizer, config, model, weights, sources, record }, threads)
}

/// A run with all that it reads.
struct Pretraining<'a> {
    options: &'a PretrainOptions,
    tokenizer: Tokenizer,
    config: ModelConfig,
    model: Model,
    weights: Vec<f32>,
    sources: Vec<Source>,
    record: Value,
}

impl Job for Pretraining<'_> {
    type Outcome = RunReport;

    fn run<D: Device>(self, device: D) -> Result<RunReport> {
        let Pretraining { options, tokenizer, config, model, weights, sources, record } = self;
        device.accepts(&model.shape)?;
        let run = &options.out;
        fs::create_dir_all(run).map_err(Error::io(run))?;
        let description = device.description();
        let mut trainer = Trainer::on(device, model, weights);
        let resumed = state::path(run).is_file();
        if resumed {
            record::check_same_run(&record, run, &FIXED)?;
            state::restore(&mut trainer, run)?;
            eprintln!("continuing at step {} of {}", trainer.step, options.steps);
        }
        trainer.check()?;
        prepare_folder(run, &config, &tokenizer, &record)?;
        announce(options, &trainer.model, &sources, &description);
        steps(options, &mut trainer, &sources)
    }
}

fn initial_model(options: &PretrainOptions, tokenizer: &Tokenizer) -> Result<(ModelConfig, Model, Vec<f32>)> {
    let read_config = |path: &Path| -> Result<ModelConfig> {
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        serde_json::from_str(&text).map_err(Error::json(path))
    };
    let vocab = tokenizer.vocab_size();
    let config = match (&options.init, &options.config) {
        (Some(folder), _) => read_config(&folder.join("config.json"))?,
        (None, Some(path)) => ModelConfig { vocab_size: vocab, ..read_config(path)? },
        (None, None) => ModelConfig::preset(&options.preset, vocab)?,
    };
    if config.vocab_size < vocab {
        return Err(Error::Config {
            field: "vocab_size",
            found: config.vocab_size.to_string(),
            expected: format!("at least the tokenizer's {vocab}"),
        });
    }
    if config.max_position_embeddings < options.context {
        return Err(Error::Config {
            field: "max_position_embeddings",
            found: config.max_position_embeddings.to_string(),
            expected: format!("at least --context {}", options.context),
        });
    }
    config.check()?;
    let model = Model::new(config.shape());
    let weights = match &options.init {
        Some(folder) => model.map.load(&Weights::open(folder)?)?,
        None => model.map.initialize(config.initializer_range, options.seed),
    };
    Ok((config, model, weights))
}

/// `train.json`: everything that decides the result.
fn describe(
    options: &PretrainOptions,
    place: &Place,
    config: &ModelConfig,
    model: &Model,
    sources: &[Source],
) -> Value {
    let mut arguments = json!(options);
    place.note(&mut arguments);
    json!({
        "program": concat!("train pretrain ", env!("CARGO_PKG_VERSION")),
        "arguments": arguments,
        "parameters": model.map.len,
        "model": config,
        "tokenizer_sha256": record::file_sha256(&options.tokenizer.join("tokenizer.json")),
        "data": record::data(sources),
    })
}

fn prepare_folder(run: &Path, config: &ModelConfig, tokenizer: &Tokenizer, record: &Value) -> Result<()> {
    tokenizer.save(run)?;
    write_json(&run.join("config.json"), config)?;
    Ok(write_json(&run.join("train.json"), record)?)
}

/// Says what will be trained on what.
fn announce(options: &PretrainOptions, model: &Model, sources: &[Source], device: &str) {
    let parameters = model.map.len as f64 / 1e6;
    eprintln!("{parameters:.2} M parameters, {} rows of {} tokens, {device}", options.batch, options.context);
    record::announce_sources(sources, options.steps * options.batch as u64, options.context);
}

fn steps<D: Device>(options: &PretrainOptions, trainer: &mut Trainer<D>, sources: &[Source]) -> Result<RunReport> {
    let run = &options.out;
    let schedule = Schedule {
        decay: Decay::Cosine,
        lr: options.lr,
        warmup: options.warmup,
        steps: options.steps,
        min_ratio: options.min_lr_ratio,
    };
    let rule = UpdateRule {
        optimizer: options.optimizer,
        betas: [0.9, 0.95],
        eps: 1e-8,
        weight_decay: options.weight_decay as f32,
        clip: options.clip as f32,
    };
    let evaluation: Vec<(String, Vec<Pack>)> = sources
        .iter()
        .map(|s| (s.name.clone(), held_out_rows(s, options.context, EVALUATION_POSITIONS)))
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    let end = options.stop_at.unwrap_or(options.steps).min(options.steps);
    let due = |every: u64, step: u64| step == end || (every > 0 && step.is_multiple_of(every));
    let mut metrics = Metrics::open(&run.join("metrics.jsonl"), trainer.step)?;
    let mut progress = Progress::new(trainer.step, end);
    let mut report = RunReport { step: trainer.step, loss: f64::NAN, held_out: BTreeMap::new() };
    let batches = Sampler::new(sources, options.batch, options.context, options.seed, trainer.step);
    for rows in batches.take(end.saturating_sub(trainer.step) as usize) {
        let lr = schedule.at(trainer.step);
        let step = trainer.train(&rows, rule, lr);
        trainer.check()?;
        if !step.loss.is_finite() || !step.gradient_norm.is_finite() {
            return Err(Error::Diverged { loss: step.loss, step: trainer.step - 1 });
        }
        let speed = progress.step(&step, lr);
        metrics.step(trainer.step, &step, lr, speed)?;
        (report.step, report.loss) = (trainer.step, step.loss);
        if !evaluation.is_empty() && due(options.eval_every, trainer.step) {
            report.held_out = evaluation.iter().map(|(name, rows)| (name.clone(), trainer.evaluate(rows))).collect();
            trainer.check()?;
            metrics.held_out(trainer.step, &report.held_out, None)?;
            let losses: Vec<String> = report.held_out.iter().map(|(name, loss)| format!("{name} {loss:.4}")).collect();
            progress.say(&format!("step {}: held-out loss: {}", trainer.step, losses.join(", ")));
        }
        if due(options.checkpoint_every, trainer.step) {
            metrics.flush()?;
            state::save(trainer, run)?;
        }
    }
    metrics.flush()?;
    Ok(report)
}
