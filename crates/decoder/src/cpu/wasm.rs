//! WebAssembly's 128-bit vectors, with and without relaxed SIMD.

use core::{arch::wasm32::*, array::from_fn, hint::black_box};

#[cfg(target_feature = "relaxed-simd")]
use super::isa::{Dot, InputRow, ScaledDot};
#[cfg(not(target_feature = "relaxed-simd"))]
use super::plain::FieldMasks;
use super::{
    isa::{HALF_UNIT, Isa, Mask},
    words::Words,
};

/// Eight lanes with relaxed SIMD, else sixteen: each activation that is broadcast meets several vectors.
#[derive(Clone, Copy)]
pub struct Wasm;

pub const VECTORS: usize = if cfg!(target_feature = "relaxed-simd") { 2 } else { 4 };

/// Without relaxed SIMD words are multiplied, not bytes.
pub const FIELDS: bool = cfg!(not(target_feature = "relaxed-simd"));

/// Vectors of four lanes each.
pub type Lanes = [v128; VECTORS];

#[inline(always)]
pub fn each(a: Lanes, f: impl Fn(v128) -> v128) -> Lanes {
    from_fn(|i| f(a[i]))
}

#[inline(always)]
pub fn both(a: Lanes, b: Lanes, f: impl Fn(v128, v128) -> v128) -> Lanes {
    from_fn(|i| f(a[i], b[i]))
}

/// V8 makes a constant anew in every turn of a loop, by three or four instructions. What it cannot know, it keeps.
#[derive(Clone, Copy)]
pub struct Constants {
    nibble: v128,
    fifth: v128,
    sixth: v128,
    pub low_bytes: v128,
    #[cfg(target_feature = "relaxed-simd")]
    ones: v128,
    half_bits: v128,
    half_unit: v128,
    #[cfg(not(target_feature = "relaxed-simd"))]
    pub fields: FieldMasks,
}

/// Bytes as `i16`.
#[inline(always)]
pub unsafe fn small<const SIGNED: bool>(from: *const u8) -> [v128; VECTORS / 2] {
    from_fn(|i| unsafe {
        let eight = from.add(8 * i);
        if SIGNED { i16x8_load_extend_i8x8(eight.cast()) } else { u16x8_load_extend_u8x8(eight.cast()) }
    })
}

/// Pairs of an `i16` of `a` and one of `b`.
#[inline(always)]
fn mix(a: [v128; VECTORS / 2], b: [v128; VECTORS / 2]) -> Lanes {
    from_fn(|i| {
        let (a, b) = (a[i / 2], b[i / 2]);
        if i % 2 == 0 {
            i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b)
        } else {
            i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b)
        }
    })
}

/// Each `i16` as `i32`.
#[inline(always)]
pub fn wide(a: [v128; VECTORS / 2]) -> Lanes {
    from_fn(|i| if i % 2 == 0 { i32x4_extend_low_i16x8(a[i / 2]) } else { i32x4_extend_high_i16x8(a[i / 2]) })
}

impl Isa for Wasm {
    const LANES: usize = 4 * VECTORS;
    const PANELS: usize = 1;
    const TILE: usize = if FIELDS { 2 } else { 4 };
    const VECTORS: usize = if FIELDS { 1 } else { 2 };
    const BIAS: u8 = 0;
    type Bytes = Lanes;
    type Ints = Lanes;
    type Floats = Lanes;
    type Constants = Constants;
    #[cfg(target_feature = "relaxed-simd")]
    type Unsigned = Relaxed;
    #[cfg(not(target_feature = "relaxed-simd"))]
    type Unsigned = Words<false>;
    type Signed = Words<true>;

    #[inline(always)]
    fn constants() -> Constants {
        Constants {
            nibble: u8x16_splat(black_box(Mask::Nibble as u8)),
            fifth: u8x16_splat(black_box(Mask::Fifth as u8)),
            sixth: u8x16_splat(black_box(Mask::Sixth as u8)),
            low_bytes: u16x8_splat(black_box(0xff)),
            #[cfg(target_feature = "relaxed-simd")]
            ones: u16x8_splat(black_box(1)),
            // Where the sign was extended over the exponent only its topmost copy stays.
            half_bits: u32x4_splat(black_box(0x8fff_e000)),
            half_unit: f32x4_splat(black_box(HALF_UNIT)),
            #[cfg(not(target_feature = "relaxed-simd"))]
            fields: FieldMasks::new(),
        }
    }

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Lanes {
        from_fn(|i| unsafe { v128_load(from.add(16 * i).cast()) })
    }

    #[inline(always)]
    unsafe fn and(k: Constants, a: Lanes, mask: Mask) -> Lanes {
        let mask = match mask {
            Mask::Nibble => k.nibble,
            Mask::Fifth => k.fifth,
            Mask::Sixth => k.sixth,
        };
        each(a, |a| v128_and(a, mask))
    }

    #[inline(always)]
    unsafe fn or(a: Lanes, b: Lanes) -> Lanes {
        both(a, b, |a, b| v128_or(a, b))
    }

    #[inline(always)]
    unsafe fn shr(a: Lanes, bits: u32) -> Lanes {
        each(a, |a| u16x8_shr(a, bits))
    }

    #[inline(always)]
    unsafe fn shl(a: Lanes, bits: u32) -> Lanes {
        each(a, |a| u16x8_shl(a, bits))
    }

    #[inline(always)]
    unsafe fn zero() -> Lanes {
        [i32x4_splat(0); VECTORS]
    }

    #[inline(always)]
    unsafe fn ints(from: *const i32, bits: u32) -> Lanes {
        [i32x4_shl(unsafe { v128_load32_splat(from.cast()) }, bits); VECTORS]
    }

    #[inline(always)]
    unsafe fn add(a: Lanes, b: Lanes) -> Lanes {
        both(a, b, |a, b| i32x4_add(a, b))
    }

    #[inline(always)]
    unsafe fn shift(a: Lanes, bits: u32) -> Lanes {
        each(a, |a| i32x4_shl(a, bits))
    }

    #[inline(always)]
    unsafe fn weigh<const SIGNED: bool>(sum: Lanes, rows: *const u8, by: *const [i16; 2]) -> Lanes {
        let (a, b, by) =
            unsafe { (small::<SIGNED>(rows), small::<SIGNED>(rows.add(Self::LANES)), v128_load32_splat(by.cast())) };
        both(sum, mix(a, b), |sum, weights| i32x4_add(sum, i32x4_dot_i16x8(weights, by)))
    }

    #[inline(always)]
    unsafe fn to_floats(a: Lanes) -> Lanes {
        each(a, |a| f32x4_convert_i32x4(a))
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Lanes {
        [f32x4_splat(value); VECTORS]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Lanes {
        from_fn(|i| unsafe { v128_load(from.add(4 * i).cast()) })
    }

    #[inline(always)]
    unsafe fn store(a: Lanes, to: *mut f32) {
        for (i, a) in a.into_iter().enumerate() {
            unsafe { v128_store(to.add(4 * i).cast(), a) };
        }
    }

    #[inline(always)]
    unsafe fn halves(k: Constants, from: *const u8) -> Lanes {
        let words = from_fn(|i| unsafe { i32x4_load_extend_i16x4(from.add(8 * i).cast()) });
        each(words, |words| v128_and(i32x4_shl(words, 13), k.half_bits))
    }

    #[inline(always)]
    unsafe fn whole(k: Constants, a: Lanes) -> Lanes {
        each(a, |a| f32x4_mul(a, k.half_unit))
    }

    #[inline(always)]
    unsafe fn i8s(from: *const u8) -> Lanes {
        each(wide(unsafe { small::<true>(from) }), |ints| f32x4_convert_i32x4(ints))
    }

    #[inline(always)]
    unsafe fn mul(a: Lanes, b: Lanes) -> Lanes {
        both(a, b, |a, b| f32x4_mul(a, b))
    }

    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    unsafe fn mul_add(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        from_fn(|i| f32x4_relaxed_madd(a[i], b[i], c[i]))
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    unsafe fn mul_add(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        from_fn(|i| f32x4_add(f32x4_mul(a[i], b[i]), c[i]))
    }
}

/// The relaxed dot product, whose second operand must be below 128 to mean the same on every machine.
#[cfg(target_feature = "relaxed-simd")]
pub struct Relaxed;

#[cfg(target_feature = "relaxed-simd")]
impl Dot<Wasm> for Relaxed {
    type Weights = Lanes;
    type Input = v128;
    /// Sums of pairs in `i16`.
    type Partial = Lanes;
    const WIDE: bool = false;

    #[inline(always)]
    unsafe fn prepare(_: Constants, bytes: Lanes) -> Lanes {
        bytes
    }

    #[inline(always)]
    unsafe fn input(row: InputRow, quad: usize) -> v128 {
        unsafe { v128_load32_splat(row.bytes(quad).cast()) }
    }

    #[inline(always)]
    unsafe fn zero() -> Lanes {
        [i16x8_splat(0); VECTORS]
    }

    #[inline(always)]
    unsafe fn add(partial: Lanes, weights: Lanes, input: v128) -> Lanes {
        both(partial, weights, |partial, weights| i16x8_add(partial, i16x8_relaxed_dot_i8x16_i7x16(input, weights)))
    }

    #[inline(always)]
    unsafe fn flush(k: Constants, sum: Lanes, partial: Lanes) -> Lanes {
        both(sum, partial, |sum, partial| i32x4_add(sum, i32x4_dot_i16x8(partial, k.ones)))
    }
}

#[cfg(target_feature = "relaxed-simd")]
impl ScaledDot<Wasm> for Relaxed {
    type Scale = Lanes;

    #[inline(always)]
    unsafe fn scale<const SIGNED: bool>(from: *const u8) -> Lanes {
        let scales = unsafe { small::<SIGNED>(from) };
        mix(scales, scales)
    }

    #[inline(always)]
    unsafe fn flush_scaled(sum: Lanes, partial: Lanes, scale: Lanes) -> Lanes {
        let scaled = both(partial, scale, |partial, scale| i32x4_dot_i16x8(partial, scale));
        both(sum, scaled, |sum, scaled| i32x4_add(sum, scaled))
    }
}
