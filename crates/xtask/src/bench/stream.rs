//! How fast memory can be read at this moment: what bounds decoding, and changes with the machine's other guests.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

/// Bytes that each thread reads: beyond the caches.
const BYTES: usize = 192 << 20;
const TURNS: usize = 3;

/// Bytes a second that so many threads read together, each its own memory from the first byte to the last.
pub fn bytes_per_second(threads: usize) -> f64 {
    let together = Barrier::new(threads);
    let read = || {
        // Written, so that each page has memory of its own.
        let bytes = vec![2u8; BYTES];
        let (low, high) = bytes.split_at(BYTES / 2);
        let turn = |_| {
            together.wait();
            let start = Instant::now();
            // By the C library, at full speed in builds of all kinds.
            black_box(black_box(low) == black_box(high));
            start.elapsed().as_secs_f64()
        };
        BYTES as f64 / (0..TURNS).map(turn).fold(f64::INFINITY, f64::min)
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..threads).map(|_| scope.spawn(read)).collect();
        readers.into_iter().filter_map(|reader| reader.join().ok()).sum()
    })
}
