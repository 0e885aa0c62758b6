/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no JSON, or JSON of another shape.
    #[error("it is not the JSON of a manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// It is longer than any manifest needs to be.
    #[error("it has {found} bytes; a manifest has at most {most}")]
    TooLong {
        /// Its bytes.
        found: usize,
        /// As many as are read.
        most: usize,
    },
    /// A later version wrote it.
    #[error("its format is {found}, this program knows {known}; export the model again")]
    Format {
        /// Its version.
        found: u32,
        /// The version that is read.
        known: u32,
    },
    /// A name that could mean a file elsewhere, or nothing.
    #[error("it names a file {name:?}: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name that stands twice, or is the manifest's own.
    #[error("it lists {name:?} twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// A name without an entry among the files.
    #[error("it names {name:?} and does not list it among its files")]
    Unlisted {
        /// The name.
        name: String,
    },
    /// It is the manifest of nothing.
    #[error("it names no model")]
    NoModel,
    /// Chunks of a strange size.
    #[error("its chunks have {found} bytes; from {least} to {most} are allowed")]
    ChunkBytes {
        /// Bytes of a chunk.
        found: u64,
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// Chunks that do not add up to the file.
    #[error("it has {found} chunks of {name:?}, whose length makes {wanted}")]
    Chunks {
        /// The file.
        name: String,
        /// Hashes that are there.
        found: u64,
        /// Hashes that its length asks for.
        wanted: u64,
    },
    /// Lengths that no computer holds.
    #[error("its files up to {name:?} have more bytes than can be counted")]
    TooLarge {
        /// The file at which it became too much.
        name: String,
    },
    /// A hash that is none.
    #[error("{found:?} is no SHA-256; one has 64 hexadecimal digits")]
    Hash {
        /// What stands there.
        found: String,
    },
    /// An adapter without a name, or with another one's.
    #[error("an adapter's name is {name:?}, which is empty or another one's")]
    AdapterName {
        /// The name.
        name: String,
    },
}
