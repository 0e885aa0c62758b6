use super::matmul::{Matrix, MatrixMut, matmul};
use super::{Cpu, kernels};
use crate::device::{Attended, Write};
use crate::model::Segment;
use checkpoint::Shape;

/// Queries that are scored together. Keys after a group's last query are never read.
const QUERIES: usize = 64;

/// Scores and their gradients.
#[derive(Debug, Default)]
pub struct Scratch {
    scores: Vec<f32>,
    d_scores: Vec<f32>,
}

/// The keys and values of one block, a row for each token read so far.
#[derive(Debug, Default)]
pub struct Kept {
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
}

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

fn groups<'a>(c: &'a Shape, segments: &'a [Segment]) -> impl Iterator<Item = Group> + 'a {
    let (width, shared) = (c.head_dim, c.num_attention_heads / c.num_key_value_heads);
    segments.iter().flat_map(move |segment| {
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

fn score_scale(c: &Shape) -> f32 {
    1.0 / (c.head_dim as f32).sqrt()
}

/// [`crate::device::Device::attend`].
pub(super) fn attend(
    attended: &mut [f32],
    log_sums: &mut [f32],
    qkv: &[f32],
    segments: &[Segment],
    c: &Shape,
    Scratch { scores, .. }: &mut Scratch,
) {
    let (width, heads, query_size) = (c.head_dim, c.num_attention_heads, c.query_size());
    let stride = c.qkv_size();
    for g in groups(c, segments) {
        grow(scores, g.queries * g.keys);
        let queries = Matrix::new(&qkv[g.first * stride + g.query..], g.queries, width, stride);
        for (span, _) in g.spans() {
            let keys = Matrix::new(&qkv[span.first * stride + g.key..], span.count, width, stride);
            let out = MatrixMut::new(&mut scores[span.column..], g.queries, span.count, g.keys);
            matmul(out, Write::Replace, score_scale(c), queries, keys.t());
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

/// [`crate::device::Device::attend_backward`]. The probabilities are computed again, group by group.
pub(super) fn attend_backward(
    d_qkv: &mut [f32],
    d_attended: &[f32],
    forward: &Attended<'_, Cpu>,
    segments: &[Segment],
    c: &Shape,
    Scratch { scores: probabilities, d_scores }: &mut Scratch,
) {
    let (width, heads, query_size) = (c.head_dim, c.num_attention_heads, c.query_size());
    let stride = c.qkv_size();
    let Attended { qkv, log_sums, attended } = forward;
    d_qkv.fill(0.0);
    for g in groups(c, segments) {
        grow(probabilities, g.queries * g.keys);
        grow(d_scores, g.queries * g.keys);
        let (first_query, first_out) = (g.first * stride + g.query, g.first * query_size + g.query);
        let queries = Matrix::new(&qkv[first_query..], g.queries, width, stride);
        let d_out = Matrix::new(&d_attended[first_out..], g.queries, width, query_size);

        for (span, _) in g.spans() {
            let keys = Matrix::new(&qkv[span.first * stride + g.key..], span.count, width, stride);
            let values = Matrix::new(&qkv[span.first * stride + g.value..], span.count, width, stride);
            let out = MatrixMut::new(&mut probabilities[span.column..], g.queries, span.count, g.keys);
            matmul(out, Write::Replace, score_scale(c), queries, keys.t());
            let out = MatrixMut::new(&mut d_scores[span.column..], g.queries, span.count, g.keys);
            matmul(out, Write::Replace, 1.0, d_out, values.t());
        }
        let rows = probabilities.chunks_exact_mut(g.keys).zip(d_scores.chunks_exact_mut(g.keys));
        for (row, (probabilities, d_scores)) in rows.take(g.queries).enumerate() {
            let log_sum = log_sums[(g.first + row) * heads + g.head];
            kernels::softmax_row_again(probabilities, g.visible + row, log_sum);
            let out = first_out + row * query_size..first_out + row * query_size + width;
            let dot = kernels::dot(&d_attended[out.clone()], &attended[out]);
            kernels::softmax_row_backward(d_scores, probabilities, dot, score_scale(c));
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

/// [`crate::device::Device::attend_kept`].
pub(super) fn attend_kept(attended: &mut [f32], qkv: &[f32], kept: &mut Kept, c: &Shape) {
    let (width, heads, query_size, key_size) = (c.head_dim, c.num_attention_heads, c.query_size(), c.key_size());
    let shared = heads / c.num_key_value_heads;
    let stride = c.qkv_size();
    for row in qkv.chunks_exact(stride) {
        kept.keys.extend(&row[query_size..query_size + key_size]);
        kept.values.extend(&row[query_size + key_size..]);
    }
    let (queries, seen) = (qkv.len() / stride, kept.keys.len() / key_size);
    kept.scores.resize(queries * seen, 0.0);
    for head in 0..heads {
        let first = head / shared * width;
        let keys = Matrix::new(&kept.keys[first..], seen, width, key_size);
        let values = Matrix::new(&kept.values[first..], seen, width, key_size);
        let asked = Matrix::new(&qkv[head * width..], queries, width, stride);
        let scores = MatrixMut::new(&mut kept.scores, queries, seen, seen);
        matmul(scores, Write::Replace, score_scale(c), asked, keys.t());
        for (row, scores) in kept.scores.chunks_exact_mut(seen).enumerate() {
            kernels::softmax_row(scores, seen - queries + row + 1);
        }
        let probabilities = Matrix::new(&kept.scores, queries, seen, seen);
        let out = MatrixMut::new(&mut attended[head * width..], queries, width, query_size);
        matmul(out, Write::Replace, 1.0, probabilities, values);
    }
}

fn grow(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}
