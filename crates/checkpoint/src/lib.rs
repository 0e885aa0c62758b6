//! Hugging Face and PEFT folders: shapes, weights, adapters, vocabularies. Knows files; never kernels, gradients or prompts.

mod adapter;
mod atomic;
mod config;
mod error;
mod sentencepiece;
mod shape;
mod tensors;
mod vocabulary;
mod weights;

pub use adapter::{Adapter, AdapterConfig, AdapterMatrix, Targets};
pub use atomic::{write_atomically, write_json};
pub use config::read_shape;
pub use error::CheckpointError;
pub use shape::{Family, Rotary, RotaryLayout, RotaryScaling, Shape};
pub use tensors::{Part, TensorSpec};
pub use vocabulary::Vocabulary;
pub use weights::Weights;
