//! All weights in one flat buffer, so that the optimizer and the reduction of gradients are single loops.

use crate::{Error, Result};
use checkpoint::{Part, Shape, TensorSpec, Weights};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use safetensors::tensor::{Dtype, TensorView};
use std::ops::Range;
use std::path::Path;

/// Where one tensor lies in the flat buffer.
#[derive(Clone, Debug)]
pub struct PlacedTensor {
    /// Its name and shape in a weight file.
    pub spec: TensorSpec,
    /// Its place in the flat buffer.
    pub range: Range<usize>,
}

/// The ranges of one block; what a family does not have is empty. Projections that read the same input lie next to
/// each other and work as one matrix.
#[derive(Clone, Debug, Default)]
pub struct BlockRanges {
    /// Norm before attention, `[hidden]`.
    pub attention_norm: Range<usize>,
    /// Query, key and value projections, `[query + 2 * key, hidden]`.
    pub qkv: Range<usize>,
    /// Their biases.
    pub qkv_bias: Range<usize>,
    /// Norm of each query head, `[head_dim]`.
    pub query_norm: Range<usize>,
    /// Norm of each key head, `[head_dim]`.
    pub key_norm: Range<usize>,
    /// Output projection, `[hidden, query]`.
    pub output: Range<usize>,
    /// Its bias.
    pub output_bias: Range<usize>,
    /// Norm of what attention adds, `[hidden]`.
    pub attention_post_norm: Range<usize>,
    /// Norm before the feed-forward layer, `[hidden]`.
    pub mlp_norm: Range<usize>,
    /// Gate and up projections, `[2 * intermediate, hidden]`.
    pub gate_up: Range<usize>,
    /// Down projection, `[hidden, intermediate]`.
    pub down: Range<usize>,
    /// Norm of what the feed-forward layer adds, `[hidden]`.
    pub mlp_post_norm: Range<usize>,
}

impl BlockRanges {
    fn of(&mut self, part: Part) -> &mut Range<usize> {
        match part {
            Part::Qkv | Part::Query | Part::Key | Part::Value => &mut self.qkv,
            Part::QkvBias | Part::QueryBias | Part::KeyBias | Part::ValueBias => &mut self.qkv_bias,
            Part::QueryNorm => &mut self.query_norm,
            Part::KeyNorm => &mut self.key_norm,
            Part::Output => &mut self.output,
            Part::OutputBias => &mut self.output_bias,
            Part::AttentionNorm => &mut self.attention_norm,
            Part::AttentionPostNorm => &mut self.attention_post_norm,
            Part::MlpNorm => &mut self.mlp_norm,
            Part::GateUp | Part::Gate | Part::Up => &mut self.gate_up,
            Part::Down => &mut self.down,
            Part::MlpPostNorm => &mut self.mlp_post_norm,
            Part::Embedding | Part::Head | Part::FinalNorm => unreachable!("{part:?} belongs to no block"),
        }
    }
}

/// The places of all tensors of a model: matrices first, then norms and biases, which take no weight decay.
#[derive(Clone, Debug)]
pub struct ParameterMap {
    /// Every tensor, in the order of the buffer.
    pub tensors: Vec<PlacedTensor>,
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
    /// Lays out the tensors of `shape`.
    pub fn new(shape: &Shape) -> ParameterMap {
        let (matrices, vectors): (Vec<_>, Vec<_>) = shape.tensors().into_iter().partition(|t| t.shape.len() == 2);
        let (mut len, mut decay_len) = (0, 0);
        let mut map = ParameterMap {
            tensors: Vec::new(),
            embedding: 0..0,
            head: 0..0,
            final_norm: 0..0,
            blocks: vec![BlockRanges::default(); shape.num_hidden_layers],
            len: 0,
            decay_len: 0,
        };
        for spec in matrices.into_iter().chain(vectors) {
            let range = len..len + spec.shape.iter().product::<usize>();
            len = range.end;
            if spec.shape.len() == 2 {
                decay_len = len;
            }
            match (spec.layer, spec.part) {
                (Some(layer), part) => {
                    let whole = map.blocks[layer].of(part);
                    *whole = if whole.end == 0 { range.clone() } else { whole.start..range.end };
                }
                (None, Part::Embedding) => map.embedding = range.clone(),
                (None, Part::Head) => map.head = range.clone(),
                (None, _) => map.final_norm = range.clone(),
            }
            map.tensors.push(PlacedTensor { spec, range });
        }
        if map.head.is_empty() {
            map.head = map.embedding.clone();
        }
        ParameterMap { len, decay_len, ..map }
    }

    /// Fresh weights of a model without biases: normal with `initializer_range`, ones for norms. Projections back into the residual
    /// stream are smaller by the root of their number (GPT-2), so that its variance does not grow with depth.
    pub fn initialize(&self, initializer_range: f64, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let residual = 1.0 / (2.0 * self.blocks.len() as f64).sqrt();
        let mut values = vec![1.0; self.len];
        for tensor in self.tensors.iter().filter(|t| t.spec.shape.len() > 1) {
            let into_residual = matches!(tensor.spec.part, Part::Output | Part::Down);
            let scale = initializer_range * if into_residual { residual } else { 1.0 };
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
            let view =
                TensorView::new(Dtype::F32, t.spec.shape.clone(), bytes).expect("the range has the shape's length");
            (t.spec.name.as_str(), view)
        });
        let metadata = [("format".to_string(), "pt".to_string())].into();
        safetensors::serialize_to_file(views, Some(metadata), path)
            .map_err(|source| Error::Safetensors { source, path: path.to_owned() })
    }

    /// Reads the weights of a folder, in whatever type they are stored.
    pub fn load(&self, weights: &Weights) -> Result<Vec<f32>> {
        let mut values = vec![0.0; self.len];
        for tensor in &self.tensors {
            values[tensor.range.clone()].copy_from_slice(&weights.values(&tensor.spec)?);
        }
        Ok(values)
    }
}

/// A standard normal value (Box and Muller).
pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
