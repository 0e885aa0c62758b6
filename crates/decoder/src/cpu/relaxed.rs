//! Products of relaxed SIMD: bytes by bytes, in sums of `i16` or, where the machine keeps them whole, of `i32`.

use core::{arch::wasm32::*, array::from_fn, hint::black_box};

use super::{
    coarse,
    format::{self, Format},
    isa::{Dot, InputRow, Isa, ScaledDot},
    matmul,
    wasm::{Constants, Lanes, Products, VECTORS, Wasm, both, each, mix, small, wide},
    words::Words,
};

/// Relaxed dot products, whose second operand must be below 128 to mean the same on every machine.
#[derive(Clone, Copy)]
pub struct Relaxed<const WHOLE: bool>;

/// For machines whose dot product is made of sums of pairs.
pub type Pairs = Relaxed<false>;

/// For machines with a dot product of four bytes: x86 with AVX-VNNI, and Arm.
pub type Quads = Relaxed<true>;

impl Products for Pairs {
    const BIAS: u8 = 0;
    type Unsigned = Self;
    type Signed = Words<true>;
}

impl Products for Quads {
    const BIAS: u8 = 128;
    type Unsigned = Self;
    type Signed = Self;
}

/// How a machine reads the relaxed dot product's second operand, where that is left to it: bytes above 127.
#[derive(Clone, Copy)]
pub struct SecondOperand {
    /// Turns biased weights into what is multiplied.
    flip: v128,
    /// All ones if the bias is multiplied, too, and must be taken away.
    pub offset: v128,
}

/// Four products of the largest activation and of the largest byte, which is 255 or -1.
fn largest_dot() -> i32 {
    let (activations, weights) = (i8x16_splat(black_box(127)), u8x16_splat(black_box(255)));
    i32x4_extract_lane::<0>(i32x4_relaxed_dot_i8x16_i7x16_add(activations, weights, i32x4_splat(0)))
}

impl SecondOperand {
    #[inline(always)]
    pub fn detect() -> Self {
        let is_signed = i32x4_splat(-i32::from(largest_dot() < 0));
        Self { flip: v128_and(is_signed, u8x16_splat(128)), offset: v128_not(is_signed) }
    }

    /// Does the machine keep sums of products whole, however it reads bytes?
    pub fn is_whole() -> bool {
        matches!(largest_dot(), -508 | 129_540)
    }
}

impl<const WHOLE: bool> Dot<Wasm<Self>> for Relaxed<WHOLE>
where
    Self: Products,
{
    type Weights = Lanes;
    type Input = v128;
    /// Sums of four products in `i32` or of two in `i16`.
    type Partial = Lanes;
    const WIDE: bool = WHOLE;

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
        [i32x4_splat(0); VECTORS]
    }

    #[inline(always)]
    unsafe fn add(partial: Lanes, weights: Lanes, input: v128) -> Lanes {
        both(partial, weights, |partial, weights| match WHOLE {
            true => i32x4_relaxed_dot_i8x16_i7x16_add(input, weights, partial),
            false => i16x8_add(partial, i16x8_relaxed_dot_i8x16_i7x16(input, weights)),
        })
    }

    #[inline(always)]
    unsafe fn flush(k: Constants, sum: Lanes, partial: Lanes) -> Lanes {
        both(sum, partial, |sum, partial| {
            i32x4_add(sum, if WHOLE { partial } else { i32x4_dot_i16x8(partial, k.ones) })
        })
    }

    #[inline(always)]
    unsafe fn weights<F: Format>(k: Constants, codes: *const u8, quad: usize) -> [Lanes; 2] {
        let weights = unsafe { format::weights::<Wasm<Self>, F, Self>(k, codes, quad) };
        if F::BITS < 8 { weights } else { weights.map(|bytes| each(bytes, |bytes| v128_xor(bytes, k.second.flip))) }
    }

    /// Whole sums in a loop whose end the compiler does not know. Unrolled, all weights would be there before the first product, more than there are
    /// registers.
    #[inline(always)]
    unsafe fn stream<F: Format>(k: Constants, mut codes: *const u8, first: usize, input: InputRow) -> [Lanes; 2] {
        unsafe {
            if !WHOLE || F::SCALES == 2 {
                return matmul::stream_quads::<Wasm<Self>, F, Self>(k, codes, first, input);
            }
            let mut fifths =
                if F::BITS == 5 { Wasm::<Self>::bytes(codes.add(4 * size_of::<Lanes>())) } else { Self::zero() };
            let mut bytes = input.bytes(0);
            let end = bytes.add(4 * k.quads[1]);
            let mut partial = Self::zero();
            while bytes != end {
                let [low, high] = match F::BITS {
                    5 => Self::five_bits(k, codes, &mut fifths),
                    _ => Self::weights::<F>(k, codes, 0),
                };
                let by = |quad: usize| v128_load32_splat(bytes.add(4 * quad).cast());
                partial = Self::add(Self::add(partial, low, by(0)), high, by(4));
                codes = codes.add(size_of::<Lanes>());
                bytes = bytes.add(4);
            }
            [partial, Self::zero()]
        }
    }

    /// In a loop whose end the compiler does not know. Unrolled, it would make one sum after the other, each of which waits for itself. The first quad
    /// comes before the loop: V8 keeps a sum that begins with a constant in memory.
    #[inline(always)]
    unsafe fn tile<F: Format, const PANELS: usize, const T: usize>(
        k: Constants,
        record: *const u8,
        first: usize,
        inputs: &[InputRow; T],
    ) -> [[Lanes; T]; PANELS] {
        unsafe {
            let quads = match format::quads_per_flush::<Wasm<Self>, F, Self>() {
                8 => k.quads[0],
                4 => k.quads[1],
                _ => return matmul::tile_quads::<Wasm<Self>, F, Self, PANELS, T>(record, first, inputs),
            };
            let add = |partials: [[Lanes; T]; PANELS], weights: *const [Lanes; PANELS], inputs: [InputRow; T]| {
                let (weights, by) = (weights.read_unaligned(), inputs.map(|input| Self::input(input, 0)));
                from_fn(|p| from_fn(|t| Self::add(partials[p][t], weights[p], by[t])))
            };
            let mut weights = record.cast::<[Lanes; PANELS]>().add(first);
            let mut inputs = inputs.map(|input| input.quads(first));
            let end = weights.add(quads);
            let mut partials = add([[Self::zero(); T]; PANELS], weights, inputs);
            loop {
                weights = weights.add(1);
                inputs = inputs.map(|input| input.quads(1));
                if weights == end {
                    return partials;
                }
                partials = add(partials, weights, inputs);
            }
        }
    }
}

impl<const WHOLE: bool> ScaledDot<Wasm<Self>> for Relaxed<WHOLE>
where
    Self: Products,
{
    type Scale = Lanes;

    #[inline(always)]
    unsafe fn scale<const SIGNED: bool>(from: *const u8) -> Lanes {
        let scales = unsafe { small::<SIGNED>(from) };
        if WHOLE { wide(scales) } else { mix(scales, scales) }
    }

    #[inline(always)]
    unsafe fn flush_scaled(sum: Lanes, partial: Lanes, scale: Lanes) -> Lanes {
        let scaled = both(partial, scale, |partial, scale| match WHOLE {
            true => i32x4_mul(partial, scale),
            false => i32x4_dot_i16x8(partial, scale),
        });
        both(sum, scaled, |sum, scaled| i32x4_add(sum, scaled))
    }

    #[inline(always)]
    unsafe fn stream_scaled<F: Format>(
        k: Constants,
        mut dots: Lanes,
        mut small: *const u8,
        mut codes: *const u8,
        input: InputRow,
    ) -> Lanes {
        unsafe {
            if F::BITS != 6 {
                return coarse::stream_sub::<Wasm<Self>, F, Self>(k, dots, small, codes, input);
            }
            let mut bytes = input.bytes(0);
            let end = codes.add(k.sub_block);
            while codes != end {
                dots = Self::six_bits(k, dots, Self::scale::<true>(small), codes, bytes);
                small = small.add(Wasm::<Self>::LANES);
                codes = codes.add(3 * size_of::<Lanes>());
                bytes = bytes.add(16);
            }
            dots
        }
    }
}

impl<const WHOLE: bool> Relaxed<WHOLE>
where
    Self: Products,
{
    /// Two quads of five-bit codes: four bits of each, and the fifth ones, which are shifted on for the next two.
    #[inline(always)]
    unsafe fn five_bits(k: Constants, codes: *const u8, fifths: &mut Lanes) -> [Lanes; 2] {
        let nibbles = unsafe { Wasm::<Self>::bytes(codes) };
        let code = |nibbles, fifths| v128_or(v128_and(nibbles, k.nibble), v128_and(fifths, k.fifth));
        let low = both(nibbles, *fifths, |nibbles, fifths| code(nibbles, u16x8_shl(fifths, 4)));
        let high = both(nibbles, *fifths, |nibbles, fifths| code(u16x8_shr(nibbles, 4), fifths));
        *fifths = each(*fifths, |fifths| u16x8_shr(fifths, 1));
        [low, high]
    }

    /// Adds the products of four quads of six-bit codes, which have one scale. The fourth quad comes together while the others are multiplied, so
    /// that few vectors wait.
    #[inline(always)]
    unsafe fn six_bits(k: Constants, sum: Lanes, scale: Lanes, codes: *const u8, bytes: *const i8) -> Lanes {
        unsafe {
            let by = |index: usize| v128_load32_splat(bytes.add(4 * index).cast());
            let third = |index: usize| Wasm::<Self>::bytes(codes.add(index * size_of::<Lanes>()));
            let split = |bytes| {
                let low = each(bytes, |bytes| v128_and(bytes, k.low_six));
                (low, both(bytes, low, |bytes, low| v128_xor(bytes, low)))
            };
            let gather = |tops, more| both(tops, more, |tops, more| v128_or(u16x8_shr(tops, 2), more));
            let (first, tops) = split(third(0));
            let partial = Self::add(Self::zero(), first, by(0));
            let (second, more) = split(third(1));
            let tops = gather(tops, more);
            let partial = Self::add(partial, second, by(1));
            let (sum, partial) =
                if WHOLE { (sum, partial) } else { (Self::flush_scaled(sum, partial, scale), Self::zero()) };
            let (third, more) = split(third(2));
            let tops = gather(tops, more);
            let partial = Self::add(partial, third, by(2));
            let fourth = each(tops, |tops| u16x8_shr(tops, 2));
            Self::flush_scaled(sum, Self::add(partial, fourth, by(3)), scale)
        }
    }
}
