//! Writing a model as GGUF, in llama.cpp's names and layout.

use crate::container::{Planned, write_files};
use crate::quantize::write_tensor;
use crate::{ExportError, Imatrix, Source, Type};
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use candle_core::{Device, Tensor};
use checkpoint::{Family, RotaryScaling, Shape, TensorSpec};
use std::path::{Path, PathBuf};

/// How a model is written.
#[derive(Clone, Debug)]
pub struct GgufOptions {
    /// How matrices are stored.
    pub kind: Type,
    /// Further `general.*` texts: name, license, description.
    pub about: Vec<(String, String)>,
    /// What low-bit types spare most.
    pub imatrix: Option<Imatrix>,
    /// Most bytes of a part; one file where `None`.
    pub part_bytes: Option<u64>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of weights.
    pub parameters: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Writes `source` to `out`, tensor by tensor; files appear under their names only when they are complete.
pub fn write_gguf(source: &Source, options: &GgufOptions, out: &Path) -> Result<Summary, ExportError> {
    let shape = source.base.shape();
    let mut vocabulary = source.base.vocabulary()?;
    if let Some(folder) = &source.template {
        vocabulary.use_template_of(folder);
    }
    let specs = shape.tensors();
    let importance = importance(&specs, options.imatrix.as_ref())?;
    let mut metadata = header(shape, options);
    metadata.extend(vocabulary.metadata());
    let mut planned: Vec<Planned> = specs.iter().map(|spec| plan(spec, shape, options.kind)).collect();
    let factors: Option<Vec<f32>> =
        shape.rotary.factors().map(|factors| factors.into_iter().map(|factor| factor as f32).collect());
    if let Some(factors) = &factors {
        let name = "rope_freqs.weight".into();
        planned.push(Planned { name, shape: vec![factors.len()], dtype: GgmlDType::F32 });
    }
    let files = write_files(out, &metadata, &planned, options.part_bytes, |index, file| {
        let dtype = planned[index].dtype;
        let tensor = match (specs.get(index), &factors) {
            (Some(spec), _) => source.gguf_tensor(spec)?,
            (None, Some(factors)) => Tensor::from_slice(factors, factors.len(), &Device::Cpu)?,
            (None, None) => unreachable!("only the factors follow the checkpoint's tensors"),
        };
        write_tensor(&tensor, dtype, importance.get(index).and_then(Option::as_deref), file, out)
    })?;
    let mut bytes = 0;
    for file in &files {
        bytes += file.metadata().map_err(ExportError::io(file))?.len();
    }
    let parameters = specs.iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
    Ok(Summary { files, tensors: planned.len(), parameters, bytes })
}

/// The importance of each tensor's columns, where the matrix has it.
fn importance(specs: &[TensorSpec], imatrix: Option<&Imatrix>) -> Result<Vec<Option<Vec<f32>>>, ExportError> {
    let Some(imatrix) = imatrix else { return Ok(Vec::new()) };
    let of = |spec: &TensorSpec| {
        let weights = imatrix.weights(&spec.gguf).filter(|_| spec.shape.len() == 2);
        match &weights {
            Some(weights) if weights.len() != spec.shape[1] => {
                let (name, found, wanted) = (spec.gguf.clone(), weights.len(), spec.shape[1]);
                Err(ExportError::Columns { name, found, wanted })
            }
            _ => Ok(weights),
        }
    };
    let all: Vec<_> = specs.iter().map(of).collect::<Result<_, _>>()?;
    match all.iter().any(Option::is_some) {
        true => Ok(all),
        false => Err(ExportError::Unrelated),
    }
}

fn plan(spec: &TensorSpec, shape: &Shape, kind: Type) -> Planned {
    Planned { name: spec.gguf.clone(), shape: spec.shape.clone(), dtype: kind.stored(spec, shape) }
}

fn header(shape: &Shape, options: &GgufOptions) -> Vec<(String, Value)> {
    let count = |number: usize| Value::U32(u32::try_from(number).unwrap_or(u32::MAX));
    let architecture = shape.family.architecture();
    let mut header = vec![
        ("general.architecture".to_string(), Value::String(architecture.into())),
        ("general.type".to_string(), Value::String("model".into())),
        ("general.file_type".to_string(), Value::U32(options.kind.file_type())),
        ("general.quantization_version".to_string(), Value::U32(2)),
    ];
    if let Some(imatrix) = &options.imatrix {
        header.push(("quantize.imatrix.entries_count".to_string(), count(imatrix.entries.len())));
        header.push(("quantize.imatrix.chunks_count".to_string(), Value::U32(imatrix.chunks)));
    }
    header.extend(options.about.iter().map(|(key, text)| (format!("general.{key}"), Value::String(text.clone()))));
    let mut keys = vec![
        ("context_length", count(shape.max_position_embeddings)),
        ("embedding_length", count(shape.hidden_size)),
        ("block_count", count(shape.num_hidden_layers)),
        ("feed_forward_length", count(shape.intermediate_size)),
        ("attention.head_count", count(shape.num_attention_heads)),
        ("attention.head_count_kv", count(shape.num_key_value_heads)),
        ("attention.layer_norm_rms_epsilon", Value::F32(shape.rms_norm_eps as f32)),
        ("rope.dimension_count", count(shape.rotary.width)),
        ("rope.freq_base", Value::F32(shape.rotary.base as f32)),
        ("vocab_size", count(shape.vocab_size)),
    ];
    if shape.head_dim * shape.num_attention_heads != shape.hidden_size || shape.family == Family::Qwen3 {
        keys.push(("attention.key_length", count(shape.head_dim)));
        keys.push(("attention.value_length", count(shape.head_dim)));
    }
    let scaled = match shape.rotary.scaling {
        RotaryScaling::Linear { factor } => Some(("linear", factor, None)),
        RotaryScaling::Yarn { factor, original } => Some(("yarn", factor, Some(original))),
        RotaryScaling::None | RotaryScaling::Llama3 { .. } | RotaryScaling::Factors(_) => None,
    };
    if let Some((kind, factor, original)) = scaled {
        keys.push(("rope.scaling.type", Value::String(kind.into())));
        keys.push(("rope.scaling.factor", Value::F32(factor as f32)));
        keys.extend(original.map(|context| ("rope.scaling.original_context_length", count(context))));
    }
    header.extend(keys.into_iter().map(|(key, value)| (format!("{architecture}.{key}"), value)));
    header
}
