use crate::web::WebError;
use checkpoint::CheckpointError;
use std::path::{Path, PathBuf};

/// Why something cannot be exported.
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
    /// A folder for the page cannot be made or is not what it was.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The folder of the base or of the adapter.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint folder is to be made of a GGUF.
    #[error("a GGUF cannot become a checkpoint folder; `gguf --adapter` puts an adapter into it: {path}")]
    NotAFolder {
        /// The GGUF.
        path: PathBuf,
    },
    /// Two files that are to be compared do not belong together.
    #[error("the models have {found} and {wanted} tokens: they cannot be compared")]
    Vocabulary {
        /// Tokens of the one.
        found: usize,
        /// Tokens of the other.
        wanted: usize,
    },
    /// A text that is too short to compare models on.
    #[error("the text has {found} tokens, at least 2 are needed")]
    Text {
        /// Its tokens.
        found: usize,
    },
    /// A written file cannot be read back.
    #[error("{source}: {path}")]
    Read {
        /// Why it is refused.
        source: generate::Error,
        /// The file.
        path: PathBuf,
    },
    /// A file that is no importance matrix, or one of another model.
    #[error("this importance matrix cannot be used: {reason}: {path}")]
    Imatrix {
        /// What stands in the way.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// An importance matrix of a model of another shape.
    #[error("the importance matrix has {found} columns for {name}, which has {wanted}: it is another model's")]
    Columns {
        /// The tensor.
        name: String,
        /// Columns in the importance matrix.
        found: usize,
        /// Columns of the tensor.
        wanted: usize,
    },
    /// An importance matrix that names no tensor of the model.
    #[error("the importance matrix names no tensor of the model: it is another model's")]
    Unrelated,
    /// Candle failed to quantize.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl ExportError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ExportError + use<> {
        let path = path.to_path_buf();
        move |source| ExportError::Io { source, path }
    }
}
