//! Writing a LLaMA as GGUF, in llama.cpp's names and layout.

use crate::{Checkpoint, Config, ExportError, Vocabulary};
use candle_core::Tensor;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// How the matrices are stored. Norms are always F32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 8 bits in blocks of 32 with a scale.
    Q8_0,
    /// 4 bits in blocks of 32 with a scale; the embedding stays at 8 bits, as it is the output matrix too.
    Q4_0,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Number of tensors.
    pub tensors: usize,
    /// Number of weights.
    pub parameters: usize,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Type {
    /// Every type with its name on the command line and its number in `general.file_type`.
    pub const ALL: [(Type, &'static str, u32); 4] =
        [(Type::F32, "F32", 0), (Type::F16, "F16", 1), (Type::Q8_0, "Q8_0", 7), (Type::Q4_0, "Q4_0", 2)];

    /// The type for a matrix whose rows have this many columns; rows that do not fill whole blocks stay F16.
    fn stored(self, columns: usize, is_embedding: bool) -> GgmlDType {
        let stored = match self {
            Type::F32 => GgmlDType::F32,
            Type::F16 => GgmlDType::F16,
            Type::Q4_0 if !is_embedding => GgmlDType::Q4_0,
            Type::Q8_0 | Type::Q4_0 => GgmlDType::Q8_0,
        };
        if columns.is_multiple_of(stored.block_size()) { stored } else { GgmlDType::F16 }
    }
}

/// Writes `checkpoint` to `out`; `about` are further `general.*` texts (name, license, ...).
///
/// The file appears under its name only when it is complete.
pub fn write_gguf(
    checkpoint: &Checkpoint,
    kind: Type,
    about: &[(&str, &str)],
    out: &Path,
) -> Result<Summary, ExportError> {
    let config = &checkpoint.config;
    let vocabulary = Vocabulary::read(&checkpoint.folder, config.vocab_size)?;
    let mut metadata = header(config, kind, about);
    metadata.extend(vocabulary.metadata());
    let tensors = tensors(checkpoint, kind)?;

    let unfinished = out.with_extension("gguf.part");
    let mut file = BufWriter::new(File::create(&unfinished).map_err(ExportError::io(&unfinished))?);
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let named: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut file, &metadata, &named)?;
    let file = file.into_inner().map_err(|error| ExportError::io(&unfinished)(error.into_error()))?;
    let bytes = file.metadata().map_err(ExportError::io(&unfinished))?.len();
    std::fs::rename(&unfinished, out).map_err(ExportError::io(out))?;
    let parameters = tensors.iter().map(|(_, tensor)| tensor.shape().elem_count()).sum();
    Ok(Summary { tensors: tensors.len(), parameters, bytes })
}

fn header(config: &Config, kind: Type, about: &[(&str, &str)]) -> Vec<(String, Value)> {
    let count = |number: usize| Value::U32(u32::try_from(number).unwrap_or(u32::MAX));
    let file_type = Type::ALL.iter().find(|(other, ..)| *other == kind).map_or(0, |(.., number)| *number);
    let mut header = vec![
        ("general.architecture".to_string(), Value::String("llama".into())),
        ("general.file_type".to_string(), Value::U32(file_type)),
        ("general.quantization_version".to_string(), Value::U32(2)),
    ];
    header.extend(about.iter().map(|(key, text)| (format!("general.{key}"), Value::String(text.to_string()))));
    let of_llama = [
        ("context_length", count(config.max_position_embeddings)),
        ("embedding_length", count(config.hidden_size)),
        ("block_count", count(config.num_hidden_layers)),
        ("feed_forward_length", count(config.intermediate_size)),
        ("attention.head_count", count(config.num_attention_heads)),
        ("attention.head_count_kv", count(config.kv_heads())),
        ("attention.layer_norm_rms_epsilon", Value::F32(config.rms_norm_eps as f32)),
        ("rope.dimension_count", count(config.head_dim())),
        ("rope.freq_base", Value::F32(config.rope_theta as f32)),
        ("vocab_size", count(config.vocab_size)),
    ];
    header.extend(of_llama.map(|(key, value)| (format!("llama.{key}"), value)));
    header
}

fn tensors(checkpoint: &Checkpoint, kind: Type) -> Result<Vec<(String, QTensor)>, ExportError> {
    let config = &checkpoint.config;
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let (queries, keys) = (config.num_attention_heads * config.head_dim(), config.kv_heads() * config.head_dim());
    let mut made = Vec::new();
    let mut matrix = |name: String, tensor: &Tensor| -> Result<(), ExportError> {
        let columns = tensor.dims()[tensor.rank() - 1];
        let is_embedding = matches!(name.as_str(), "token_embd.weight" | "output.weight");
        let stored = if tensor.rank() == 1 { GgmlDType::F32 } else { kind.stored(columns, is_embedding) };
        made.push((name, QTensor::quantize(tensor, stored)?));
        Ok(())
    };
    matrix("token_embd.weight".into(), &checkpoint.tensor("model.embed_tokens.weight", &[config.vocab_size, hidden])?)?;
    for layer in 0..config.num_hidden_layers {
        let of_layer: [(&str, &str, &[usize]); 9] = [
            ("input_layernorm", "attn_norm", &[hidden]),
            ("self_attn.q_proj", "attn_q", &[queries, hidden]),
            ("self_attn.k_proj", "attn_k", &[keys, hidden]),
            ("self_attn.v_proj", "attn_v", &[keys, hidden]),
            ("self_attn.o_proj", "attn_output", &[hidden, queries]),
            ("post_attention_layernorm", "ffn_norm", &[hidden]),
            ("mlp.gate_proj", "ffn_gate", &[inner, hidden]),
            ("mlp.up_proj", "ffn_up", &[inner, hidden]),
            ("mlp.down_proj", "ffn_down", &[hidden, inner]),
        ];
        for (theirs, ours, shape) in of_layer {
            let mut tensor = checkpoint.tensor(&format!("model.layers.{layer}.{theirs}.weight"), shape)?;
            match ours {
                "attn_q" => tensor = interleave_halves(&tensor, config.num_attention_heads)?,
                "attn_k" => tensor = interleave_halves(&tensor, config.kv_heads())?,
                _ => {}
            }
            matrix(format!("blk.{layer}.{ours}.weight"), &tensor)?;
        }
    }
    matrix("output_norm.weight".into(), &checkpoint.tensor("model.norm.weight", &[hidden])?)?;
    if !config.tie_word_embeddings {
        matrix("output.weight".into(), &checkpoint.tensor("lm_head.weight", &[config.vocab_size, hidden])?)?;
    }
    Ok(made)
}

/// transformers rotates a head's first half against its second, GGUF's llama neighbours: row i and row i + half become neighbours.
fn interleave_halves(tensor: &Tensor, heads: usize) -> Result<Tensor, ExportError> {
    let (rows, columns) = tensor.dims2()?;
    let half = rows / heads / 2;
    Ok(tensor.reshape((heads, 2, half, columns))?.transpose(1, 2)?.contiguous()?.reshape((rows, columns))?)
}
