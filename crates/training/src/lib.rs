//! Tokenizer training and pretraining of LLaMA models on the CPU. Knows tokens and gradients; never GGUF or pages.

pub mod batch;
pub mod checkpoint;
pub mod config;
pub mod corpus;
pub mod document;
mod error;
pub mod kernels;
pub mod matmul;
pub mod metrics;
pub mod model;
pub mod muon;
pub mod optimizer;
pub mod parameters;
pub mod pretrain;
pub mod tokenizer;

pub use error::{Error, Result};
