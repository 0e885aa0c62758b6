//! Comparing what was downloaded or dropped with its manifest, chunk by chunk.

use std::ops::Range;

use js_sys::Uint8Array;
use manifest::{File, Mismatch};
use protocol::{ErrorKind, Failure};
use wasm_bindgen::JsValue;
use web_sys::{Blob, FileReaderSync};
use web_time::{Duration, Instant};

use crate::{failure::js_message, stop::Stop, turn::Turn};

/// How long the event loop waits at most.
const PATIENCE: Duration = Duration::from_millis(40);

/// What a file must be.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name, length and hashes.
    pub file: File,
    /// Bytes of each chunk but the last.
    pub chunk_bytes: u64,
}

impl Entry {
    /// Where a chunk lies.
    pub fn range(&self, index: usize) -> Range<u64> {
        self.file.chunk_range(index, self.chunk_bytes)
    }
}

/// Compares files; lets messages in meanwhile, and ends when it shall.
pub struct Verifier<'a> {
    /// Lets messages in.
    pub turn: &'a Turn,
    /// May end it.
    pub stop: &'a Stop,
    /// Hears how many bytes of a file are behind.
    pub progress: &'a dyn Fn(u64),
}

impl Verifier<'_> {
    /// The chunks that are not what they must be. `read` makes the bytes those of a range.
    ///
    /// # Errors
    /// The bytes cannot be read, or a wish to stop.
    pub async fn damaged(
        &self,
        entry: &Entry,
        mut read: impl FnMut(Range<u64>, &mut Vec<u8>) -> Result<(), JsValue>,
    ) -> Result<Vec<Mismatch>, Failure> {
        let (mut damaged, mut bytes, mut since) = (Vec::new(), Vec::new(), Instant::now());
        for index in 0..entry.file.chunks.len() {
            let range = entry.range(index);
            read(range.clone(), &mut bytes).map_err(|error| {
                Failure::new(ErrorKind::Other, format!("{} cannot be read: {}", entry.file.name, js_message(&error)))
            })?;
            damaged.extend(entry.file.check_chunk(index, &bytes).err());
            if since.elapsed() >= PATIENCE {
                (self.progress)(range.end);
                self.turn.pass().await?;
                self.stop.check()?;
                since = Instant::now();
            }
        }
        (self.progress)(entry.file.bytes);
        Ok(damaged)
    }

    /// As [`Self::damaged`], of a file of the reader.
    ///
    /// # Errors
    /// As there.
    pub async fn damaged_in(&self, entry: &Entry, blob: &Blob) -> Result<Vec<Mismatch>, Failure> {
        let reader =
            FileReaderSync::new().map_err(|error| Failure::new(ErrorKind::Other, js_message(&error).to_owned()))?;
        let read = |range: Range<u64>, bytes: &mut Vec<u8>| {
            let slice = blob.slice_with_f64_and_f64(range.start as f64, range.end as f64)?;
            let chunk = Uint8Array::new(&reader.read_as_array_buffer(&slice)?.into());
            bytes.resize(chunk.length() as usize, 0);
            chunk.copy_to(bytes);
            Ok(())
        };
        self.damaged(entry, read).await
    }
}

/// What the page is told of a chunk that is damaged for good.
pub fn failure(mismatch: &Mismatch, remedy: &str) -> Failure {
    Failure::new(ErrorKind::Damaged, format!("{mismatch}; {remedy}"))
}

/// A length that does not match needs no hash.
///
/// # Errors
/// It does not.
pub fn check_length(entry: &Entry, found: u64) -> Result<(), Failure> {
    let (name, wanted) = (&entry.file.name, entry.file.bytes);
    match found == wanted {
        true => Ok(()),
        false => {
            let words =
                format!("{name} has {found} bytes, the manifest says {wanted}; export or copy the folder again");
            Err(Failure::new(ErrorKind::Damaged, words))
        }
    }
}
