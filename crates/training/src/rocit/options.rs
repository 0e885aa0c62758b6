use crate::base::Layout;
use crate::corpus::SourceSpec;
use crate::optimizer::Decay;
use crate::placement::Placement;
use crate::{Error, Result};
use checkpoint::{AdapterConfig, Targets};
use serde::Serialize;
use std::path::PathBuf;
use std::thread;

/// The arguments of `train rocit`.
#[derive(Clone, Debug, Serialize, clap::Args)]
pub struct RocitOptions {
    /// The base: a folder with config.json, safetensors and tokenizer.json or tokenizer.model, or a GGUF, of a split one
    /// any part
    #[arg(long, value_name = "DIR|GGUF")]
    pub base: PathBuf,
    /// Data sources: JSONL files, or `roles` for the dialogues of --roles; WEIGHT is the share of rows (1), so that
    /// general and role-specific data may be mixed in any ratio
    #[arg(long, value_name = "FILE[:WEIGHT]", num_args = 1.., required = true)]
    pub data: Vec<SourceSpec>,
    /// Folder with ID/role.json and ID/dialogue.jsonl
    #[arg(long, value_name = "DIR")]
    pub roles: Option<PathBuf>,
    /// Run folder; an interrupted run in it is continued
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// How a chat is written: the paper's layout or the base's chat template
    #[arg(long, value_enum, default_value = "rocit")]
    pub layout: Layout,
    /// Start from the adapter of this PEFT folder, with its rank, alpha and targets
    #[arg(long, value_name = "DIR", conflicts_with_all = ["rank", "alpha", "targets", "rslora"])]
    pub init: Option<PathBuf>,
    /// Rank of the adapter
    #[arg(long, default_value_t = 16)]
    pub rank: usize,
    /// The adapter's products are scaled by alpha / rank
    #[arg(long, default_value_t = 32.0)]
    pub alpha: f64,
    /// Scale by alpha / sqrt(rank) instead
    #[arg(long)]
    pub rslora: bool,
    /// Share of the adapter's inputs that are dropped while training
    #[arg(long, default_value_t = 0.05)]
    pub dropout: f64,
    /// Projections with an adapter, by their names in the base: q_proj v_proj ...; all of them where not given
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub targets: Vec<String>,
    /// Peak learning rate
    #[arg(long, default_value_t = 2e-4)]
    pub lr: f64,
    /// How the learning rate goes down after its peak
    #[arg(long, value_enum, default_value = "cosine")]
    pub schedule: Decay,
    /// Steps until the peak
    #[arg(long, default_value_t = 20)]
    pub warmup: u64,
    /// Last learning rate as a share of the peak
    #[arg(long, default_value_t = 0.0)]
    pub min_lr_ratio: f64,
    /// Rows of a batch
    #[arg(long, default_value_t = 4)]
    pub batch: usize,
    /// Batches whose gradients are added up for a step
    #[arg(long, default_value_t = 1)]
    pub accumulation: usize,
    /// Longest row, in tokens; chats are packed into rows and do not see each other
    #[arg(long, default_value_t = 1024)]
    pub max_length: usize,
    /// How often the data is read, about
    #[arg(long, default_value_t = 3.0)]
    pub epochs: f64,
    /// Steps of the whole run instead of --epochs
    #[arg(long)]
    pub steps: Option<u64>,
    /// End after this step; the same command without it goes on
    #[arg(long, value_name = "STEP")]
    pub stop_at: Option<u64>,
    /// Decoupled weight decay
    #[arg(long, default_value_t = 0.0)]
    pub weight_decay: f64,
    /// Largest norm of the gradient; 0 = no clipping
    #[arg(long, default_value_t = 1.0)]
    pub clip: f64,
    /// Seed of adapter, batches and dropout
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Share of the documents kept for evaluation
    #[arg(long, default_value_t = 0.02)]
    pub held_out: f64,
    /// Steps between evaluations; 0 = only at the end
    #[arg(long, default_value_t = 50)]
    pub eval_every: u64,
    /// Held-out questions that are answered and scored at each evaluation; 0 = none
    #[arg(long, default_value_t = 4)]
    pub samples: usize,
    /// Steps between checkpoints; 0 = only at the end
    #[arg(long, default_value_t = 50)]
    pub checkpoint_every: u64,
    /// Compute activations again in the backward pass: a third more time, much less memory
    #[arg(long)]
    pub recompute: bool,
    /// Threads; 0 = one for each processor
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Where to compute
    #[command(flatten)]
    #[serde(flatten)]
    pub placement: Placement,
}

/// Arguments that a continued run must share with its beginning, as `train.json` names them.
pub(super) const FIXED: [&str; 20] = [
    "base",
    "layout",
    "init",
    "rank",
    "alpha",
    "rslora",
    "dropout",
    "targets",
    "lr",
    "schedule",
    "warmup",
    "min_lr_ratio",
    "batch",
    "accumulation",
    "max_length",
    "weight_decay",
    "clip",
    "seed",
    "held_out",
    "threads",
];

impl RocitOptions {
    pub(crate) fn check(&self) -> Result<()> {
        let must = |ok: bool, message: &str| if ok { Ok(()) } else { Err(Error::Argument(message.into())) };
        must(self.rank > 0, "--rank must be at least 1")?;
        must(self.alpha.is_finite() && self.alpha > 0.0, "--alpha must be above 0")?;
        must((0.0..1.0).contains(&self.dropout), "--dropout must lie between 0 and 1")?;
        must(self.lr.is_finite() && self.lr > 0.0, "--lr must be above 0")?;
        must((0.0..=1.0).contains(&self.min_lr_ratio), "--min-lr-ratio must lie between 0 and 1")?;
        must(self.batch > 0 && self.accumulation > 0, "--batch and --accumulation must be at least 1")?;
        must(self.max_length > 1, "--max-length must be at least 2")?;
        must(self.epochs.is_finite() && self.epochs > 0.0, "--epochs must be above 0")?;
        must(self.steps != Some(0), "--steps must be at least 1")?;
        must((0.0..1.0).contains(&self.held_out), "--held-out must lie between 0 and 1")?;
        must(self.weight_decay >= 0.0 && self.clip >= 0.0, "--weight-decay and --clip must not be negative")
    }

    /// Rows of a step.
    pub(super) fn rows(&self) -> usize {
        self.batch * self.accumulation
    }

    pub(crate) fn targets(&self) -> Targets {
        match self.targets.as_slice() {
            [] => Targets::All,
            names => Targets::Named(names.to_vec()),
        }
    }

    pub(super) fn adapter_config(&self) -> AdapterConfig {
        AdapterConfig {
            r: self.rank,
            lora_alpha: self.alpha,
            lora_dropout: self.dropout,
            use_rslora: self.rslora,
            base_model_name_or_path: Some(self.base.display().to_string()),
        }
    }

    pub(super) fn thread_count(&self) -> usize {
        match self.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}
