//! What happens between the products, row by row. Plain loops over fixed-size chunks, which compilers turn into vectors; the order of
//! every sum is fixed, so that all machines without fused arithmetic give the same.

use super::{Activations, Cpu, Rounding, isa::Isa};

/// Elements that are summed side by side.
const CHUNK: usize = 16;

/// How positions turn the elements of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Elements `2i` and `2i + 1` are a pair.
    Interleaved,
    /// Elements `i` and `i + dimensions / 2` are a pair.
    Halves,
}

/// RMSNorm of each row of `x` by `weight`: its mean square becomes 1.
pub fn norm(cpu: Cpu, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    dispatch!(cpu, norm_rows(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]));
}

#[inline(always)]
unsafe fn norm_rows<I: Isa>(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
        let mut squares = [0.0f32; CHUNK];
        let (chunks, rest) = x.as_chunks::<CHUNK>();
        for chunk in chunks {
            squares.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x * x);
        }
        squares.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x * x);
        let mean_square = squares.iter().sum::<f32>() / x.len() as f32;
        let scale = 1.0 / (mean_square + epsilon).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
    }
}

/// Rounds rows of `columns` values to 8 bits.
pub fn quantize(cpu: Cpu, rounding: Rounding, values: &[f32], columns: usize, out: &mut Activations) {
    dispatch!(cpu, quantize_rows(cpu: Cpu, rounding: Rounding, values: &[f32], columns: usize, out: &mut Activations));
}

#[inline(always)]
unsafe fn quantize_rows<I: Isa>(cpu: Cpu, rounding: Rounding, values: &[f32], columns: usize, out: &mut Activations) {
    unsafe { out.set::<I>(cpu, rounding, values, columns) };
}

/// `gate = silu(gate) * up`
pub fn swiglu(cpu: Cpu, gate: &mut [f32], up: &[f32]) {
    dispatch!(cpu, swiglu_all(gate: &mut [f32], up: &[f32]));
}

#[inline(always)]
unsafe fn swiglu_all<I: Isa>(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + exp(-*gate)) * up;
    }
}

/// `out += x`
pub fn add(out: &mut [f32], x: &[f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += x;
    }
}

/// Turns the first elements of each head of one row by `(cosine, sine)` of each pair.
pub fn rotate(rotation: Rotation, row: &mut [f32], head_dim: usize, turns: &[(f32, f32)]) {
    for head in row.chunks_exact_mut(head_dim) {
        match rotation {
            Rotation::Interleaved => {
                for (pair, &(cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                    *pair = [pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos];
                }
            }
            Rotation::Halves => {
                let (first, second) = head.split_at_mut(turns.len());
                for ((x, y), &(cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                    (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
                }
            }
        }
    }
}

/// e to the power of `x` to about 1e-7 of its value; 0 below -87 and very large above 88.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUNDER: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_145_75;
    const LN_2_LOW: f32 = 1.428_606_8e-6;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = rounded - ROUNDER;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    // The Taylor series up to r^6, |r| <= ln(2) / 2.
    let mut series = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + coefficient;
    }
    let power = (rounded.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    let value = series * f32::from_bits((power.wrapping_add(127) << 23) as u32);
    if x <= -87.0 { 0.0 } else { value }
}

/// The dot product, summed in [`CHUNK`] lanes.
pub fn dot(cpu: Cpu, a: &[f32], b: &[f32]) -> f32 {
    dispatch!(cpu, dot_lanes(a: &[f32], b: &[f32]) -> f32)
}

#[inline(always)]
unsafe fn dot_lanes<I: Isa>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; CHUNK];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<CHUNK>(), b.as_chunks::<CHUNK>());
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter_mut().zip(a_rest.iter().zip(b_rest)).for_each(|(sum, (a, b))| *sum += a * b);
    sums.iter().sum()
}
