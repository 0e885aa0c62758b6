use super::workspace::BlockState;
use super::{Model, Pack};
use crate::kernels;
use crate::matmul::{Matrix, MatrixMut, Write, matmul};

/// Queries that are scored together. Keys after a group's last query are never read.
const QUERIES: usize = 64;

/// Some queries of one head with the keys that they see; the columns of its score matrix are those keys.
struct Group {
    /// First query, as a token of the pack.
    first: usize,
    queries: usize,
    /// The keys: those of the segment's prefix, then those of the segment up to the last query.
    spans: [Span; 2],
    keys: usize,
    /// Keys that the first query sees.
    visible: usize,
    head: usize,
    /// Column of the queries in a row of `qkv`; also that of the output in a row of `attended`.
    query: usize,
    key: usize,
    value: usize,
}

/// Keys that lie next to each other.
#[derive(Clone, Copy)]
struct Span {
    /// The first one, as a token of the pack.
    first: usize,
    count: usize,
    /// Where their scores begin in a row of scores.
    column: usize,
}

impl Group {
    /// The spans that hold keys, each with how its product is written to a sum over all keys.
    fn spans(&self) -> impl Iterator<Item = (Span, Write)> {
        let spans = self.spans.into_iter().filter(|span| span.count > 0);
        spans.enumerate().map(|(i, span)| (span, if i == 0 { Write::Replace } else { Write::Add }))
    }
}

impl Model {
    fn groups<'a>(&'a self, pack: &'a Pack) -> impl Iterator<Item = Group> + 'a {
        let c = &self.shape;
        let (width, shared) = (c.head_dim, c.num_attention_heads / c.num_key_value_heads);
        pack.segments.iter().flat_map(move |segment| {
            (0..c.num_attention_heads).flat_map(move |head| {
                segment.tokens.clone().step_by(QUERIES).map(move |first| {
                    let end = (first + QUERIES).min(segment.tokens.end);
                    let (prefix, start) = (segment.prefix.clone(), segment.tokens.start);
                    let key = c.query_size() + head / shared * width;
                    Group {
                        first,
                        queries: end - first,
                        spans: [
                            Span { first: prefix.start, count: prefix.len(), column: 0 },
                            Span { first: start, count: end - start, column: prefix.len() },
                        ],
                        keys: prefix.len() + end - start,
                        visible: prefix.len() + first - start + 1,
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
        1.0 / (self.shape.head_dim as f32).sqrt()
    }

    /// Fills `block.attended` and `block.log_sums` from `block.qkv`.
    pub(super) fn attend(&self, block: &mut BlockState, pack: &Pack, scores: &mut Vec<f32>) {
        let c = &self.shape;
        let (width, heads, query_size) = (c.head_dim, c.num_attention_heads, c.query_size());
        let stride = query_size + 2 * c.key_size();
        let BlockState { qkv, log_sums, attended, .. } = block;
        for g in self.groups(pack) {
            grow(scores, g.queries * g.keys);
            let queries = Matrix::new(&qkv[g.first * stride + g.query..], g.queries, width, stride);
            for (span, _) in g.spans() {
                let keys = Matrix::new(&qkv[span.first * stride + g.key..], span.count, width, stride);
                let out = MatrixMut::new(&mut scores[span.column..], g.queries, span.count, g.keys);
                matmul(out, Write::Replace, self.score_scale(), queries, keys.t());
            }
            for (row, scores) in scores.chunks_exact_mut(g.keys).take(g.queries).enumerate() {
                log_sums[(g.first + row) * heads + g.head] = kernels::softmax_row(scores, g.visible + row);
            }
            for (span, write) in g.spans() {
                let probabilities = Matrix::new(&scores[span.column..], g.queries, span.count, g.keys);
                let values = Matrix::new(&qkv[span.first * stride + g.value..], span.count, width, stride);
                let out = &mut attended[g.first * query_size + g.query..];
                matmul(MatrixMut::new(out, g.queries, width, query_size), write, 1.0, probabilities, values);
            }
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
        let c = &self.shape;
        let (width, heads, query_size) = (c.head_dim, c.num_attention_heads, c.query_size());
        let stride = query_size + 2 * c.key_size();
        let BlockState { qkv, log_sums, attended, .. } = block;
        d_qkv.fill(0.0);
        for g in self.groups(pack) {
            grow(probabilities, g.queries * g.keys);
            grow(d_scores, g.queries * g.keys);
            let (first_query, first_out) = (g.first * stride + g.query, g.first * query_size + g.query);
            let queries = Matrix::new(&qkv[first_query..], g.queries, width, stride);
            let d_out = Matrix::new(&d_attended[first_out..], g.queries, width, query_size);

            for (span, _) in g.spans() {
                let keys = Matrix::new(&qkv[span.first * stride + g.key..], span.count, width, stride);
                let values = Matrix::new(&qkv[span.first * stride + g.value..], span.count, width, stride);
                let out = MatrixMut::new(&mut probabilities[span.column..], g.queries, span.count, g.keys);
                matmul(out, Write::Replace, self.score_scale(), queries, keys.t());
                let out = MatrixMut::new(&mut d_scores[span.column..], g.queries, span.count, g.keys);
                matmul(out, Write::Replace, 1.0, d_out, values.t());
            }
            let rows = probabilities.chunks_exact_mut(g.keys).zip(d_scores.chunks_exact_mut(g.keys));
            for (row, (probabilities, d_scores)) in rows.take(g.queries).enumerate() {
                let log_sum = log_sums[(g.first + row) * heads + g.head];
                kernels::softmax_row_again(probabilities, g.visible + row, log_sum);
                let out = first_out + row * query_size..first_out + row * query_size + width;
                let dot = kernels::dot(&d_attended[out.clone()], &attended[out]);
                kernels::softmax_row_backward(d_scores, probabilities, dot, self.score_scale());
            }

            for (span, _) in g.spans() {
                let probabilities = Matrix::new(&probabilities[span.column..], g.queries, span.count, g.keys);
                let d_scores = Matrix::new(&d_scores[span.column..], g.queries, span.count, g.keys);
                let keys = Matrix::new(&qkv[span.first * stride + g.key..], span.count, width, stride);
                let d_values = &mut d_qkv[span.first * stride + g.value..];
                let d_values = MatrixMut::new(d_values, span.count, width, stride);
                matmul(d_values, Write::Add, 1.0, probabilities.t(), d_out);
                let d_keys = MatrixMut::new(&mut d_qkv[span.first * stride + g.key..], span.count, width, stride);
                matmul(d_keys, Write::Add, 1.0, d_scores.t(), queries);
                let d_queries = MatrixMut::new(&mut d_qkv[first_query..], g.queries, width, stride);
                matmul(d_queries, Write::Add, 1.0, d_scores, keys);
            }
        }
    }
}

fn grow(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}
