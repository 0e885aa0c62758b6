use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};

use decoder::Gguf;
use js_sys::Uint8Array;
use manifest::Hash;
use protocol::Failure;
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;
use web_sys::{Blob, FileReaderSync};

use crate::{
    failure::{self, js_message},
    http,
};

/// Larger reads come in pieces of at most this size, so that little of the file is in the JavaScript heap at a time.
const PIECE: usize = 16 << 20;

/// A model's file, or one part of a split one, where it lies.
#[derive(Clone)]
pub enum Part {
    /// On this computer: a file of the reader, one in the browser's storage, or a download that the browser keeps.
    Blob(Blob),
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
    /// Its length.
    pub fn bytes(&self) -> u64 {
        match self {
            Part::Blob(blob) => blob.size() as u64,
            Part::Remote(remote) => remote.bytes,
        }
    }
}

/// The header of a file that is a GGUF of its own, and a reader for the rest.
///
/// # Errors
/// It is none, or unreadable.
pub fn read_header(part: Part) -> std::result::Result<(Gguf, PartReader), Failure> {
    let mut reader = PartReader::new(part).map_err(|error| failure::from_load_error(&error.into()))?;
    let gguf = Gguf::read(&mut reader).map_err(|error| failure::from_load_error(&error))?;
    Ok((gguf, reader))
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
}

enum Place {
    Blob(Blob, FileReaderSync),
    Remote(Remote),
}

impl PartReader {
    /// A reader at the start of `part`.
    ///
    /// # Errors
    /// This is no worker.
    pub fn new(part: Part) -> Result<Self> {
        let len = part.bytes();
        let place = match part {
            Part::Blob(blob) => Place::Blob(blob, FileReaderSync::new().map_err(|error| from_js(&error))?),
            Part::Remote(remote) => Place::Remote(remote),
        };
        Ok(Self { place, len, position: 0, window: Vec::new(), window_start: 0 })
    }

    fn fetch(&self, len: usize) -> Result<Uint8Array> {
        let start = self.position;
        let end = start.saturating_add(len as u64).min(self.len);
        match &self.place {
            Place::Blob(blob, reader) => {
                let slice = blob.slice_with_f64_and_f64(start as f64, end as f64).map_err(|error| from_js(&error))?;
                let bytes = reader.read_as_array_buffer(&slice).map_err(|error| from_js(&error))?;
                Ok(Uint8Array::new(&bytes))
            }
            Place::Remote(remote) => http::range(remote, start..end),
        }
    }

    fn in_window(&self) -> Option<&[u8]> {
        let offset = self.position.checked_sub(self.window_start)?;
        self.window.get(usize::try_from(offset).ok()?..).filter(|rest| !rest.is_empty())
    }
}

impl Place {
    /// Small reads are served from a window of this size, in bytes.
    fn window(&self) -> usize {
        match self {
            Place::Blob(..) => 1 << 20,
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
                let bytes = self.fetch(out.len().min(PIECE))?;
                let read = bytes.length() as usize;
                bytes.copy_to(&mut out[..read]);
                self.position += read as u64;
                return Ok(read);
            }
            self.window = self.fetch(self.place.window())?.to_vec();
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
            position.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "seek before the start of the file"))?;
        Ok(self.position)
    }
}

fn from_js(error: &JsValue) -> Error {
    Error::other(js_message(error))
}
