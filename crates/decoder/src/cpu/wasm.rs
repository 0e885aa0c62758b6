//! WebAssembly's 128-bit vectors in pairs, with and without relaxed SIMD.

use core::{arch::wasm32::*, hint::black_box};

use super::isa::{Dot, HALF_UNIT, InputRow, Isa, Mask, ScaledDot};

/// Eight lanes: each activation that is broadcast meets two vectors.
#[derive(Clone, Copy)]
pub struct Wasm;

type Pair = [v128; 2];

#[inline(always)]
fn each(a: Pair, f: impl Fn(v128) -> v128) -> Pair {
    [f(a[0]), f(a[1])]
}

#[inline(always)]
fn both(a: Pair, b: Pair, f: impl Fn(v128, v128) -> v128) -> Pair {
    [f(a[0], b[0]), f(a[1], b[1])]
}

/// V8 makes a constant anew in every turn of a loop, by three or four instructions. What it cannot know, it keeps.
#[derive(Clone, Copy)]
pub struct Constants {
    nibble: v128,
    fifth: v128,
    sixth: v128,
    low_bytes: v128,
    #[cfg(target_feature = "relaxed-simd")]
    ones: v128,
    half_bits: v128,
    half_unit: v128,
}

/// Eight bytes as `i16`.
#[inline(always)]
unsafe fn small<const SIGNED: bool>(from: *const u8) -> v128 {
    unsafe { if SIGNED { i16x8_load_extend_i8x8(from.cast()) } else { u16x8_load_extend_u8x8(from.cast()) } }
}

/// Pairs of an `i16` of `a` and one of `b`.
#[inline(always)]
fn mix(a: v128, b: v128) -> Pair {
    [i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b), i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b)]
}

impl Isa for Wasm {
    const LANES: usize = 8;
    const PANELS: usize = 1;
    const BIAS: u8 = 0;
    type Bytes = Pair;
    type Ints = Pair;
    type Floats = Pair;
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
        }
    }

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Pair {
        unsafe { [v128_load(from.cast()), v128_load(from.add(16).cast())] }
    }

    #[inline(always)]
    unsafe fn and(k: Constants, a: Pair, mask: Mask) -> Pair {
        let mask = match mask {
            Mask::Nibble => k.nibble,
            Mask::Fifth => k.fifth,
            Mask::Sixth => k.sixth,
        };
        each(a, |a| v128_and(a, mask))
    }

    #[inline(always)]
    unsafe fn or(a: Pair, b: Pair) -> Pair {
        both(a, b, |a, b| v128_or(a, b))
    }

    #[inline(always)]
    unsafe fn shr(a: Pair, bits: u32) -> Pair {
        each(a, |a| u16x8_shr(a, bits))
    }

    #[inline(always)]
    unsafe fn shl(a: Pair, bits: u32) -> Pair {
        each(a, |a| u16x8_shl(a, bits))
    }

    #[inline(always)]
    unsafe fn zero() -> Pair {
        [i32x4_splat(0); 2]
    }

    #[inline(always)]
    unsafe fn ints(from: *const i32, bits: u32) -> Pair {
        [i32x4_shl(unsafe { v128_load32_splat(from.cast()) }, bits); 2]
    }

    #[inline(always)]
    unsafe fn add(a: Pair, b: Pair) -> Pair {
        both(a, b, |a, b| i32x4_add(a, b))
    }

    #[inline(always)]
    unsafe fn shift(a: Pair, bits: u32) -> Pair {
        each(a, |a| i32x4_shl(a, bits))
    }

    #[inline(always)]
    unsafe fn weigh<const SIGNED: bool>(sum: Pair, rows: *const u8, by: *const [i16; 2]) -> Pair {
        let (a, b, by) = unsafe { (small::<SIGNED>(rows), small::<SIGNED>(rows.add(8)), v128_load32_splat(by.cast())) };
        both(sum, mix(a, b), |sum, weights| i32x4_add(sum, i32x4_dot_i16x8(weights, by)))
    }

    #[inline(always)]
    unsafe fn to_floats(a: Pair) -> Pair {
        each(a, |a| f32x4_convert_i32x4(a))
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Pair {
        [f32x4_splat(value); 2]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Pair {
        unsafe { [v128_load(from.cast()), v128_load(from.add(4).cast())] }
    }

    #[inline(always)]
    unsafe fn store(a: Pair, to: *mut f32) {
        unsafe {
            v128_store(to.cast(), a[0]);
            v128_store(to.add(4).cast(), a[1]);
        }
    }

    #[inline(always)]
    unsafe fn halves(k: Constants, from: *const u8) -> Pair {
        let words = unsafe { [i32x4_load_extend_i16x4(from.cast()), i32x4_load_extend_i16x4(from.add(8).cast())] };
        each(words, |words| v128_and(i32x4_shl(words, 13), k.half_bits))
    }

    #[inline(always)]
    unsafe fn whole(k: Constants, a: Pair) -> Pair {
        each(a, |a| f32x4_mul(a, k.half_unit))
    }

    #[inline(always)]
    unsafe fn i8s(from: *const u8) -> Pair {
        let words = unsafe { i16x8_load_extend_i8x8(from.cast()) };
        let ints = [i32x4_extend_low_i16x8(words), i32x4_extend_high_i16x8(words)];
        each(ints, |ints| f32x4_convert_i32x4(ints))
    }

    #[inline(always)]
    unsafe fn mul(a: Pair, b: Pair) -> Pair {
        both(a, b, |a, b| f32x4_mul(a, b))
    }

    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    unsafe fn mul_add(a: Pair, b: Pair, c: Pair) -> Pair {
        [f32x4_relaxed_madd(a[0], b[0], c[0]), f32x4_relaxed_madd(a[1], b[1], c[1])]
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    unsafe fn mul_add(a: Pair, b: Pair, c: Pair) -> Pair {
        [f32x4_add(f32x4_mul(a[0], b[0]), c[0]), f32x4_add(f32x4_mul(a[1], b[1]), c[1])]
    }
}

/// Bytes widened to `i16`, the even ones and the odd ones of each lane.
pub struct Words<const SIGNED: bool>;

impl<const SIGNED: bool> Dot<Wasm> for Words<SIGNED> {
    type Weights = [Pair; 2];
    type Input = [v128; 2];
    type Partial = Pair;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn prepare(k: Constants, bytes: Pair) -> [Pair; 2] {
        if SIGNED {
            [each(bytes, |bytes| i16x8_shr(i16x8_shl(bytes, 8), 8)), each(bytes, |bytes| i16x8_shr(bytes, 8))]
        } else {
            [each(bytes, |bytes| v128_and(bytes, k.low_bytes)), each(bytes, |bytes| u16x8_shr(bytes, 8))]
        }
    }

    #[inline(always)]
    unsafe fn input(row: InputRow, quad: usize) -> [v128; 2] {
        let words: *const u32 = unsafe { row.words.add(4 * quad) }.cast();
        unsafe { [v128_load32_splat(words), v128_load32_splat(words.add(1))] }
    }

    #[inline(always)]
    unsafe fn zero() -> Pair {
        [i32x4_splat(0); 2]
    }

    #[inline(always)]
    unsafe fn add(partial: Pair, weights: [Pair; 2], input: [v128; 2]) -> Pair {
        let even = both(partial, weights[0], |partial, weights| i32x4_add(partial, i32x4_dot_i16x8(weights, input[0])));
        both(even, weights[1], |partial, weights| i32x4_add(partial, i32x4_dot_i16x8(weights, input[1])))
    }

    #[inline(always)]
    unsafe fn flush(_: Constants, sum: Pair, partial: Pair) -> Pair {
        both(sum, partial, |sum, partial| i32x4_add(sum, partial))
    }
}

/// The relaxed dot product, whose second operand must be below 128 to mean the same on every machine.
#[cfg(target_feature = "relaxed-simd")]
pub struct Relaxed;

#[cfg(target_feature = "relaxed-simd")]
impl Dot<Wasm> for Relaxed {
    type Weights = Pair;
    type Input = v128;
    /// Pair sums in `i16`.
    type Partial = Pair;
    const WIDE: bool = false;

    #[inline(always)]
    unsafe fn prepare(_: Constants, bytes: Pair) -> Pair {
        bytes
    }

    #[inline(always)]
    unsafe fn input(row: InputRow, quad: usize) -> v128 {
        unsafe { v128_load32_splat(row.bytes(quad).cast()) }
    }

    #[inline(always)]
    unsafe fn zero() -> Pair {
        [i16x8_splat(0); 2]
    }

    #[inline(always)]
    unsafe fn add(partial: Pair, weights: Pair, input: v128) -> Pair {
        both(partial, weights, |partial, weights| i16x8_add(partial, i16x8_relaxed_dot_i8x16_i7x16(input, weights)))
    }

    #[inline(always)]
    unsafe fn flush(k: Constants, sum: Pair, partial: Pair) -> Pair {
        both(sum, partial, |sum, partial| i32x4_add(sum, i32x4_dot_i16x8(partial, k.ones)))
    }
}

#[cfg(target_feature = "relaxed-simd")]
impl ScaledDot<Wasm> for Relaxed {
    type Scale = Pair;

    #[inline(always)]
    unsafe fn scale<const SIGNED: bool>(from: *const u8) -> Pair {
        let scales = unsafe { small::<SIGNED>(from) };
        mix(scales, scales)
    }

    #[inline(always)]
    unsafe fn flush_scaled(sum: Pair, partial: Pair, scale: Pair) -> Pair {
        let scaled = both(partial, scale, |partial, scale| i32x4_dot_i16x8(partial, scale));
        both(sum, scaled, |sum, scaled| i32x4_add(sum, scaled))
    }
}

#[cfg(not(target_feature = "relaxed-simd"))]
impl ScaledDot<Wasm> for Words<false> {
    type Scale = Pair;

    #[inline(always)]
    unsafe fn scale<const SIGNED: bool>(from: *const u8) -> Pair {
        let scales = unsafe { small::<SIGNED>(from) };
        [i32x4_extend_low_i16x8(scales), i32x4_extend_high_i16x8(scales)]
    }

    #[inline(always)]
    unsafe fn flush_scaled(sum: Pair, partial: Pair, scale: Pair) -> Pair {
        let scaled = both(partial, scale, |partial, scale| i32x4_mul(partial, scale));
        both(sum, scaled, |sum, scaled| i32x4_add(sum, scaled))
    }
}
