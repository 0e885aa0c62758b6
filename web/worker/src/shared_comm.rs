use decoder::{Comm, Disconnected, Wait};
use js_sys::SharedArrayBuffer;
use wasm_bindgen::prelude::{Closure, JsValue, wasm_bindgen};

#[wasm_bindgen(module = "/src/meeting.js")]
extern "C" {
    #[wasm_bindgen(js_name = sharedBytes)]
    fn shared_bytes(words: u32) -> u32;

    #[derive(Clone)]
    type Meeting;

    #[wasm_bindgen(constructor)]
    fn new(buffer: &SharedArrayBuffer, count: u32, patience: f64) -> Meeting;

    #[wasm_bindgen(method)]
    fn write(this: &Meeting, at: u32, words: &[u32]);

    #[wasm_bindgen(method)]
    fn read(this: &Meeting, at: u32, words: &mut [u32]);

    #[wasm_bindgen(method)]
    fn meet(this: &Meeting, word: Option<u32>, is_between_passes: bool) -> Option<u32>;

    #[wasm_bindgen(method, js_name = break)]
    fn break_up(this: &Meeting);

    #[wasm_bindgen(method, catch)]
    fn guard(this: &Meeting, work: &Closure<dyn FnMut()>) -> Result<(), JsValue>;
}

/// The shards of one model meet in a `SharedArrayBuffer`: each worker has its own instance of the engine.
///
/// A worker that traps, panics or vanishes ends everyone's wait.
pub struct SharedComm {
    meeting: Meeting,
    capacity: usize,
}

/// Ends the meetings from outside.
#[derive(Clone)]
pub struct Guard(Meeting);

impl SharedComm {
    /// A buffer for meetings in which `capacity` words are shared.
    pub fn buffer(capacity: usize) -> SharedArrayBuffer {
        SharedArrayBuffer::new(shared_bytes(capacity as u32))
    }

    /// A place for one of `count` workers; after `patience` milliseconds of waiting the others count as broken.
    pub fn new(buffer: &SharedArrayBuffer, count: u32, capacity: usize, patience: f64) -> Self {
        Self { meeting: Meeting::new(buffer, count, patience), capacity }
    }

    /// For those who must end the meetings while this is in use.
    pub fn guard(&self) -> Guard {
        Guard(self.meeting.clone())
    }
}

impl Guard {
    /// Everyone's wait ends, now and ever after.
    pub fn break_up(&self) {
        self.0.break_up();
    }

    /// Does `work`; if it throws or traps, everyone's wait ends.
    ///
    /// # Errors
    /// What was thrown.
    pub fn watch(&self, work: impl FnOnce() + 'static) -> Result<(), JsValue> {
        let mut work = Some(work);
        let work = Closure::<dyn FnMut()>::new(move || {
            if let Some(work) = work.take() {
                work();
            }
        });
        self.0.guard(&work)
    }
}

impl Comm for SharedComm {
    fn capacity(&self) -> usize {
        self.capacity
    }

    fn write(&mut self, at: usize, words: &[u32]) {
        self.meeting.write(at as u32, words);
    }

    fn read(&mut self, at: usize, words: &mut [u32]) {
        self.meeting.read(at as u32, words);
    }

    fn barrier(&mut self, word: Option<u32>, wait: Wait) -> Result<u32, Disconnected> {
        self.meeting.meet(word, wait == Wait::BetweenPasses).ok_or(Disconnected)
    }
}
