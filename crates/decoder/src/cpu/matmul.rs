//! The products of packed weights and quantized activations.
//!
//! One activation row (decoding) multiplies the weights as they stream by. Several rows (a prompt) multiply a panel pair that was
//! unpacked once into [`Scratch`]. Both round alike: a batch gives the very numbers that its rows give one by one.

use std::array::from_fn;

use super::{
    activations::Rounded,
    format::{self, Format, SUB},
    isa::{Block, Dot, InputRow, Isa, SUM_SHIFT},
};

/// `out[n * rows + row] = weights[row] · inputs[n]`
pub struct Job<'a> {
    /// Packed rows, [`Isa::LANES`] side by side, the last ones filled up with zeros.
    pub weights: &'a [u8],
    pub rows: usize,
    pub columns: usize,
    pub inputs: &'a Rounded,
    pub out: &'a mut [f32],
    pub scratch: &'a mut Scratch,
}

/// Room for an unpacked pair of panels.
pub type Scratch = Vec<u8>;

/// How far ahead of its products the weights are asked for, in bytes.
const AHEAD: usize = 4096;

/// Activation rows that pass over an unpacked pair of panels together.
const TILE: usize = 4;

#[inline(always)]
pub unsafe fn matmul<I: Isa, F: Format>(job: &mut Job<'_>) {
    let panel_bytes = job.columns / (SUB * F::SUBS) * format::unit_bytes::<F>() * I::LANES;
    debug_assert_eq!(job.columns % (SUB * F::SUBS), 0);
    debug_assert_eq!(job.weights.len(), panel_bytes * job.rows.div_ceil(I::LANES));
    debug_assert_eq!(job.out.len(), job.rows * job.inputs.rows());
    let panels = job.rows.div_ceil(I::LANES);
    let panel = |index: usize| unsafe { job.weights.as_ptr().add(index * panel_bytes) };
    let k = I::constants();
    let mut first = 0;
    while first < panels {
        if I::PANELS == 2 && first + 1 < panels {
            unsafe { pass::<I, F, 2>(k, [panel(first), panel(first + 1)], first, job) };
        } else {
            unsafe { pass::<I, F, 1>(k, [panel(first)], first, job) };
        }
        first += I::PANELS;
    }
}

/// All activation rows over `P` panels.
#[inline(always)]
unsafe fn pass<I: Isa, F: Format, const P: usize>(
    k: I::Constants,
    panels: [*const u8; P],
    first_panel: usize,
    job: &mut Job<'_>,
) {
    unsafe {
        if job.inputs.rows() == 1 {
            let input = job.inputs.row(0);
            for (p, panel) in panels.into_iter().enumerate() {
                let sum = stream::<I, F>(k, panel, job.columns, input);
                store::<I, 1, 1>([[sum]], first_panel + p, 0, job);
            }
            return;
        }
        unpack::<I, F, P>(k, panels, job.columns, job.scratch);
        let mut first = 0;
        while first < job.inputs.rows() {
            match job.inputs.rows() - first {
                1 => tile::<I, F, P, 1>(k, first_panel, first, job),
                2 => tile::<I, F, P, 2>(k, first_panel, first, job),
                3 => tile::<I, F, P, 3>(k, first_panel, first, job),
                _ => tile::<I, F, P, TILE>(k, first_panel, first, job),
            }
            first += TILE;
        }
    }
}

/// Multiplies one panel as it comes from memory: a single stream is what prefetching works best on.
#[inline(always)]
unsafe fn stream<I: Isa, F: Format>(
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
            let header = format::header::<I, F>(k, unit);
            for sub in 0..F::SUBS {
                let share = unit_bytes / F::SUBS;
                for line in (0..share).step_by(64) {
                    I::prefetch(unit.wrapping_add(AHEAD + sub * share + line));
                }
                let dots = stream_block::<I, F>(k, unit, sub, input);
                let scales = from_fn(|part| format::scale::<I, F>(header, unit, sub, part % F::SCALES));
                let min = format::min::<I, F>(header, unit, sub);
                sum = add_block::<I, F>(sum, dots, scales, min, input.blocks);
                input = input.next();
            }
            unit = unit.add(unit_bytes);
        }
        sum
    }
}

/// The integer dot products of one sub-block, of each half where the halves have scales of their own.
#[inline(always)]
unsafe fn stream_block<I: Isa, F: Format>(
    k: I::Constants,
    unit: *const u8,
    sub: usize,
    input: InputRow,
) -> [I::Ints; 2] {
    unsafe {
        let mut sums = start::<I, F>(input.blocks);
        // Two quads come out of one vector; where they share a scale they share a partial sum, too.
        let pairs_per_flush = if F::SCALES == 1 { format::quads_per_flush::<F>() / 2 } else { 2 };
        let mut quad = 0;
        while quad < 4 {
            let mut partials = [F::Dot::<I>::zero(); 2];
            for _ in 0..pairs_per_flush {
                let [low, high] = format::quads::<I, F>(k, unit, sub, quad);
                let second = F::SCALES - 1;
                let input_low = F::Dot::<I>::input(input, quad);
                partials[0] = F::Dot::<I>::add(partials[0], F::Dot::<I>::prepare(k, low), input_low);
                let input_high = F::Dot::<I>::input(input, quad + 4);
                partials[second] = F::Dot::<I>::add(partials[second], F::Dot::<I>::prepare(k, high), input_high);
                quad += 1;
            }
            sums[0] = F::Dot::<I>::flush(k, sums[0], partials[0]);
            if F::SCALES == 2 {
                sums[1] = F::Dot::<I>::flush(k, sums[1], partials[1]);
            }
        }
        sums
    }
}

/// What the codes' offset takes away.
#[inline(always)]
unsafe fn start<I: Isa, F: Format>(block: *const Block) -> [I::Ints; 2] {
    unsafe {
        let offset_bits = match F::OFFSET_BITS {
            Some(bits) => bits - SUM_SHIFT,
            None if F::BITS == 8 && I::BIAS > 0 => I::BIAS.trailing_zeros() - SUM_SHIFT,
            None => return [I::zero(); 2],
        };
        match F::SCALES {
            1 => [I::ints(&raw const (*block).sum, offset_bits); 2],
            _ => {
                let halves = (&raw const (*block).half_sums).cast::<i32>();
                [I::ints(halves, offset_bits), I::ints(halves.add(1), offset_bits)]
            }
        }
    }
}

/// Adds one sub-block's dot products, scaled, to a sum.
#[inline(always)]
unsafe fn add_block<I: Isa, F: Format>(
    sum: I::Floats,
    dots: [I::Ints; 2],
    scales: [I::Floats; 2],
    min: I::Floats,
    block: *const Block,
) -> I::Floats {
    unsafe {
        let input_scale = I::splat((*block).scale);
        let mut sum = I::mul_add(I::to_floats(dots[0]), I::mul(scales[0], input_scale), sum);
        if F::SCALES == 2 {
            sum = I::mul_add(I::to_floats(dots[1]), I::mul(scales[1], input_scale), sum);
        }
        if F::HALVES == 2 {
            sum = I::mul_add(min, I::splat((*block).scaled_sum), sum);
        }
        sum
    }
}

/// Bytes of one sub-block of `P` panels in the scratch: eight quads of each panel side by side, then scales, then mins.
const fn record<I: Isa, F: Format, const P: usize>() -> (usize, usize, usize) {
    let quad = size_of::<<F::Dot<I> as Dot<I>>::Weights>();
    let floats = 4 * I::LANES;
    let scales = if F::HALVES == 2 { F::SCALES + 1 } else { F::SCALES };
    (quad, floats, P * (8 * quad + scales * floats))
}

#[inline(always)]
unsafe fn unpack<I: Isa, F: Format, const P: usize>(
    k: I::Constants,
    panels: [*const u8; P],
    columns: usize,
    scratch: &mut Scratch,
) {
    let (quad_bytes, float_bytes, record_bytes) = record::<I, F, P>();
    let needed = columns / SUB * record_bytes;
    if scratch.len() < needed {
        scratch.resize(needed, 0);
    }
    let unit_bytes = format::unit_bytes::<F>() * I::LANES;
    unsafe {
        for index in 0..columns / (SUB * F::SUBS) {
            for p in 0..P {
                let unit = panels[p].add(index * unit_bytes);
                let header = format::header::<I, F>(k, unit);
                for sub in 0..F::SUBS {
                    let record = scratch.as_mut_ptr().add((index * F::SUBS + sub) * record_bytes);
                    for quad in 0..4 {
                        let [low, high] = format::quads::<I, F>(k, unit, sub, quad);
                        let (low, high) = (F::Dot::<I>::prepare(k, low), F::Dot::<I>::prepare(k, high));
                        record
                            .add((quad * P + p) * quad_bytes)
                            .cast::<<F::Dot<I> as Dot<I>>::Weights>()
                            .write_unaligned(low);
                        record
                            .add(((quad + 4) * P + p) * quad_bytes)
                            .cast::<<F::Dot<I> as Dot<I>>::Weights>()
                            .write_unaligned(high);
                    }
                    let floats = record.add(8 * P * quad_bytes);
                    for part in 0..F::SCALES {
                        let scale = format::scale::<I, F>(header, unit, sub, part);
                        I::store(scale, floats.add((part * P + p) * float_bytes).cast());
                    }
                    if F::HALVES == 2 {
                        let min = format::min::<I, F>(header, unit, sub);
                        I::store(min, floats.add((F::SCALES * P + p) * float_bytes).cast());
                    }
                }
            }
        }
    }
}

/// `T` activation rows over the unpacked panels.
#[inline(always)]
unsafe fn tile<I: Isa, F: Format, const P: usize, const T: usize>(
    k: I::Constants,
    first_panel: usize,
    first: usize,
    job: &mut Job<'_>,
) {
    unsafe {
        let mut inputs: [InputRow; T] = from_fn(|t| job.inputs.row(first + t));
        let (quad_bytes, float_bytes, record_bytes) = record::<I, F, P>();
        let mut sums = [[I::splat(0.0); T]; P];
        for block in 0..job.columns / SUB {
            let record = job.scratch.as_ptr().add(block * record_bytes);
            let floats = record.add(8 * P * quad_bytes);
            let starts: [[I::Ints; 2]; T] = from_fn(|t| start::<I, F>(inputs[t].blocks));
            let mut dots: [[[I::Ints; 2]; T]; P] = [starts; P];
            for part in 0..F::SCALES {
                let quads = part * 8 / F::SCALES..(part + 1) * 8 / F::SCALES;
                for first_quad in quads.step_by(format::quads_per_flush::<F>()) {
                    let mut partials = [[F::Dot::<I>::zero(); T]; P];
                    for quad in first_quad..first_quad + format::quads_per_flush::<F>() {
                        let weights: [_; P] = from_fn(|p| {
                            let at = record.add((quad * P + p) * quad_bytes);
                            at.cast::<<F::Dot<I> as Dot<I>>::Weights>().read_unaligned()
                        });
                        for t in 0..T {
                            let input = F::Dot::<I>::input(inputs[t], quad);
                            for p in 0..P {
                                partials[p][t] = F::Dot::<I>::add(partials[p][t], weights[p], input);
                            }
                        }
                    }
                    for t in 0..T {
                        for p in 0..P {
                            dots[p][t][part] = F::Dot::<I>::flush(k, dots[p][t][part], partials[p][t]);
                        }
                    }
                }
            }
            for p in 0..P {
                let scales = from_fn(|part| I::load(floats.add((part % F::SCALES * P + p) * float_bytes).cast()));
                let min = if F::HALVES == 2 {
                    I::load(floats.add((F::SCALES * P + p) * float_bytes).cast())
                } else {
                    scales[0]
                };
                for t in 0..T {
                    sums[p][t] = add_block::<I, F>(sums[p][t], dots[p][t], scales, min, inputs[t].blocks);
                }
            }
            for input in &mut inputs {
                *input = input.next();
            }
        }
        store::<I, P, T>(sums, first_panel, first, job);
    }
}

/// Writes the sums of `P` panels and `T` rows; lanes that fill up the last panel have no place in the output.
#[inline(always)]
unsafe fn store<I: Isa, const P: usize, const T: usize>(
    sums: [[I::Floats; T]; P],
    first_panel: usize,
    first: usize,
    job: &mut Job<'_>,
) {
    for (p, sums) in sums.into_iter().enumerate() {
        let row = (first_panel + p) * I::LANES;
        let lanes = I::LANES.min(job.rows - row);
        for (t, sum) in sums.into_iter().enumerate() {
            let out = &mut job.out[(first + t) * job.rows + row..][..lanes];
            if lanes == I::LANES {
                unsafe { I::store(sum, out.as_mut_ptr()) };
            } else {
                let mut all = [0.0; 16];
                unsafe { I::store(sum, all.as_mut_ptr()) };
                out.copy_from_slice(&all[..lanes]);
            }
        }
    }
}
