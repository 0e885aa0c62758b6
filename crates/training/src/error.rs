use std::path::{Path, PathBuf};

/// What can go wrong while training.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read or written.
    #[error("{source}: {path}")]
    Io {
        /// What the system says.
        source: std::io::Error,
        /// The file or folder.
        path: PathBuf,
    },
    /// A JSON file does not have the expected form.
    #[error("{source}: {path}")]
    Json {
        /// Where and why parsing stopped.
        source: serde_json::Error,
        /// The file.
        path: PathBuf,
    },
    /// A line of a data file is neither text, nor a chat, nor a RoleBench row.
    #[error(
        "line {line}: {reason}; a line has text, messages, instruction and answer, or role, question and generated: {path}"
    )]
    Line {
        /// Why the line is refused.
        reason: String,
        /// Counted from 1.
        line: usize,
        /// The data file.
        path: PathBuf,
    },
    /// A role card cannot be read.
    #[error("{source}: {path}")]
    Role {
        /// Why the card is refused.
        source: roles::RoleError,
        /// The card.
        path: PathBuf,
    },
    /// A model configuration that this trainer cannot build.
    #[error("config: {field} is {found}, must be {expected}")]
    Config {
        /// The field of `config.json`.
        field: &'static str,
        /// Its value.
        found: String,
        /// What is supported.
        expected: String,
    },
    /// The tokenizer cannot be trained, read or used.
    #[error("tokenizer: {0}")]
    Tokenizer(Box<dyn std::error::Error + Send + Sync>),
    /// A checkpoint or weight file does not fit the model.
    #[error("tensor {name}: expected {expected:?}, found {found}: {path}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// The shape that the model has.
        expected: Vec<usize>,
        /// The shape and type in the file, or "nothing".
        found: String,
        /// The weight file.
        path: PathBuf,
    },
    /// A weight file is damaged.
    #[error("{source}: {path}")]
    Safetensors {
        /// What is damaged.
        source: safetensors::SafeTensorError,
        /// The weight file.
        path: PathBuf,
    },
    /// The run folder was started with other arguments.
    #[error("the run was started with {argument} = {started}, now {now}; give the same value or another --out: {path}")]
    Resume {
        /// The argument that differs.
        argument: String,
        /// Its value in `train.json`.
        started: String,
        /// Its value now.
        now: String,
        /// The run folder.
        path: PathBuf,
    },
    /// A base model, its tokenizer or an adapter.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::CheckpointError),
    /// The base's tokenizer or chat template.
    #[error(transparent)]
    Generate(#[from] generate::Error),
    /// A part of the adapter that nothing trains.
    #[error("{tensor} got no gradient in step {step}: the loss does not depend on it")]
    NoGradient {
        /// The adapter's tensor.
        tensor: String,
        /// The step, counted from 0.
        step: u64,
    },
    /// The device cannot be used, or failed; which one, and why.
    #[error("{0}")]
    Device(String),
    /// An argument has no sense.
    #[error("{0}")]
    Argument(String),
    /// The loss is not a number any more.
    #[error("the loss became {loss} at step {step}; lower --lr or raise --warmup")]
    Diverged {
        /// The loss.
        loss: f64,
        /// The step, counted from 0.
        step: u64,
    },
}

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { source, path: path.to_owned() }
    }

    pub(crate) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> Error {
        move |source| Error::Json { source, path: path.to_owned() }
    }
}
