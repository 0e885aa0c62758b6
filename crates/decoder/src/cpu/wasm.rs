//! WebAssembly's 128-bit vectors, with and without relaxed SIMD.

use core::arch::wasm32::*;

use super::isa::{Dot, InputRow, Isa};

#[derive(Clone, Copy)]
pub struct Wasm;

/// 2^112 moves an exponent from half precision's bias to single precision's.
const HALF_TO_SINGLE: f32 = f32::from_bits((127 + 112) << 23);

impl Isa for Wasm {
    const LANES: usize = 4;
    const BIAS: u8 = 0;
    type Bytes = v128;
    type Ints = v128;
    type Floats = v128;
    #[cfg(target_feature = "relaxed-simd")]
    type Unsigned = Relaxed;
    #[cfg(not(target_feature = "relaxed-simd"))]
    type Unsigned = Words<false>;
    type Signed = Words<true>;

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> v128 {
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn and(a: v128, mask: u8) -> v128 {
        v128_and(a, u8x16_splat(mask))
    }

    #[inline(always)]
    unsafe fn or(a: v128, b: v128) -> v128 {
        v128_or(a, b)
    }

    #[inline(always)]
    unsafe fn shr(a: v128, bits: u32) -> v128 {
        u16x8_shr(a, bits)
    }

    #[inline(always)]
    unsafe fn shl(a: v128, bits: u32) -> v128 {
        u16x8_shl(a, bits)
    }

    #[inline(always)]
    unsafe fn ints(value: i32, bits: u32) -> v128 {
        i32x4_shl(i32x4_splat(value), bits)
    }

    #[inline(always)]
    unsafe fn to_floats(a: v128) -> v128 {
        f32x4_convert_i32x4(a)
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> v128 {
        f32x4_splat(value)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> v128 {
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(a: v128, to: *mut f32) {
        unsafe { v128_store(to.cast(), a) };
    }

    #[inline(always)]
    unsafe fn halves(from: *const u8) -> v128 {
        // The sign is extended over the high half, where the mask keeps its topmost copy only.
        let bits = i32x4_shl(unsafe { i32x4_load_extend_i16x4(from.cast()) }, 13);
        f32x4_mul(v128_and(bits, u32x4_splat(0x8fff_e000)), f32x4_splat(HALF_TO_SINGLE))
    }

    #[inline(always)]
    unsafe fn u8s(from: *const u8) -> v128 {
        let bytes = unsafe { v128_load32_zero(from.cast()) };
        f32x4_convert_i32x4(u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(bytes)))
    }

    #[inline(always)]
    unsafe fn i8s(from: *const u8) -> v128 {
        let bytes = unsafe { v128_load32_zero(from.cast()) };
        f32x4_convert_i32x4(i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(bytes)))
    }

    #[inline(always)]
    unsafe fn mul(a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }

    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    unsafe fn mul_add(a: v128, b: v128, c: v128) -> v128 {
        f32x4_relaxed_madd(a, b, c)
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    unsafe fn mul_add(a: v128, b: v128, c: v128) -> v128 {
        f32x4_add(f32x4_mul(a, b), c)
    }
}

/// Bytes widened to `i16`, the even ones and the odd ones of each lane.
pub struct Words<const SIGNED: bool>;

impl<const SIGNED: bool> Dot<Wasm> for Words<SIGNED> {
    type Weights = [v128; 2];
    type Input = [v128; 2];
    type Partial = v128;

    #[inline(always)]
    unsafe fn prepare(bytes: v128) -> [v128; 2] {
        if SIGNED {
            [i16x8_shr(i16x8_shl(bytes, 8), 8), i16x8_shr(bytes, 8)]
        } else {
            [v128_and(bytes, u16x8_splat(0xff)), u16x8_shr(bytes, 8)]
        }
    }

    #[inline(always)]
    unsafe fn input(row: InputRow, quad: usize) -> [v128; 2] {
        let words: *const u32 = unsafe { row.words.add(4 * quad) }.cast();
        unsafe { [v128_load32_splat(words), v128_load32_splat(words.add(1))] }
    }

    #[inline(always)]
    unsafe fn zero() -> v128 {
        i32x4_splat(0)
    }

    #[inline(always)]
    unsafe fn add(partial: v128, weights: [v128; 2], input: [v128; 2]) -> v128 {
        let even = i32x4_add(partial, i32x4_dot_i16x8(weights[0], input[0]));
        i32x4_add(even, i32x4_dot_i16x8(weights[1], input[1]))
    }

    #[inline(always)]
    unsafe fn flush(sum: v128, partial: v128) -> v128 {
        i32x4_add(sum, partial)
    }
}

/// The relaxed dot product, whose second operand must be below 128 to mean the same on every machine.
#[cfg(target_feature = "relaxed-simd")]
pub struct Relaxed;

#[cfg(target_feature = "relaxed-simd")]
impl Dot<Wasm> for Relaxed {
    type Weights = v128;
    type Input = v128;
    /// Pair sums in `i16`.
    type Partial = v128;

    #[inline(always)]
    unsafe fn prepare(bytes: v128) -> v128 {
        bytes
    }

    #[inline(always)]
    unsafe fn input(row: InputRow, quad: usize) -> v128 {
        unsafe { v128_load32_splat(row.bytes.add(4 * quad).cast()) }
    }

    #[inline(always)]
    unsafe fn zero() -> v128 {
        i16x8_splat(0)
    }

    #[inline(always)]
    unsafe fn add(partial: v128, weights: v128, input: v128) -> v128 {
        i16x8_add(partial, i16x8_relaxed_dot_i8x16_i7x16(input, weights))
    }

    #[inline(always)]
    unsafe fn flush(sum: v128, partial: v128) -> v128 {
        i32x4_add(sum, i32x4_dot_i16x8(partial, i16x8_splat(1)))
    }
}
