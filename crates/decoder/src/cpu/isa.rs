//! What a kernel asks of a machine's vectors. The kernels are written once over these traits.

use super::{
    activations, coarse,
    format::{self, Format, SUB},
    matmul,
};

/// Vectors of one instruction set. A *lane* is a row of a weight matrix; [`Isa::LANES`] rows pass through a kernel side by side.
///
/// # Safety
/// All functions are `unsafe` for one reason: the machine must have the instructions. Pointers must be readable as described;
/// no alignment is asked for.
pub trait Isa: Copy + 'static {
    /// Rows side by side.
    const LANES: usize;
    /// Panels of that many rows which a prompt's rows pass over together: one or two.
    const PANELS: usize;
    /// Rows of activations that pass over unpacked panels together: two or four.
    const TILE: usize;
    /// Rows of floats that pass over two vectors of a matrix together, at most four; more of them pass over one. 0 where strips have one.
    const WIDE_ROWS: usize;
    /// Rows of floats that pass over a matrix together if there are many: two or four.
    const MANY_ROWS: usize = if Self::WIDE_ROWS > 0 { 4 } else { 2 };
    /// Columns of the cache that lie side by side.
    const STRIP: usize = if Self::WIDE_ROWS > 0 { 2 * Self::LANES } else { Self::LANES };
    /// Added to 8-bit weights when they are packed, so that they become what [`Self::Signed`] multiplies.
    const BIAS: u8;
    /// Four bytes of each lane.
    type Bytes: Copy;
    /// An `i32` of each lane.
    type Ints: Copy;
    /// An `f32` of each lane.
    type Floats: Copy;
    /// What a kernel keeps in registers from beginning to end.
    type Constants: Copy;
    /// Multiplies weights of 0..=63.
    type Unsigned: ScaledDot<Self>;
    /// Multiplies weights of -128..=127 (plus [`Self::BIAS`]).
    type Signed: Dot<Self>;

    /// To be made once, outside of all loops.
    fn constants() -> Self::Constants;

    /// `4 * LANES` bytes.
    unsafe fn bytes(from: *const u8) -> Self::Bytes;
    unsafe fn and(k: Self::Constants, a: Self::Bytes, mask: Mask) -> Self::Bytes;
    unsafe fn or(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// Shifts each `u16` right: bits cross from byte to byte, so mask afterwards.
    unsafe fn shr(a: Self::Bytes, bits: u32) -> Self::Bytes;
    /// Shifts each `u16` left, likewise.
    unsafe fn shl(a: Self::Bytes, bits: u32) -> Self::Bytes;

    unsafe fn zero() -> Self::Ints;
    /// `*from << bits` in every lane.
    unsafe fn ints(from: *const i32, bits: u32) -> Self::Ints;
    /// What [`Self::BIAS`] adds to products with activations, taken away: `from` is where minus their sum is, shifted by [`SUM_SHIFT`].
    #[inline(always)]
    unsafe fn unbias(_: Self::Constants, from: *const i32) -> Self::Ints {
        unsafe { Self::ints(from, Self::BIAS.trailing_zeros() - SUM_SHIFT) }
    }
    unsafe fn add(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// Shifts each `i32` left.
    unsafe fn shift(a: Self::Ints, bits: u32) -> Self::Ints;
    /// `sum` plus two rows of `LANES` bytes times the two numbers.
    unsafe fn weigh<const SIGNED: bool>(sum: Self::Ints, rows: *const u8, by: *const [i16; 2]) -> Self::Ints;
    unsafe fn to_floats(a: Self::Ints) -> Self::Floats;

    unsafe fn splat(value: f32) -> Self::Floats;
    /// `LANES` floats.
    unsafe fn load(from: *const f32) -> Self::Floats;
    unsafe fn store(a: Self::Floats, to: *mut f32);
    /// `LANES` half-precision floats divided by [`HALF_UNIT`]; infinities and NaN are not needed.
    unsafe fn halves(k: Self::Constants, from: *const u8) -> Self::Floats;
    /// `a` times [`HALF_UNIT`].
    unsafe fn whole(k: Self::Constants, a: Self::Floats) -> Self::Floats;
    /// `LANES` signed bytes.
    unsafe fn i8s(from: *const u8) -> Self::Floats;
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`, rounded once or twice: always the same on one machine.
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;

    /// Rounds `values * inverse`, which is within -127..=127, to bytes, and to words as [`InputRow::words`] has them if there is room for them;
    /// returns the sum of each half. What is no number becomes any byte.
    #[inline(always)]
    unsafe fn round(
        values: &[f32; SUB],
        inverse: f32,
        bytes: &mut [i8; SUB],
        words: Option<&mut [i16; SUB]>,
    ) -> [i32; 2] {
        activations::round(values, inverse, bytes, words)
    }
}

/// The dot product of weight bytes and activation bytes, four at a time in each lane.
pub trait Dot<I: Isa>: Sized {
    /// Weights as the product wants them.
    type Weights: Copy;
    /// Four activations, in every lane.
    type Input: Copy;
    /// Sums of products on their way.
    type Partial: Copy;
    /// Do these hold all products of one scale, as `i32` do?
    const WIDE: bool;

    unsafe fn prepare(k: I::Constants, bytes: I::Bytes) -> Self::Weights;
    /// Activations `4 * quad..4 * quad + 4` of a block.
    unsafe fn input(row: InputRow, quad: usize) -> Self::Input;
    unsafe fn zero() -> Self::Partial;
    unsafe fn add(partial: Self::Partial, weights: Self::Weights, input: Self::Input) -> Self::Partial;
    unsafe fn flush(k: I::Constants, sum: I::Ints, partial: Self::Partial) -> I::Ints;

    /// Quads `quad` and `quad + 4` of a sub-block, `quad` = 0..4, prepared.
    #[inline(always)]
    unsafe fn weights<F: Format>(k: I::Constants, codes: *const u8, quad: usize) -> [Self::Weights; 2] {
        unsafe { format::weights::<I, F, Self>(k, codes, quad) }
    }

    /// The products of [`matmul::pairs_per_flush`] pairs of quads, from `first` on; in the second sum those from `quad + 4` on that have a scale of
    /// their own.
    #[inline(always)]
    unsafe fn stream<F: Format>(
        k: I::Constants,
        codes: *const u8,
        first: usize,
        input: InputRow,
    ) -> [Self::Partial; 2] {
        unsafe { matmul::stream_quads::<I, F, Self>(k, codes, first, input) }
    }

    /// Of each unpacked panel and each row the products of quads from `first` on, as many as one partial sum takes; `record` is where the
    /// sub-block is.
    #[inline(always)]
    unsafe fn tile<F: Format, const P: usize, const T: usize>(
        _: I::Constants,
        record: *const u8,
        first: usize,
        inputs: &[InputRow; T],
    ) -> [[Self::Partial; T]; P] {
        unsafe { matmul::tile_quads::<I, F, Self, P, T>(record, first, inputs) }
    }
}

/// A product whose sums are weighed by a small scale as they reach an `i32`.
pub trait ScaledDot<I: Isa>: Dot<I> {
    /// A small scale of each lane.
    type Scale: Copy;
    /// Does [`Self::offset`] take the codes' offset away, before sums are scaled? Else it is taken away once for many columns.
    const OFFSETS: bool = false;

    /// `LANES` bytes.
    unsafe fn scale<const SIGNED: bool>(from: *const u8) -> Self::Scale;
    /// Adds `by` to every lane, where [`Self::OFFSETS`].
    #[inline(always)]
    unsafe fn offset(partial: Self::Partial, _by: i32) -> Self::Partial {
        partial
    }
    unsafe fn flush_scaled(sum: I::Ints, partial: Self::Partial, scale: Self::Scale) -> I::Ints;

    /// Adds the products of one sub-block, times their small scales.
    #[inline(always)]
    unsafe fn stream_scaled<F: Format>(
        k: I::Constants,
        dots: I::Ints,
        small: *const u8,
        codes: *const u8,
        input: InputRow,
    ) -> I::Ints {
        unsafe { coarse::stream_sub::<I, F, Self>(k, dots, small, codes, input) }
    }
}

/// One row of quantized activations from some block on: see [`super::Activations`].
#[derive(Clone, Copy)]
pub struct InputRow {
    /// Blocks of 32 values.
    pub blocks: *const Block,
    /// The values as `i16`, of each four in the order 0, 2, 1, 3; dangling unless [`super::Cpu::wants_words`].
    pub words: *const i16,
}

impl InputRow {
    /// Activations `4 * quad..4 * quad + 4` of the block.
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128", not(target_feature = "relaxed-simd"))))]
    #[inline(always)]
    pub unsafe fn bytes(self, quad: usize) -> *const i8 {
        unsafe { (&raw const (*self.blocks).bytes).cast::<i8>().add(4 * quad) }
    }

    /// The same row so many quads on, for what asks for its quads only.
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    #[inline(always)]
    pub unsafe fn quads(self, quads: usize) -> Self {
        unsafe { Self { blocks: self.blocks.byte_add(4 * quads), words: self.words.wrapping_add(4 * quads) } }
    }

    /// The same row from its next block on.
    #[inline(always)]
    pub unsafe fn next(self) -> Self {
        unsafe { Self { blocks: self.blocks.add(1), words: self.words.wrapping_add(32) } }
    }
}

/// 32 activations and what is known of them.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Block {
    /// Their scale, times [`HALF_UNIT`] where one block of weights has one scale, too.
    pub scale: f32,
    /// Minus scale times sum, likewise.
    pub scaled_sum: f32,
    /// Minus the sum, shifted by [`SUM_SHIFT`].
    pub sum: i32,
    /// Minus the sum of each half.
    pub halves: [i16; 2],
    /// Minus the sums of this block and of the next one: of every other block, where 256 values share a scale.
    pub pair: [i16; 2],
    /// 8-bit values.
    pub bytes: [i8; 32],
}

impl Block {
    /// Nothing yet.
    pub const ZERO: Self = Self { scale: 0.0, scaled_sum: 0.0, sum: 0, halves: [0; 2], pair: [0; 2], bytes: [0; 32] };
}

/// The least offset of codes is 8, so that the sums need no shift where weights have four bits.
pub const SUM_SHIFT: u32 = 3;

/// Half-precision numbers are read divided by this, because WebAssembly has to shift them into single precision's place, and
/// activation scales are multiplied by it.
pub const HALF_UNIT: f32 = if cfg!(target_arch = "wasm32") { f32::from_bits((127 + 112) << 23) } else { 1.0 };

/// Masks of the bits of codes.
#[derive(Clone, Copy)]
pub enum Mask {
    /// The low four bits.
    Nibble = 15,
    /// The fifth bit.
    Fifth = 16,
    LowSix = 63,
    TopTwo = 192,
}
