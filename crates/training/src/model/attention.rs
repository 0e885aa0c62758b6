use super::workspace::BlockState;
use super::{Model, Pack};
use crate::kernels;
use crate::matmul::{Matrix, MatrixMut, Write, matmul};

/// Queries that are scored together. Keys after a group's last query are never read.
const QUERIES: usize = 64;

/// One group of queries of one head: where its parts start in rows of queries, keys and values.
struct Group {
    /// First query, as a token of the pack.
    first: usize,
    /// Number of queries.
    queries: usize,
    /// First key, as a token of the pack: the first token of the document.
    origin: usize,
    /// Number of keys that the group's last query sees.
    keys: usize,
    head: usize,
    /// Column of the queries in a row of `qkv`; also that of the output in a row of `attended`.
    query: usize,
    key: usize,
    value: usize,
}

impl Group {
    /// How many keys the `row`-th query sees.
    fn visible(&self, row: usize) -> usize {
        self.first + row + 1 - self.origin
    }
}

impl Model {
    fn groups<'a>(&'a self, pack: &'a Pack) -> impl Iterator<Item = Group> + 'a {
        let c = &self.config;
        let (width, shared) = (c.head_dim(), c.num_attention_heads / c.num_key_value_heads);
        pack.segments.iter().flat_map(move |segment| {
            (0..c.num_attention_heads).flat_map(move |head| {
                segment.clone().step_by(QUERIES).map(move |first| {
                    let end = (first + QUERIES).min(segment.end);
                    let key = c.query_size() + head / shared * width;
                    Group {
                        first,
                        queries: end - first,
                        origin: segment.start,
                        keys: end - segment.start,
                        head,
                        query: head * width,
                        key,
                        value: key + c.key_size(),
                    }
                })
            })
        })
    }

    fn score_scale(&self) -> f32 {
        1.0 / (self.config.head_dim() as f32).sqrt()
    }

    /// Fills `block.attended` and `block.log_sums` from `block.qkv`.
    pub(super) fn attend(&self, block: &mut BlockState, pack: &Pack, scores: &mut Vec<f32>) {
        let c = &self.config;
        let (width, heads, query_size) = (c.head_dim(), c.num_attention_heads, c.query_size());
        let stride = query_size + 2 * c.key_size();
        let BlockState { qkv, log_sums, attended, .. } = block;
        for g in self.groups(pack) {
            grow(scores, g.queries * g.keys);
            let queries = Matrix::new(&qkv[g.first * stride + g.query..], g.queries, width, stride);
            let keys = Matrix::new(&qkv[g.origin * stride + g.key..], g.keys, width, stride);
            let values = Matrix::new(&qkv[g.origin * stride + g.value..], g.keys, width, stride);
            let out = MatrixMut::new(scores, g.queries, g.keys, g.keys);
            matmul(out, Write::Replace, self.score_scale(), queries, keys.t());
            for (row, scores) in scores.chunks_exact_mut(g.keys).take(g.queries).enumerate() {
                log_sums[(g.first + row) * heads + g.head] = kernels::softmax_row(scores, g.visible(row));
            }
            let out = MatrixMut::new(&mut attended[g.first * query_size + g.query..], g.queries, width, query_size);
            matmul(out, Write::Replace, 1.0, Matrix::new(scores, g.queries, g.keys, g.keys), values);
        }
    }

    /// Fills `d_qkv` from the gradient of `block.attended`. The probabilities are computed again, group by group.
    pub(super) fn attend_backward(
        &self,
        block: &BlockState,
        d_attended: &[f32],
        d_qkv: &mut [f32],
        pack: &Pack,
        probabilities: &mut Vec<f32>,
        d_scores: &mut Vec<f32>,
    ) {
        let c = &self.config;
        let (width, heads, query_size) = (c.head_dim(), c.num_attention_heads, c.query_size());
        let stride = query_size + 2 * c.key_size();
        let BlockState { qkv, log_sums, attended, .. } = block;
        d_qkv.fill(0.0);
        for g in self.groups(pack) {
            grow(probabilities, g.queries * g.keys);
            grow(d_scores, g.queries * g.keys);
            let (first_query, first_out) = (g.first * stride + g.query, g.first * query_size + g.query);
            let (first_key, first_value) = (g.origin * stride + g.key, g.origin * stride + g.value);
            let queries = Matrix::new(&qkv[first_query..], g.queries, width, stride);
            let keys = Matrix::new(&qkv[first_key..], g.keys, width, stride);
            let values = Matrix::new(&qkv[first_value..], g.keys, width, stride);
            let d_out = Matrix::new(&d_attended[first_out..], g.queries, width, query_size);

            let square = |data| MatrixMut::new(data, g.queries, g.keys, g.keys);
            matmul(square(probabilities), Write::Replace, self.score_scale(), queries, keys.t());
            matmul(square(d_scores), Write::Replace, 1.0, d_out, values.t());
            let rows = probabilities.chunks_exact_mut(g.keys).zip(d_scores.chunks_exact_mut(g.keys));
            for (row, (probabilities, d_scores)) in rows.take(g.queries).enumerate() {
                let log_sum = log_sums[(g.first + row) * heads + g.head];
                kernels::softmax_row_again(probabilities, g.visible(row), log_sum);
                let out = first_out + row * query_size..first_out + row * query_size + width;
                let dot = kernels::dot(&d_attended[out.clone()], &attended[out]);
                kernels::softmax_row_backward(d_scores, probabilities, dot, self.score_scale());
            }

            let probabilities = Matrix::new(probabilities, g.queries, g.keys, g.keys);
            let d_scores = Matrix::new(d_scores, g.queries, g.keys, g.keys);
            let d_values = MatrixMut::new(&mut d_qkv[first_value..], g.keys, width, stride);
            matmul(d_values, Write::Add, 1.0, probabilities.t(), d_out);
            let d_keys = MatrixMut::new(&mut d_qkv[first_key..], g.keys, width, stride);
            matmul(d_keys, Write::Add, 1.0, d_scores.t(), queries);
            let d_queries = MatrixMut::new(&mut d_qkv[first_query..], g.queries, width, stride);
            matmul(d_queries, Write::Replace, 1.0, d_scores, keys);
        }
    }
}

fn grow(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}
