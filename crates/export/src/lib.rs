//! Turns trained checkpoints and adapters into GGUF files and folders for the page. Knows checkpoints and GGUF; never gradients or prompts.

mod adapter;
mod check;
mod container;
mod error;
mod gguf;
mod imatrix;
mod merge;
mod model;
mod quantize;
mod types;
mod web;

pub use adapter::write_adapter;
pub use check::{Comparison, compare};
pub use error::ExportError;
pub use gguf::{GgufOptions, Summary, write_gguf};
pub use imatrix::{Entry, Imatrix, collect};
pub use merge::merge;
pub use model::Source;
pub use types::Type;
pub use web::{NamedAdapter, WebError, WebOptions, WebSummary, check_web, write_web};
