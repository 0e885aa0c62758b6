use crate::gguf::GgufBase;
use crate::{CheckpointError, Shape, Vocabulary, Weights, read_shape};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A base model: a Hugging Face folder or a GGUF, whose weights and vocabulary are read when they are asked for.
pub struct Base {
    path: PathBuf,
    shape: Shape,
    gguf: Option<Arc<GgufBase>>,
}

impl Base {
    /// Reads the shape of a folder with a config.json, or of a GGUF; of a split one, any part leads to the others.
    pub fn open(path: &Path) -> Result<Base, CheckpointError> {
        let (shape, gguf) = if path.is_file() {
            let (gguf, shape) = GgufBase::open(path)?;
            (shape, Some(Arc::new(gguf)))
        } else {
            (read_shape(&path.join("config.json"))?, None)
        };
        Ok(Base { path: path.to_owned(), shape, gguf })
    }

    /// The folder or file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The folder; `None` of a GGUF.
    pub fn folder(&self) -> Option<&Path> {
        self.gguf.is_none().then_some(&self.path)
    }

    /// Opens the weights.
    pub fn weights(&self) -> Result<Weights, CheckpointError> {
        self.gguf.as_ref().map_or_else(|| Weights::open(&self.path), |gguf| Ok(Weights::of_gguf(Arc::clone(gguf))))
    }

    /// Reads the vocabulary and the chat template.
    pub fn vocabulary(&self) -> Result<Vocabulary, CheckpointError> {
        match &self.gguf {
            Some(gguf) => Ok(Vocabulary::of_gguf(&gguf.header)),
            None => Vocabulary::read(&self.path, self.shape.family, self.shape.vocab_size),
        }
    }

    /// What the base says about itself: config.json, or the keys of the GGUF but for the vocabulary's.
    pub fn config(&self) -> Result<Value, CheckpointError> {
        if let Some(gguf) = &self.gguf {
            return Ok(gguf.config());
        }
        let path = self.path.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(CheckpointError::io(&path))?;
        serde_json::from_str(&text).map_err(CheckpointError::json(&path))
    }
}
