//! Greedy answers by the model in training: keys and values are kept, so that each token costs one pass over itself.

use super::workspace::BlockState;
use super::{IGNORE, Model, Pack, Parameters, Workspace};
use crate::kernels;
use crate::matmul::{Matrix, MatrixMut, Write, matmul};

/// The keys and values of one block, a row for each token read so far.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptBlock {
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
}

impl Model {
    /// What the model says after `prompt`: the likeliest token each time, at most `most` of them, up to one that `ends`.
    pub fn answer(
        &self,
        p: &Parameters<'_>,
        work: &mut Workspace,
        prompt: &[u32],
        most: usize,
        ends: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let mut kept = vec![KeptBlock::default(); self.shape.num_hidden_layers];
        let (mut read, mut answer, mut next) = (0, Vec::new(), prompt.to_vec());
        while answer.len() < most && read + next.len() <= self.shape.max_position_embeddings {
            let token = likeliest(&self.logits_after(p, work, &mut kept, read, &next));
            read += next.len();
            if ends(token) {
                break;
            }
            answer.push(token);
            next = vec![token];
        }
        answer
    }

    /// The logits after `tokens`, which follow the `start` tokens that `kept` has seen.
    fn logits_after(
        &self,
        p: &Parameters<'_>,
        work: &mut Workspace,
        kept: &mut [KeptBlock],
        start: usize,
        tokens: &[u32],
    ) -> Vec<f32> {
        let mut pack = Pack::default();
        // The prefix only tells their positions: its keys and values are the kept ones.
        pack.push_after(0..start, tokens.iter().copied(), tokens.iter().map(|_| IGNORE));
        self.forward_after(p, work, &pack, Some(kept));
        let hidden = self.shape.hidden_size;
        work.final_normed.drain(..(tokens.len() - 1) * hidden);
        self.head_logits(p, work)
    }

    /// As [`Self::attend`] for the only segment of a pass, whose keys and values join the kept ones.
    pub(super) fn attend_kept(&self, block: &mut BlockState, kept: &mut KeptBlock) {
        let c = &self.shape;
        let (width, heads, query_size, key_size) = (c.head_dim, c.num_attention_heads, c.query_size(), c.key_size());
        let shared = heads / c.num_key_value_heads;
        let stride = c.qkv_size();
        let BlockState { qkv, attended, .. } = block;
        for row in qkv.chunks_exact(stride) {
            kept.keys.extend(&row[query_size..query_size + key_size]);
            kept.values.extend(&row[query_size + key_size..]);
        }
        let (queries, seen) = (qkv.len() / stride, kept.keys.len() / key_size);
        let scale = 1.0 / (width as f32).sqrt();
        kept.scores.resize(queries * seen, 0.0);
        for head in 0..heads {
            let first = head / shared * width;
            let keys = Matrix::new(&kept.keys[first..], seen, width, key_size);
            let values = Matrix::new(&kept.values[first..], seen, width, key_size);
            let asked = Matrix::new(&qkv[head * width..], queries, width, stride);
            matmul(MatrixMut::new(&mut kept.scores, queries, seen, seen), Write::Replace, scale, asked, keys.t());
            for (row, scores) in kept.scores.chunks_exact_mut(seen).enumerate() {
                kernels::softmax_row(scores, seen - queries + row + 1);
            }
            let probabilities = Matrix::new(&kept.scores, queries, seen, seen);
            let out = MatrixMut::new(&mut attended[head * width..], queries, width, query_size);
            matmul(out, Write::Replace, 1.0, probabilities, values);
        }
    }
}

fn likeliest(logits: &[f32]) -> u32 {
    let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    best.map_or(0, |index| index as u32)
}
