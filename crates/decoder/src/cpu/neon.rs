//! NEON's 128-bit vectors in pairs, with and without the dot product extension.
//!
//! On another machine the tests run in an emulator, `cortex-a53` without the extension and `max` with it:
//!
//! ```sh
//! rustup target add aarch64-unknown-linux-gnu
//! apt-get install gcc-aarch64-linux-gnu qemu-user-static
//! export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
//! export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -cpu max -L /usr/aarch64-linux-gnu"
//! cargo test -p decoder --target aarch64-unknown-linux-gnu --lib --test logits
//! ```

use core::{
    arch::{aarch64::*, asm},
    marker::PhantomData,
};

use super::isa::{Dot, InputRow, Isa, Mask, ScaledDot};

/// Eight lanes: with four activation rows, sums and weights just fit into 32 registers.
#[derive(Clone, Copy)]
pub struct Neon<P>(PhantomData<P>);

/// How bytes are multiplied.
pub trait Products: Copy + 'static {
    type Unsigned: ScaledDot<Neon<Self>>;
    type Signed: Dot<Neon<Self>>;
}

/// What every NEON has: products of `i16`.
#[derive(Clone, Copy)]
pub struct Plain;

impl Products for Plain {
    type Unsigned = Words;
    type Signed = PairSums;
}

/// The dot product extension, of ARMv8.4 and most processors since 2018.
#[derive(Clone, Copy)]
pub struct DotProd;

impl Products for DotProd {
    type Unsigned = Quads;
    type Signed = Quads;
}

type Bytes = [uint8x16_t; 2];
type Ints = [int32x4_t; 2];
type Floats = [float32x4_t; 2];

#[inline(always)]
fn each<A: Copy, B>(a: [A; 2], f: impl Fn(A) -> B) -> [B; 2] {
    [f(a[0]), f(a[1])]
}

#[inline(always)]
fn both<A: Copy, B: Copy, C>(a: [A; 2], b: [B; 2], f: impl Fn(A, B) -> C) -> [C; 2] {
    [f(a[0], b[0]), f(a[1], b[1])]
}

/// Eight bytes as `i16`.
#[inline(always)]
unsafe fn small<const SIGNED: bool>(from: *const u8) -> int16x8_t {
    unsafe {
        let bytes = vld1_u8(from);
        if SIGNED { vmovl_s8(vreinterpret_s8_u8(bytes)) } else { vreinterpretq_s16_u16(vmovl_u8(bytes)) }
    }
}

/// Eight `i16` as `i32`.
#[inline(always)]
fn widen(words: int16x8_t) -> Ints {
    unsafe { [vmovl_s16(vget_low_s16(words)), vmovl_high_s16(words)] }
}

impl<P: Products> Isa for Neon<P> {
    const LANES: usize = 8;
    const PANELS: usize = 1;
    const TILE: usize = 4;
    const WIDE_ROWS: usize = 4;
    const BIAS: u8 = 0;
    type Bytes = Bytes;
    type Ints = Ints;
    type Floats = Floats;
    type Constants = ();
    type Unsigned = P::Unsigned;
    type Signed = P::Signed;

    #[inline(always)]
    fn constants() {}

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Bytes {
        unsafe { [vld1q_u8(from), vld1q_u8(from.add(16))] }
    }

    #[inline(always)]
    unsafe fn and((): (), a: Bytes, mask: Mask) -> Bytes {
        each(a, |a| unsafe { vandq_u8(a, vdupq_n_u8(mask as u8)) })
    }

    #[inline(always)]
    unsafe fn or(a: Bytes, b: Bytes) -> Bytes {
        both(a, b, |a, b| unsafe { vorrq_u8(a, b) })
    }

    /// Within each byte, so that the highest bits need no mask.
    #[inline(always)]
    unsafe fn shr(a: Bytes, bits: u32) -> Bytes {
        each(a, |a| unsafe { vshlq_u8(a, vdupq_n_s8(-(bits as i8))) })
    }

    #[inline(always)]
    unsafe fn shl(a: Bytes, bits: u32) -> Bytes {
        each(a, |a| unsafe { vshlq_u8(a, vdupq_n_s8(bits as i8)) })
    }

    #[inline(always)]
    unsafe fn zero() -> Ints {
        [unsafe { vdupq_n_s32(0) }; 2]
    }

    #[inline(always)]
    unsafe fn ints(from: *const i32, bits: u32) -> Ints {
        [unsafe { vdupq_n_s32(from.read_unaligned() << bits) }; 2]
    }

    #[inline(always)]
    unsafe fn add(a: Ints, b: Ints) -> Ints {
        both(a, b, |a, b| unsafe { vaddq_s32(a, b) })
    }

    #[inline(always)]
    unsafe fn shift(a: Ints, bits: u32) -> Ints {
        each(a, |a| unsafe { vshlq_s32(a, vdupq_n_s32(bits as i32)) })
    }

    #[inline(always)]
    unsafe fn weigh<const SIGNED: bool>(sum: Ints, rows: *const u8, by: *const [i16; 2]) -> Ints {
        unsafe {
            let (a, b) = (small::<SIGNED>(rows), small::<SIGNED>(rows.add(8)));
            let by = vreinterpret_s16_s32(vdup_n_s32(by.cast::<i32>().read_unaligned()));
            let low = vmlal_lane_s16::<0>(sum[0], vget_low_s16(a), by);
            let high = vmlal_high_lane_s16::<0>(sum[1], a, by);
            [vmlal_lane_s16::<1>(low, vget_low_s16(b), by), vmlal_high_lane_s16::<1>(high, b, by)]
        }
    }

    #[inline(always)]
    unsafe fn to_floats(a: Ints) -> Floats {
        each(a, |a| unsafe { vcvtq_f32_s32(a) })
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Floats {
        [unsafe { vdupq_n_f32(value) }; 2]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Floats {
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
    }

    #[inline(always)]
    unsafe fn store(a: Floats, to: *mut f32) {
        unsafe {
            vst1q_f32(to, a[0]);
            vst1q_f32(to.add(4), a[1]);
        }
    }

    #[inline(always)]
    unsafe fn halves((): (), from: *const u8) -> Floats {
        unsafe { [0, 8].map(|at| vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(from.add(at))))) }
    }

    #[inline(always)]
    unsafe fn whole((): (), a: Floats) -> Floats {
        a
    }

    #[inline(always)]
    unsafe fn i8s(from: *const u8) -> Floats {
        unsafe { Self::to_floats(widen(small::<true>(from))) }
    }

    #[inline(always)]
    unsafe fn mul(a: Floats, b: Floats) -> Floats {
        both(a, b, |a, b| unsafe { vmulq_f32(a, b) })
    }

    #[inline(always)]
    unsafe fn mul_add(a: Floats, b: Floats, c: Floats) -> Floats {
        unsafe { [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])] }
    }
}

/// The dot product instruction: four bytes of each lane by four activations.
pub struct Quads;

/// `sum` plus the products of each four weights and the first four bytes of `input`. The intrinsic is unstable in Rust.
#[inline]
#[target_feature(enable = "dotprod")]
fn sdot([mut a, mut b]: Ints, weights: Bytes, input: f32) -> Ints {
    // SAFETY: the instruction touches its registers only, and the function has its feature.
    unsafe {
        asm!("sdot {:v}.4s, {:v}.16b, {input:v}.4b[0]", "sdot {:v}.4s, {:v}.16b, {input:v}.4b[0]",
             inout(vreg) a, in(vreg) weights[0], inout(vreg) b, in(vreg) weights[1], input = in(vreg) input,
             options(pure, nomem, nostack, preserves_flags));
    }
    [a, b]
}

impl Dot<Neon<DotProd>> for Quads {
    /// Below 128 or signed.
    type Weights = Bytes;
    /// Four bytes, in a type that is loaded into a vector's register at once: the instruction takes them in every lane.
    type Input = f32;
    type Partial = Ints;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn prepare((): (), bytes: Bytes) -> Bytes {
        bytes
    }

    #[inline(always)]
    unsafe fn input(row: InputRow, quad: usize) -> f32 {
        unsafe { row.bytes(quad).cast::<f32>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn zero() -> Ints {
        [unsafe { vdupq_n_s32(0) }; 2]
    }

    #[inline(always)]
    unsafe fn add(partial: Ints, weights: Bytes, input: f32) -> Ints {
        unsafe { sdot(partial, weights, input) }
    }

    #[inline(always)]
    unsafe fn flush((): (), sum: Ints, partial: Ints) -> Ints {
        unsafe { Neon::<DotProd>::add(sum, partial) }
    }
}

impl ScaledDot<Neon<DotProd>> for Quads {
    type Scale = Ints;

    #[inline(always)]
    unsafe fn scale<const SIGNED: bool>(from: *const u8) -> Ints {
        widen(unsafe { small::<SIGNED>(from) })
    }

    #[inline(always)]
    unsafe fn flush_scaled(sum: Ints, partial: Ints, scale: Ints) -> Ints {
        unsafe { [vmlaq_s32(sum[0], partial[0], scale[0]), vmlaq_s32(sum[1], partial[1], scale[1])] }
    }
}

/// Four activations in every lane. Of the intrinsic's result the compiler would know that all parts are equal: it would multiply the
/// upper weights by the lower activations, and move them down first.
#[inline(always)]
unsafe fn splat_quad(row: InputRow, quad: usize) -> int8x16_t {
    let input;
    // SAFETY: the four bytes are readable, as the caller says.
    unsafe {
        asm!("ld1r {{{:v}.4s}}, [{}]", out(vreg) input, in(reg) row.bytes(quad),
             options(pure, readonly, nostack, preserves_flags));
    }
    input
}

/// Sums of products in `i16`, four of each lane: those of one scale fit, 8 * 31 * 128 or 4 * 63 * 128 at most.
pub struct Words;

/// Sums of the four of each lane.
#[inline(always)]
fn across(words: [int16x8_t; 4]) -> Ints {
    unsafe {
        let pairs = words.map(|words| vpaddlq_s16(words));
        [vpaddq_s32(pairs[0], pairs[1]), vpaddq_s32(pairs[2], pairs[3])]
    }
}

impl Dot<Neon<Plain>> for Words {
    type Weights = Bytes;
    type Input = int8x16_t;
    type Partial = [int16x8_t; 4];
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn prepare((): (), bytes: Bytes) -> Bytes {
        bytes
    }

    #[inline(always)]
    unsafe fn input(row: InputRow, quad: usize) -> int8x16_t {
        unsafe { splat_quad(row, quad) }
    }

    #[inline(always)]
    unsafe fn zero() -> [int16x8_t; 4] {
        [unsafe { vdupq_n_s16(0) }; 4]
    }

    #[inline(always)]
    unsafe fn add([a, b, c, d]: [int16x8_t; 4], weights: Bytes, input: int8x16_t) -> [int16x8_t; 4] {
        unsafe {
            let [first, second] = weights.map(|weights| vreinterpretq_s8_u8(weights));
            let low = vget_low_s8(input);
            [
                vmlal_s8(a, vget_low_s8(first), low),
                vmlal_high_s8(b, first, input),
                vmlal_s8(c, vget_low_s8(second), low),
                vmlal_high_s8(d, second, input),
            ]
        }
    }

    #[inline(always)]
    unsafe fn flush((): (), sum: Ints, partial: [int16x8_t; 4]) -> Ints {
        unsafe { Neon::<Plain>::add(sum, across(partial)) }
    }
}

impl ScaledDot<Neon<Plain>> for Words {
    type Scale = Ints;

    #[inline(always)]
    unsafe fn scale<const SIGNED: bool>(from: *const u8) -> Ints {
        widen(unsafe { small::<SIGNED>(from) })
    }

    #[inline(always)]
    unsafe fn flush_scaled(sum: Ints, partial: [int16x8_t; 4], scale: Ints) -> Ints {
        let partial = across(partial);
        unsafe { [vmlaq_s32(sum[0], partial[0], scale[0]), vmlaq_s32(sum[1], partial[1], scale[1])] }
    }
}

/// Sums of two products in `i16`, which activations above -128 do not overflow, added up in `i32`.
pub struct PairSums;

impl Dot<Neon<Plain>> for PairSums {
    type Weights = Bytes;
    type Input = int8x16_t;
    type Partial = Ints;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn prepare((): (), bytes: Bytes) -> Bytes {
        bytes
    }

    #[inline(always)]
    unsafe fn input(row: InputRow, quad: usize) -> int8x16_t {
        unsafe { splat_quad(row, quad) }
    }

    #[inline(always)]
    unsafe fn zero() -> Ints {
        [unsafe { vdupq_n_s32(0) }; 2]
    }

    #[inline(always)]
    unsafe fn add(partial: Ints, weights: Bytes, input: int8x16_t) -> Ints {
        both(partial, weights, |partial, weights| unsafe {
            let weights = vreinterpretq_s8_u8(weights);
            let low = vmull_s8(vget_low_s8(weights), vget_low_s8(input));
            vpadalq_s16(partial, vpaddq_s16(low, vmull_high_s8(weights, input)))
        })
    }

    #[inline(always)]
    unsafe fn flush((): (), sum: Ints, partial: Ints) -> Ints {
        unsafe { Neon::<Plain>::add(sum, partial) }
    }
}
