//! Plain Rust, four lanes: the reference for the others, and for machines without a set of their own.

use std::array::from_fn;

use half::f16;

use super::isa::{Dot, InputRow, Isa, Mask, ScaledDot};

#[derive(Clone, Copy)]
pub struct Portable;

type Quads = [[u8; 4]; 4];

fn map(a: Quads, f: impl Fn(u16) -> u16) -> Quads {
    a.map(|lane| {
        let half = |i: usize| f(u16::from_le_bytes([lane[i], lane[i + 1]])).to_le_bytes();
        let ([a, b], [c, d]) = (half(0), half(2));
        [a, b, c, d]
    })
}

unsafe fn small<const SIGNED: bool>(from: *const u8) -> [i32; 4] {
    let bytes = unsafe { from.cast::<[u8; 4]>().read_unaligned() };
    bytes.map(|byte| if SIGNED { i32::from(byte as i8) } else { i32::from(byte) })
}

impl Isa for Portable {
    const LANES: usize = 4;
    const PANELS: usize = 2;
    const TILE: usize = 4;
    const WIDE_ROWS: usize = 4;
    const BIAS: u8 = 0;
    type Bytes = Quads;
    type Ints = [i32; 4];
    type Floats = [f32; 4];
    type Constants = ();
    type Unsigned = Self;
    type Signed = Self;

    #[inline(always)]
    fn constants() {}

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Quads {
        unsafe { from.cast::<Quads>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn and((): (), a: Quads, mask: Mask) -> Quads {
        a.map(|lane| lane.map(|byte| byte & mask as u8))
    }

    #[inline(always)]
    unsafe fn or(a: Quads, b: Quads) -> Quads {
        from_fn(|lane| from_fn(|i| a[lane][i] | b[lane][i]))
    }

    #[inline(always)]
    unsafe fn shr(a: Quads, bits: u32) -> Quads {
        map(a, |half| half >> bits)
    }

    #[inline(always)]
    unsafe fn shl(a: Quads, bits: u32) -> Quads {
        map(a, |half| half << bits)
    }

    #[inline(always)]
    unsafe fn zero() -> [i32; 4] {
        [0; 4]
    }

    #[inline(always)]
    unsafe fn ints(from: *const i32, bits: u32) -> [i32; 4] {
        [unsafe { from.read_unaligned() } << bits; 4]
    }

    #[inline(always)]
    unsafe fn add(a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    unsafe fn shift(a: [i32; 4], bits: u32) -> [i32; 4] {
        a.map(|n| n << bits)
    }

    #[inline(always)]
    unsafe fn weigh<const SIGNED: bool>(sum: [i32; 4], rows: *const u8, by: *const [i16; 2]) -> [i32; 4] {
        let ([a, b], by) = unsafe { ([small::<SIGNED>(rows), small::<SIGNED>(rows.add(4))], by.read_unaligned()) };
        from_fn(|lane| sum[lane] + a[lane] * i32::from(by[0]) + b[lane] * i32::from(by[1]))
    }

    #[inline(always)]
    unsafe fn to_floats(a: [i32; 4]) -> [f32; 4] {
        a.map(|n| n as f32)
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; 4] {
        [value; 4]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(a: [f32; 4], to: *mut f32) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(a) };
    }

    #[inline(always)]
    unsafe fn halves((): (), from: *const u8) -> [f32; 4] {
        unsafe { from.cast::<[[u8; 2]; 4]>().read_unaligned() }.map(|half| f16::from_le_bytes(half).to_f32())
    }

    #[inline(always)]
    unsafe fn whole((): (), a: [f32; 4]) -> [f32; 4] {
        a
    }

    #[inline(always)]
    unsafe fn i8s(from: *const u8) -> [f32; 4] {
        unsafe { from.cast::<[i8; 4]>().read_unaligned() }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn mul(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    unsafe fn mul_add(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        from_fn(|lane| a[lane] * b[lane] + c[lane])
    }
}

/// Bytes as `i8`: right for 0..=63 and for -128..=127.
impl Dot<Self> for Portable {
    type Weights = Quads;
    type Input = [i8; 4];
    type Partial = [i32; 4];
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn prepare((): (), bytes: Quads) -> Quads {
        bytes
    }

    #[inline(always)]
    unsafe fn input(row: InputRow, quad: usize) -> [i8; 4] {
        unsafe { row.bytes(quad).cast::<[i8; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn zero() -> [i32; 4] {
        [0; 4]
    }

    #[inline(always)]
    unsafe fn add(partial: [i32; 4], weights: Quads, input: [i8; 4]) -> [i32; 4] {
        from_fn(|lane| {
            let products = weights[lane].iter().zip(input).map(|(&weight, y)| i32::from(weight as i8) * i32::from(y));
            partial[lane] + products.sum::<i32>()
        })
    }

    #[inline(always)]
    unsafe fn flush((): (), sum: [i32; 4], partial: [i32; 4]) -> [i32; 4] {
        from_fn(|lane| sum[lane] + partial[lane])
    }
}

impl ScaledDot<Self> for Portable {
    type Scale = [i32; 4];

    #[inline(always)]
    unsafe fn scale<const SIGNED: bool>(from: *const u8) -> [i32; 4] {
        unsafe { small::<SIGNED>(from) }
    }

    #[inline(always)]
    unsafe fn flush_scaled(sum: [i32; 4], partial: [i32; 4], scale: [i32; 4]) -> [i32; 4] {
        from_fn(|lane| sum[lane] + partial[lane] * scale[lane])
    }
}
