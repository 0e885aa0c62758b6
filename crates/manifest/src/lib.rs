//! The manifest of an exported folder: files, hashes of their chunks, adapters, roles. Knows plain data; never files, networks or models.

mod digest;
mod error;
mod hash;
mod name;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use digest::{Hasher, Mismatch};
pub use error::ManifestError;
pub use hash::Hash;
pub use name::check_name;

/// The manifest's name in its folder.
pub const FILE_NAME: &str = "manifest.json";
/// The version of this format.
pub const FORMAT: u32 = 1;
/// Bytes of a chunk, unless its writer chooses otherwise: little to fetch again, and few hashes.
pub const CHUNK_BYTES: u64 = 4 << 20;
/// Longer manifests are refused: a terabyte of model has a shorter one.
pub const MOST_BYTES: usize = 32 << 20;

/// The sizes of chunks that readers accept: smaller ones make long manifests, larger ones need much memory.
const CHUNK_RANGE: std::ops::RangeInclusive<u64> = 4 << 10..=64 << 20;
/// JavaScript counts bytes exactly up to here.
const MOST_TOTAL: u64 = 1 << 53;

/// What an exported folder holds. One that was read is consistent: see [`Manifest::read`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Unchecked")]
pub struct Manifest {
    /// The version of this format, [`FORMAT`].
    pub format: u32,
    /// The model's name, for people.
    pub name: String,
    /// How most matrices are stored, as `export --type` calls it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Number of weights.
    pub parameters: u64,
    /// What the model speaks: `en`, `zh`.
    pub languages: Vec<String>,
    /// The weights' licence; empty where its maker did not say.
    pub licence: String,
    /// The model card's file name.
    pub card: String,
    /// The names of the model's GGUF parts, in order.
    pub model: Vec<String>,
    /// LoRA adapters that fit the model.
    pub adapters: Vec<Adapter>,
    /// The names of the role files.
    pub roles: Vec<String>,
    /// Bytes of each chunk but a file's last.
    pub chunk_bytes: u64,
    /// Every file of the folder but the manifest.
    pub files: Vec<File>,
}

/// A LoRA adapter beside the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adapter {
    /// Its name, for people.
    pub name: String,
    /// Its GGUF's name.
    pub file: String,
    /// The ids of the roles that it was made for.
    pub roles: Vec<String>,
}

/// A file and what its bytes must hash to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Its path in the folder, with `/` between segments.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of all of it.
    pub sha256: Hash,
    /// SHA-256 of each chunk.
    pub chunks: Vec<Hash>,
}

impl Manifest {
    /// Reads the text of a manifest.
    ///
    /// # Errors
    /// Text of another shape or version, and whatever could mislead a reader: names that leave the folder, files that are
    /// named and not listed or listed twice, chunks that do not add up.
    pub fn read(text: &[u8]) -> Result<Manifest, ManifestError> {
        if text.len() > MOST_BYTES {
            return Err(ManifestError::TooLong { found: text.len(), most: MOST_BYTES });
        }
        /// Read first, since the other fields may have changed with it.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(text)?;
        if format != FORMAT {
            return Err(ManifestError::Format { found: format, known: FORMAT });
        }
        let unchecked: Unchecked = serde_json::from_slice(text)?;
        unchecked.try_into()
    }

    /// The text of [`FILE_NAME`].
    ///
    /// # Errors
    /// As [`Manifest::read`]: nobody could read it.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        self.check()?;
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The entry of a file.
    pub fn file(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The entries of the model's parts, then of the adapters: what a decoder reads.
    pub fn weights(&self) -> impl Iterator<Item = &File> {
        let adapters = self.adapters.iter().map(|adapter| &adapter.file);
        self.model.iter().chain(adapters).filter_map(|name| self.file(name))
    }

    /// The adapter that was made for a role.
    pub fn adapter_for(&self, role: &str) -> Option<&Adapter> {
        self.adapters.iter().find(|adapter| adapter.roles.iter().any(|id| id == role))
    }

    fn check(&self) -> Result<(), ManifestError> {
        if !CHUNK_RANGE.contains(&self.chunk_bytes) {
            let (least, most) = CHUNK_RANGE.into_inner();
            return Err(ManifestError::ChunkBytes { found: self.chunk_bytes, least, most });
        }
        self.check_files()?;
        if self.model.is_empty() {
            return Err(ManifestError::NoModel);
        }
        let named = self.model.iter().chain(&self.roles).chain([&self.card]);
        for name in named.chain(self.adapters.iter().map(|adapter| &adapter.file)) {
            if self.file(name).is_none() {
                return Err(ManifestError::Unlisted { name: name.clone() });
            }
        }
        let mut seen = BTreeSet::new();
        let names = self.model.iter().chain(self.adapters.iter().map(|adapter| &adapter.file));
        for name in names.chain(&self.roles) {
            if !seen.insert(name) {
                return Err(ManifestError::Twice { name: name.clone() });
            }
        }
        let mut seen = BTreeSet::new();
        for adapter in &self.adapters {
            if adapter.name.trim().is_empty() || !seen.insert(&adapter.name) {
                return Err(ManifestError::AdapterName { name: adapter.name.clone() });
            }
        }
        Ok(())
    }

    fn check_files(&self) -> Result<(), ManifestError> {
        let (mut seen, mut total) = (BTreeSet::new(), 0u64);
        for file in &self.files {
            check_name(&file.name)?;
            // Some file systems take names that differ in case for one.
            if file.name == FILE_NAME || !seen.insert(file.name.to_lowercase()) {
                return Err(ManifestError::Twice { name: file.name.clone() });
            }
            let wanted = file.bytes.div_ceil(self.chunk_bytes);
            if wanted != file.chunks.len() as u64 {
                let found = file.chunks.len() as u64;
                return Err(ManifestError::Chunks { name: file.name.clone(), found, wanted });
            }
            total = match total.checked_add(file.bytes) {
                Some(total) if total <= MOST_TOTAL => total,
                _ => return Err(ManifestError::TooLarge { name: file.name.clone() }),
            };
        }
        Ok(())
    }
}

/// A manifest as it is written, before anyone has looked at what it says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unchecked {
    format: u32,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    parameters: u64,
    languages: Vec<String>,
    licence: String,
    card: String,
    model: Vec<String>,
    #[serde(default)]
    adapters: Vec<Adapter>,
    #[serde(default)]
    roles: Vec<String>,
    chunk_bytes: u64,
    files: Vec<File>,
}

impl TryFrom<Unchecked> for Manifest {
    type Error = ManifestError;

    fn try_from(unchecked: Unchecked) -> Result<Self, ManifestError> {
        let Unchecked { format, name, kind, parameters, languages, licence, card, model, .. } = unchecked;
        let Unchecked { adapters, roles, chunk_bytes, files, .. } = unchecked;
        let manifest = Manifest {
            format,
            name,
            kind,
            parameters,
            languages,
            licence,
            card,
            model,
            adapters,
            roles,
            chunk_bytes,
            files,
        };
        manifest.check()?;
        Ok(manifest)
    }
}
