//! Files that lie: mutations of the seeds in `corpus/` are refused or run, without a panic and without much memory.
//!
//! `FUZZ_SECONDS` says for how long (a moment by default), `FUZZ_SEED` where to begin. A file that fails is kept, and belongs into
//! `corpus/` once its bug is mended.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    env, fs,
    io::Cursor,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use decoder::{Gguf, LoadError, Loader, Session, Shard};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// Counts what is allocated, and the most of it.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Memory that a file may cost: rows are packed side by side, which a matrix of a single long row pays 16 times.
fn allowance(file_len: usize) -> usize {
    (1 << 20) + 64 * file_len
}

fn load_and_run(gguf: &[u8]) -> Result<(), LoadError> {
    let mut readers = [Cursor::new(gguf)];
    let header = Gguf::read_parts(&mut readers)?;
    let mut loader = Loader::new(&header, Shard::WHOLE)?;
    while loader.step(&mut readers)?.is_continue() {}
    let weights = Arc::new(loader.finish());
    let mut session = Session::new(weights, 8);
    for tokens in [&[0, 1][..], &[0]] {
        let _ = session.forward(tokens);
    }
    Ok(())
}

/// Numbers at which lengths, counts and offsets go wrong.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    31,
    255,
    256,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffe0,
    0xffff_ffff_ffff_ffff,
];

fn mutate(file: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut ChaCha8Rng) {
    // Most lies fit into the header.
    let reach = if random.random_bool(0.9) { file.len().min(2500) } else { file.len() };
    let at = random.random_range(0..reach.max(1)).min(file.len().saturating_sub(1));
    let put = |file: &mut Vec<u8>, bytes: &[u8]| {
        let end = (at + bytes.len()).min(file.len());
        file[at..end].copy_from_slice(&bytes[..end - at]);
    };
    match random.random_range(0..8) {
        0 if !file.is_empty() => file[at] ^= 1 << random.random_range(0..8),
        1 => put(file, &EDGES.choose(random).expect("there are edges").to_le_bytes()),
        2 => put(file, &(*EDGES.choose(random).expect("there are edges") as u32).to_le_bytes()),
        3 => put(file, &random.random_range(0u64..600).to_le_bytes()),
        4 => file.truncate(at),
        5 => {
            let end = (at + random.random_range(1..64)).min(file.len());
            file.drain(at..end);
        }
        6 => {
            let end = (at + random.random_range(1..64)).min(file.len());
            let copy = file[at..end].to_vec();
            file.splice(at..at, copy);
        }
        _ => {
            let other = seeds.choose(random).expect("there are seeds");
            let start = random.random_range(0..other.len());
            let end = (start + random.random_range(1..200)).min(other.len());
            put(file, &other[start..end]);
        }
    }
}

#[test]
fn lying_files_neither_panic_nor_cost_memory() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = fs::read_dir(&folder).expect("there is a corpus").flatten();
    let mut seeds: Vec<Vec<u8>> = files.map(|file| fs::read(file.path()).expect("a seed is readable")).collect();
    seeds.sort();
    let number = |name: &str, default: u64| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (seconds, seed) = (number("FUZZ_SECONDS", 1), number("FUZZ_SEED", 1));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (started, mut count, mut accepted) = (Instant::now(), 0u64, 0u64);
    while started.elapsed() < Duration::from_secs(seconds) {
        let mut file = seeds.choose(&mut random).expect("there are seeds").clone();
        for _ in 0..random.random_range(0..6) {
            mutate(&mut file, &seeds, &mut random);
        }
        PEAK.store(NOW.load(Relaxed), Relaxed);
        let before = NOW.load(Relaxed);
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| load_and_run(&file)));
        let cost = PEAK.load(Relaxed) - before;
        count += 1;
        accepted += u64::from(matches!(outcome, Ok(Ok(()))));
        if outcome.is_err() || cost > allowance(file.len()) {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-failure.gguf");
            fs::write(&kept, &file).expect("the failing file is kept");
            panic!(
                "file {count} (seed {seed}) {outcome:?}, {cost} bytes for {}; kept as {}",
                file.len(),
                kept.display()
            );
        }
    }
    eprintln!("{count} files in {seconds} s, {accepted} of them still models");
    assert!(count > accepted && accepted > 0, "the mutations are all alike");
}
