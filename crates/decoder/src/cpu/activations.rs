use super::{
    Cpu,
    format::SUB,
    isa::{Block, HALF_UNIT, InputRow, Isa, SUM_SHIFT},
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
    pub unsafe fn set<I: Isa>(&mut self, cpu: Cpu, rounding: Rounding, values: &[f32], columns: usize) {
        let rounded = match rounding {
            Rounding::Fine => &mut self.fine,
            Rounding::Coarse => &mut self.coarse,
        };
        rounded.reserve(cpu, values.len() / columns, columns);
        match rounding {
            Rounding::Fine => {
                for (block, values) in values.as_chunks::<SUB>().0.iter().enumerate() {
                    let largest = largest(values);
                    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                    let scale = largest / 127.0;
                    let sum = unsafe { rounded.set_block::<I>(block, values, inverse) };
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
                        let sum = unsafe { rounded.set_block::<I>(block, values, inverse) };
                        rounded.blocks[block].scale = scale;
                        rounded.blocks[block / 2 * 2].pair[block % 2] = -sum as i16;
                    }
                }
            }
        }
    }
}

/// Adding and subtracting this rounds an `f32` below 2^22 to a whole number.
pub const ROUNDER: f32 = 12_582_912.0;

/// What is left of a number in half precision. `f16`'s own conversion is a call and many branches.
#[inline(always)]
fn to_half(value: f32) -> f32 {
    const LEAST_NORMAL: f32 = 6.103_515_6e-5;
    /// From here on the nearest number of half precision is infinite.
    const INFINITE: f32 = 65_520.0;
    /// Its last bit is worth as much as a subnormal number's.
    const SUBNORMAL_ROUNDER: f32 = 0.75;
    let (bits, size) = (value.to_bits(), value.abs());
    if size < LEAST_NORMAL {
        value + SUBNORMAL_ROUNDER - SUBNORMAL_ROUNDER
    } else if size < INFINITE {
        f32::from_bits((bits + 0xfff + (bits >> 13 & 1)) & !0x1fff)
    } else {
        // Infinite with its sign, or no number as before.
        value * f32::INFINITY
    }
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
    for half in [4, 2, 1] {
        let (low, high) = largest.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(low, high)| *low = if *high > *low { *high } else { *low });
    }
    largest[0]
}

/// [`Isa::round`] for any machine.
#[inline(always)]
pub fn round(values: &[f32; SUB], inverse: f32, bytes: &mut [i8; SUB], words: Option<&mut [i16; SUB]>) -> [i32; 2] {
    let mut rounded = [0i32; SUB];
    for (rounded, value) in rounded.iter_mut().zip(values) {
        *rounded = ((value * inverse + ROUNDER).to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32) as i8 as i32;
    }
    for (byte, rounded) in bytes.iter_mut().zip(rounded) {
        *byte = rounded as i8;
    }
    if let Some(words) = words {
        for (words, four) in words.as_chunks_mut::<4>().0.iter_mut().zip(rounded.as_chunks::<4>().0) {
            *words = [four[0] as i16, four[2] as i16, four[1] as i16, four[3] as i16];
        }
    }
    [rounded[..SUB / 2].iter().sum(), rounded[SUB / 2..].iter().sum()]
}

impl Rounded {
    /// Makes room, which is kept: rows of two lengths take turns, and what grows is filled with zeros each time.
    fn reserve(&mut self, cpu: Cpu, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        let len = rows * columns;
        if self.blocks.len() < len / SUB {
            self.blocks.resize(len / SUB, Block::ZERO);
        }
        if cpu.wants_words() && self.words.len() < len {
            self.words.resize(len, 0);
        }
    }

    /// Rounds `values * inverse` and returns the sum.
    #[inline(always)]
    unsafe fn set_block<I: Isa>(&mut self, index: usize, values: &[f32; SUB], inverse: f32) -> i32 {
        let block = &mut self.blocks[index];
        let words = self.words.as_chunks_mut::<SUB>().0.get_mut(index);
        let [low, high] = unsafe { I::round(values, inverse, &mut block.bytes, words) };
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

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    #[test]
    fn numbers_lose_what_half_precision_has_no_room_for() {
        // Every number of half precision, the middles between them, and what lies a hair beside those.
        for bits in 0..f16::INFINITY.to_bits() {
            let (low, high) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits + 1).to_f32().min(65_536.0));
            let middle = (low + high) / 2.0;
            for value in [low, low.next_up(), middle.next_down(), middle, middle.next_up()] {
                for value in [value, -value] {
                    assert_eq!(to_half(value), f16::from_f32(value).to_f32(), "{value:e}");
                }
            }
        }
        assert_eq!(to_half(f32::INFINITY), f32::INFINITY);
        assert_eq!(to_half(f32::MIN), f32::NEG_INFINITY);
        assert!(to_half(f32::NAN).is_nan());
    }
}
