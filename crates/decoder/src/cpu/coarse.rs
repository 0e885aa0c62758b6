//! Products of the types whose 256 columns share a half-precision scale and whose parts have small scales: sums stay integers for all of
//! them, as in llama.cpp, and are multiplied by floats once.

use super::{
    format::{self, Format, SUB},
    isa::{Block, Dot, InputRow, Isa, ScaledDot},
    matmul::{pairs_per_flush, record},
};

/// Multiplies one panel as it comes from memory.
#[inline(always)]
pub unsafe fn stream<I: Isa, F: Format>(
    k: I::Constants,
    panel: *const u8,
    columns: usize,
    mut input: InputRow,
    mut sum: I::Floats,
) -> I::Floats {
    unsafe {
        let unit_bytes = format::unit_bytes::<F>() * I::LANES;
        let mut unit = panel;
        for _ in 0..columns / (SUB * F::SUBS) {
            let first = input.blocks;
            let mut dots = I::zero();
            let (mut small, mut codes) = (format::small::<I, F>(unit), format::codes::<I, F>(unit));
            for _ in 0..F::SUBS {
                dots = I::Unsigned::stream_scaled::<F>(k, dots, small, codes, input);
                small = small.add(F::SCALES * I::LANES);
                codes = format::next_codes::<I, F>(codes);
                input = input.next();
            }
            [sum] = add_unit::<I, F, 1>(k, [sum], [dots], unit, [first]);
            unit = unit.add(unit_bytes);
        }
        sum
    }
}

/// [`ScaledDot::stream_scaled`] of any codes.
#[inline(always)]
pub unsafe fn stream_sub<I: Isa, F: Format, D: ScaledDot<I>>(
    k: I::Constants,
    mut dots: I::Ints,
    small: *const u8,
    codes: *const u8,
    input: InputRow,
) -> I::Ints {
    unsafe {
        for first in (0..4).step_by(pairs_per_flush::<I, F, D>()) {
            let partials = D::stream::<F>(k, codes, first, input);
            for part in 0..F::SCALES {
                let scale = scale::<I, F, D>(small, part);
                let partial = without_offset::<I, F, D>(partials[part], input.blocks, part);
                dots = D::flush_scaled(dots, partial, scale);
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
    mut sums: [[I::Floats; T]; P],
) -> [[I::Floats; T]; P] {
    unsafe {
        let (_, _, record_bytes) = record::<I, F, P>();
        let mut record = scratch;
        for _ in 0..columns / (SUB * F::SUBS) {
            let blocks = inputs.map(|input| input.blocks);
            let mut smalls = units.map(|unit| format::small::<I, F>(unit));
            let mut dots = [[I::zero(); T]; P];
            for _ in 0..F::SUBS {
                for first in (0..8).step_by(format::quads_per_flush::<I, F, I::Unsigned>()) {
                    let partials = I::Unsigned::tile::<F, P, T>(k, record, first, &inputs);
                    for p in 0..P {
                        let part = first * F::SCALES / 8;
                        let scale = scale::<I, F, I::Unsigned>(smalls[p], part);
                        for t in 0..T {
                            let partial = without_offset::<I, F, I::Unsigned>(partials[p][t], inputs[t].blocks, part);
                            dots[p][t] = I::Unsigned::flush_scaled(dots[p][t], partial, scale);
                        }
                    }
                }
                record = record.add(record_bytes);
                smalls = smalls.map(|small| small.add(F::SCALES * I::LANES));
                inputs = inputs.map(|input| input.next());
            }
            for p in 0..P {
                sums[p] = add_unit::<I, F, T>(k, sums[p], dots[p], units[p], blocks);
                units[p] = units[p].add(format::unit_bytes::<F>() * I::LANES);
            }
        }
        sums
    }
}

#[inline(always)]
unsafe fn scale<I: Isa, F: Format, D: ScaledDot<I>>(small: *const u8, part: usize) -> D::Scale {
    unsafe {
        let from = small.add(part * I::LANES);
        if F::SMALL_SIGNED { D::scale::<true>(from) } else { D::scale::<false>(from) }
    }
}

/// Takes the offset of the codes of a half away, where it is taken away early.
#[inline(always)]
unsafe fn without_offset<I: Isa, F: Format, D: ScaledDot<I>>(
    partial: D::Partial,
    block: *const Block,
    half: usize,
) -> D::Partial {
    match F::OFFSET_BITS {
        Some(bits) => unsafe { D::offset(partial, i32::from((*block).halves[half]) << bits) },
        None => partial,
    }
}

/// Adds a unit's dot products to the sums: less what its codes' offset or its mins take away, and scaled.
#[inline(always)]
unsafe fn add_unit<I: Isa, F: Format, const T: usize>(
    k: I::Constants,
    mut sums: [I::Floats; T],
    mut dots: [I::Ints; T],
    unit: *const u8,
    blocks: [*const Block; T],
) -> [I::Floats; T] {
    unsafe {
        let small = format::small::<I, F>(unit);
        let [scale, min] = format::header::<I, F>(k, unit);
        if let (Some(bits), false) = (F::OFFSET_BITS, I::Unsigned::OFFSETS) {
            let mut offsets = [I::zero(); T];
            let (mut rows, mut blocks) = (small, blocks);
            for _ in 0..F::SUBS {
                for t in 0..T {
                    offsets[t] = I::weigh::<true>(offsets[t], rows, &raw const (*blocks[t]).halves);
                    blocks[t] = blocks[t].add(1);
                }
                rows = rows.add(F::SCALES * I::LANES);
            }
            for t in 0..T {
                dots[t] = I::add(dots[t], I::shift(offsets[t], bits));
            }
        }
        for t in 0..T {
            let scale = I::mul(scale, I::splat((*blocks[t]).scale));
            sums[t] = I::mul_add(I::to_floats(dots[t]), scale, sums[t]);
        }
        if F::HALVES == 1 {
            return sums;
        }
        let mut mins = [I::zero(); T];
        for sub in (0..F::SUBS).step_by(2) {
            let rows = small.add((F::SUBS + sub) * I::LANES);
            for t in 0..T {
                mins[t] = I::weigh::<false>(mins[t], rows, &raw const (*blocks[t].add(sub)).pair);
            }
        }
        for t in 0..T {
            let min = I::mul(min, I::splat((*blocks[t]).scale));
            sums[t] = I::mul_add(I::to_floats(mins[t]), min, sums[t]);
        }
        sums
    }
}
