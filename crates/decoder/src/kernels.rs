//! The arithmetic of a LLaMA block on plain slices, row-major, accumulated in f32.

use std::cell::OnceCell;

use candle_core::quantized::k_quants::{BlockQ8_0, BlockQ8_1, BlockQ8K, GgmlType};

/// A batch of activation rows that quantizes itself at most once per format, however many matrices read it.
pub struct Activations<'a> {
    values: &'a [f32],
    columns: usize,
    q8_0: OnceCell<Vec<BlockQ8_0>>,
    q8_1: OnceCell<Vec<BlockQ8_1>>,
    q8_k: OnceCell<Vec<BlockQ8K>>,
}

impl<'a> Activations<'a> {
    pub fn new(values: &'a [f32], columns: usize) -> Self {
        debug_assert!(values.len().is_multiple_of(columns));
        Self { values, columns, q8_0: OnceCell::new(), q8_1: OnceCell::new(), q8_k: OnceCell::new() }
    }

    pub fn rows(&self) -> usize {
        self.values.len() / self.columns
    }
}

/// The right-hand side of a dot product: activations in the format that a weight type asks for.
pub trait Operand: GgmlType {
    fn blocks<'a>(activations: &'a Activations<'_>) -> &'a [Self];
}

impl Operand for f32 {
    fn blocks<'a>(activations: &'a Activations<'_>) -> &'a [Self] {
        activations.values
    }
}

macro_rules! quantized_operand {
    ($block:ty, $field:ident) => {
        impl Operand for $block {
            fn blocks<'a>(activations: &'a Activations<'_>) -> &'a [Self] {
                activations.$field.get_or_init(|| quantize(activations.values))
            }
        }
    };
}
quantized_operand!(BlockQ8_0, q8_0);
quantized_operand!(BlockQ8_1, q8_1);
quantized_operand!(BlockQ8K, q8_k);

fn quantize<T: GgmlType>(values: &[f32]) -> Vec<T> {
    let mut blocks = vec![T::zeros(); values.len() / T::BLCK_SIZE];
    T::from_float(values, &mut blocks);
    blocks
}

/// `out[n][row] = weights[row] · activations[n]` for `rows` weight rows of `columns` elements.
///
/// Four weight rows stay in cache while every activation row passes over them.
pub fn matmul<T>(weights: &[T], rows: usize, columns: usize, activations: &Activations<'_>, out: &mut [f32])
where
    T: GgmlType,
    T::VecDotType: Operand,
{
    let stride = columns / T::BLCK_SIZE;
    let row = |r: usize| &weights[r * stride..(r + 1) * stride];
    let inputs = T::VecDotType::blocks(activations).chunks_exact(columns / T::VecDotType::BLCK_SIZE);
    let tiled = rows - rows % 4;
    for r in (0..tiled).step_by(4) {
        let [w0, w1, w2, w3] = [row(r), row(r + 1), row(r + 2), row(r + 3)];
        for (input, out) in inputs.clone().zip(out.chunks_exact_mut(rows)) {
            let (d0, d1, d2, d3) = T::vec_dot_4(columns, w0, w1, w2, w3, input);
            out[r..r + 4].copy_from_slice(&[d0, d1, d2, d3]);
        }
    }
    for r in tiled..rows {
        for (input, out) in inputs.clone().zip(out.chunks_exact_mut(rows)) {
            out[r] = T::vec_dot(columns, row(r), input);
        }
    }
}

pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    f32::vec_dot(a.len(), a, b)
}

/// `out += scale * x`
fn add_scaled(out: &mut [f32], scale: f32, x: &[f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += scale * x;
    }
}

pub fn add(out: &mut [f32], x: &[f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += x;
    }
}

/// RMSNorm of each row of `x`.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
        let mean_square = dot(x, x) / x.len() as f32;
        let scale = 1.0 / (mean_square + epsilon).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
    }
}

/// `gate = silu(gate) * up`
pub fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + (-*gate).exp()) * up;
    }
}

/// Cosine and sine of every rotation at one position, in the order of `frequencies`.
pub fn rotations(position: usize, frequencies: &[f32], out: &mut Vec<(f32, f32)>) {
    out.extend(frequencies.iter().map(|frequency| {
        let (sin, cos) = (position as f32 * frequency).sin_cos();
        (cos, sin)
    }));
}

/// Rotates the interleaved pairs (2i, 2i + 1) at the start of each head of one row.
pub fn rope(row: &mut [f32], head_dim: usize, rotations: &[(f32, f32)]) {
    for head in row.chunks_exact_mut(head_dim) {
        for (pair, &(cos, sin)) in head.chunks_exact_mut(2).zip(rotations) {
            let (x, y) = (pair[0], pair[1]);
            pair[0] = x * cos - y * sin;
            pair[1] = x * sin + y * cos;
        }
    }
}

/// Attention of one query row over all rows of `keys` and `values`, head by head.
///
/// `query` and `out` have `head_count` heads of `head_dim`; each key and value row has `head_count_kv`.
pub fn attention(
    query: &[f32],
    keys: &[f32],
    values: &[f32],
    head_dim: usize,
    row_len: usize,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let heads_per_kv = query.len() / row_len;
    let scale = 1.0 / (head_dim as f32).sqrt();
    let heads = query.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim));
    for (head, (query, out)) in heads.enumerate() {
        let start = head / heads_per_kv * head_dim;
        let lane = start..start + head_dim;
        scores.clear();
        scores.extend(keys.chunks_exact(row_len).map(|key| dot(query, &key[lane.clone()]) * scale));
        softmax(scores);
        out.fill(0.0);
        for (value, &score) in values.chunks_exact(row_len).zip(scores.iter()) {
            add_scaled(out, score, &value[lane.clone()]);
        }
    }
}

fn softmax(x: &mut [f32]) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in x.iter_mut() {
        *x = (*x - max).exp();
        sum += *x;
    }
    for x in x {
        *x /= sum;
    }
}
