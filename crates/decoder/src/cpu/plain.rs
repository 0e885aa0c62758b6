//! Products of [`super::fields`].

use core::{arch::wasm32::*, hint::black_box};

use super::{
    isa::InputRow,
    wasm::{Constants, Lanes},
    words::add,
};

/// What takes fields apart.
#[derive(Clone, Copy)]
pub struct FieldMasks {
    nibbles: [v128; 3],
    fives: [v128; 3],
    sixes: [v128; 2],
    high: v128,
    /// Bytes of 32 and of 16 activations as words. Were they known, loops over them would be unrolled and the additions put into an order
    /// that keeps more sums on their way than there are registers, which takes a third of the speed.
    ends: [usize; 2],
}

impl FieldMasks {
    pub fn new() -> Self {
        let mask = |bits: u16| u16x8_splat(black_box(bits));
        Self {
            nibbles: [mask(0x000f), mask(0x00f0), mask(0x0f00)],
            fives: [mask(0x001f), mask(0x03e0), mask(0x7c00)],
            sixes: [mask(0x003f), mask(0x0fc0)],
            high: mask(0x3000),
            ends: [black_box(64), black_box(32)],
        }
    }
}

#[inline(always)]
unsafe fn vector(codes: *const u8, index: usize) -> v128 {
    unsafe { v128_load(codes.add(16 * index).cast()) }
}

/// A quad of four-bit codes, the even columns and the odd ones.
#[inline(always)]
pub unsafe fn four_bits(codes: *const u8, quad: usize) -> [Lanes; 2] {
    let low = u16x8_splat(15);
    [0, 1].map(|odd| {
        let words = unsafe { vector(codes, 2 * quad + odd) };
        [v128_and(words, low), v128_and(u16x8_shr(words, 4), low), v128_and(u16x8_shr(words, 8), low), top(words)]
    })
}

/// A quad of five-bit codes, the even columns and the odd ones.
#[inline(always)]
pub unsafe fn five_bits(codes: *const u8, quad: usize) -> [Lanes; 2] {
    let low = u16x8_splat(31);
    [0, 1].map(|odd| unsafe {
        let pair = 2 * (quad % 2) + odd;
        let (words, fourths) = (vector(codes, 5 * (quad / 2) + pair), vector(codes, 5 * (quad / 2) + 4));
        let fourth = v128_and(u16x8_shr(fourths, 4 * pair as u32), u16x8_splat(15));
        [
            v128_and(words, low),
            v128_and(u16x8_shr(words, 5), low),
            v128_and(u16x8_shr(words, 10), low),
            v128_or(fourth, u16x8_shl(u16x8_shr(words, 15), 4)),
        ]
    })
}

/// A quad of six-bit codes, the even columns and the odd ones.
#[inline(always)]
pub unsafe fn six_bits(codes: *const u8, quad: usize) -> [Lanes; 2] {
    let (low, high) = (u16x8_splat(63), u16x8_splat(48));
    let groups = |words, third, high_bits| {
        let fourth = v128_or(top(words), v128_and(high_bits, high));
        [v128_and(words, low), v128_and(u16x8_shr(words, 6), low), v128_and(third, low), fourth]
    };
    unsafe {
        let [even, odd, both] = [vector(codes, 3 * quad), vector(codes, 3 * quad + 1), vector(codes, 3 * quad + 2)];
        [groups(even, both, u16x8_shr(both, 8)), groups(odd, u16x8_shr(both, 6), u16x8_shr(both, 10))]
    }
}

/// The low four bits of group 3.
#[inline(always)]
fn top(words: v128) -> v128 {
    v128_xor(u16x8_shr(words, 12), u16x8_splat(8))
}

/// The products of a sub-block of four-bit codes. A word as it is counts for all its fields, so the last one is what the others leave.
#[inline(always)]
pub unsafe fn stream_nibbles(k: Constants, mut codes: *const u8, input: InputRow) -> Lanes {
    unsafe {
        // An array: with a name for each sum, V8 made code that read a 1.1B model a quarter slower.
        let mut sums = [i32x4_splat(0); 4];
        let mut words = input.words;
        let end = words.byte_add(k.fields.ends[0]);
        while words != end {
            let group = vector(codes, 0);
            let by = v128_load32_splat(words.cast());
            for (field, mask) in k.fields.nibbles.into_iter().enumerate() {
                sums[field] = add(sums[field], v128_and(group, mask), by);
            }
            sums[3] = add(sums[3], group, by);
            words = words.add(2);
            codes = codes.add(16);
        }
        let [a, b, c, all] = sums;
        let top = i32x4_shr(i32x4_sub(all, i32x4_add(i32x4_add(a, b), c)), 12);
        // Eight for each flipped code: this sum is kept eight times and negative.
        let flips = v128_load32_splat((&raw const (*input.blocks).sum).cast());
        [a, i32x4_shr(b, 4), i32x4_shr(c, 8), i32x4_sub(top, flips)]
    }
}

/// The products of a sub-block of five-bit codes, likewise.
#[inline(always)]
pub unsafe fn stream_five_bits(k: Constants, mut codes: *const u8, input: InputRow) -> Lanes {
    unsafe {
        let mut sums = [i32x4_splat(0); 5];
        let mut words = input.words;
        let end = words.byte_add(k.fields.ends[0]);
        while words != end {
            let fourths = vector(codes, 4);
            for pair in 0..4 {
                let group = vector(codes, pair);
                let by = v128_load32_splat(words.add(2 * pair).cast());
                let fourth = v128_and(u16x8_shr(fourths, 4 * pair as u32), k.fields.nibbles[0]);
                for (field, mask) in k.fields.fives.into_iter().enumerate() {
                    sums[field] = add(sums[field], v128_and(group, mask), by);
                }
                sums[3] = add(sums[3], group, by);
                sums[4] = add(sums[4], fourth, by);
            }
            words = words.add(8);
            codes = codes.add(80);
        }
        let [a, b, c, all, fourth] = sums;
        let high = i32x4_shr(i32x4_sub(i32x4_add(i32x4_add(a, b), c), all), 15);
        [a, i32x4_shr(b, 5), i32x4_shr(c, 10), i32x4_add(fourth, i32x4_shl(high, 4))]
    }
}

/// The products of half a sub-block of six-bit codes, likewise.
#[inline(always)]
pub unsafe fn stream_six_bits(k: Constants, codes: *const u8, input: InputRow, half: usize) -> Lanes {
    unsafe {
        let [mut a, mut b, mut all, mut even, mut odd, mut even_high, mut odd_high] = [i32x4_splat(0); 7];
        let [low, second] = k.fields.sixes;
        let mut codes = codes.add(192 * half);
        let mut words = input.words.add(16 * half);
        let end = words.byte_add(k.fields.ends[1]);
        while words != end {
            let by = [v128_load32_splat(words.cast()), v128_load32_splat(words.add(2).cast())];
            for index in 0..2 {
                let group = vector(codes, index);
                a = add(a, v128_and(group, low), by[index]);
                b = add(b, v128_and(group, second), by[index]);
                all = add(all, group, by[index]);
            }
            let both = vector(codes, 2);
            even = add(even, v128_and(both, low), by[0]);
            odd = add(odd, v128_and(both, second), by[1]);
            even_high = add(even_high, v128_and(both, k.fields.high), by[0]);
            odd_high = add(odd_high, u16x8_shr(both, 14), by[1]);
            codes = codes.add(48);
            words = words.add(4);
        }
        let top = i32x4_shr(i32x4_sub(all, i32x4_add(a, b)), 12);
        let high = i32x4_add(i32x4_shr(even_high, 12), odd_high);
        let flips = i32x4_splat(8 * i32::from((*input.blocks).halves[half]));
        let fourth = i32x4_sub(i32x4_add(top, i32x4_shl(high, 4)), flips);
        [a, i32x4_shr(b, 6), i32x4_add(even, i32x4_shr(odd, 6)), fourth]
    }
}
