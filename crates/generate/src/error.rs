use decoder::{ForwardError, LoadError};
use thiserror::Error;

/// Why a model, a prompt or an option was refused. Each message is one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The model file was refused.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The forward pass was refused.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The model's tokenizer cannot be built from its metadata.
    #[error("the model's tokenizer is unusable: {reason}")]
    Tokenizer {
        /// What is wrong.
        reason: String,
    },
    /// The vocabulary has more entries than the model has embeddings.
    #[error("the tokenizer has {tokens} tokens, the model only {embeddings} embeddings")]
    VocabularySize {
        /// Entries of `tokenizer.ggml.tokens`.
        tokens: usize,
        /// Rows of the token embedding.
        embeddings: usize,
    },
    /// The chat template does not compile or refused the messages.
    #[error("the model's chat template failed: {reason}")]
    Template {
        /// The template engine's message, with the line.
        reason: String,
    },
    /// No built-in chat template has this name.
    #[error("unknown chat template {name:?}; known: {known}")]
    UnknownTemplate {
        /// The name given.
        name: String,
        /// All names.
        known: String,
    },
    /// A sampling option outside its range.
    #[error("{name} is {found}, it must be {expected}")]
    Option {
        /// The option.
        name: &'static str,
        /// The value given.
        found: String,
        /// The accepted range.
        expected: &'static str,
    },
    /// The prompt does not fit the context.
    #[error("the prompt needs {needed} tokens, the context holds {context}; shorten it or enlarge the context")]
    PromptTooLong {
        /// Tokens of the prompt and room for the reply.
        needed: usize,
        /// Tokens the context holds.
        context: usize,
    },
    /// A change of weights that a context reads.
    #[error("the model is in use; end its contexts first")]
    InUse,
    /// Nothing was given to continue, and the model has no begin-of-text token.
    #[error("the prompt is empty")]
    EmptyPrompt,
}
