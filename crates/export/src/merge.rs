//! Base and adapter as one checkpoint folder.

use crate::{ExportError, Source};
use candle_core::{DType, Tensor};
use checkpoint::{CheckpointError, write_atomically, write_json};
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::fs;
use std::path::Path;

/// Most bytes of weights in one file, as transformers has it.
const FILE_BYTES: usize = 5_000_000_000;

/// What a folder holds beside weights, as far as it is there.
const COMPANIONS: [&str; 10] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
];

/// A tensor that is made when it is written, so that one at a time is in memory.
struct Lazy<'a> {
    source: &'a Source,
    spec: checkpoint::TensorSpec,
    dtype: DType,
}

impl Lazy<'_> {
    fn bytes(&self) -> Result<Vec<u8>, ExportError> {
        let tensor: Tensor = self.source.tensor(&self.spec)?.to_dtype(self.dtype)?.flatten_all()?;
        Ok(match self.dtype {
            DType::F32 => tensor.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect(),
            DType::BF16 => bytes_of_halves(&tensor, DType::BF16)?,
            _ => bytes_of_halves(&tensor, DType::F16)?,
        })
    }
}

fn bytes_of_halves(tensor: &Tensor, dtype: DType) -> Result<Vec<u8>, ExportError> {
    use candle_core::quantized::{GgmlDType, QTensor};
    let stored = if dtype == DType::BF16 { GgmlDType::BF16 } else { GgmlDType::F16 };
    Ok(QTensor::quantize(&tensor.to_dtype(DType::F32)?.force_contiguous()?, stored)?.data()?.into_owned())
}

impl View for Lazy<'_> {
    fn dtype(&self) -> Dtype {
        match self.dtype {
            DType::F32 => Dtype::F32,
            DType::BF16 => Dtype::BF16,
            _ => Dtype::F16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.spec.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        // Everything that can fail was tried when the tensors were listed.
        Cow::Owned(self.bytes().expect("a tensor that was read before"))
    }

    fn data_len(&self) -> usize {
        self.spec.shape.iter().product::<usize>() * self.dtype.size_in_bytes()
    }
}

/// Writes the merged weights, in the base's types, with the base's other files to `out`; returns the number of files
/// of weights.
pub fn merge(source: &Source, out: &Path) -> Result<usize, ExportError> {
    let Some(folder) = source.base.folder() else {
        return Err(ExportError::NotAFolder { path: source.base.path().to_owned() });
    };
    fs::create_dir_all(out).map_err(ExportError::io(out))?;
    let mut files: Vec<Vec<Lazy<'_>>> = vec![Vec::new()];
    let mut bytes = 0;
    for spec in source.base.shape().tensors() {
        let dtype = match source.stored_dtype(&spec)? {
            half @ (DType::F16 | DType::BF16) => half,
            _ => DType::F32,
        };
        let lazy = Lazy { source, spec, dtype };
        if bytes + lazy.data_len() > FILE_BYTES && bytes > 0 {
            files.push(Vec::new());
            bytes = 0;
        }
        bytes += lazy.data_len();
        files.last_mut().expect("there is a first file").push(lazy);
    }
    let count = files.len();
    let mut weight_map = serde_json::Map::new();
    let mut total = 0;
    for (number, tensors) in files.into_iter().enumerate() {
        let name = match count {
            1 => "model.safetensors".to_owned(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
        };
        for tensor in &tensors {
            weight_map.insert(tensor.spec.name.clone(), name.clone().into());
            total += tensor.data_len();
        }
        write_atomically(&out.join(name), |to| {
            let views = tensors.into_iter().map(|tensor| (tensor.spec.name.clone(), tensor));
            let metadata = Some([("format".to_string(), "pt".to_string())].into());
            safetensors::serialize_to_file(views, metadata, to).map_err(|error| {
                ExportError::from(CheckpointError::Damaged { reason: error.to_string(), path: to.to_owned() })
            })
        })?;
    }
    if count > 1 {
        let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
        write_json(&out.join("model.safetensors.index.json"), &index)?;
    }
    for name in COMPANIONS {
        let from = folder.join(name);
        if from.is_file() {
            fs::copy(&from, out.join(name)).map_err(ExportError::io(&from))?;
        }
    }
    if let Some((_, folder)) = &source.adapter {
        let template = folder.join("chat_template.jinja");
        if template.is_file() {
            fs::copy(&template, out.join("chat_template.jinja")).map_err(ExportError::io(&template))?;
        }
    }
    Ok(count)
}
