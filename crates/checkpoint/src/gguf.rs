//! A GGUF as a base: the shape behind its metadata, and its tensors in a checkpoint's names and order of rows.

use crate::{CheckpointError, Family, Rotary, RotaryLayout, RotaryScaling, Shape, TensorSpec};
use decoder::{Config, Gguf, RopeScaling, Value, part_paths};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The rotary factors of LLaMA 3, which no checkpoint has as a tensor.
const ROTARY_FACTORS: &str = "rope_freqs.weight";

pub struct GgufBase {
    pub path: PathBuf,
    pub header: Gguf,
    parts: Vec<File>,
    shape: Shape,
}

impl GgufBase {
    pub fn open(path: &Path) -> Result<(GgufBase, Shape), CheckpointError> {
        let mut parts = Vec::new();
        for part in part_paths(path) {
            parts.push(File::open(&part).map_err(CheckpointError::io(&part))?);
        }
        let header = Gguf::read_parts(&mut parts).map_err(CheckpointError::gguf(path))?;
        let shape = shape(&header, &parts, path)?;
        Ok((GgufBase { path: path.to_owned(), header, parts, shape: shape.clone() }, shape))
    }

    /// The values of a tensor, by rows in the order of a checkpoint.
    pub fn values(&self, spec: &TensorSpec) -> Result<Vec<f32>, CheckpointError> {
        let Some(tensor) = self.header.tensors().get(&spec.gguf) else {
            return Err(CheckpointError::Missing { name: spec.gguf.clone(), path: self.path.clone() });
        };
        let found: Vec<usize> = tensor.shape.iter().map(|&size| size as usize).collect();
        if found != spec.shape {
            let (name, wanted) = (spec.gguf.clone(), spec.shape.clone());
            return Err(CheckpointError::Shape { name, found, wanted, path: self.path.clone() });
        }
        let values = values(&self.header, &self.parts, &spec.gguf, &self.path)?;
        Ok(match self.shape.reordered_heads(spec.part) {
            Some(heads) => halves(&values, heads, spec.shape[0]),
            None => values,
        })
    }

    /// The single values of the header, but for the vocabulary's.
    pub fn config(&self) -> serde_json::Value {
        let keys = self.header.metadata().iter().filter(|(key, _)| !key.starts_with("tokenizer."));
        let single = keys.filter_map(|(key, value)| {
            let value = match value {
                Value::Int(number) => serde_json::Value::from(i64::try_from(*number).ok()?),
                Value::Float(number) => (*number).into(),
                Value::Bool(flag) => (*flag).into(),
                Value::String(text) => text.as_str().into(),
                Value::Array(_) => return None,
            };
            Some((key.clone(), value))
        });
        serde_json::Value::Object(single.collect())
    }
}

fn values(header: &Gguf, parts: &[File], name: &str, path: &Path) -> Result<Vec<f32>, CheckpointError> {
    let mut readers: Vec<&File> = parts.iter().collect();
    header.values(name, &mut readers).map_err(CheckpointError::gguf(path))
}

/// Undoes the order of [`Shape::reordered_heads`].
fn halves(values: &[f32], heads: usize, rows: usize) -> Vec<f32> {
    let (columns, head) = (values.len() / rows, rows / heads);
    let row_of = |row: usize| {
        let (first, row) = (row / head * head, row % head);
        first + if row < head / 2 { 2 * row } else { 2 * row - head + 1 }
    };
    (0..rows).flat_map(|row| &values[row_of(row) * columns..][..columns]).copied().collect()
}

fn shape(header: &Gguf, parts: &[File], path: &Path) -> Result<Shape, CheckpointError> {
    let config = Config::from_gguf(header).map_err(CheckpointError::gguf(path))?;
    let has = |name: &str| header.tensors().contains_key(name);
    let in_block = |name: &str| has(&format!("blk.0.{name}"));
    let family = match config.architecture.as_str() {
        "qwen2" => Family::Qwen2,
        "qwen3" => Family::Qwen3,
        "glm4" => Family::Glm4,
        "chatglm" if in_block("attn_qkv.weight") => Family::ChatGlm,
        "chatglm" => Family::Glm,
        _ => Family::Llama,
    };
    let scaling = match config.rope_scaling {
        RopeScaling::Linear { factor } => RotaryScaling::Linear { factor: factor.into() },
        RopeScaling::Yarn { factor, original_context } => {
            RotaryScaling::Yarn { factor: factor.into(), original: original_context }
        }
        _ if has(ROTARY_FACTORS) => {
            let factors = values(header, parts, ROTARY_FACTORS, path)?;
            RotaryScaling::Factors(factors.into_iter().map(f64::from).collect())
        }
        _ => RotaryScaling::None,
    };
    if config.rope_attention_factor != 1.0 {
        return Err(CheckpointError::Config {
            field: format!("{}.rope.scaling.attn_factor", config.architecture),
            found: config.rope_attention_factor.to_string(),
            expected: "1".into(),
            path: path.to_owned(),
        });
    }
    let is_glm = family.is_glm();
    Ok(Shape {
        family,
        vocab_size: config.vocab_size,
        hidden_size: config.embedding_length,
        intermediate_size: config.feed_forward_length,
        num_hidden_layers: config.block_count,
        num_attention_heads: config.head_count,
        num_key_value_heads: config.head_count_kv,
        head_dim: config.head_dim,
        max_position_embeddings: config.context_length,
        rotary: Rotary {
            width: config.rope_dimension_count,
            layout: if is_glm { RotaryLayout::Neighbours } else { RotaryLayout::Halves },
            base: config.rope_freq_base.into(),
            scaling,
        },
        rms_norm_eps: config.rms_norm_epsilon.into(),
        tie_word_embeddings: !has("output.weight"),
        qkv_bias: in_block("attn_q.bias") || in_block("attn_qkv.bias"),
        output_bias: in_block("attn_output.bias"),
        head_norms: in_block("attn_q_norm.weight"),
        post_norms: in_block("post_attention_norm.weight"),
    })
}
