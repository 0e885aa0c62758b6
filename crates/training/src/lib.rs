//! Pretraining and RoCIT: LLaMA, Qwen and GLM models and their LoRAs, trained on the CPU or with CUDA. Knows tokens and gradients; never pages.

pub mod base;
pub mod batch;
pub mod config;
pub mod corpus;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
pub mod document;
mod error;
pub mod lora;
pub mod metrics;
pub mod model;
pub mod muon;
pub mod optimizer;
pub mod parameters;
pub mod placement;
pub mod plan;
pub mod pretrain;
mod record;
pub mod rocit;
pub mod state;
pub mod tokenizer;

pub use error::{Error, Result};
