//! AVX2 (with FMA and F16C) and AVX-512 (with VNNI).

use core::arch::x86_64::*;

use super::isa::{Dot, InputRow, Isa, Mask};

#[derive(Clone, Copy)]
pub struct Avx2;

impl Isa for Avx2 {
    const LANES: usize = 8;
    const PANELS: usize = 2;
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
    unsafe fn prefetch(from: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }

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
    unsafe fn u8s(from: *const u8) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))) }
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

/// The weight's sign moves to the activation, which is never -128, so no pair sum saturates.
pub struct SignedPairs;

impl Dot<Avx2> for SignedPairs {
    type Weights = __m256i;
    type Input = __m256i;
    type Partial = __m256i;

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

#[derive(Clone, Copy)]
pub struct Avx512;

impl Isa for Avx512 {
    const LANES: usize = 16;
    const PANELS: usize = 2;
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
    unsafe fn prefetch(from: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }

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
    unsafe fn u8s(from: *const u8) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
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
