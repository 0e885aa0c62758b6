//! WebAssembly's 128-bit vectors, with and without relaxed SIMD.

use core::{arch::wasm32::*, array::from_fn, hint::black_box};

#[cfg(not(target_feature = "relaxed-simd"))]
use super::plain::FieldMasks;
use super::{
    activations::ROUNDER,
    format::SUB,
    isa::{HALF_UNIT, Isa, Mask},
    words::Words,
};
#[cfg(target_feature = "relaxed-simd")]
use super::{
    coarse,
    format::Format,
    isa::{Dot, InputRow, ScaledDot},
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
    low_six: v128,
    top_two: v128,
    #[cfg(target_feature = "relaxed-simd")]
    sub_block: usize,
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
    const WIDE_ROWS: usize = if FIELDS { 0 } else { 2 };
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
            low_six: u8x16_splat(black_box(Mask::LowSix as u8)),
            top_two: u8x16_splat(black_box(Mask::TopTwo as u8)),
            #[cfg(target_feature = "relaxed-simd")]
            sub_block: black_box(6 * size_of::<Lanes>()),
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

    #[inline(always)]
    unsafe fn stream_scaled<F: Format, const T: usize>(
        k: Constants,
        mut dots: [Lanes; T],
        small: *const u8,
        codes: *const u8,
        inputs: [InputRow; T],
    ) -> [Lanes; T] {
        unsafe {
            if F::BITS != 6 {
                return coarse::stream_sub::<Wasm, F, Self, T>(k, dots, small, codes, inputs);
            }
            for (dots, input) in dots.iter_mut().zip(inputs) {
                let (mut small, mut codes, mut bytes) = (small, codes, input.bytes(0));
                let end = codes.add(k.sub_block);
                while codes != end {
                    *dots = six_bits(k, *dots, Self::scale::<true>(small), codes, bytes);
                    small = small.add(Wasm::LANES);
                    codes = codes.add(3 * size_of::<Lanes>());
                    bytes = bytes.add(16);
                }
            }
            dots
        }
    }
}

/// Adds the products of four quads of six-bit codes, which have one scale. The fourth quad comes together while the others are multiplied, so
/// that few vectors wait.
#[cfg(target_feature = "relaxed-simd")]
#[inline(always)]
unsafe fn six_bits(k: Constants, sum: Lanes, scale: Lanes, codes: *const u8, bytes: *const i8) -> Lanes {
    unsafe {
        let by = |index: usize| v128_load32_splat(bytes.add(4 * index).cast());
        let third = |index: usize| Wasm::bytes(codes.add(index * size_of::<Lanes>()));
        let split = |bytes| {
            let low = each(bytes, |bytes| v128_and(bytes, k.low_six));
            (low, both(bytes, low, |bytes, low| v128_xor(bytes, low)))
        };
        let gather = |tops, more| both(tops, more, |tops, more| v128_or(u16x8_shr(tops, 2), more));
        let (first, tops) = split(third(0));
        let partial = Relaxed::add(Relaxed::zero(), first, by(0));
        let (second, more) = split(third(1));
        let tops = gather(tops, more);
        let sum = Relaxed::flush_scaled(sum, Relaxed::add(partial, second, by(1)), scale);
        let (third, more) = split(third(2));
        let tops = gather(tops, more);
        let partial = Relaxed::add(Relaxed::zero(), third, by(2));
        let fourth = each(tops, |tops| u16x8_shr(tops, 2));
        Relaxed::flush_scaled(sum, Relaxed::add(partial, fourth, by(3)), scale)
    }
}
