//! Downloads that the browser keeps for us.

use std::ops::Range;

use js_sys::{Array, Uint8Array};
use protocol::{ErrorKind, Failure};
use wasm_bindgen::JsValue;
use web_sys::Blob;

use crate::failure::js_message;

/// Downloaded bytes are handed to the browser as a `Blob` of this size at a time; it may keep them on disk.
const PART: u64 = 16 << 20;

/// What was downloaded so far.
#[derive(Default)]
pub struct Pieces {
    blobs: Array,
    chunks: Array,
    chunk_bytes: u64,
    bytes: u64,
}

impl Pieces {
    /// Takes what comes next.
    ///
    /// # Errors
    /// The browser has no more room.
    pub fn push(&mut self, chunk: &Uint8Array) -> Result<(), Failure> {
        self.chunks.push(chunk);
        self.chunk_bytes += u64::from(chunk.length());
        self.bytes += u64::from(chunk.length());
        if self.chunk_bytes >= PART {
            self.seal()?;
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<(), Failure> {
        self.blobs.push(&blob_of(&self.chunks)?.into());
        self.chunks = Array::new();
        self.chunk_bytes = 0;
        Ok(())
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn into_blob(mut self) -> Result<Blob, Failure> {
        self.seal()?;
        blob_of(&self.blobs)
    }
}

fn blob_of(parts: &Array) -> Result<Blob, Failure> {
    Blob::new_with_u8_array_sequence(parts).map_err(|error| no_room(&error))
}

/// The same with other bytes in a range.
///
/// # Errors
/// The browser has no more room.
pub fn with_bytes_at(blob: &Blob, range: Range<u64>, bytes: &Uint8Array) -> Result<Blob, Failure> {
    let slice = |from: u64, to: f64| blob.slice_with_f64_and_f64(from as f64, to).map_err(|error| no_room(&error));
    let (before, after) = (slice(0, range.start as f64)?, slice(range.end, blob.size())?);
    blob_of(&Array::of3(&before, bytes, &after))
}

fn no_room(error: &JsValue) -> Failure {
    Failure::new(ErrorKind::OutOfMemory, format!("no room for the download: {}", js_message(error)))
}
