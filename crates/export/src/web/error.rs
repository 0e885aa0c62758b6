use manifest::{ManifestError, Mismatch};
use std::path::PathBuf;

/// Why a folder for the page cannot be made, or is not what its manifest says.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The folder has content that would be lost.
    #[error("the folder is not empty; remove it or choose another with --out: {path}")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Two adapters of one name.
    #[error("two adapters are called {name:?}, or so alike that their files would be; give each a name of its own")]
    AdapterTwice {
        /// The name.
        name: String,
    },
    /// Adapters that cannot share a base file, which has one template.
    #[error("the adapters were trained with different chat templates, and a model has one: export them to folders of their own: {} and {}", first.display(), other.display())]
    Templates {
        /// An adapter.
        first: PathBuf,
        /// One with another template.
        other: PathBuf,
    },
    /// An adapter for a role that is not there.
    #[error("the adapter {adapter:?} is for the role {role:?}, which is not among the roles; known: {known}")]
    AdapterRole {
        /// The adapter's name.
        adapter: String,
        /// The role.
        role: String,
        /// Ids of the roles.
        known: String,
    },
    /// A role file that is none.
    #[error("{reason}: {path}")]
    Role {
        /// What is wrong with it.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// A folder of roles without any.
    #[error("there is neither an ID/role.json nor a character card (.json, .png) in the folder of roles: {path}")]
    NoRoles {
        /// The folder.
        path: PathBuf,
    },
    /// A manifest that cannot be used.
    #[error("the manifest cannot be used: {reason}: {path}")]
    Manifest {
        /// What is wrong with it.
        reason: ManifestError,
        /// The file.
        path: PathBuf,
    },
    /// A file is longer or shorter than the manifest says.
    #[error("the file has {found} bytes, the manifest says {wanted}; export or copy it again: {path}")]
    Length {
        /// Its bytes.
        found: u64,
        /// The manifest's.
        wanted: u64,
        /// The file.
        path: PathBuf,
    },
    /// A damaged file.
    #[error("{mismatch}; export or copy the file again: {path}")]
    Chunk {
        /// Which chunk, and both hashes.
        mismatch: Mismatch,
        /// The file.
        path: PathBuf,
    },
    /// An adapter for a model of another kind.
    #[error("the adapter is for {found:?}, the model is {wanted:?}: {path}")]
    Architecture {
        /// The adapter's `general.architecture`.
        found: String,
        /// The model's.
        wanted: String,
        /// The adapter's file.
        path: PathBuf,
    },
}
