//! Writing a model as GGUF, in llama.cpp's names and layout.

use crate::container::{Planned, write_files};
use crate::{ExportError, Source, Type};
use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use checkpoint::{Family, RotaryScaling, Shape, TensorSpec};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

/// Values that are widened to f32 and quantized at a time.
const SLAB: usize = 8 << 20;

/// How a model is written.
#[derive(Clone, Debug)]
pub struct GgufOptions {
    /// How matrices are stored.
    pub kind: Type,
    /// Further `general.*` texts: name, license, description.
    pub about: Vec<(String, String)>,
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
    let mut metadata = header(shape, options);
    metadata.extend(vocabulary.metadata());
    let specs = shape.tensors();
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
        write_tensor(&tensor, dtype, file, out)
    })?;
    let mut bytes = 0;
    for file in &files {
        bytes += file.metadata().map_err(ExportError::io(file))?.len();
    }
    let parameters = specs.iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
    Ok(Summary { files, tensors: planned.len(), parameters, bytes })
}

fn plan(spec: &TensorSpec, shape: &Shape, kind: Type) -> Planned {
    Planned { name: spec.gguf.clone(), shape: spec.shape.clone(), dtype: kind.stored(spec, shape) }
}

/// Quantizes a few rows at a time, on every core.
pub fn write_tensor(tensor: &Tensor, dtype: GgmlDType, file: &mut dyn Write, out: &Path) -> Result<(), ExportError> {
    let rows = tensor.dims()[0];
    let columns = tensor.elem_count() / rows;
    let tensor = tensor.reshape((rows, columns))?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let slab = (SLAB / columns).clamp(cores, rows.max(cores));
    for start in (0..rows).step_by(slab) {
        let slab = tensor.narrow(0, start, slab.min(rows - start))?.to_dtype(DType::F32)?;
        let count = slab.dims()[0];
        let share = count.div_ceil(cores);
        let quantized: Vec<Result<Vec<u8>, candle_core::Error>> = thread::scope(|scope| {
            let handles: Vec<_> = (0..count)
                .step_by(share)
                .map(|first| {
                    let slab = &slab;
                    scope.spawn(move || quantize(&slab.narrow(0, first, share.min(count - first))?, dtype))
                })
                .collect();
            handles.into_iter().map(|handle| handle.join().expect("a quantizing thread panicked")).collect()
        });
        for bytes in quantized {
            file.write_all(&bytes?).map_err(ExportError::io(out))?;
        }
    }
    Ok(())
}

fn quantize(rows: &Tensor, dtype: GgmlDType) -> Result<Vec<u8>, candle_core::Error> {
    // Vectors come as columns of one value: only blocks care for the rows.
    let rows = if rows.dims()[1] == 1 { rows.flatten_all()? } else { rows.clone() };
    // A part of a tensor that is contiguous still has the whole tensor's storage, which candle would quantize.
    Ok(QTensor::quantize(&rows.force_contiguous()?, dtype)?.data()?.into_owned())
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
