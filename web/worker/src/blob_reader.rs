use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};

use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use web_sys::{Blob, FileReaderSync};

/// Small reads are served from a window of this size, in bytes.
const WINDOW: usize = 1 << 20;
/// Larger reads come in pieces of at most this size, so that little of the file is in the JavaScript heap at a time.
const PIECE: usize = 16 << 20;

/// Reads a `Blob` or `File` where it lies: the file is never in memory as a whole.
///
/// Only workers may wait for a file, so this works in workers only.
pub struct BlobReader {
    reader: FileReaderSync,
    blob: Blob,
    len: u64,
    position: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl BlobReader {
    /// A reader at the start of `blob`.
    ///
    /// # Errors
    /// This is no worker.
    pub fn new(blob: Blob) -> Result<Self> {
        let reader = FileReaderSync::new().map_err(|error| from_js(&error))?;
        let len = blob.size() as u64;
        Ok(Self { reader, blob, len, position: 0, window: Vec::new(), window_start: 0 })
    }

    fn slice(&self, start: u64, len: usize) -> Result<Uint8Array> {
        let end = start.saturating_add(len as u64).min(self.len);
        let bytes = self
            .blob
            .slice_with_f64_and_f64(start as f64, end as f64)
            .and_then(|slice| self.reader.read_as_array_buffer(&slice))
            .map_err(|error| from_js(&error))?;
        Ok(Uint8Array::new(&bytes))
    }

    fn in_window(&self) -> Option<&[u8]> {
        let offset = self.position.checked_sub(self.window_start)?;
        self.window.get(usize::try_from(offset).ok()?..).filter(|rest| !rest.is_empty())
    }
}

impl Read for BlobReader {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        if out.is_empty() || self.position >= self.len {
            return Ok(0);
        }
        if self.in_window().is_none() {
            if out.len() >= WINDOW {
                let bytes = self.slice(self.position, out.len().min(PIECE))?;
                let read = bytes.length() as usize;
                bytes.copy_to(&mut out[..read]);
                self.position += read as u64;
                return Ok(read);
            }
            self.window = self.slice(self.position, WINDOW)?.to_vec();
            self.window_start = self.position;
        }
        let available = self.in_window().unwrap_or_default();
        let read = available.len().min(out.len());
        out[..read].copy_from_slice(&available[..read]);
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for BlobReader {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position =
            position.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "seek before the start of the file"))?;
        Ok(self.position)
    }
}

fn from_js(error: &JsValue) -> Error {
    Error::other(crate::failure::js_message(error))
}
