//! Products of the types whose 256 columns share a half-precision scale and whose parts have small scales: sums stay integers for all of
//! them, as in llama.cpp, and are multiplied by floats once.

use super::{
    format::{self, Format, SUB},
    isa::{Block, Dot, InputRow, Isa, ScaledDot},
    matmul::{pairs_per_flush, prefetch, record, tile_quads},
};

/// Multiplies one panel as it comes from memory.
#[inline(always)]
pub unsafe fn stream<I: Isa, F: Format>(
    k: I::Constants,
    panel: *const u8,
    columns: usize,
    mut input: InputRow,
) -> I::Floats {
    unsafe {
        let mut sum = I::splat(0.0);
        let unit_bytes = format::unit_bytes::<F>() * I::LANES;
        let mut unit = panel;
        for _ in 0..columns / (SUB * F::SUBS) {
            let first = input.blocks;
            let mut dots = I::zero();
            let (mut small, mut codes) = (format::small::<I, F>(unit), format::codes::<I, F>(unit));
            for _ in 0..F::SUBS {
                prefetch::<I>(codes, unit_bytes / F::SUBS);
                dots = stream_sub::<I, F>(k, dots, small, codes, input);
                small = small.add(F::SCALES * I::LANES);
                codes = format::next_codes::<I, F>(codes);
                input = input.next();
            }
            sum = add_unit::<I, F>(k, sum, dots, unit, first);
            unit = unit.add(unit_bytes);
        }
        sum
    }
}

/// Adds the products of one sub-block, times their small scales.
#[inline(always)]
unsafe fn stream_sub<I: Isa, F: Format>(
    k: I::Constants,
    mut dots: I::Ints,
    small: *const u8,
    codes: *const u8,
    input: InputRow,
) -> I::Ints {
    unsafe {
        for first in (0..4).step_by(pairs_per_flush::<I, F, I::Unsigned>()) {
            let partials = I::Unsigned::stream::<F>(k, codes, first, input);
            for (part, partial) in partials.into_iter().enumerate().take(F::SCALES) {
                dots = I::Unsigned::flush_scaled(dots, partial, scale::<I, F>(small, part));
            }
        }
        dots
    }
}

/// `T` activation rows over the unpacked panels; small scales are read where they lie.
#[inline(always)]
pub unsafe fn tile<I: Isa, F: Format, const P: usize, const T: usize>(
    k: I::Constants,
    mut units: [*const u8; P],
    scratch: *const u8,
    columns: usize,
    mut inputs: [InputRow; T],
) -> [[I::Floats; T]; P] {
    unsafe {
        let (_, _, record_bytes) = record::<I, F, P>();
        let mut record = scratch;
        let mut sums = [[I::splat(0.0); T]; P];
        for _ in 0..columns / (SUB * F::SUBS) {
            let blocks = inputs.map(|input| input.blocks);
            let mut smalls = units.map(|unit| format::small::<I, F>(unit));
            let mut dots = [[I::zero(); T]; P];
            for _ in 0..F::SUBS {
                for first in (0..8).step_by(format::quads_per_flush::<I, F, I::Unsigned>()) {
                    let partials = tile_quads::<I, F, I::Unsigned, P, T>(record, first, &inputs);
                    for p in 0..P {
                        let scale = scale::<I, F>(smalls[p], first * F::SCALES / 8);
                        for t in 0..T {
                            dots[p][t] = I::Unsigned::flush_scaled(dots[p][t], partials[p][t], scale);
                        }
                    }
                }
                record = record.add(record_bytes);
                smalls = smalls.map(|small| small.add(F::SCALES * I::LANES));
                inputs = inputs.map(|input| input.next());
            }
            for p in 0..P {
                for t in 0..T {
                    sums[p][t] = add_unit::<I, F>(k, sums[p][t], dots[p][t], units[p], blocks[t]);
                }
                units[p] = units[p].add(format::unit_bytes::<F>() * I::LANES);
            }
        }
        sums
    }
}

#[inline(always)]
unsafe fn scale<I: Isa, F: Format>(small: *const u8, part: usize) -> <I::Unsigned as ScaledDot<I>>::Scale {
    unsafe {
        let from = small.add(part * I::LANES);
        if F::SMALL_SIGNED { I::Unsigned::scale::<true>(from) } else { I::Unsigned::scale::<false>(from) }
    }
}

/// Adds a unit's dot products to a sum: less what its codes' offset or its mins take away, and scaled.
#[inline(always)]
unsafe fn add_unit<I: Isa, F: Format>(
    k: I::Constants,
    sum: I::Floats,
    mut dots: I::Ints,
    unit: *const u8,
    blocks: *const Block,
) -> I::Floats {
    unsafe {
        let small = format::small::<I, F>(unit);
        let [scale, min] = format::header::<I, F>(k, unit);
        let input_scale = I::splat((*blocks).scale);
        if let Some(bits) = F::OFFSET_BITS {
            let mut sums = I::zero();
            for sub in 0..F::SUBS {
                let by = &raw const (*blocks.add(sub)).halves;
                sums = I::weigh::<true>(sums, small.add(sub * F::SCALES * I::LANES), by);
            }
            dots = I::add(dots, I::shift(sums, bits));
        }
        let sum = I::mul_add(I::to_floats(dots), I::mul(scale, input_scale), sum);
        if F::HALVES == 1 {
            return sum;
        }
        let mut mins = I::zero();
        for sub in (0..F::SUBS).step_by(2) {
            let by = &raw const (*blocks.add(sub)).pair;
            mins = I::weigh::<false>(mins, small.add((F::SUBS + sub) * I::LANES), by);
        }
        I::mul_add(I::to_floats(mins), I::mul(min, input_scale), sum)
    }
}
