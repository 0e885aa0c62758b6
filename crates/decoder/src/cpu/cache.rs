//! Keys and values of one head, in blocks of [`POSITIONS`] positions.

use std::collections::TryReserveError;

use half::f16;

use super::isa::Isa;

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
    /// `[block][head_dim][POSITIONS]`: a query meets 32 keys at a time.
    pub keys: Vec<T>,
    /// `[block][POSITIONS][head_dim]`
    pub values: Vec<T>,
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
    pub fn new(cache_type: CacheType) -> Self {
        match cache_type {
            CacheType::F32 => Self::F32(Rows::new()),
            CacheType::F16 => Self::F16(Rows::new()),
            CacheType::Q8 => Self::Q8(Rows::new()),
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
    fn new() -> Self {
        Self { keys: Vec::new(), values: Vec::new(), key_scales: Vec::new(), value_scales: Vec::new() }
    }

    fn reserve(&mut self, positions: usize, head_dim: usize) -> Result<(), TryReserveError> {
        let positions = positions.next_multiple_of(POSITIONS);
        grow(&mut self.keys, positions * head_dim)?;
        grow(&mut self.values, positions * head_dim)?;
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
        let (block, column) = (position / POSITIONS, position % POSITIONS);
        let keys = self.keys[block * POSITIONS * head_dim + column..].iter_mut().step_by(POSITIONS);
        keys.zip(key).for_each(|(out, x)| *out = T::from_f32(x * key_inverse));
        let values = &mut self.values[position * head_dim..][..head_dim];
        values.iter_mut().zip(value).for_each(|(out, x)| *out = T::from_f32(x * value_inverse));
    }
}

fn grow<T: Copy + Default>(rows: &mut Vec<T>, len: usize) -> Result<(), TryReserveError> {
    let more = len.saturating_sub(rows.len());
    rows.try_reserve_exact(more)?;
    rows.resize(rows.len() + more, T::default());
    Ok(())
}
