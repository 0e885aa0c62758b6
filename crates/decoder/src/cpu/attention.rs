//! Attention that streams over the KV cache, block by block, with a running softmax; all queries of a head pass over a block together.

use std::{array::from_fn, ops::Range};

use super::{
    Cpu, HeadCache,
    cache::{Element, POSITIONS, Rows},
    elementwise::exp,
    isa::Isa,
};

/// Queries that share one head's keys and values.
pub struct Attention<'a> {
    pub head_dim: usize,
    /// Position of the first token.
    pub start: usize,
    pub tokens: usize,
    /// `[tokens][query heads][head_dim]`, this head's queries at `heads`.
    pub queries: &'a [f32],
    /// Query heads in a row of `queries` and `out`.
    pub row_heads: usize,
    pub heads: Range<usize>,
    /// In the layout of `queries`.
    pub out: &'a mut [f32],
}

/// Room for a block and for the queries that pass over it.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
    sums: Vec<f32>,
    /// Largest score and sum of weights so far, for each query.
    softmax: Vec<(f32, f32)>,
}

/// So many queries are few.
const FEW: usize = 8;

/// Attention of the queries over the first `start + tokens` positions of `cache`, each over its own past.
pub fn attend(cpu: Cpu, attention: &mut Attention<'_>, cache: &HeadCache, scratch: &mut AttentionScratch) {
    dispatch!(cpu, attend_any(attention: &mut Attention<'_>, cache: &HeadCache, scratch: &mut AttentionScratch));
}

#[inline(always)]
unsafe fn attend_any<I: Isa>(attention: &mut Attention<'_>, cache: &HeadCache, scratch: &mut AttentionScratch) {
    unsafe {
        match cache {
            HeadCache::F32(rows) => attend_to::<I, _>(attention, rows, scratch),
            HeadCache::F16(rows) => attend_to::<I, _>(attention, rows, scratch),
            HeadCache::Q8(rows) => attend_to::<I, _>(attention, rows, scratch),
        }
    }
}

// In the browser a function of its own for each type: what is compiled to fast code is then one of them and not all.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
unsafe fn attend_to<I: Isa, T: Element>(
    attention: &mut Attention<'_>,
    cache: &Rows<T>,
    scratch: &mut AttentionScratch,
) {
    let (head_dim, heads) = (attention.head_dim, attention.heads.len());
    let padded = head_dim.next_multiple_of(I::LANES);
    scratch.prepare(attention, padded);
    let constants = I::constants();
    let last = attention.start + attention.tokens - 1;
    for block in 0..=last / POSITIONS {
        // Tokens before the block see nothing of it.
        let hidden = (block * POSITIONS).saturating_sub(attention.start) * heads;
        let (queries, scores) = (&scratch.queries[hidden * head_dim..], &mut scratch.scores[hidden * POSITIONS..]);
        let (keys, values) = cache.block(block, head_dim);
        // Few queries take keys and values as they lie; for many it pays to widen them once.
        let are_few = queries.len() <= FEW * head_dim;
        unsafe {
            if are_few {
                multiply::<I, T>(constants, queries, keys, scores, (head_dim, POSITIONS), Start::Zero);
            } else {
                widen(keys, &mut scratch.keys);
                multiply::<I, f32>(constants, queries, &scratch.keys, scores, (head_dim, POSITIONS), Start::Zero);
            }
        }
        for (row, scores) in scores.as_chunks_mut::<POSITIONS>().0.iter_mut().enumerate() {
            let row = hidden + row;
            let seen = (attention.start + row / heads + 1 - block * POSITIONS).min(POSITIONS);
            let sums = &mut scratch.sums[row * padded..][..padded];
            if T::SCALED {
                let scales = &cache.key_scales[block * POSITIONS..][..POSITIONS];
                scores.iter_mut().zip(scales).for_each(|(score, scale)| *score *= scale);
            }
            weigh(scores, seen, &mut scratch.softmax[row], sums);
            if T::SCALED {
                let scales = &cache.value_scales[block * POSITIONS..][..POSITIONS];
                scores.iter_mut().zip(scales).for_each(|(weight, scale)| *weight *= scale);
            }
        }
        let sums = &mut scratch.sums[hidden * padded..];
        unsafe {
            if are_few {
                multiply::<I, T>(constants, scores, values, sums, (POSITIONS, padded), Start::Sum);
            } else {
                widen(values, &mut scratch.values);
                multiply::<I, f32>(constants, scores, &scratch.values, sums, (POSITIONS, padded), Start::Sum);
            }
        }
    }
    scratch.finish(attention, padded);
}

impl AttentionScratch {
    fn prepare(&mut self, attention: &Attention<'_>, padded: usize) {
        let (head_dim, heads) = (attention.head_dim, attention.heads.len());
        let rows = attention.tokens * heads;
        let scale = 1.0 / (head_dim as f32).sqrt();
        self.queries.clear();
        for token in attention.queries.chunks_exact(attention.row_heads * head_dim) {
            let queries = &token[attention.heads.start * head_dim..attention.heads.end * head_dim];
            self.queries.extend(queries.iter().map(|x| x * scale));
        }
        self.keys.resize(head_dim * POSITIONS, 0.0);
        self.values.resize(POSITIONS * padded, 0.0);
        self.scores.resize(rows * POSITIONS, 0.0);
        self.sums.clear();
        self.sums.resize(rows * padded, 0.0);
        self.softmax.clear();
        self.softmax.resize(rows, (f32::NEG_INFINITY, 0.0));
    }

    fn finish(&self, attention: &mut Attention<'_>, padded: usize) {
        let head_dim = attention.head_dim;
        let own = attention.heads.start * head_dim..attention.heads.end * head_dim;
        let tokens = attention.out.chunks_exact_mut(attention.row_heads * head_dim);
        let heads = tokens.flat_map(|token| token[own.clone()].chunks_exact_mut(head_dim));
        for ((out, sums), (_, total)) in heads.zip(self.sums.chunks_exact(padded)).zip(&self.softmax) {
            let inverse = 1.0 / total;
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * inverse);
        }
    }
}

/// A block in single precision, in the same order.
#[inline(always)]
fn widen<T: Element>(rows: &[T], out: &mut [f32]) {
    out.iter_mut().zip(rows).for_each(|(out, x)| *out = x.to_f32());
}

/// Turns the first `seen` scores into weights against the largest score so far, to which the sums are brought as well; the rest become 0.
#[inline(always)]
fn weigh(scores: &mut [f32; POSITIONS], seen: usize, softmax: &mut (f32, f32), sums: &mut [f32]) {
    let (largest, total) = *softmax;
    scores[seen..].fill(f32::NEG_INFINITY);
    let mut maxima = [ordered(largest); 8];
    for eight in scores.as_chunks::<8>().0 {
        maxima.iter_mut().zip(eight).for_each(|(max, &score)| *max = (*max).max(ordered(score)));
    }
    let new = unordered(maxima.into_iter().fold(i32::MIN, i32::max));
    let mut totals = [0.0f32; 8];
    for eight in scores.as_chunks_mut::<8>().0 {
        for (total, score) in totals.iter_mut().zip(eight) {
            *score = exp(*score - new);
            *total += *score;
        }
    }
    let faded = exp(largest - new);
    if new > largest {
        sums.iter_mut().for_each(|sum| *sum *= faded);
    }
    *softmax = (new, total * faded + totals.iter().sum::<f32>());
}

/// An integer that is the larger, the larger `x` is. Compilers use vectors for the largest of integers, but not of floats.
#[inline(always)]
fn ordered(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    bits ^ (bits >> 31 & i32::MAX)
}

/// What [`ordered`] made an integer of.
#[inline(always)]
fn unordered(x: i32) -> f32 {
    f32::from_bits((x ^ (x >> 31 & i32::MAX)) as u32)
}

/// What a product is added to.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    Zero,
    Sum,
}

/// `out[m][n] (+)= a[m][k] * b[k][n]`; `a` and `out` row by row, `b` in strips of [`Isa::STRIP`] columns; `n` is a multiple of
/// [`Isa::LANES`].
#[inline(always)]
unsafe fn multiply<I: Isa, T: Element>(
    constants: I::Constants,
    a: &[f32],
    b: &[T],
    out: &mut [f32],
    (k, n): (usize, usize),
    start: Start,
) {
    const ROWS: usize = 4;
    let rows = a.len() / k;
    debug_assert!(out.len() >= rows * n && b.len() >= k * n && n.is_multiple_of(I::LANES));
    let together = if rows > FEW { I::MANY_ROWS } else { ROWS };
    for row in (0..rows).step_by(together) {
        unsafe {
            let (a, b, out) = (a.as_ptr().add(row * k), b.as_ptr(), out.as_mut_ptr().add(row * n));
            match together.min(rows - row) {
                1 => strips::<I, T, 1>(constants, a, b, out, (k, n), start),
                2 => strips::<I, T, 2>(constants, a, b, out, (k, n), start),
                3 => strips::<I, T, 3>(constants, a, b, out, (k, n), start),
                _ => strips::<I, T, ROWS>(constants, a, b, out, (k, n), start),
            }
        }
    }
}

#[inline(always)]
unsafe fn strips<I: Isa, T: Element, const ROWS: usize>(
    constants: I::Constants,
    a: *const f32,
    b: *const T,
    out: *mut f32,
    (k, n): (usize, usize),
    start: Start,
) {
    for first in (0..n).step_by(I::STRIP) {
        let width = I::STRIP.min(n - first);
        unsafe {
            let (b, out) = (b.add(first * k), out.add(first));
            if ROWS <= I::WIDE_ROWS && width == 2 * I::LANES {
                cell::<I, T, ROWS, 2>(constants, a, (b, width), out, (k, n), start);
                continue;
            }
            for column in (0..width).step_by(I::LANES) {
                cell::<I, T, ROWS, 1>(constants, a, (b.add(column), width), out.add(column), (k, n), start);
            }
        }
    }
}

/// `ROWS` rows of `VECTORS` vectors of the product; the right matrix has a row every so many elements.
#[inline(always)]
unsafe fn cell<I: Isa, T: Element, const ROWS: usize, const VECTORS: usize>(
    constants: I::Constants,
    a: *const f32,
    (b, stride): (*const T, usize),
    out: *mut f32,
    (k, n): (usize, usize),
    start: Start,
) {
    unsafe {
        let place = |row: usize, vector: usize| out.add(row * n + vector * I::LANES);
        let mut sums: [[I::Floats; VECTORS]; ROWS] = match start {
            Start::Zero => [[I::splat(0.0); VECTORS]; ROWS],
            Start::Sum => from_fn(|row| from_fn(|vector| I::load(place(row, vector)))),
        };
        for i in 0..k {
            let right: [I::Floats; VECTORS] =
                from_fn(|vector| T::load::<I>(constants, b.add(i * stride + vector * I::LANES)));
            for row in 0..ROWS {
                let factor = I::splat(*a.add(row * k + i));
                for vector in 0..VECTORS {
                    sums[row][vector] = I::mul_add(factor, right[vector], sums[row][vector]);
                }
            }
        }
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                I::store(sums[row][vector], place(row, vector));
            }
        }
    }
}
