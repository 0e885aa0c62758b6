//! Keys and values of one head, in blocks of [`POSITIONS`] positions.
//!
//! Attention reads a head's blocks in one stream, of each block first the keys, then the values. Both lie in strips of [`Isa::STRIP`] columns, row by row, for
//! attention multiplies strip by strip.

use std::collections::TryReserveError;

use half::f16;

use super::{Cpu, isa::Isa};

/// Positions of a block.
pub const POSITIONS: usize = 32;

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheType {
    /// As computed.
    F32,
    /// In half precision.
    #[default]
    F16,
    /// In 8 bits, with a scale for each position's key and value.
    Q8,
}

impl CacheType {
    /// Bytes of the keys and values of one head at `positions` positions, which are rounded up to whole blocks.
    pub fn bytes(self, head_dim: usize, positions: usize) -> u64 {
        let row = match self {
            Self::F32 => 4 * head_dim,
            Self::F16 => 2 * head_dim,
            Self::Q8 => head_dim + size_of::<f32>(),
        };
        2 * row as u64 * positions.next_multiple_of(POSITIONS) as u64
    }
}

/// An element of the cache.
pub trait Element: Copy + Default {
    /// Has a position's key or value a scale of its own?
    const SCALED: bool;

    fn from_f32(value: f32) -> Self;
    fn to_f32(self) -> f32;

    /// [`Isa::LANES`] elements, widened.
    ///
    /// # Safety
    /// As of [`Isa`]'s functions.
    unsafe fn load<I: Isa>(k: I::Constants, from: *const Self) -> I::Floats;
}

impl Element for f32 {
    const SCALED: bool = false;

    fn from_f32(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    unsafe fn load<I: Isa>(_: I::Constants, from: *const Self) -> I::Floats {
        unsafe { I::load(from) }
    }
}

impl Element for f16 {
    const SCALED: bool = false;

    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }

    /// Right for all but infinities and NaN, and without a branch.
    #[inline(always)]
    fn to_f32(self) -> f32 {
        const HALF_TO_SINGLE: f32 = f32::from_bits((127 + 112) << 23);
        let bits = (i32::from(self.to_bits() as i16) << 13) & 0x8fff_e000_u32 as i32;
        f32::from_bits(bits as u32) * HALF_TO_SINGLE
    }

    #[inline(always)]
    unsafe fn load<I: Isa>(k: I::Constants, from: *const Self) -> I::Floats {
        unsafe { I::whole(k, I::halves(k, from.cast())) }
    }
}

impl Element for i8 {
    const SCALED: bool = true;

    fn from_f32(value: f32) -> Self {
        value.round_ties_even() as Self
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    unsafe fn load<I: Isa>(_: I::Constants, from: *const Self) -> I::Floats {
        unsafe { I::i8s(from.cast()) }
    }
}

/// The rows of one head.
#[derive(Debug)]
pub struct Rows<T> {
    /// Of each block the keys, `[strip of positions][head_dim][STRIP]`, and the values, `[strip of elements][POSITIONS][STRIP]`, whose last strip is as wide as
    /// is needed.
    elements: Vec<T>,
    /// Columns of a strip.
    strip: usize,
    /// Values are filled up with zeros to a multiple of these.
    lanes: usize,
    /// For each position, where [`Element::SCALED`].
    pub key_scales: Vec<f32>,
    /// Likewise.
    pub value_scales: Vec<f32>,
}

/// Keys and values of one head.
#[derive(Debug)]
pub enum HeadCache {
    F32(Rows<f32>),
    F16(Rows<f16>),
    Q8(Rows<i8>),
}

impl HeadCache {
    /// Nothing yet, for `cpu`'s attention.
    pub fn new(cache_type: CacheType, cpu: Cpu) -> Self {
        match cache_type {
            CacheType::F32 => Self::F32(Rows::new(cpu)),
            CacheType::F16 => Self::F16(Rows::new(cpu)),
            CacheType::Q8 => Self::Q8(Rows::new(cpu)),
        }
    }

    /// Makes room for `positions` positions, rounded up to whole blocks.
    pub fn reserve(&mut self, positions: usize, head_dim: usize) -> Result<(), TryReserveError> {
        match self {
            Self::F32(rows) => rows.reserve(positions, head_dim),
            Self::F16(rows) => rows.reserve(positions, head_dim),
            Self::Q8(rows) => rows.reserve(positions, head_dim),
        }
    }

    /// Sets the key and the value of a position; there is room.
    pub fn set(&mut self, position: usize, key: &[f32], value: &[f32]) {
        match self {
            Self::F32(rows) => rows.set(position, key, value),
            Self::F16(rows) => rows.set(position, key, value),
            Self::Q8(rows) => rows.set(position, key, value),
        }
    }
}

impl<T: Element> Rows<T> {
    fn new(cpu: Cpu) -> Self {
        let (strip, lanes) = (cpu.strip(), cpu.packing().lanes);
        Self { elements: Vec::new(), strip, lanes, key_scales: Vec::new(), value_scales: Vec::new() }
    }

    /// Elements of a block's keys and of its values.
    fn block_sizes(&self, head_dim: usize) -> (usize, usize) {
        (POSITIONS * head_dim, POSITIONS * head_dim.next_multiple_of(self.lanes))
    }

    /// Keys and values of block `index`.
    pub fn block(&self, index: usize, head_dim: usize) -> (&[T], &[T]) {
        let (keys, values) = self.block_sizes(head_dim);
        self.elements[index * (keys + values)..][..keys + values].split_at(keys)
    }

    fn reserve(&mut self, positions: usize, head_dim: usize) -> Result<(), TryReserveError> {
        let positions = positions.next_multiple_of(POSITIONS);
        let (keys, values) = self.block_sizes(head_dim);
        grow(&mut self.elements, positions / POSITIONS * (keys + values))?;
        if T::SCALED {
            grow(&mut self.key_scales, positions)?;
            grow(&mut self.value_scales, positions)?;
        }
        Ok(())
    }

    fn set(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let head_dim = key.len();
        let [key_inverse, value_inverse] =
            [(key, &mut self.key_scales), (value, &mut self.value_scales)].map(|(row, scales)| {
                if !T::SCALED {
                    return 1.0;
                }
                let scale = row.iter().fold(0.0f32, |largest, x| largest.max(x.abs())) / 127.0;
                scales[position] = scale;
                if scale > 0.0 { 1.0 / scale } else { 0.0 }
            });
        let (index, at) = (position / POSITIONS, position % POSITIONS);
        let (keys, values) = self.block_sizes(head_dim);
        let (keys, values) = self.elements[index * (keys + values)..][..keys + values].split_at_mut(keys);
        let keys = keys[at / self.strip * self.strip * head_dim + at % self.strip..].iter_mut().step_by(self.strip);
        keys.zip(key).for_each(|(out, x)| *out = T::from_f32(x * key_inverse));
        for (strip, value) in values.chunks_mut(POSITIONS * self.strip).zip(value.chunks(self.strip)) {
            let row = at * (strip.len() / POSITIONS);
            strip[row..].iter_mut().zip(value).for_each(|(out, x)| *out = T::from_f32(x * value_inverse));
        }
    }
}

fn grow<T: Copy + Default>(rows: &mut Vec<T>, len: usize) -> Result<(), TryReserveError> {
    let more = len.saturating_sub(rows.len());
    rows.try_reserve_exact(more)?;
    rows.resize(rows.len() + more, T::default());
    Ok(())
}
