//! What a kernel asks of a machine's vectors. The kernels are written once over these traits.

/// Vectors of one instruction set. A *lane* is a row of a weight matrix; [`Isa::LANES`] rows pass through a kernel side by side.
///
/// # Safety
/// All functions are `unsafe` for one reason: the machine must have the instructions. Pointers must be readable as described;
/// no alignment is asked for.
pub trait Isa: Copy + 'static {
    /// Rows side by side.
    const LANES: usize;
    /// Added to 8-bit weights when they are packed, so that they become what [`Self::Signed`] multiplies.
    const BIAS: u8;
    /// Four bytes of each lane.
    type Bytes: Copy;
    /// An `i32` of each lane.
    type Ints: Copy;
    /// An `f32` of each lane.
    type Floats: Copy;
    /// Multiplies weights of 0..=63.
    type Unsigned: Dot<Self>;
    /// Multiplies weights of -128..=127 (plus [`Self::BIAS`]).
    type Signed: Dot<Self>;

    /// Asks for the cache line at an address that may be out of bounds. Where nobody can be asked, it does nothing.
    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}

    /// `4 * LANES` bytes.
    unsafe fn bytes(from: *const u8) -> Self::Bytes;
    unsafe fn and(a: Self::Bytes, mask: u8) -> Self::Bytes;
    unsafe fn or(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// Shifts each `u16` right: bits cross from byte to byte, so mask afterwards.
    unsafe fn shr(a: Self::Bytes, bits: u32) -> Self::Bytes;
    /// Shifts each `u16` left, likewise.
    unsafe fn shl(a: Self::Bytes, bits: u32) -> Self::Bytes;

    /// `value << bits` in every lane.
    unsafe fn ints(value: i32, bits: u32) -> Self::Ints;
    unsafe fn to_floats(a: Self::Ints) -> Self::Floats;

    unsafe fn splat(value: f32) -> Self::Floats;
    /// `LANES` floats.
    unsafe fn load(from: *const f32) -> Self::Floats;
    unsafe fn store(a: Self::Floats, to: *mut f32);
    /// `LANES` half-precision floats; infinities and NaN are not needed.
    unsafe fn halves(from: *const u8) -> Self::Floats;
    /// `LANES` unsigned bytes.
    unsafe fn u8s(from: *const u8) -> Self::Floats;
    /// `LANES` signed bytes.
    unsafe fn i8s(from: *const u8) -> Self::Floats;
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`, rounded once or twice: always the same on one machine.
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
}

/// The dot product of weight bytes and activation bytes, four at a time in each lane.
pub trait Dot<I: Isa> {
    /// Weights as the product wants them.
    type Weights: Copy;
    /// Four activations, in every lane.
    type Input: Copy;
    /// Products that have not yet reached an `i32`.
    type Partial: Copy;

    unsafe fn prepare(bytes: I::Bytes) -> Self::Weights;
    /// Activations `4 * quad..4 * quad + 4` of a row.
    unsafe fn input(row: InputRow, quad: usize) -> Self::Input;
    unsafe fn zero() -> Self::Partial;
    unsafe fn add(partial: Self::Partial, weights: Self::Weights, input: Self::Input) -> Self::Partial;
    unsafe fn flush(sum: I::Ints, partial: Self::Partial) -> I::Ints;
}

/// One row of quantized activations: see [`super::Activations`].
#[derive(Clone, Copy)]
pub struct InputRow {
    /// 8-bit values.
    pub bytes: *const i8,
    /// The same as `i16`, of each four in the order 0, 2, 1, 3; dangling unless [`super::Cpu::wants_words`].
    #[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "only WebAssembly multiplies words"))]
    pub words: *const i16,
    /// Scale of each 32 values.
    pub scales: *const f32,
    /// Minus the sum of each 16 values.
    pub sums: *const i32,
    /// Minus scale times sum of each 32 values.
    pub scaled_sums: *const f32,
}
