use half::f16;

use super::{
    Cpu,
    format::SUB,
    isa::{Block, HALF_UNIT, InputRow, SUM_SHIFT},
};

/// How many values share a scale when activations are rounded to 8 bits. Each weight type asks for what llama.cpp gives it: only with
/// the same numbers do both write the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// 32 values, for types with blocks of 32.
    Fine,
    /// 256 values, for k-quants.
    Coarse,
}

/// Sub-blocks that share a scale of [`Rounding::Coarse`].
const COARSE_SUBS: usize = 8;

/// Activation rows rounded to 8 bits, once for all the matrices that read them.
#[derive(Default)]
pub struct Activations {
    fine: Rounded,
    coarse: Rounded,
}

/// Rows in one rounding.
#[derive(Default)]
pub struct Rounded {
    rows: usize,
    columns: usize,
    blocks: Vec<Block>,
    words: Vec<i16>,
}

/// Adding and subtracting this rounds an `f32` below 2^22 to a whole number.
const ROUNDER: f32 = 12_582_912.0;

impl Activations {
    /// What [`super::quantize`] has made in this rounding.
    pub fn rounded(&self, rounding: Rounding) -> &Rounded {
        match rounding {
            Rounding::Fine => &self.fine,
            Rounding::Coarse => &self.coarse,
        }
    }

    /// Rounds rows of `columns` values, which are a multiple of what shares a scale.
    #[inline(always)]
    pub fn set(&mut self, cpu: Cpu, rounding: Rounding, values: &[f32], columns: usize) {
        let rounded = match rounding {
            Rounding::Fine => &mut self.fine,
            Rounding::Coarse => &mut self.coarse,
        };
        rounded.resize(cpu, values.len() / columns, columns);
        match rounding {
            Rounding::Fine => {
                for (block, values) in values.as_chunks::<SUB>().0.iter().enumerate() {
                    let largest = largest(values);
                    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                    let scale = largest / 127.0;
                    let sum = rounded.set_block(block, values, inverse);
                    rounded.blocks[block].scale = to_half(scale) * HALF_UNIT;
                    rounded.blocks[block].scaled_sum = -to_half(scale * sum as f32) * HALF_UNIT;
                }
            }
            Rounding::Coarse => {
                for (index, values) in values.as_chunks::<{ SUB * COARSE_SUBS }>().0.iter().enumerate() {
                    let largest = largest(values);
                    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                    let scale = if largest > 0.0 { 1.0 / inverse } else { 0.0 };
                    for (block, values) in (index * COARSE_SUBS..).zip(values.as_chunks::<SUB>().0) {
                        let sum = rounded.set_block(block, values, inverse);
                        rounded.blocks[block].scale = scale;
                        rounded.blocks[block / 2 * 2].pair[block % 2] = -sum as i16;
                    }
                }
            }
        }
    }
}

fn to_half(value: f32) -> f32 {
    f16::from_f32(value).to_f32()
}

#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let mut largest = [0.0f32; 8];
    for eight in values.as_chunks::<8>().0 {
        for (largest, value) in largest.iter_mut().zip(eight) {
            let value = value.abs();
            *largest = if value > *largest { value } else { *largest };
        }
    }
    largest.into_iter().fold(0.0f32, |a, b| if b > a { b } else { a })
}

impl Rounded {
    fn resize(&mut self, cpu: Cpu, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        self.blocks.resize(rows * columns / SUB, Block::ZERO);
        self.words.resize(if cpu.wants_words() { rows * columns } else { 0 }, 0);
    }

    /// Rounds `values * inverse` and returns the sum.
    #[inline(always)]
    fn set_block(&mut self, index: usize, values: &[f32; SUB], inverse: f32) -> i32 {
        let mut rounded = [0i32; SUB];
        for (rounded, value) in rounded.iter_mut().zip(values) {
            // What is no number becomes any byte, and the sums are those of the bytes.
            *rounded =
                ((value * inverse + ROUNDER).to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32) as i8 as i32;
        }
        let block = &mut self.blocks[index];
        for (byte, rounded) in block.bytes.iter_mut().zip(rounded) {
            *byte = rounded as i8;
        }
        if !self.words.is_empty() {
            let words = &mut self.words[index * SUB..][..SUB];
            for (words, four) in words.as_chunks_mut::<4>().0.iter_mut().zip(rounded.as_chunks::<4>().0) {
                *words = [four[0] as i16, four[2] as i16, four[1] as i16, four[3] as i16];
            }
        }
        let (low, high) = (rounded[..16].iter().sum::<i32>(), rounded[16..].iter().sum::<i32>());
        block.halves = [-low as i16, -high as i16];
        block.sum = -(low + high) << SUM_SHIFT;
        low + high
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A row from a column on.
    pub fn row(&self, row: usize, column: usize) -> InputRow {
        let at = row * self.columns + column;
        let words = self.words.get(at..).unwrap_or_default();
        InputRow { blocks: self.blocks[at / SUB..].as_ptr(), words: words.as_ptr() }
    }
}
