//! A folder as Hugging Face's transformers writes it: config.json, model.safetensors, tokenizer.json.

use crate::ExportError;
use candle_core::{DType, Device, Tensor, safetensors::MmapedSafetensors};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The fields of a LLaMA's config.json that matter for its shape.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Config {
    /// The family; only "llama" is known.
    pub model_type: String,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width between the gate and the down projection.
    pub intermediate_size: usize,
    /// Number of transformer blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; the query heads where it is not said.
    pub num_key_value_heads: Option<usize>,
    /// Positions that the model was trained for.
    pub max_position_embeddings: usize,
    /// Epsilon of RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of RoPE.
    #[serde(default = "default_rope_theta")]
    pub rope_theta: f64,
    /// Is the output matrix the embedding?
    #[serde(default)]
    pub tie_word_embeddings: bool,
}

fn default_rope_theta() -> f64 {
    10000.0
}

impl Config {
    /// Key and value heads.
    pub fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}

/// An opened checkpoint; its weights stay on the disk until they are asked for.
pub struct Checkpoint {
    /// Its shape.
    pub config: Config,
    /// The folder.
    pub folder: PathBuf,
    weights: MmapedSafetensors,
    weights_path: PathBuf,
}

impl Checkpoint {
    /// Opens a folder with config.json and model.safetensors.
    pub fn open(folder: &Path) -> Result<Checkpoint, ExportError> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(ExportError::io(&path))?;
        let family: Family = serde_json::from_str(&text).map_err(ExportError::json(&path))?;
        if family.model_type != "llama" {
            return Err(ExportError::Family { found: family.model_type, path });
        }
        let config: Config = serde_json::from_str(&text).map_err(ExportError::json(&path))?;
        let weights_path = folder.join("model.safetensors");
        std::fs::File::open(&weights_path).map_err(ExportError::io(&weights_path))?;
        // SAFETY: the file is mapped read-only; a writer that truncates it meanwhile ends this program, nothing else.
        let weights = unsafe { MmapedSafetensors::new(&weights_path)? };
        Ok(Checkpoint { config, folder: folder.to_path_buf(), weights, weights_path })
    }

    /// The tensor of this name as f32, if its shape is the one wanted.
    pub fn tensor(&self, name: &str, wanted: &[usize]) -> Result<Tensor, ExportError> {
        let path = || self.weights_path.clone();
        if self.weights.get(name).is_err() {
            return Err(ExportError::Missing { name: name.to_string(), path: path() });
        }
        let tensor = self.weights.load(name, &Device::Cpu)?.to_dtype(DType::F32)?;
        if tensor.dims() != wanted {
            let (name, found) = (name.to_string(), tensor.dims().to_vec());
            return Err(ExportError::Shape { name, found, wanted: wanted.to_vec(), path: path() });
        }
        Ok(tensor)
    }
}

#[derive(Deserialize)]
struct Family {
    model_type: String,
}
