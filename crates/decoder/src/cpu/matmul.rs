//! The products of packed weights and quantized activations.
//!
//! Types with one scale for 32 columns are multiplied here, those with small scales for parts of 256 columns in [`super::coarse`].
//! One activation row (decoding) multiplies the weights as they stream by. Several rows (a prompt) multiply a panel pair that was
//! unpacked once into [`Scratch`]. Both round alike: a batch gives the very numbers that its rows give one by one.

use std::array::from_fn;

use super::{
    activations::Rounded,
    coarse,
    format::{self, Format, SUB},
    isa::{Block, Dot, InputRow, Isa, SUM_SHIFT},
    panels::{Panels, Stripe},
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

/// Room for a stripe of an unpacked pair of panels.
pub type Scratch = Vec<u8>;

#[inline(always)]
pub unsafe fn matmul<I: Isa, F: Format>(job: &mut Job<'_>) {
    let panels = Panels::new::<F>(I::LANES, job.rows, job.columns);
    debug_assert_eq!(job.columns % (SUB * F::SUBS), 0);
    debug_assert_eq!(Some(job.weights.len()), panels.bytes());
    debug_assert_eq!(job.out.len(), job.rows * job.inputs.rows());
    let k = I::constants();
    for stripe in panels.stripes() {
        let panel = |index: usize| unsafe { job.weights.as_ptr().add(stripe.panel(index)) };
        let mut first = 0;
        while first < panels.count {
            if I::PANELS == 2 && first + 1 < panels.count {
                unsafe { pass::<I, F, 2>(k, [panel(first), panel(first + 1)], first, &stripe, job) };
            } else {
                unsafe { pass::<I, F, 1>(k, [panel(first)], first, &stripe, job) };
            }
            first += I::PANELS;
        }
    }
}

/// All activation rows over `P` panels.
#[inline(always)]
unsafe fn pass<I: Isa, F: Format, const P: usize>(
    k: I::Constants,
    panels: [*const u8; P],
    first_panel: usize,
    stripe: &Stripe,
    job: &mut Job<'_>,
) {
    unsafe {
        if job.inputs.rows() == 1 {
            for (p, panel) in panels.into_iter().enumerate() {
                stream_row::<I, F>(k, panel, first_panel + p, stripe, job);
            }
            return;
        }
        unpack::<I, F, P>(k, panels, stripe.columns, job.scratch);
        let mut first = 0;
        while first < job.inputs.rows() {
            first += match job.inputs.rows() - first {
                1 => rows::<I, F, P, 1>(k, panels, first_panel, first, stripe, job),
                4.. if I::TILE == 4 => rows::<I, F, P, 4>(k, panels, first_panel, first, stripe, job),
                _ => rows::<I, F, P, 2>(k, panels, first_panel, first, stripe, job),
            };
        }
    }
}

/// The only activation row over one panel as it lies.
#[inline(always)]
unsafe fn stream_row<I: Isa, F: Format>(
    k: I::Constants,
    panel: *const u8,
    panel_index: usize,
    stripe: &Stripe,
    job: &mut Job<'_>,
) {
    unsafe {
        let input = job.inputs.row(0, stripe.first_column);
        let [[sum]] = start_sums::<I, 1, 1>(panel_index, 0, stripe, job);
        let sum = match F::SUBS {
            1 => stream::<I, F>(k, panel, stripe.columns, input, sum),
            _ => coarse::stream::<I, F>(k, panel, stripe.columns, input, sum),
        };
        store::<I, 1, 1>([[sum]], panel_index, 0, job);
    }
}

/// `T` activation rows over the unpacked panels; returns `T`.
#[inline(always)]
unsafe fn rows<I: Isa, F: Format, const P: usize, const T: usize>(
    k: I::Constants,
    panels: [*const u8; P],
    first_panel: usize,
    first: usize,
    stripe: &Stripe,
    job: &mut Job<'_>,
) -> usize {
    unsafe {
        let inputs: [InputRow; T] = from_fn(|t| job.inputs.row(first + t, stripe.first_column));
        let scratch = job.scratch.as_ptr();
        let sums = start_sums::<I, P, T>(first_panel, first, stripe, job);
        let sums = match F::SUBS {
            1 => tile::<I, F, P, T>(k, scratch, stripe.columns, inputs, sums),
            _ => coarse::tile::<I, F, P, T>(k, panels, scratch, stripe.columns, inputs, sums),
        };
        store::<I, P, T>(sums, first_panel, first, job);
        T
    }
}

/// Multiplies one panel as it comes from memory: a single stream is what the processor fetches ahead best.
#[inline(always)]
unsafe fn stream<I: Isa, F: Format>(
    k: I::Constants,
    panel: *const u8,
    columns: usize,
    mut input: InputRow,
    mut sum: I::Floats,
) -> I::Floats {
    unsafe {
        let unit_bytes = format::unit_bytes::<F>() * I::LANES;
        let mut unit = panel;
        for _ in 0..columns / SUB {
            let codes = format::codes::<I, F>(unit);
            let mut dots = start::<I, F>(k, input.blocks);
            for first in (0..4).step_by(pairs_per_flush::<I, F, F::Dot<I>>()) {
                let [partial, _] = F::Dot::<I>::stream::<F>(k, codes, first, input);
                dots = F::Dot::<I>::flush(k, dots, partial);
            }
            sum = add_block::<I, F>(sum, dots, format::header::<I, F>(k, unit), input.blocks);
            input = input.next();
            unit = unit.add(unit_bytes);
        }
        sum
    }
}

/// How many of four pairs of quads (`quad` and `quad + 4`) may be added up in one partial sum or, where they have scales of their own, in two.
pub const fn pairs_per_flush<I: Isa, F: Format, D: Dot<I>>() -> usize {
    format::quads_per_flush::<I, F, D>() * F::SCALES / 2
}

/// [`Dot::stream`] of codes that lie as quads.
#[inline(always)]
pub unsafe fn stream_quads<I: Isa, F: Format, D: Dot<I>>(
    k: I::Constants,
    codes: *const u8,
    first: usize,
    input: InputRow,
) -> [D::Partial; 2] {
    unsafe {
        let mut partials = [D::zero(); 2];
        let second = F::SCALES - 1;
        for quad in first..first + pairs_per_flush::<I, F, D>() {
            let [low, high] = D::weights::<F>(k, codes, quad);
            partials[0] = D::add(partials[0], low, D::input(input, quad));
            partials[second] = D::add(partials[second], high, D::input(input, quad + 4));
        }
        partials
    }
}

/// What the codes' offset takes away.
#[inline(always)]
unsafe fn start<I: Isa, F: Format>(k: I::Constants, block: *const Block) -> I::Ints {
    unsafe {
        match F::OFFSET_BITS {
            Some(bits) => I::ints(&raw const (*block).sum, bits - SUM_SHIFT),
            None if F::BITS == 8 && I::BIAS > 0 => I::unbias(k, &raw const (*block).sum),
            None => I::zero(),
        }
    }
}

/// Adds one block's dot products, scaled, to a sum.
#[inline(always)]
unsafe fn add_block<I: Isa, F: Format>(
    sum: I::Floats,
    dots: I::Ints,
    [scale, min]: [I::Floats; 2],
    block: *const Block,
) -> I::Floats {
    unsafe {
        let sum = I::mul_add(I::to_floats(dots), I::mul(scale, I::splat((*block).scale)), sum);
        if F::HALVES == 2 { I::mul_add(min, I::splat((*block).scaled_sum), sum) } else { sum }
    }
}

/// Bytes of one sub-block of `P` panels in the scratch: eight quads of each panel side by side, then, unless they are read where they lie,
/// scales and mins.
pub const fn record<I: Isa, F: Format, const P: usize>() -> (usize, usize, usize) {
    let quad = size_of::<<F::Dot<I> as Dot<I>>::Weights>();
    let floats = 4 * I::LANES;
    (quad, floats, P * (8 * quad + if F::SUBS == 1 { F::HALVES * floats } else { 0 }))
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
                let mut codes = format::codes::<I, F>(unit);
                for sub in 0..F::SUBS {
                    let record = scratch.as_mut_ptr().add((index * F::SUBS + sub) * record_bytes);
                    let weights =
                        |quad: usize| record.add((quad * P + p) * quad_bytes).cast::<<F::Dot<I> as Dot<I>>::Weights>();
                    for quad in 0..4 {
                        let [low, high] = F::Dot::<I>::weights::<F>(k, codes, quad);
                        weights(quad).write_unaligned(low);
                        weights(quad + 4).write_unaligned(high);
                    }
                    codes = format::next_codes::<I, F>(codes);
                    if F::SUBS == 1 {
                        let header = format::header::<I, F>(k, unit);
                        for half in 0..F::HALVES {
                            let to = record.add(8 * P * quad_bytes + (half * P + p) * float_bytes);
                            I::store(header[half], to.cast());
                        }
                    }
                }
            }
        }
    }
}

/// [`Dot::tile`] of any weights.
#[inline(always)]
pub unsafe fn tile_quads<I: Isa, F: Format, D: Dot<I>, const P: usize, const T: usize>(
    record: *const u8,
    first: usize,
    inputs: &[InputRow; T],
) -> [[D::Partial; T]; P] {
    unsafe {
        let quad_bytes = size_of::<D::Weights>();
        let mut partials = [[D::zero(); T]; P];
        for quad in first..first + format::quads_per_flush::<I, F, D>() {
            let weights: [_; P] = from_fn(|p| {
                let at = record.add((quad * P + p) * quad_bytes);
                at.cast::<D::Weights>().read_unaligned()
            });
            for t in 0..T {
                let input = D::input(inputs[t], quad);
                for p in 0..P {
                    partials[p][t] = D::add(partials[p][t], weights[p], input);
                }
            }
        }
        partials
    }
}

#[inline(always)]
unsafe fn tile<I: Isa, F: Format, const P: usize, const T: usize>(
    k: I::Constants,
    scratch: *const u8,
    columns: usize,
    mut inputs: [InputRow; T],
    mut sums: [[I::Floats; T]; P],
) -> [[I::Floats; T]; P] {
    unsafe {
        let (quad_bytes, float_bytes, record_bytes) = record::<I, F, P>();
        for block in 0..columns / SUB {
            let record = scratch.add(block * record_bytes);
            let floats = record.add(8 * P * quad_bytes);
            let mut dots = [[I::zero(); T]; P];
            for first in (0..8).step_by(format::quads_per_flush::<I, F, F::Dot<I>>()) {
                let partials = F::Dot::<I>::tile::<F, P, T>(k, record, first, &inputs);
                for t in 0..T {
                    for p in 0..P {
                        dots[p][t] = F::Dot::<I>::flush(k, dots[p][t], partials[p][t]);
                    }
                }
            }
            // Not before the products, where it would wait for them in a register.
            let starts: [I::Ints; T] = from_fn(|t| start::<I, F>(k, inputs[t].blocks));
            for p in 0..P {
                let header = from_fn(|half| I::load(floats.add((half % F::HALVES * P + p) * float_bytes).cast()));
                for t in 0..T {
                    let dots = I::add(dots[p][t], starts[t]);
                    sums[p][t] = add_block::<I, F>(sums[p][t], dots, header, inputs[t].blocks);
                }
            }
            for input in &mut inputs {
                *input = input.next();
            }
        }
        sums
    }
}

/// What the stripes before have summed up.
#[inline(always)]
unsafe fn start_sums<I: Isa, const P: usize, const T: usize>(
    first_panel: usize,
    first: usize,
    stripe: &Stripe,
    job: &Job<'_>,
) -> [[I::Floats; T]; P] {
    let mut sums = unsafe { [[I::splat(0.0); T]; P] };
    if stripe.first_column == 0 {
        return sums;
    }
    for (p, sums) in sums.iter_mut().enumerate() {
        let row = (first_panel + p) * I::LANES;
        let lanes = I::LANES.min(job.rows - row);
        for (t, sum) in sums.iter_mut().enumerate() {
            let out = &job.out[(first + t) * job.rows + row..][..lanes];
            *sum = if lanes == I::LANES {
                unsafe { I::load(out.as_ptr()) }
            } else {
                let mut all = [0.0; 16];
                all[..lanes].copy_from_slice(out);
                unsafe { I::load(all.as_ptr()) }
            };
        }
    }
    sums
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
