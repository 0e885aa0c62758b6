use std::path::{Path, PathBuf};

/// Why a checkpoint cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
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
    /// A model of a family that cannot be exported.
    #[error("the model type \"{found}\" cannot be exported; \"llama\" can: {path}")]
    Family {
        /// The `model_type` of config.json.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// A tensor is missing.
    #[error("there is no tensor {name}: {path}")]
    Missing {
        /// Its name in the checkpoint.
        name: String,
        /// The weights' file.
        path: PathBuf,
    },
    /// A tensor's shape contradicts config.json.
    #[error("tensor {name} has shape {found:?}, config.json wants {wanted:?}: {path}")]
    Shape {
        /// Its name in the checkpoint.
        name: String,
        /// Rows and columns found.
        found: Vec<usize>,
        /// Rows and columns wanted.
        wanted: Vec<usize>,
        /// The weights' file.
        path: PathBuf,
    },
    /// A tokenizer that GGUF has no name for.
    #[error("this tokenizer cannot be written to GGUF: {reason}: {path}")]
    Tokenizer {
        /// What stands in the way.
        reason: String,
        /// tokenizer.json.
        path: PathBuf,
    },
    /// Candle failed to quantize or to write.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl ExportError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ExportError + use<> {
        let path = path.to_path_buf();
        move |source| ExportError::Io { source, path }
    }

    pub(crate) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> ExportError + use<> {
        let path = path.to_path_buf();
        move |source| ExportError::Json { source, path }
    }
}
