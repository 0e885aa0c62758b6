//! WebAssembly's 128-bit vectors, with and without relaxed SIMD.

use core::{arch::wasm32::*, array::from_fn, hint::black_box, marker::PhantomData};

#[cfg(not(target_feature = "relaxed-simd"))]
use super::plain::FieldMasks;
use super::{
    activations::ROUNDER,
    format::SUB,
    isa::{Dot, HALF_UNIT, Isa, Mask, ScaledDot},
};
#[cfg(target_feature = "relaxed-simd")]
use super::{isa::SUM_SHIFT, relaxed::SecondOperand};

/// Eight lanes with relaxed SIMD, else sixteen: each activation that is broadcast meets several vectors.
#[derive(Clone, Copy)]
pub struct Wasm<P>(PhantomData<P>);

/// How bytes are multiplied.
pub trait Products: Copy + 'static {
    /// [`Isa::BIAS`]
    const BIAS: u8;
    type Unsigned: ScaledDot<Wasm<Self>>;
    type Signed: Dot<Wasm<Self>>;
}

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
    pub nibble: v128,
    pub fifth: v128,
    pub low_six: v128,
    top_two: v128,
    #[cfg(target_feature = "relaxed-simd")]
    pub sub_block: usize,
    pub low_bytes: v128,
    #[cfg(target_feature = "relaxed-simd")]
    pub ones: v128,
    /// The quads of a sub-block, and half of them.
    pub quads: [usize; 2],
    #[cfg(target_feature = "relaxed-simd")]
    pub second: SecondOperand,
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
pub fn mix(a: [v128; VECTORS / 2], b: [v128; VECTORS / 2]) -> Lanes {
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

impl<P: Products> Isa for Wasm<P> {
    const LANES: usize = 4 * VECTORS;
    const PANELS: usize = 1;
    const TILE: usize = if FIELDS { 2 } else { 4 };
    const WIDE_ROWS: usize = if FIELDS { 0 } else { 2 };
    const BIAS: u8 = P::BIAS;
    type Bytes = Lanes;
    type Ints = Lanes;
    type Floats = Lanes;
    type Constants = Constants;
    type Unsigned = P::Unsigned;
    type Signed = P::Signed;

    #[inline(always)]
    fn constants() -> Constants {
        Constants {
            nibble: u8x16_splat(black_box(Mask::Nibble as u8)),
            fifth: u8x16_splat(black_box(Mask::Fifth as u8)),
            low_six: u8x16_splat(black_box(Mask::LowSix as u8)),
            top_two: u8x16_splat(black_box(Mask::TopTwo as u8)),
            #[cfg(target_feature = "relaxed-simd")]
            sub_block: black_box(6 * size_of::<Lanes>()),
            low_bytes: u16x8_splat(black_box(0xff)),
            #[cfg(target_feature = "relaxed-simd")]
            ones: u16x8_splat(black_box(1)),
            quads: [black_box(SUB / 4), black_box(SUB / 8)],
            #[cfg(target_feature = "relaxed-simd")]
            second: SecondOperand::detect(),
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
            Mask::LowSix => k.low_six,
            Mask::TopTwo => k.top_two,
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

    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    unsafe fn unbias(k: Constants, from: *const i32) -> Lanes {
        let ints = i32x4_shl(unsafe { v128_load32_splat(from.cast()) }, Self::BIAS.trailing_zeros() - SUM_SHIFT);
        [v128_and(ints, k.second.offset); VECTORS]
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

    #[inline(always)]
    unsafe fn round(
        values: &[f32; SUB],
        inverse: f32,
        bytes: &mut [i8; SUB],
        words: Option<&mut [i16; SUB]>,
    ) -> [i32; 2] {
        let mut words = words.map(|words| words.as_chunks_mut::<8>().0);
        let (inverse, rounder) = (f32x4_splat(inverse), f32x4_splat(ROUNDER));
        from_fn(|half| unsafe {
            let ints: [v128; 4] = from_fn(|i| {
                let four = v128_load(values.as_ptr().add(16 * half + 4 * i).cast());
                i32x4_sub(f32x4_add(f32x4_mul(four, inverse), rounder), rounder)
            });
            let narrow = i8x16_narrow_i16x8(i16x8_narrow_i32x4(ints[0], ints[1]), i16x8_narrow_i32x4(ints[2], ints[3]));
            v128_store(bytes.as_mut_ptr().add(16 * half).cast(), narrow);
            let wide = [i16x8_extend_low_i8x16(narrow), i16x8_extend_high_i8x16(narrow)];
            if let Some(words) = &mut words {
                for (words, wide) in words[2 * half..].iter_mut().zip(wide) {
                    v128_store(words.as_mut_ptr().cast(), i16x8_shuffle::<0, 2, 1, 3, 4, 6, 5, 7>(wide, wide));
                }
            }
            let fours = i32x4_dot_i16x8(i16x8_add(wide[0], wide[1]), i16x8_splat(1));
            let twos = i32x4_add(fours, i32x4_shuffle::<2, 3, 2, 3>(fours, fours));
            i32x4_extract_lane::<0>(twos) + i32x4_extract_lane::<1>(twos)
        })
    }
}
