//! Bases and adapters on disk, as Hugging Face and PEFT folders or GGUF: shapes, weights, vocabularies. Knows files; never gradients or prompts.

mod adapter;
mod atomic;
mod base;
mod config;
mod error;
mod gguf;
mod safetensor_files;
mod sentencepiece;
mod shape;
mod tensors;
mod tiktoken;
mod vocabulary;
mod weights;

pub use adapter::{Adapter, AdapterConfig, AdapterMatrix, Targets};
pub use atomic::{write_atomically, write_json};
pub use base::Base;
pub use config::read_shape;
pub use error::CheckpointError;
pub use shape::{Family, Rotary, RotaryLayout, RotaryScaling, Shape};
pub use tensors::{Part, TensorSpec};
pub use vocabulary::Vocabulary;
pub use weights::Weights;
