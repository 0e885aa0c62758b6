use crate::gguf::GgufBase;
use crate::safetensor_files::SafetensorFiles;
use crate::{CheckpointError, TensorSpec};
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The weights of a base, in one file or several. They stay on the disk until they are asked for.
pub struct Weights {
    path: PathBuf,
    files: Files,
}

enum Files {
    Safetensors(SafetensorFiles),
    Gguf(Arc<GgufBase>),
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// Opens model.safetensors, or the files that model.safetensors.index.json names.
    pub fn open(folder: &Path) -> Result<Weights, CheckpointError> {
        let (single, index) = (folder.join("model.safetensors"), folder.join("model.safetensors.index.json"));
        let paths: Vec<PathBuf> = if index.is_file() {
            let text = std::fs::read_to_string(&index).map_err(CheckpointError::io(&index))?;
            let index: Index = serde_json::from_str(&text).map_err(CheckpointError::json(&index))?;
            let names: BTreeSet<String> = index.weight_map.into_values().collect();
            names.into_iter().map(|name| folder.join(name)).collect()
        } else if single.is_file() {
            vec![single]
        } else {
            return Err(CheckpointError::NoWeights { path: folder.to_owned() });
        };
        let files = SafetensorFiles::open(&paths)?;
        Ok(Weights { path: folder.to_owned(), files: Files::Safetensors(files) })
    }

    pub(crate) fn of_gguf(gguf: Arc<GgufBase>) -> Weights {
        Weights { path: gguf.path.clone(), files: Files::Gguf(gguf) }
    }

    /// A tensor as it is stored, quantized ones as f32, if its shape is the one wanted.
    pub fn stored(&self, spec: &TensorSpec) -> Result<Tensor, CheckpointError> {
        match &self.files {
            Files::Safetensors(files) => files.load(spec, &self.path),
            Files::Gguf(gguf) => {
                let tensor = Tensor::from_vec(gguf.values(spec)?, spec.shape.as_slice(), &Device::Cpu);
                tensor.map_err(CheckpointError::damaged(&self.path))
            }
        }
    }

    /// The type of [`Self::stored`], if the tensor's shape is the one wanted.
    pub fn dtype(&self, spec: &TensorSpec) -> Result<DType, CheckpointError> {
        match &self.files {
            Files::Safetensors(files) => files.dtype(spec, &self.path),
            Files::Gguf(_) => Ok(DType::F32),
        }
    }

    /// The values of a tensor as f32, by rows, if its shape is the one wanted.
    pub fn values(&self, spec: &TensorSpec) -> Result<Vec<f32>, CheckpointError> {
        let values = self.stored(spec)?.to_dtype(DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1());
        values.map_err(CheckpointError::damaged(&self.path))
    }
}
