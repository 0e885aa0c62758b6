use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::{File, Hash};

/// Hashes a file as its bytes come: the whole, and chunk by chunk.
pub struct Hasher {
    chunk_bytes: u64,
    whole: Sha256,
    chunk: Sha256,
    in_chunk: u64,
    bytes: u64,
    chunks: Vec<Hash>,
}

/// A chunk that is not what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunk {chunk} of {chunks} of {file:?} is damaged: its SHA-256 begins with {found}, the manifest says {wanted}", chunk = index + 1)]
pub struct Mismatch {
    /// The file.
    pub file: String,
    /// The chunk, from 0.
    pub index: usize,
    /// How many the file has.
    pub chunks: usize,
    /// The beginning of its hash.
    pub found: String,
    /// The beginning of the manifest's.
    pub wanted: String,
}

impl Hasher {
    /// A hasher of nothing yet.
    pub fn new(chunk_bytes: u64) -> Hasher {
        let (whole, chunk) = (Sha256::new(), Sha256::new());
        Hasher { chunk_bytes, whole, chunk, in_chunk: 0, bytes: 0, chunks: Vec::new() }
    }

    /// Takes what comes next.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.whole.update(bytes);
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let missing = self.chunk_bytes - self.in_chunk;
            let (now, later) = bytes.split_at(missing.min(bytes.len() as u64) as usize);
            self.chunk.update(now);
            self.in_chunk += now.len() as u64;
            if self.in_chunk == self.chunk_bytes {
                self.seal();
            }
            bytes = later;
        }
    }

    fn seal(&mut self) {
        self.chunks.push(Hash(self.chunk.finalize_reset().into()));
        self.in_chunk = 0;
    }

    /// The entry of a file of this name.
    pub fn finish(mut self, name: impl Into<String>) -> File {
        if self.in_chunk > 0 {
            self.seal();
        }
        File { name: name.into(), bytes: self.bytes, sha256: Hash(self.whole.finalize().into()), chunks: self.chunks }
    }
}

impl File {
    /// Where chunk `index` lies, the file's last one being shorter.
    pub fn chunk_range(&self, index: usize, chunk_bytes: u64) -> Range<u64> {
        let start = index as u64 * chunk_bytes;
        start..self.bytes.min(start + chunk_bytes)
    }

    /// Is this chunk `index`?
    ///
    /// # Errors
    /// No.
    pub fn check_chunk(&self, index: usize, bytes: &[u8]) -> Result<(), Mismatch> {
        let found = Hash(Sha256::digest(bytes).into());
        let wanted = self.chunks.get(index).copied();
        if wanted == Some(found) {
            return Ok(());
        }
        let start = |hash: Hash| hash.to_string()[..12].to_owned();
        let wanted = wanted.map_or_else(|| "nothing".to_owned(), start);
        Err(Mismatch { file: self.name.clone(), index, chunks: self.chunks.len(), found: start(found), wanted })
    }

    /// Is this the whole file, chunk by chunk?
    ///
    /// # Errors
    /// The first chunk that differs; an end that is missing or left over is a chunk that differs.
    pub fn check(&self, bytes: &[u8], chunk_bytes: u64) -> Result<(), Mismatch> {
        let mut chunks = bytes.chunks(chunk_bytes as usize);
        for index in 0..self.chunks.len() {
            self.check_chunk(index, chunks.next().unwrap_or_default())?;
        }
        chunks.next().map_or(Ok(()), |left_over| self.check_chunk(self.chunks.len(), left_over))
    }
}
