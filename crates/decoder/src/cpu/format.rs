//! The quantized types in the layout that the kernels stream: rows side by side, block after block.
//!
//! A *unit* is what one ggml block (32 or 256 columns) of `LANES` rows becomes:
//! the half-precision scales of all lanes, then the small scales of all lanes, then for each 32 columns their codes.
//! Codes lie as quads, four consecutive columns of each lane: first the low four bits (quad `q` in the low nibbles, quad `q + 4` in the
//! high ones, `q` = 0..4), then the fifth bits of all quads. 6-bit codes: three quads, above which the fourth one lies, two bits at a time, and
//! likewise the other four. 8-bit codes are eight quads as they are. Where [`Packing::fields`] says so, codes lie as [`fields`] of words instead.

use half::f16;

use super::{
    Rounding, fields,
    isa::{Dot, Isa, Mask},
};

/// Columns per sub-block: the columns that share an activation scale.
pub const SUB: usize = 32;

/// A value is `scale * (code - offset) - min`.
pub trait Format: Send + Sync + 'static {
    /// Bytes of a ggml block.
    const BLOCK_BYTES: usize;
    /// Sub-blocks of a ggml block.
    const SUBS: usize;
    /// Bits of a code.
    const BITS: usize;
    /// What is subtracted from a code: `1 << OFFSET_BITS`, or nothing.
    const OFFSET_BITS: Option<u32>;
    /// Scales of a sub-block: one, or one for each half.
    const SCALES: usize;
    /// Half-precision numbers of a ggml block: the scale, and the min where there is one.
    const HALVES: usize;
    /// Small scales and mins of a ggml block.
    const SMALL: usize;
    /// Are the small scales signed?
    const SMALL_SIGNED: bool;
    /// The product that suits the codes.
    type Dot<I: Isa>: Dot<I>;

    /// Takes a ggml block apart.
    fn split(block: &[u8], parts: &mut Parts);
}

/// A ggml block taken apart.
#[derive(Default)]
pub struct Parts {
    /// [`Format::HALVES`] half-precision numbers.
    pub halves: [[u8; 2]; 2],
    /// [`Format::SMALL`] scales, mins behind them.
    pub small: [u8; 16],
    /// A code for each column.
    pub codes: [[u8; SUB]; 8],
}

/// How an instruction set wants rows to lie.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    /// Rows side by side.
    pub lanes: usize,
    /// What is added to 8-bit codes.
    pub bias: u8,
    /// Do codes lie as [`fields`] of words, if there is such a layout for them?
    pub fields: bool,
}

/// How activations are rounded for a format.
pub const fn rounding<F: Format>() -> Rounding {
    if F::SUBS == 1 { Rounding::Fine } else { Rounding::Coarse }
}

/// Bytes that the codes of a sub-block take per lane.
const fn code_bytes<F: Format>() -> usize {
    F::BITS * SUB / 8
}

/// Bytes of a unit per lane, up to the first code.
const fn header_bytes<F: Format>() -> usize {
    2 * F::HALVES + F::SMALL
}

/// Bytes of a unit per lane.
pub const fn unit_bytes<F: Format>() -> usize {
    header_bytes::<F>() + F::SUBS * code_bytes::<F>()
}

/// Puts a block into its place among the lanes of a unit of zeros.
pub fn pack<F: Format>(block: &[u8], unit: &mut [u8], lane: usize, packing: Packing) {
    let lanes = packing.lanes;
    let mut parts = Parts::default();
    F::split(block, &mut parts);
    for (index, half) in parts.halves[..F::HALVES].iter().enumerate() {
        unit[2 * (index * lanes + lane)..][..2].copy_from_slice(half);
    }
    for (index, &small) in parts.small[..F::SMALL].iter().enumerate() {
        unit[(2 * F::HALVES + index) * lanes + lane] = small;
    }
    let subs = unit[header_bytes::<F>() * lanes..].chunks_exact_mut(code_bytes::<F>() * lanes);
    for (codes, sub) in parts.codes.iter().zip(subs) {
        if packing.fields && fields::suit::<F>() {
            fields::pack::<F>(codes, sub, lane);
        } else {
            pack_codes::<F>(codes, sub, (lane, lanes), packing.bias);
        }
    }
}

fn pack_codes<F: Format>(codes: &[u8; SUB], sub: &mut [u8], (lane, lanes): (usize, usize), bias: u8) {
    let mut quads = sub.chunks_exact_mut(4 * lanes).map(|quad| &mut quad[4 * lane..4 * lane + 4]);
    let code = |quad: usize, i: usize| codes[4 * quad + i];
    if F::BITS == 8 {
        for (quad, out) in quads.enumerate() {
            (0..4).for_each(|i| out[i] = code(quad, i).wrapping_add(bias));
        }
        return;
    }
    if F::BITS == 6 {
        for (index, out) in quads.enumerate() {
            let (half, third) = (index / 3, index % 3);
            let top = |i| code(4 * half + 3, i) >> (2 * third) & 3;
            (0..4).for_each(|i| out[i] = code(4 * half + third, i) | top(i) << 6);
        }
        return;
    }
    for (quad, out) in quads.by_ref().take(4).enumerate() {
        (0..4).for_each(|i| out[i] = code(quad, i) & 15 | code(quad + 4, i) << 4);
    }
    for out in quads {
        (0..4).for_each(|i| out[i] = (0..8).fold(0, |byte, q| byte | (code(q, i) >> 4) << q));
    }
}

/// Writes the values of one lane of a unit.
pub fn unpack_lane<F: Format>(unit: &[u8], lane: usize, packing: Packing, out: &mut [f32]) {
    let Packing { lanes, bias, .. } = packing;
    let half = |index: usize| {
        let at = 2 * (index * lanes + lane);
        f16::from_le_bytes([unit[at], unit[at + 1]]).to_f32()
    };
    let small = |index: usize| unit[(2 * F::HALVES + index) * lanes + lane];
    let offset = F::OFFSET_BITS.map_or(0, |bits| 1 << bits);
    let mut codes = [0; SUB];
    for (sub, out) in out.chunks_exact_mut(SUB).enumerate() {
        let start = (header_bytes::<F>() + sub * code_bytes::<F>()) * lanes;
        let packed = &unit[start..][..code_bytes::<F>() * lanes];
        if packing.fields && fields::suit::<F>() {
            fields::unpack::<F>(packed, lane, &mut codes);
        } else {
            unpack_codes::<F>(packed, (lane, lanes), &mut codes);
        }
        for (part, (codes, out)) in
            codes.chunks_exact(SUB / F::SCALES).zip(out.chunks_exact_mut(SUB / F::SCALES)).enumerate()
        {
            let scale = match (F::SMALL, F::SMALL_SIGNED) {
                (0, _) => half(0),
                (_, false) => half(0) * f32::from(small(sub)),
                (_, true) => half(0) * f32::from(small(sub * F::SCALES + part) as i8),
            };
            let min = match (F::HALVES, F::SMALL) {
                (1, _) => 0.0,
                (_, 0) => half(1),
                _ => half(1) * f32::from(small(F::SUBS + sub)),
            };
            for (&code, out) in codes.iter().zip(out) {
                let code =
                    if F::BITS == 8 { i32::from(code.wrapping_sub(bias) as i8) } else { i32::from(code) - offset };
                *out = scale * code as f32 - min;
            }
        }
    }
}

fn unpack_codes<F: Format>(sub: &[u8], (lane, lanes): (usize, usize), codes: &mut [u8; SUB]) {
    let byte = |vector: usize, i: usize| sub[(vector * lanes + lane) * 4 + i];
    let nibble = |quad, i| if quad < 4 { byte(quad, i) & 15 } else { byte(quad - 4, i) >> 4 };
    let six_bits = |quad: usize, i| match (3 * (quad / 4), quad % 4) {
        (first, 3) => (0..3).fold(0, |code, third| code | byte(first + third, i) >> 6 << (2 * third)),
        (first, third) => byte(first + third, i) & 63,
    };
    for quad in 0..8 {
        for i in 0..4 {
            codes[4 * quad + i] = match F::BITS {
                8 => byte(quad, i),
                6 => six_bits(quad, i),
                5 => nibble(quad, i) | (byte(4, i) >> quad & 1) << 4,
                _ => nibble(quad, i),
            };
        }
    }
}

/// The scale and the min that a whole unit shares.
#[inline(always)]
pub unsafe fn header<I: Isa, F: Format>(k: I::Constants, unit: *const u8) -> [I::Floats; 2] {
    unsafe {
        let scale = half::<I, F>(k, unit);
        [scale, if F::HALVES == 2 { half::<I, F>(k, unit.add(2 * I::LANES)) } else { scale }]
    }
}

/// The activations' scales have [`super::isa::HALF_UNIT`] where it would be paid for each sub-block here.
#[inline(always)]
unsafe fn half<I: Isa, F: Format>(k: I::Constants, from: *const u8) -> I::Floats {
    unsafe {
        let half = I::halves(k, from);
        if F::SUBS == 1 { half } else { I::whole(k, half) }
    }
}

/// Where the small scales of a unit begin: a row of lanes for each sub-block or each half of one, then the mins.
#[inline(always)]
pub unsafe fn small<I: Isa, F: Format>(unit: *const u8) -> *const u8 {
    unsafe { unit.add(2 * F::HALVES * I::LANES) }
}

/// Where the codes of a unit's first sub-block begin.
#[inline(always)]
pub unsafe fn codes<I: Isa, F: Format>(unit: *const u8) -> *const u8 {
    unsafe { unit.add(header_bytes::<F>() * I::LANES) }
}

/// Where the codes of the next sub-block begin.
#[inline(always)]
pub unsafe fn next_codes<I: Isa, F: Format>(codes: *const u8) -> *const u8 {
    unsafe { codes.add(code_bytes::<F>() * I::LANES) }
}

/// Quads `quad` and `quad + 4` of a sub-block, `quad` = 0..4.
#[inline(always)]
unsafe fn quads<I: Isa, F: Format>(k: I::Constants, codes: *const u8, quad: usize) -> [I::Bytes; 2] {
    unsafe {
        let vector = |index: usize| I::bytes(codes.add(index * 4 * I::LANES));
        match F::BITS {
            8 => return [vector(quad), vector(quad + 4)],
            6 => return [six_bits::<I>(k, codes, quad), six_bits::<I>(k, codes.add(12 * I::LANES), quad)],
            _ => (),
        }
        let both = vector(quad);
        let (low, high) = (I::and(k, both, Mask::Nibble), I::and(k, I::shr(both, 4), Mask::Nibble));
        if F::BITS == 4 {
            return [low, high];
        }
        let bits = vector(4);
        let bit = |shifted| I::and(k, shifted, Mask::Fifth);
        [I::or(low, bit(I::shl(bits, 4 - quad as u32))), I::or(high, bit(I::shr(bits, quad as u32)))]
    }
}

/// Quad `quad` of the four in three vectors.
#[inline(always)]
unsafe fn six_bits<I: Isa>(k: I::Constants, codes: *const u8, quad: usize) -> I::Bytes {
    unsafe {
        let vector = |index: usize| I::bytes(codes.add(index * 4 * I::LANES));
        if quad < 3 {
            return I::and(k, vector(quad), Mask::LowSix);
        }
        let top = |index: usize| I::and(k, vector(index), Mask::TopTwo);
        let two_thirds = I::or(I::shr(top(0), 2), top(1));
        I::shr(I::or(I::shr(two_thirds, 2), top(2)), 2)
    }
}

/// [`Dot::weights`] of codes that lie as quads.
#[inline(always)]
pub unsafe fn weights<I: Isa, F: Format, D: Dot<I>>(k: I::Constants, codes: *const u8, quad: usize) -> [D::Weights; 2] {
    unsafe {
        let [low, high] = quads::<I, F>(k, codes, quad);
        [D::prepare(k, low), D::prepare(k, high)]
    }
}

/// How many of the eight quads may be added up in one partial sum: those of one scale, and no more than pairs of products fit into `i16`
/// (2 * 127 * (2^BITS - 1) each) where they are such.
pub const fn quads_per_flush<I: Isa, F: Format, D: Dot<I>>() -> usize {
    match F::BITS {
        _ if D::WIDE => 8 / F::SCALES,
        4 | 8 => 8,
        5 => 4,
        _ => 2,
    }
}

fn halves<const N: usize>(block: &[u8]) -> [[u8; 2]; 2] {
    let mut halves = [[0; 2]; 2];
    (0..N).for_each(|i| halves[i] = [block[2 * i], block[2 * i + 1]]);
    halves
}

fn nibbles(bytes: &[u8], codes: &mut [u8; SUB]) {
    for (i, byte) in bytes.iter().enumerate() {
        codes[i] = byte & 15;
        codes[i + 16] = byte >> 4;
    }
}

fn fifth_bits(bytes: &[u8], codes: &mut [u8; SUB]) {
    let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    codes.iter_mut().enumerate().for_each(|(i, code)| *code |= ((bits >> i & 1) as u8) << 4);
}

/// A min is subtracted here and added in ggml's formats with one scale.
fn negated(half: [u8; 2]) -> [u8; 2] {
    [half[0], half[1] ^ 0x80]
}

/// ggml's eight 6-bit scales and eight 6-bit mins in twelve bytes.
fn scales_and_mins(packed: &[u8], small: &mut [u8; 16]) {
    for j in 0..4 {
        small[j] = packed[j] & 63;
        small[j + 8] = packed[j + 4] & 63;
        small[j + 4] = packed[j + 8] & 15 | packed[j] >> 6 << 4;
        small[j + 12] = packed[j + 8] >> 4 | packed[j + 4] >> 6 << 4;
    }
}

/// Each 32 bytes hold a sub-block in their low nibbles and the next one in their high nibbles.
fn k_nibbles(bytes: &[u8], codes: &mut [[u8; SUB]; 8]) {
    for (two, bytes) in codes.chunks_exact_mut(2).zip(bytes.chunks_exact(SUB)) {
        for (i, byte) in bytes.iter().enumerate() {
            two[0][i] = byte & 15;
            two[1][i] = byte >> 4;
        }
    }
}

macro_rules! formats {
    ($($name:ident: $bytes:literal bytes, $subs:literal subs, $bits:literal bits, offset $offset:expr, $scales:literal scales,
       $halves:literal halves, $small:literal small, signed $signed:literal, $dot:ident, |$block:ident, $parts:ident| $split:block)*) => { $(
        pub struct $name;

        impl Format for $name {
            const BLOCK_BYTES: usize = $bytes;
            const SUBS: usize = $subs;
            const BITS: usize = $bits;
            const OFFSET_BITS: Option<u32> = $offset;
            const SCALES: usize = $scales;
            const HALVES: usize = $halves;
            const SMALL: usize = $small;
            const SMALL_SIGNED: bool = $signed;
            type Dot<I: Isa> = I::$dot;

            fn split($block: &[u8], $parts: &mut Parts) $split
        }
    )* };
}

formats! {
    Q4_0: 18 bytes, 1 subs, 4 bits, offset Some(3), 1 scales, 1 halves, 0 small, signed false, Unsigned, |block, parts| {
        parts.halves = halves::<1>(block);
        nibbles(&block[2..], &mut parts.codes[0]);
    }
    Q4_1: 20 bytes, 1 subs, 4 bits, offset None, 1 scales, 2 halves, 0 small, signed false, Unsigned, |block, parts| {
        parts.halves = halves::<2>(block);
        parts.halves[1] = negated(parts.halves[1]);
        nibbles(&block[4..], &mut parts.codes[0]);
    }
    Q5_0: 22 bytes, 1 subs, 5 bits, offset Some(4), 1 scales, 1 halves, 0 small, signed false, Unsigned, |block, parts| {
        parts.halves = halves::<1>(block);
        nibbles(&block[6..], &mut parts.codes[0]);
        fifth_bits(&block[2..6], &mut parts.codes[0]);
    }
    Q5_1: 24 bytes, 1 subs, 5 bits, offset None, 1 scales, 2 halves, 0 small, signed false, Unsigned, |block, parts| {
        parts.halves = halves::<2>(block);
        parts.halves[1] = negated(parts.halves[1]);
        nibbles(&block[8..], &mut parts.codes[0]);
        fifth_bits(&block[4..8], &mut parts.codes[0]);
    }
    Q8_0: 34 bytes, 1 subs, 8 bits, offset None, 1 scales, 1 halves, 0 small, signed false, Signed, |block, parts| {
        parts.halves = halves::<1>(block);
        parts.codes[0].copy_from_slice(&block[2..]);
    }
    Q4K: 144 bytes, 8 subs, 4 bits, offset None, 1 scales, 2 halves, 16 small, signed false, Unsigned, |block, parts| {
        parts.halves = halves::<2>(block);
        scales_and_mins(&block[4..16], &mut parts.small);
        k_nibbles(&block[16..], &mut parts.codes);
    }
    Q5K: 176 bytes, 8 subs, 5 bits, offset None, 1 scales, 2 halves, 16 small, signed false, Unsigned, |block, parts| {
        parts.halves = halves::<2>(block);
        scales_and_mins(&block[4..16], &mut parts.small);
        k_nibbles(&block[48..], &mut parts.codes);
        for (sub, codes) in parts.codes.iter_mut().enumerate() {
            codes.iter_mut().zip(&block[16..48]).for_each(|(code, bits)| *code |= (bits >> sub & 1) << 4);
        }
    }
    Q6K: 210 bytes, 8 subs, 6 bits, offset Some(5), 2 scales, 1 halves, 16 small, signed true, Unsigned, |block, parts| {
        parts.halves = halves::<1>(&block[208..]);
        parts.small.copy_from_slice(&block[192..208]);
        for (sub, codes) in parts.codes.iter_mut().enumerate() {
            let (low, high) = (&block[64 * (sub / 4) + 32 * (sub % 2)..], &block[128 + 32 * (sub / 4)..]);
            for (i, code) in codes.iter_mut().enumerate() {
                *code = low[i] >> (4 * (sub % 4 / 2)) & 15 | (high[i] >> (2 * (sub % 4)) & 3) << 4;
            }
        }
    }
}
