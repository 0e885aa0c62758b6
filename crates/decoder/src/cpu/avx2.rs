//! AVX2, with FMA and F16C.

use core::arch::x86_64::*;

use super::isa::{Dot, InputRow, Isa, Mask, ScaledDot};

#[derive(Clone, Copy)]
pub struct Avx2;

#[inline(always)]
unsafe fn small8<const SIGNED: bool>(from: *const u8) -> __m256i {
    unsafe {
        let bytes = _mm_loadl_epi64(from.cast());
        if SIGNED { _mm256_cvtepi8_epi32(bytes) } else { _mm256_cvtepu8_epi32(bytes) }
    }
}

impl Isa for Avx2 {
    const LANES: usize = 8;
    const PANELS: usize = 2;
    const TILE: usize = 4;
    const WIDE_ROWS: usize = 4;
    const BIAS: u8 = 0;
    type Bytes = __m256i;
    type Ints = __m256i;
    type Floats = __m256;
    type Constants = ();
    type Unsigned = Pairs;
    type Signed = SignedPairs;

    #[inline(always)]
    fn constants() {}

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn and((): (), a: __m256i, mask: Mask) -> __m256i {
        unsafe { _mm256_and_si256(a, _mm256_set1_epi8(mask as i8)) }
    }

    #[inline(always)]
    unsafe fn or(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_or_si256(a, b) }
    }

    #[inline(always)]
    unsafe fn shr(a: __m256i, bits: u32) -> __m256i {
        unsafe { _mm256_srl_epi16(a, _mm_cvtsi32_si128(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn shl(a: __m256i, bits: u32) -> __m256i {
        unsafe { _mm256_sll_epi16(a, _mm_cvtsi32_si128(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn ints(from: *const i32, bits: u32) -> __m256i {
        unsafe { _mm256_sll_epi32(_mm256_set1_epi32(from.read_unaligned()), _mm_cvtsi32_si128(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn shift(a: __m256i, bits: u32) -> __m256i {
        unsafe { _mm256_sll_epi32(a, _mm_cvtsi32_si128(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn weigh<const SIGNED: bool>(sum: __m256i, rows: *const u8, by: *const [i16; 2]) -> __m256i {
        unsafe {
            let (a, b) = (small8::<SIGNED>(rows), small8::<SIGNED>(rows.add(Self::LANES)));
            let low = _mm256_and_si256(a, _mm256_set1_epi32(0xffff));
            let pairs = _mm256_or_si256(low, _mm256_slli_epi32::<16>(b));
            let by = _mm256_set1_epi32(by.cast::<i32>().read_unaligned());
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, by))
        }
    }

    #[inline(always)]
    unsafe fn to_floats(a: __m256i) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(a) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(a: __m256, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, a) };
    }

    #[inline(always)]
    unsafe fn halves((): (), from: *const u8) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn whole((): (), a: __m256) -> __m256 {
        a
    }

    #[inline(always)]
    unsafe fn i8s(from: *const u8) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
}

#[inline(always)]
unsafe fn splat_quad(row: InputRow, quad: usize) -> __m256i {
    unsafe { _mm256_set1_epi32(row.bytes(quad).cast::<i32>().read_unaligned()) }
}

/// Pair sums in `i16`.
pub struct Pairs;

impl Dot<Avx2> for Pairs {
    type Weights = __m256i;
    type Input = __m256i;
    type Partial = __m256i;
    const WIDE: bool = false;

    #[inline(always)]
    unsafe fn prepare((): (), bytes: __m256i) -> __m256i {
        bytes
    }

    #[inline(always)]
    unsafe fn input(row: InputRow, quad: usize) -> __m256i {
        unsafe { splat_quad(row, quad) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn add(partial: __m256i, weights: __m256i, input: __m256i) -> __m256i {
        unsafe { _mm256_add_epi16(partial, _mm256_maddubs_epi16(weights, input)) }
    }

    #[inline(always)]
    unsafe fn flush((): (), sum: __m256i, partial: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(partial, _mm256_set1_epi16(1))) }
    }
}

impl ScaledDot<Avx2> for Pairs {
    type Scale = __m256i;

    #[inline(always)]
    unsafe fn scale<const SIGNED: bool>(from: *const u8) -> __m256i {
        unsafe {
            let low = _mm256_and_si256(small8::<SIGNED>(from), _mm256_set1_epi32(0xffff));
            _mm256_or_si256(low, _mm256_slli_epi32::<16>(low))
        }
    }

    #[inline(always)]
    unsafe fn flush_scaled(sum: __m256i, partial: __m256i, scale: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(partial, scale)) }
    }
}

/// The weight's sign moves to the activation, which is never -128, so no pair sum saturates.
pub struct SignedPairs;

impl Dot<Avx2> for SignedPairs {
    type Weights = __m256i;
    type Input = __m256i;
    type Partial = __m256i;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn prepare((): (), bytes: __m256i) -> __m256i {
        bytes
    }

    #[inline(always)]
    unsafe fn input(row: InputRow, quad: usize) -> __m256i {
        unsafe { splat_quad(row, quad) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn add(partial: __m256i, weights: __m256i, input: __m256i) -> __m256i {
        unsafe {
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(input, weights));
            _mm256_add_epi32(partial, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn flush((): (), sum: __m256i, partial: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(sum, partial) }
    }
}
