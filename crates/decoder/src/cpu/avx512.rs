//! AVX-512 with VNNI.

use core::arch::x86_64::*;

use super::isa::{Dot, InputRow, Isa, Mask, ScaledDot};

#[derive(Clone, Copy)]
pub struct Avx512;

#[inline(always)]
unsafe fn small16<const SIGNED: bool>(from: *const u8) -> __m512i {
    unsafe {
        let bytes = _mm_loadu_si128(from.cast());
        if SIGNED { _mm512_cvtepi8_epi32(bytes) } else { _mm512_cvtepu8_epi32(bytes) }
    }
}

impl Isa for Avx512 {
    const LANES: usize = 16;
    const PANELS: usize = 2;
    const TILE: usize = 4;
    const WIDE_ROWS: usize = 4;
    /// VNNI multiplies unsigned by signed bytes.
    const BIAS: u8 = 128;
    type Bytes = __m512i;
    type Ints = __m512i;
    type Floats = __m512;
    type Constants = ();
    type Unsigned = Self;
    type Signed = Self;

    #[inline(always)]
    fn constants() {}

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn and((): (), a: __m512i, mask: Mask) -> __m512i {
        unsafe { _mm512_and_si512(a, _mm512_set1_epi8(mask as i8)) }
    }

    #[inline(always)]
    unsafe fn or(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_or_si512(a, b) }
    }

    #[inline(always)]
    unsafe fn shr(a: __m512i, bits: u32) -> __m512i {
        unsafe { _mm512_srl_epi16(a, _mm_cvtsi32_si128(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn shl(a: __m512i, bits: u32) -> __m512i {
        unsafe { _mm512_sll_epi16(a, _mm_cvtsi32_si128(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn ints(from: *const i32, bits: u32) -> __m512i {
        unsafe { _mm512_sll_epi32(_mm512_set1_epi32(from.read_unaligned()), _mm_cvtsi32_si128(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn shift(a: __m512i, bits: u32) -> __m512i {
        unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn weigh<const SIGNED: bool>(sum: __m512i, rows: *const u8, by: *const [i16; 2]) -> __m512i {
        unsafe {
            let (a, b) = (small16::<SIGNED>(rows), small16::<SIGNED>(rows.add(Self::LANES)));
            let low = _mm512_and_si512(a, _mm512_set1_epi32(0xffff));
            let pairs = _mm512_or_si512(low, _mm512_slli_epi32::<16>(b));
            let by = _mm512_set1_epi32(by.cast::<i32>().read_unaligned());
            _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, by))
        }
    }

    #[inline(always)]
    unsafe fn to_floats(a: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(a) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(a: __m512, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, a) };
    }

    #[inline(always)]
    unsafe fn halves((): (), from: *const u8) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn whole((): (), a: __m512) -> __m512 {
        a
    }

    #[inline(always)]
    unsafe fn i8s(from: *const u8) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
}

impl Dot<Self> for Avx512 {
    type Weights = __m512i;
    type Input = __m512i;
    type Partial = __m512i;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn prepare((): (), bytes: __m512i) -> __m512i {
        bytes
    }

    #[inline(always)]
    unsafe fn input(row: InputRow, quad: usize) -> __m512i {
        unsafe { _mm512_set1_epi32(row.bytes(quad).cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn add(partial: __m512i, weights: __m512i, input: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(partial, weights, input) }
    }

    #[inline(always)]
    unsafe fn flush((): (), sum: __m512i, partial: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(sum, partial) }
    }
}

impl ScaledDot<Self> for Avx512 {
    type Scale = __m512i;

    #[inline(always)]
    unsafe fn scale<const SIGNED: bool>(from: *const u8) -> __m512i {
        unsafe { small16::<SIGNED>(from) }
    }

    #[inline(always)]
    unsafe fn flush_scaled(sum: __m512i, partial: __m512i, scale: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(sum, _mm512_mullo_epi32(partial, scale)) }
    }
}
