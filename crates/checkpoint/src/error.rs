use std::path::{Path, PathBuf};

/// Why a folder cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file cannot be read or written.
    #[error("{source}: {path}")]
    Io {
        /// What the system says.
        source: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// A file is not the JSON that it should be.
    #[error("not the JSON expected here ({source}): {path}")]
    Json {
        /// What the parser says, with line and column.
        source: serde_json::Error,
        /// The file.
        path: PathBuf,
    },
    /// A model of an unknown family.
    #[error("the model type \"{found}\" is not known; known: {known}: {path}")]
    Family {
        /// The `model_type` of config.json.
        found: String,
        /// All that are known.
        known: String,
        /// The file.
        path: PathBuf,
    },
    /// A field of config.json has a value that cannot be used.
    #[error("{field} is {found}, it must be {expected}: {path}")]
    Config {
        /// The field.
        field: String,
        /// Its value.
        found: String,
        /// What is supported.
        expected: String,
        /// The file.
        path: PathBuf,
    },
    /// A folder without weights.
    #[error("there is neither model.safetensors nor model.safetensors.index.json: {path}")]
    NoWeights {
        /// The folder.
        path: PathBuf,
    },
    /// A weight file is damaged or of an unknown type.
    #[error("a damaged weight file ({reason}): {path}")]
    Damaged {
        /// What the reader says.
        reason: String,
        /// The file or its folder.
        path: PathBuf,
    },
    /// A tensor is missing.
    #[error("there is no tensor {name}: {path}")]
    Missing {
        /// Its name.
        name: String,
        /// The file or folder of weights.
        path: PathBuf,
    },
    /// A tensor's shape contradicts the configuration.
    #[error("tensor {name} has shape {found:?}, {wanted:?} was expected: {path}")]
    Shape {
        /// Its name.
        name: String,
        /// Rows and columns found.
        found: Vec<usize>,
        /// Rows and columns wanted.
        wanted: Vec<usize>,
        /// The file or folder of weights.
        path: PathBuf,
    },
    /// An adapter that does not belong to the base.
    #[error("the adapter does not fit the base: {reason}: {path}")]
    Adapter {
        /// What differs.
        reason: String,
        /// The adapter's folder.
        path: PathBuf,
    },
    /// A name of a projection that the model does not have.
    #[error("no projection is called \"{found}\"; the model has {known}")]
    Target {
        /// The name given.
        found: String,
        /// All names.
        known: String,
    },
    /// A GGUF that is no base.
    #[error("{source}: {path}")]
    Gguf {
        /// What stands in the way.
        source: decoder::LoadError,
        /// The file, of a split model the one that was named.
        path: PathBuf,
    },
    /// A tokenizer that GGUF has no name for.
    #[error("this tokenizer cannot be used: {reason}: {path}")]
    Tokenizer {
        /// What stands in the way.
        reason: String,
        /// The tokenizer's file.
        path: PathBuf,
    },
}

impl CheckpointError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { source, path }
    }

    pub(crate) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Json { source, path }
    }

    pub(crate) fn gguf(path: &Path) -> impl FnOnce(decoder::LoadError) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Gguf { source, path }
    }

    pub(crate) fn damaged<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> Self + use<E> {
        let path = path.to_path_buf();
        move |source| Self::Damaged { reason: source.to_string(), path }
    }
}
