//! The messages between the page and its engine worker. Knows plain data; never models or the DOM.
//!
//! Both directions are one JavaScript array per message: `[message]`, or `[message, File, …]` for
//! [`Source::Files`], [`Source::Folder`] and [`Request::AddAdapter`].

use manifest::Manifest;
use serde::{Deserialize, Serialize};

/// Names a request, so that its answers can be told from those of others. Chosen by the page.
pub type RequestId = u32;

/// From the page to the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    /// Load a model; answered by [`Event::Progress`], then [`Event::Loaded`] or [`Event::Failed`].
    Load {
        /// Names the answers.
        id: RequestId,
        /// Where the model is.
        source: Source,
        /// How many workers share the arithmetic; the engine chooses where nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        workers: Option<u32>,
        /// How keys and values are kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cache: Option<Cache>,
        /// What computes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<Device>,
    },
    /// Read a LoRA adapter from the `File` beside this message and keep it beside the loaded model; answered as
    /// [`Request::Load`].
    AddAdapter {
        /// Names the answers.
        id: RequestId,
        /// What it shall be called.
        name: String,
    },
    /// Write a reply; answered by [`Event::Token`], then [`Event::Done`] or [`Event::Failed`].
    Generate {
        /// Names the answers.
        id: RequestId,
        /// What to continue.
        prompt: Prompt,
        /// How to sample.
        options: Options,
        /// Which of [`ModelInfo::adapters`] the reply is written with; none is the bare model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        adapter: Option<String>,
    },
    /// End whatever is going on: a reply ends with what it has, loading with [`ErrorKind::Cancelled`].
    Stop,
}

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Source {
    /// At an absolute address; of a split model, that of any of its parts.
    Url {
        /// The address.
        url: String,
        /// Read it piece by piece from the server, and keep nothing but the weights.
        #[serde(default)]
        stream: bool,
    },
    /// In the `File`s beside this message: one, or all parts of a split model.
    Files,
    /// In a folder with a manifest: model and adapters, each chunk of which is compared with it.
    Folder {
        /// What the folder holds.
        manifest: Box<Manifest>,
        /// The folder's absolute address, with a slash at its end; without it, the `File`s beside this message are those of
        /// [`Manifest::weights`], in that order.
        url: Option<String>,
        /// Read the files piece by piece from the server; such pieces are not compared.
        #[serde(default)]
        stream: bool,
    },
}

/// How the keys and values of a conversation are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    /// As computed, in single precision.
    F32,
    /// In half precision.
    #[default]
    F16,
    /// In 8 bits: half the memory of half precision, and a little less exact.
    Q8,
}

/// What computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The processor, by as many workers as are wanted.
    #[default]
    Cpu,
    /// The graphics processor, by WebGPU.
    Gpu,
}

/// What the model is asked to continue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Prompt {
    /// Text, given to the model as it is.
    Text(String),
    /// A conversation; the oldest turns are left out where it does not fit the context.
    Messages(Vec<Message>),
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// How to sample; the engine has a default for what is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Options {
    /// 0 takes the most probable token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Keep this many most probable tokens; 0 keeps all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Keep the fewest tokens whose probabilities reach this sum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Keep tokens at least this fraction as probable as the best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f32>,
    /// Above 1, tokens that stand in the text already become less probable. Off by default at temperature 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f32>,
    /// Most tokens of the reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The same seed, model and prompt give the same text. At most 2^53.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Texts that end the reply and are not part of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

/// From the engine to the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The engine listens. Whatever is sent earlier is lost.
    Ready,
    /// How far loading has come.
    Progress {
        /// The request.
        id: RequestId,
        /// What is being done.
        phase: Phase,
        /// Bytes so far.
        done: u64,
        /// Bytes altogether, where known.
        total: Option<u64>,
    },
    /// The model that was loaded before is gone: its memory is needed.
    Unloaded,
    /// The model is ready.
    Loaded {
        /// The request.
        id: RequestId,
        /// What was loaded.
        model: ModelInfo,
    },
    /// More text of the reply.
    Token {
        /// The request.
        id: RequestId,
        /// The new text.
        text: String,
    },
    /// The reply is complete, or was stopped.
    Done {
        /// The request.
        id: RequestId,
        /// The reply and what it cost.
        outcome: Outcome,
    },
    /// A request was refused or could not be completed.
    Failed {
        /// The request; `None` when the engine itself broke down and must be started anew.
        id: Option<RequestId>,
        /// Why.
        failure: Failure,
    },
}

/// The steps of loading a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Bytes come over the network.
    Download,
    /// Chunks are compared with the manifest.
    Check,
    /// Tensors are read into memory.
    Read,
}

/// A loaded model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// The name in the file, or the file's own.
    pub name: String,
    /// The transformer's family.
    pub architecture: String,
    /// Number of weights.
    pub parameters: u64,
    /// The tensor type that most weights have.
    pub quantization: String,
    /// Tokens of prompt and reply together.
    pub context: usize,
    /// Length of the file, or of all parts of a split model.
    pub bytes: u64,
    /// Bytes of the weights in memory.
    pub weight_bytes: u64,
    /// Bytes of keys and values when the context is full.
    pub cache_bytes: u64,
    /// How those are kept.
    #[serde(default)]
    pub cache: Cache,
    /// Workers that share the arithmetic.
    pub workers: u32,
    /// What does the arithmetic.
    pub backend: String,
    /// Names of the LoRA adapters beside it.
    #[serde(default)]
    pub adapters: Vec<String>,
    /// From the request to readiness, download included, in milliseconds.
    pub load_ms: f64,
}

/// A finished reply and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The whole reply.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// How many of them the engine still knew from the reply before.
    pub reused_tokens: usize,
    /// Tokens of the reply.
    pub tokens: usize,
    /// Time for the prompt, in milliseconds.
    pub prefill_ms: f64,
    /// Time for the reply, in milliseconds.
    pub decode_ms: f64,
    /// Messages that were left out because the context is full.
    pub dropped_messages: usize,
    /// Why the reply ended.
    pub stop: StopReason,
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopReason {
    /// The model ended it.
    EndOfText,
    /// One of [`Options::stop`] was met.
    StopSequence,
    /// It has as many tokens as asked for.
    MaxTokens,
    /// Prompt and reply fill the context.
    ContextFull,
    /// [`Request::Stop`].
    Cancelled,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// For programs, and for words in the reader's language.
    pub kind: ErrorKind,
    /// The details, one line of English.
    pub message: String,
    /// For [`ErrorKind::PromptTooLong`]: what is needed and what there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenLimit>,
}

impl Failure {
    /// A failure without numbers.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into(), tokens: None }
    }
}

/// A prompt against a context, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenLimit {
    /// What the prompt and room for a reply need.
    pub needed: usize,
    /// What the context holds.
    pub context: usize,
}

/// The kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The file is something else.
    NotGguf,
    /// The file ends too early.
    Truncated,
    /// A GGUF of a family that the engine does not know.
    UnsupportedArchitecture,
    /// A GGUF whose metadata, tensors or tokenizer the engine cannot use.
    UnusableModel,
    /// The address does not answer with a file.
    Download,
    /// A manifest that cannot be used, or a folder that lacks what it names.
    BadFolder,
    /// A file is not what its manifest says.
    Damaged,
    /// An adapter where a model was wanted: the model comes first.
    AdapterAlone,
    /// An adapter of another base.
    WrongAdapter,
    /// The browser gives no more memory.
    OutOfMemory,
    /// Neither the browser's storage nor its memory can take the file.
    NoRoom,
    /// There is no graphics processor to be had, or it failed.
    Gpu,
    /// The prompt does not fit the context.
    PromptTooLong,
    /// A request or an option out of its range.
    InvalidRequest,
    /// Another request is being worked on.
    Busy,
    /// There is no model yet.
    NoModel,
    /// Stopped on request.
    Cancelled,
    /// The engine broke down; it is started anew.
    Crashed,
    /// Anything else; the message says what.
    Other,
}
