//! Turns trained checkpoints into GGUF files for the web. Knows checkpoints and GGUF; never gradients or prompts.

mod checkpoint;
mod error;
mod gguf;
mod vocabulary;

pub use checkpoint::{Checkpoint, Config};
pub use error::ExportError;
pub use gguf::{Summary, Type, write_gguf};
pub use vocabulary::Vocabulary;
