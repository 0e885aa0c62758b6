use js_sys::{Array, Function, Reflect};
use wasm_bindgen::JsCast;

/// Bytes read between two looks.
const EVERY: usize = 16 << 20;
/// V8 looks when it counts so many bytes more than last time. Nobody touches them, so they take no memory.
const CLAIM: u32 = 64 << 20;

/// Makes JavaScript look for garbage while a file is read piece by piece. Left alone, it keeps tens of MB of pieces in each worker that nobody needs any more.
#[derive(Default)]
pub struct Collector {
    read: usize,
}

impl Collector {
    /// So many bytes were read, and their buffer dropped.
    pub fn dropped(&mut self, bytes: usize) {
        self.read += bytes;
        if self.read >= EVERY {
            self.read = 0;
            let make = Reflect::get(&js_sys::global(), &"ArrayBuffer".into()).map(JsCast::unchecked_into::<Function>);
            // Where even the claim is refused, memory is short enough for JavaScript to look by itself.
            let _ = make.and_then(|make| Reflect::construct(&make, &Array::of1(&CLAIM.into())));
        }
    }
}
