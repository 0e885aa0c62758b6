//! All weights in one flat buffer, so that the optimizer and the reduction of gradients are single loops.

use crate::config::ModelConfig;
use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::ops::Range;
use std::path::Path;

/// Where one tensor lies in the flat buffer.
#[derive(Clone, Debug)]
pub struct TensorSpec {
    /// Its name in a Hugging Face weight file.
    pub name: String,
    /// `[outputs, inputs]`, or `[width]` for a norm.
    pub shape: Vec<usize>,
    /// Its place in the flat buffer.
    pub range: Range<usize>,
}

/// The ranges of one block. Projections that read the same input lie next to each other and work as one matrix.
#[derive(Clone, Debug)]
pub struct BlockRanges {
    /// Norm before attention, `[hidden]`.
    pub attention_norm: Range<usize>,
    /// Query, key and value projections, `[query + 2 * key, hidden]`.
    pub qkv: Range<usize>,
    /// Output projection, `[hidden, query]`.
    pub output: Range<usize>,
    /// Norm before the feed-forward layer, `[hidden]`.
    pub mlp_norm: Range<usize>,
    /// Gate and up projections, `[2 * intermediate, hidden]`.
    pub gate_up: Range<usize>,
    /// Down projection, `[hidden, intermediate]`.
    pub down: Range<usize>,
}

/// The places of all tensors of a model: matrices first, then norms, which take no weight decay.
#[derive(Clone, Debug)]
pub struct ParameterMap {
    /// Every tensor, in the order of the buffer.
    pub tensors: Vec<TensorSpec>,
    /// Token embedding, `[vocab, hidden]`.
    pub embedding: Range<usize>,
    /// Output projection, `[vocab, hidden]`; the embedding where tied.
    pub head: Range<usize>,
    /// Norm before the head, `[hidden]`.
    pub final_norm: Range<usize>,
    /// The blocks, first to last.
    pub blocks: Vec<BlockRanges>,
    /// Length of the buffer.
    pub len: usize,
    /// The matrices end here; weight decay applies before it.
    pub decay_len: usize,
}

impl ParameterMap {
    /// Lays out the tensors of `config`.
    pub fn new(config: &ModelConfig) -> ParameterMap {
        let mut tensors: Vec<TensorSpec> = Vec::new();
        let mut len = 0;
        let mut add = |name: String, shape: Vec<usize>| {
            let start = len;
            len += shape.iter().product::<usize>();
            tensors.push(TensorSpec { name, shape, range: start..len });
            start..len
        };
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (query, key) = (config.query_size(), config.key_size());
        let embedding = add("model.embed_tokens.weight".into(), vec![config.vocab_size, hidden]);
        let head = match config.tie_word_embeddings {
            true => embedding.clone(),
            false => add("lm_head.weight".into(), vec![config.vocab_size, hidden]),
        };
        let layer = |l: usize, part: &str| format!("model.layers.{l}.{part}.weight");
        let mut blocks: Vec<BlockRanges> = (0..config.num_hidden_layers)
            .map(|l| {
                let q = add(layer(l, "self_attn.q_proj"), vec![query, hidden]);
                add(layer(l, "self_attn.k_proj"), vec![key, hidden]);
                let v = add(layer(l, "self_attn.v_proj"), vec![key, hidden]);
                let output = add(layer(l, "self_attn.o_proj"), vec![hidden, query]);
                let gate = add(layer(l, "mlp.gate_proj"), vec![inner, hidden]);
                let up = add(layer(l, "mlp.up_proj"), vec![inner, hidden]);
                let down = add(layer(l, "mlp.down_proj"), vec![hidden, inner]);
                let (qkv, gate_up) = (q.start..v.end, gate.start..up.end);
                BlockRanges { attention_norm: 0..0, qkv, output, mlp_norm: 0..0, gate_up, down }
            })
            .collect();
        let decay_len = blocks.last().map_or(head.end, |b| b.down.end);
        for (l, block) in blocks.iter_mut().enumerate() {
            block.attention_norm = add(layer(l, "input_layernorm"), vec![hidden]);
            block.mlp_norm = add(layer(l, "post_attention_layernorm"), vec![hidden]);
        }
        let final_norm = add("model.norm.weight".into(), vec![hidden]);
        ParameterMap { tensors, embedding, head, final_norm, blocks, len, decay_len }
    }

    /// Fresh weights: normal with `initializer_range`, ones for norms. Projections back into the residual
    /// stream are smaller by the root of their number (GPT-2), so that its variance does not grow with depth.
    pub fn initialize(&self, config: &ModelConfig, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let residual = 1.0 / (2.0 * config.num_hidden_layers as f64).sqrt();
        let mut values = vec![1.0; self.len];
        for tensor in self.tensors.iter().filter(|t| t.shape.len() > 1) {
            let into_residual = tensor.name.contains("o_proj") || tensor.name.contains("down_proj");
            let scale = config.initializer_range * if into_residual { residual } else { 1.0 };
            for value in &mut values[tensor.range.clone()] {
                *value = (normal(&mut rng) * scale) as f32;
            }
        }
        values
    }

    /// Writes a Hugging Face weight file.
    pub fn save(&self, values: &[f32], path: &Path) -> Result<()> {
        let views = self.tensors.iter().map(|t| {
            let bytes = bytemuck::cast_slice(&values[t.range.clone()]);
            let view = TensorView::new(Dtype::F32, t.shape.clone(), bytes).expect("the range has the shape's length");
            (t.name.as_str(), view)
        });
        let metadata = [("format".to_string(), "pt".to_string())].into();
        safetensors::serialize_to_file(views, Some(metadata), path)
            .map_err(|source| Error::Safetensors { source, path: path.to_owned() })
    }

    /// Reads a Hugging Face weight file in f32.
    pub fn load(&self, path: &Path) -> Result<Vec<f32>> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let file =
            SafeTensors::deserialize(&bytes).map_err(|source| Error::Safetensors { source, path: path.to_owned() })?;
        let mut values = vec![0.0; self.len];
        for tensor in &self.tensors {
            let found = file.tensor(&tensor.name).ok();
            let Some(view) = found.as_ref().filter(|v| v.shape() == tensor.shape && v.dtype() == Dtype::F32) else {
                return Err(Error::Tensor {
                    name: tensor.name.clone(),
                    expected: tensor.shape.clone(),
                    found: found.map_or("nothing".into(), |v| format!("{:?} {}", v.shape(), v.dtype())),
                    path: path.to_owned(),
                });
            };
            for (value, bytes) in values[tensor.range.clone()].iter_mut().zip(view.data().chunks_exact(4)) {
                *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
        Ok(values)
    }
}

/// A standard normal value (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
