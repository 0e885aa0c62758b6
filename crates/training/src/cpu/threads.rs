//! Updates of flat buffers, shared by threads.

use super::kernels::{self, AdamwRates};
use crate::device::PlacedMatrix;
use crate::muon;
use std::thread;

/// Values that one thread reduces and updates at a time.
const CHUNK: usize = 1 << 16;

/// Adds all gradients to the first one, always in the same order; returns its norm.
pub(super) fn reduce(gradients: Vec<&mut [f32]>) -> f64 {
    let threads = gradients.len();
    let mut gradients = gradients.into_iter();
    let first = gradients.next().expect("at least one worker");
    let others: Vec<&[f32]> = gradients.map(|g| &*g).collect();
    let chunks: Vec<(usize, &mut [f32])> = first.chunks_mut(CHUNK).enumerate().collect();
    let squares = for_chunks(chunks, threads, |(index, chunk)| {
        for other in &others {
            kernels::add(chunk, &other[index * CHUNK..][..chunk.len()]);
        }
        kernels::sum_of_squares(chunk)
    });
    squares.iter().sum::<f64>().sqrt()
}

/// AdamW's update, shared by `threads`.
pub(super) fn adamw(
    weights: &mut [f32],
    moments: [&mut [f32]; 2],
    gradient: &[f32],
    rates: AdamwRates,
    threads: usize,
) {
    let [first, second] = moments;
    let moments = first.chunks_mut(CHUNK).zip(second.chunks_mut(CHUNK));
    let chunks = weights.chunks_mut(CHUNK).zip(moments).zip(gradient.chunks(CHUNK)).collect();
    for_chunks(chunks, threads, |((w, (m, v)), g)| kernels::adamw(w, m, v, g, rates));
}

/// Muon's update of `matrices`, which lie in the buffers in this order, shared by `threads`.
pub(super) fn muon(
    mut weights: &mut [f32],
    mut momentum: &mut [f32],
    gradient: &[f32],
    matrices: &[PlacedMatrix],
    rates: AdamwRates,
    threads: usize,
) {
    let (mut places, mut done) = (Vec::new(), 0);
    for PlacedMatrix { range, shape } in matrices {
        let (w, m);
        (w, weights) = weights[range.start - done..].split_at_mut(range.len());
        (m, momentum) = momentum[range.start - done..].split_at_mut(range.len());
        done = range.end;
        places.push((w, m, &gradient[range.clone()], *shape));
    }
    for_chunks(places, threads, |(w, m, g, shape)| muon::update(w, m, g, shape, rates.lr, rates.decay));
}

/// Runs `run` on every chunk, in `threads` contiguous shares; the results keep the chunks' order.
fn for_chunks<C: Send, R: Send>(chunks: Vec<C>, threads: usize, run: impl Fn(C) -> R + Sync) -> Vec<R> {
    let share = chunks.len().div_ceil(threads).max(1);
    let mut chunks = chunks.into_iter();
    let shares: Vec<Vec<C>> = (0..threads).map(|_| chunks.by_ref().take(share).collect()).collect();
    thread::scope(|scope| {
        let run = &run;
        let handles: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(run).collect::<Vec<R>>()))
            .collect();
        handles.into_iter().flat_map(|h| h.join().expect("a training thread panicked")).collect()
    })
}
