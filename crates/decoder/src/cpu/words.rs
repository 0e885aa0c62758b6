//! Products of 16-bit words, which WebAssembly has without relaxed SIMD.

use core::{arch::wasm32::*, array::from_fn};

use super::{
    format::{self, Format},
    isa::{Dot, InputRow},
    matmul,
    wasm::{Constants, Lanes, Products, VECTORS, Wasm, both, each},
};
#[cfg(not(target_feature = "relaxed-simd"))]
use super::{
    isa::{Isa, ScaledDot},
    plain,
    wasm::{small, wide},
};

/// What every browser's SIMD has: products of `i16`.
#[cfg(not(target_feature = "relaxed-simd"))]
#[derive(Clone, Copy)]
pub struct Plain;

#[cfg(not(target_feature = "relaxed-simd"))]
impl Products for Plain {
    const BIAS: u8 = 0;
    type Unsigned = Words<false>;
    type Signed = Words<true>;
}

/// Bytes widened to `i16`, the even ones and the odd ones of each lane.
pub struct Words<const SIGNED: bool>;

impl<P: Products, const SIGNED: bool> Dot<Wasm<P>> for Words<SIGNED> {
    type Weights = [Lanes; 2];
    type Input = [v128; 2];
    type Partial = Lanes;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn prepare(k: Constants, bytes: Lanes) -> [Lanes; 2] {
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
    unsafe fn zero() -> Lanes {
        [i32x4_splat(0); VECTORS]
    }

    #[inline(always)]
    unsafe fn add(partial: Lanes, weights: [Lanes; 2], input: [v128; 2]) -> Lanes {
        let even = both(partial, weights[0], |partial, weights| add(partial, weights, input[0]));
        both(even, weights[1], |partial, weights| add(partial, weights, input[1]))
    }

    #[inline(always)]
    unsafe fn flush(_: Constants, sum: Lanes, partial: Lanes) -> Lanes {
        both(sum, partial, |sum, partial| i32x4_add(sum, partial))
    }

    /// Half a quad at a time, in a loop whose end the compiler does not know: else more weights would be there at once than there are registers. The
    /// first comes before the loop: V8 keeps a sum that begins with a constant in memory.
    #[inline(always)]
    unsafe fn tile<F: Format, const PANELS: usize, const T: usize>(
        k: Constants,
        record: *const u8,
        first: usize,
        inputs: &[InputRow; T],
    ) -> [[Lanes; T]; PANELS] {
        unsafe {
            let quads = match (PANELS, format::quads_per_flush::<Wasm<P>, F, Self>()) {
                (1, 8) => k.quads[0],
                (1, 4) => k.quads[1],
                _ => return matmul::tile_quads::<Wasm<P>, F, Self, PANELS, T>(record, first, inputs),
            };
            let mut weights = record.cast::<Lanes>().add(2 * first);
            let mut words: [*const i16; T] = from_fn(|t| inputs[t].words.add(4 * first));
            let end = weights.add(2 * quads);
            let mut partials = [[i32x4_splat(0); VECTORS]; T];
            add_half_quad(&mut partials, weights, &words);
            loop {
                weights = weights.add(1);
                for words in &mut words {
                    *words = words.add(2);
                }
                if weights == end {
                    return [partials; PANELS];
                }
                add_half_quad(&mut partials, weights, &words);
            }
        }
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    unsafe fn weights<F: Format>(k: Constants, codes: *const u8, quad: usize) -> [[Lanes; 2]; 2] {
        unsafe {
            match F::BITS {
                4 => [plain::four_bits(codes, quad), plain::four_bits(codes, quad + 4)],
                5 => [plain::five_bits(codes, quad), plain::five_bits(codes, quad + 4)],
                6 => [plain::six_bits(codes, quad), plain::six_bits(codes, quad + 4)],
                _ => format::weights::<Wasm<P>, F, Self>(k, codes, quad),
            }
        }
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    unsafe fn stream<F: Format>(k: Constants, codes: *const u8, first: usize, input: InputRow) -> [Lanes; 2] {
        unsafe {
            match F::BITS {
                4 => [plain::stream_nibbles(k, codes, input), Wasm::<P>::zero()],
                5 => [plain::stream_five_bits(k, codes, input), Wasm::<P>::zero()],
                6 => [0, 1].map(|half| plain::stream_six_bits(k, codes, input, half)),
                _ => matmul::stream_quads::<Wasm<P>, F, Self>(k, codes, first, input),
            }
        }
    }
}

/// Adds the products of two columns.
#[inline(always)]
unsafe fn add_half_quad<const T: usize>(partials: &mut [Lanes; T], weights: *const Lanes, words: &[*const i16; T]) {
    unsafe {
        let by: [v128; T] = from_fn(|t| v128_load32_splat(words[t].cast()));
        for vector in 0..VECTORS {
            let weights = v128_load(weights.cast::<v128>().add(vector));
            for t in 0..T {
                partials[t][vector] = add(partials[t][vector], weights, by[t]);
            }
        }
    }
}

/// Adds the products of each two words.
#[inline(always)]
pub fn add(sum: v128, weights: v128, by: v128) -> v128 {
    i32x4_add(sum, i32x4_dot_i16x8(weights, by))
}

#[cfg(not(target_feature = "relaxed-simd"))]
impl<P: Products> ScaledDot<Wasm<P>> for Words<false> {
    type Scale = Lanes;
    const OFFSETS: bool = true;

    #[inline(always)]
    unsafe fn scale<const SIGNED: bool>(from: *const u8) -> Lanes {
        wide(unsafe { small::<SIGNED>(from) })
    }

    #[inline(always)]
    unsafe fn offset(partial: Lanes, by: i32) -> Lanes {
        each(partial, |partial| i32x4_add(partial, i32x4_splat(by)))
    }

    #[inline(always)]
    unsafe fn flush_scaled(sum: Lanes, partial: Lanes, scale: Lanes) -> Lanes {
        let scaled = both(partial, scale, |partial, scale| i32x4_mul(partial, scale));
        both(sum, scaled, |sum, scaled| i32x4_add(sum, scaled))
    }
}
