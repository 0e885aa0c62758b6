use std::{
    cell::UnsafeCell,
    hint,
    io::{self, Read, Seek},
    ops::ControlFlow,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use crate::{
    CacheType, Comm, Config, Disconnected, Gguf, LoadError, Loader, Progress, Shard, Wait, Weights, comm_words, serve,
};

/// Looks at the barrier this often before going to sleep: some tens of microseconds.
const SPINS: u32 = 20_000;

/// The company of native threads.
pub struct ThreadComm {
    shared: Arc<Shared>,
}

struct Shared {
    words: Box<[UnsafeCell<u32>]>,
    count: usize,
    arrived: AtomicUsize,
    generation: AtomicUsize,
    /// The words of every other barrier take turns: nobody is two barriers ahead.
    said: [AtomicU32; 2],
    broken: AtomicBool,
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    wake: Condvar,
}

// SAFETY: `Comm`'s contract keeps writers and readers of a word apart by barriers, which order memory.
unsafe impl Sync for Shared {}

impl ThreadComm {
    /// Seats for `count` threads around a buffer of `words` words. A seat that is dropped breaks the company up.
    pub fn seats(count: usize, words: usize) -> Vec<Self> {
        let shared = Arc::new(Shared {
            words: (0..words).map(|_| UnsafeCell::new(0)).collect(),
            count,
            arrived: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            said: Default::default(),
            broken: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            bed: Mutex::new(()),
            wake: Condvar::new(),
        });
        (0..count).map(|_| Self { shared: Arc::clone(&shared) }).collect()
    }
}

impl Shared {
    /// Called after what the sleepers wait for has become true. Waking costs a system call, so it is done for sleepers only: each side
    /// first says what it does and then looks at the other, in one order for all (`SeqCst`).
    fn wake_all(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(self.bed.lock());
            self.wake.notify_all();
        }
    }

    fn wait_for_others(&self, generation: usize) {
        let is_over = || self.generation.load(Ordering::SeqCst) != generation || self.broken.load(Ordering::SeqCst);
        for _ in 0..SPINS {
            if is_over() {
                return;
            }
            hint::spin_loop();
        }
        let mut guard = self.bed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !is_over() {
            guard = self.wake.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Comm for ThreadComm {
    fn capacity(&self) -> usize {
        self.shared.words.len()
    }

    fn write(&mut self, at: usize, words: &[u32]) {
        let target = &self.shared.words[at..at + words.len()];
        // SAFETY: in bounds, and nobody else touches these words before the next barrier.
        unsafe { UnsafeCell::raw_get(target.as_ptr()).copy_from_nonoverlapping(words.as_ptr(), words.len()) };
    }

    fn read(&mut self, at: usize, words: &mut [u32]) {
        let source = &self.shared.words[at..at + words.len()];
        // SAFETY: in bounds, and nobody writes these words before the next barrier.
        unsafe { UnsafeCell::raw_get(source.as_ptr()).copy_to_nonoverlapping(words.as_mut_ptr(), words.len()) };
    }

    fn barrier(&mut self, word: Option<u32>, _: Wait) -> Result<u32, Disconnected> {
        let shared = &*self.shared;
        let generation = shared.generation.load(Ordering::Acquire);
        let said = &shared.said[generation % 2];
        if let Some(word) = word {
            said.store(word, Ordering::Relaxed);
        }
        if shared.arrived.fetch_add(1, Ordering::AcqRel) + 1 == shared.count {
            shared.arrived.store(0, Ordering::Relaxed);
            shared.generation.store(generation.wrapping_add(1), Ordering::SeqCst);
            shared.wake_all();
        } else {
            shared.wait_for_others(generation);
        }
        let is_whole = shared.generation.load(Ordering::Acquire) != generation;
        if is_whole { Ok(said.load(Ordering::Relaxed)) } else { Err(Disconnected) }
    }
}

impl Drop for ThreadComm {
    fn drop(&mut self) {
        self.shared.broken.store(true, Ordering::SeqCst);
        self.shared.wake_all();
    }
}

/// Loads a model cut into a shard for each of `count` threads, and returns the first one with its seat. The other threads serve it until
/// the session over it ends.
///
/// Each thread reads its own rows through readers of its own, which `open` gives in the order of the header's. `progress` is told of
/// the first shard's part, scaled to the whole; `Break` cancels.
///
/// # Errors
/// As [`Weights::load`], from whichever thread fails.
pub fn load_threaded<R: Read + Seek>(
    gguf: &Gguf,
    open: impl Fn() -> io::Result<Vec<R>> + Clone + Send + 'static,
    count: usize,
    cache_type: CacheType,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(Weights, Box<dyn Comm>), LoadError> {
    load_threaded_with_adapters(gguf, open, || Ok(Vec::new()), count, cache_type, progress)
}

/// As [`load_threaded`], with the LoRA adapters that `open_adapters` opens, in their order: see [`Weights::add_adapter`].
///
/// # Errors
/// As [`load_threaded`] and [`Weights::add_adapter`].
pub fn load_threaded_with_adapters<R: Read + Seek>(
    gguf: &Gguf,
    open: impl Fn() -> io::Result<Vec<R>> + Clone + Send + 'static,
    open_adapters: impl Fn() -> io::Result<Vec<R>> + Clone + Send + 'static,
    count: usize,
    cache_type: CacheType,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(Weights, Box<dyn Comm>), LoadError> {
    let config = Config::from_gguf(gguf)?;
    let mut seats = ThreadComm::seats(count, comm_words(&config, count)).into_iter();
    let first = seats.next().expect("there is a first shard");
    let (sender, receiver) = mpsc::channel();
    for (index, seat) in (1..).zip(seats) {
        let (gguf, open, open_adapters, sender) = (gguf.clone(), open.clone(), open_adapters.clone(), sender.clone());
        thread::Builder::new().name(format!("shard {index}")).spawn(move || {
            let outcome =
                load_shard(&gguf, &open, &open_adapters, Shard::new(index, count), &mut |_| ControlFlow::Continue(()));
            drop(gguf);
            match outcome {
                Ok(weights) => {
                    // The session notices by itself when this thread is gone.
                    let _ = sender.send(Ok(())).map(|()| serve(Arc::new(weights), Box::new(seat), cache_type));
                }
                Err(error) => drop(sender.send(Err(error))),
            }
        })?;
    }
    let weights = load_shard(gguf, &open, &open_adapters, Shard::new(0, count), &mut |done| {
        progress(Progress { loaded: done.loaded * count as u64, total: done.total * count as u64 })
    })?;
    receiver.iter().take(count - 1).collect::<Result<(), LoadError>>()?;
    Ok((weights, Box::new(first)))
}

fn load_shard<R: Read + Seek>(
    gguf: &Gguf,
    open: &impl Fn() -> io::Result<Vec<R>>,
    open_adapters: &impl Fn() -> io::Result<Vec<R>>,
    shard: Shard,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Weights, LoadError> {
    let mut readers = open()?;
    let mut loader = Loader::new(gguf, shard)?;
    loop {
        let step = loader.step(&mut readers)?;
        if progress(loader.progress()).is_break() {
            return Err(LoadError::Cancelled);
        }
        if step.is_break() {
            break;
        }
    }
    let mut weights = loader.finish();
    for mut reader in open_adapters()? {
        let gguf = Gguf::read(&mut reader)?;
        weights.add_adapter(&gguf, &mut reader)?;
    }
    Ok(weights)
}
