use std::io::{self, Read, Result, Seek, SeekFrom};

use decoder::Gguf;
use js_sys::Uint8Array;
use manifest::Hash;
use protocol::{ErrorKind, Failure};
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, FileReaderSync, FileSystemFileHandle};

use crate::{
    failure::{self, js_message},
    garbage::Collector,
    http,
    storage::{Access, Stored},
};

/// Larger reads come in pieces of at most this size, so that little of the file is in the JavaScript heap at a time.
const PIECE: usize = 16 << 20;

/// A model's file, or one part of a split one, where it lies.
#[derive(Clone)]
pub enum Part {
    /// On this computer: a file of the reader, or a download that the browser keeps in memory.
    Blob(Blob),
    /// In the browser's storage.
    Stored(Stored),
    /// On a server, read by ranges.
    Remote(Remote),
}

/// A file on a server, and by what it is known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Its address.
    pub url: String,
    /// Its length.
    pub bytes: u64,
    /// Its `ETag` or `Last-Modified`.
    pub validator: Option<String>,
    /// What it must hash to, where a manifest says so.
    #[serde(default)]
    pub sha256: Option<Hash>,
}

impl Part {
    /// What another worker sent: a `Blob`, or a handle of the browser's storage.
    ///
    /// # Errors
    /// The file is gone, or it is neither.
    pub async fn from_file(file: JsValue) -> std::result::Result<Self, JsValue> {
        match file.dyn_into::<FileSystemFileHandle>() {
            Ok(handle) => Ok(Part::Stored(Stored::new(handle).await?)),
            Err(file) => Ok(Part::Blob(file.dyn_into()?)),
        }
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        match self {
            Part::Blob(blob) => blob.size() as u64,
            Part::Stored(stored) => stored.bytes(),
            Part::Remote(remote) => remote.bytes,
        }
    }
}

/// The header of a file that is a GGUF of its own.
///
/// # Errors
/// It is none, or unreadable.
pub fn read_header(reader: &mut PartReader) -> std::result::Result<Gguf, Failure> {
    Gguf::read(reader).map_err(|error| failure::from_load_error(&error))
}

/// Reads a [`Part`] where it lies: it is never in memory as a whole.
///
/// Only workers may wait for a file or an answer, so this works in workers only.
pub struct PartReader {
    place: Place,
    len: u64,
    position: u64,
    /// Bytes that were fetched together, for small reads.
    window: Vec<u8>,
    window_start: u64,
    collector: Collector,
}

enum Place {
    Blob(Blob, FileReaderSync),
    Stored(Access),
    Remote(Remote),
}

impl PartReader {
    /// Readers at the start of each of `parts`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_all(parts: Vec<Part>) -> std::result::Result<Vec<Self>, Failure> {
        let mut readers = Vec::new();
        for part in parts {
            readers.push(Self::open(part).await?);
        }
        Ok(readers)
    }

    /// A reader at the start of `part`.
    ///
    /// # Errors
    /// This is no worker.
    pub async fn open(part: Part) -> std::result::Result<Self, Failure> {
        let len = part.bytes();
        let place = match part {
            Part::Blob(blob) => Place::of_blob(blob)?,
            Part::Stored(stored) => match stored.open().await {
                Some(access) => Place::Stored(access),
                None => Place::of_blob(stored.file.into())?,
            },
            Part::Remote(remote) => Place::Remote(remote),
        };
        Ok(Self { place, len, position: 0, window: Vec::new(), window_start: 0, collector: Collector::default() })
    }

    /// What is at the position, as much of it as `out` takes and the file has.
    fn fetch(&mut self, out: &mut [u8]) -> Result<usize> {
        let start = self.position;
        let end = start.saturating_add(out.len() as u64).min(self.len);
        let bytes = match &self.place {
            Place::Stored(access) => return access.read_at(start, out).map_err(|error| from_js(&error)),
            Place::Blob(blob, reader) => {
                let slice = blob.slice_with_f64_and_f64(start as f64, end as f64).map_err(|error| from_js(&error))?;
                let bytes = reader.read_as_array_buffer(&slice).map_err(|error| from_js(&error))?;
                Uint8Array::new(&bytes)
            }
            Place::Remote(remote) => http::range(remote, start..end)?,
        };
        let read = bytes.length() as usize;
        bytes.copy_to(&mut out[..read]);
        self.collector.dropped(read);
        Ok(read)
    }

    fn in_window(&self) -> Option<&[u8]> {
        let offset = self.position.checked_sub(self.window_start)?;
        self.window.get(usize::try_from(offset).ok()?..).filter(|rest| !rest.is_empty())
    }
}

impl Place {
    fn of_blob(blob: Blob) -> std::result::Result<Self, Failure> {
        let reader = FileReaderSync::new();
        let reader = reader.map_err(|error| Failure::new(ErrorKind::Other, js_message(&error)))?;
        Ok(Place::Blob(blob, reader))
    }

    /// Small reads are served from a window of this size, in bytes.
    fn window(&self) -> usize {
        match self {
            Place::Blob(..) | Place::Stored(_) => 1 << 20,
            // A worker wants its own rows of a matrix and not its neighbours'.
            Place::Remote(_) => 128 << 10,
        }
    }
}

impl Read for PartReader {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        if out.is_empty() || self.position >= self.len {
            return Ok(0);
        }
        if self.in_window().is_none() {
            if out.len() >= self.place.window() {
                let most = out.len().min(PIECE);
                let read = self.fetch(&mut out[..most])?;
                self.position += read as u64;
                return Ok(read);
            }
            let mut window = std::mem::take(&mut self.window);
            window.resize(self.place.window(), 0);
            let read = self.fetch(&mut window)?;
            window.truncate(read);
            self.window = window;
            self.window_start = self.position;
        }
        let available = self.in_window().unwrap_or_default();
        let read = available.len().min(out.len());
        out[..read].copy_from_slice(&available[..read]);
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for PartReader {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position =
            position.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the start of the file"))?;
        Ok(self.position)
    }
}

fn from_js(error: &JsValue) -> io::Error {
    io::Error::other(js_message(error))
}
