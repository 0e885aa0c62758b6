use std::io;

use thiserror::Error;

/// Why a model could not be opened. Each message is one line that ends in the remedy where there is one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file does not start with the GGUF magic.
    #[error("not a GGUF model: the file looks like {looks_like}; choose a file in GGUF format")]
    NotGguf {
        /// What the first bytes look like, for people.
        looks_like: String,
    },
    /// A GGUF version outside 2..=3.
    #[error("GGUF version {found} is not supported (2 and 3 are); convert the model again with a current tool")]
    Version {
        /// The version in the header.
        found: u32,
    },
    /// The file ends before something that its header promises.
    #[error("the GGUF file is truncated: {what} needs {needed} bytes, the file has {found}; download it again")]
    Truncated {
        /// What does not fit.
        what: String,
        /// File length that would hold it, in bytes.
        needed: u64,
        /// Length of the file, in bytes.
        found: u64,
    },
    /// The header contradicts the GGUF format.
    #[error("invalid GGUF header at byte {offset}: {reason}")]
    Header {
        /// What is wrong.
        reason: String,
        /// Where, in bytes from the start of the file.
        offset: u64,
    },
    /// Parts of a split GGUF are missing, or there are more files than parts.
    #[error("the model is split into {parts} files, {found} were given; open all of them together")]
    Split {
        /// Number of parts.
        parts: usize,
        /// Number of files.
        found: usize,
    },
    /// The files are not the parts of one split GGUF.
    #[error("the files are not the parts of one model: {reason}")]
    SplitMismatch {
        /// What does not fit.
        reason: String,
    },
    /// An architecture that this decoder does not implement.
    #[error("unknown architecture {found:?}; supported: {}", supported.join(", "))]
    Architecture {
        /// `general.architecture` of the file.
        found: String,
        /// What would have been accepted.
        supported: &'static [&'static str],
    },
    /// A metadata key that the architecture needs is absent.
    #[error("the GGUF has no metadata key {key:?}; convert the model again with a current tool")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A metadata key has a value of another type.
    #[error("metadata key {key:?} should be {expected}, found {found}")]
    KeyType {
        /// The key.
        key: String,
        /// The wanted type.
        expected: &'static str,
        /// The type in the file.
        found: &'static str,
    },
    /// A metadata value that makes no model.
    #[error("metadata key {key:?} is {found}, which is impossible: {reason}")]
    KeyValue {
        /// The key.
        key: String,
        /// The value in the file.
        found: String,
        /// What it violates.
        reason: String,
    },
    /// A tensor that the architecture needs is absent.
    #[error("the GGUF has no tensor {name:?}; it is incomplete or of another architecture")]
    MissingTensor {
        /// The tensor.
        name: String,
    },
    /// A tensor that this architecture does not know: leaving it out would give wrong text.
    #[error("the GGUF has a tensor {name:?} that this decoder does not know how to apply")]
    UnknownTensor {
        /// The tensor.
        name: String,
    },
    /// An adapter of another model, or no adapter at all.
    #[error("the adapter does not fit the model: {reason}")]
    Adapter {
        /// What differs.
        reason: String,
    },
    /// A tensor has another shape than the metadata says. Shapes are outermost dimension first.
    #[error("tensor {name:?} should have shape {expected:?}, found {found:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape that follows from the metadata.
        expected: Vec<u64>,
        /// The shape in the file.
        found: Vec<u64>,
    },
    /// A tensor type without a kernel.
    #[error("tensor {name:?} has type {found}, which is not supported; quantize the model to Q4_0, Q8_0, Q4_K or Q6_K")]
    TensorType {
        /// The tensor.
        name: String,
        /// The type's ggml name.
        found: String,
    },
    /// A model feature that this decoder does not implement.
    #[error("the model uses {feature}, which is not supported")]
    Unsupported {
        /// The feature.
        feature: String,
    },
    /// The machine (or the browser's 4 GiB of wasm memory) cannot hold the weights.
    #[error("out of memory: {name:?} needs another {bytes} bytes; use a smaller model or quantization")]
    OutOfMemory {
        /// The tensor.
        name: String,
        /// The allocation that failed.
        bytes: u64,
    },
    /// The progress callback asked to stop.
    #[error("loading was cancelled")]
    Cancelled,
    /// The source failed.
    #[error("reading the model failed: {0}")]
    Io(#[from] io::Error),
    /// The graphics processor failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// Why a forward pass was refused. But for [`Self::Disconnected`], the session is as it was before the call.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The tokens do not fit the context.
    #[error("the context is full: {len} tokens and {adding} more exceed {max}")]
    ContextFull {
        /// Tokens already in the session.
        len: usize,
        /// Tokens of this call.
        adding: usize,
        /// The session's limit.
        max: usize,
    },
    /// A token id outside the vocabulary.
    #[error("token {token} is out of range: the vocabulary has {vocab_size} entries")]
    TokenOutOfRange {
        /// The id.
        token: u32,
        /// Number of rows of the embedding.
        vocab_size: usize,
    },
    /// An adapter that was not loaded.
    #[error("there is no adapter {number}: {loaded} are loaded")]
    NoAdapter {
        /// The number asked for, from 0.
        number: usize,
        /// How many there are.
        loaded: usize,
    },
    /// No token was given, so there is no last position to give logits for.
    #[error("forward needs at least one token")]
    Empty,
    /// A worker that holds a part of the model broke down.
    #[error(transparent)]
    Disconnected(#[from] crate::Disconnected),
    /// The KV cache could not grow.
    #[error("out of memory: the KV cache needs another {bytes} bytes; use a shorter context")]
    OutOfMemory {
        /// The growth that failed.
        bytes: u64,
    },
    /// The graphics processor failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// Why a graphics processor cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GpuError {
    /// There is none that could be used.
    #[error("no GPU can be used ({reason}); use the CPU")]
    None {
        /// What the browser or the system says.
        reason: String,
    },
    /// It was taken away: a driver was reset, or the system needs it.
    #[error("the GPU was lost ({reason}); load the model again, on the CPU if that happens often")]
    Lost {
        /// What the browser or the system says.
        reason: String,
    },
    /// Something that its kernels do not do.
    #[error("the GPU cannot take {feature}; use the CPU")]
    Unsupported {
        /// What it is.
        feature: String,
    },
    /// Its driver compiles the kernels wrongly.
    #[error(
        "the GPU computes wrongly ({dtype} weights: off by {error} of the largest number); use the CPU, or another browser"
    )]
    Wrong {
        /// The weights that it was tried on.
        dtype: String,
        /// How far it was off, as a share of the largest number.
        error: String,
    },
    /// It refused something, memory as a rule.
    #[error("the GPU failed ({reason}); use the CPU, or a smaller model")]
    Failed {
        /// What the browser or the system says.
        reason: String,
    },
}
