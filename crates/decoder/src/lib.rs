//! GGUF in, logits out: formats, kernels, KV cache, adapters. Knows token ids; never text or roles.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{fs::File, ops::ControlFlow, sync::Arc};
//! let mut file = File::open("model.gguf")?;
//! let gguf = decoder::Gguf::read(&mut file)?;
//! let weights = decoder::Weights::load(&gguf, &mut file, &mut |_| ControlFlow::Continue(()))?;
//! let mut session = decoder::Session::new(Arc::new(weights), 512);
//! let logits = session.forward(&[1, 403, 407])?;
//! # Ok(()) }
//! ```
//!
//! [`Weights`] are immutable and shared; whatever grows with the context lives in a [`Session`].
//!
//! A model may be cut into [`Shard`]s, one for each core: every shard holds some rows of every matrix and runs the same forward pass
//! over them, and they meet through a [`Comm`]. The first shard has the [`Session`], the others are at [`serve`]. The numbers do not
//! depend on how many shards there are.

mod adapter;
mod comm;
mod config;
mod cpu;
mod error;
mod gguf;
#[cfg_attr(not(feature = "gpu"), path = "no_gpu.rs")]
mod gpu;
mod layout;
mod loader;
mod matrix;
mod meeting;
mod runner;
mod session;
mod tensor_type;
#[cfg(not(target_arch = "wasm32"))]
mod threads;
mod values;
mod weights;

pub use comm::{Alone, Comm, Disconnected, Shard, Wait};
pub use config::{Config, RopeScaling, SUPPORTED_ARCHITECTURES};
pub use cpu::{CacheType, Cpu};
pub use error::{ForwardError, GpuError, LoadError};
pub use gguf::{Array, Gguf, TensorInfo, Value, part_paths};
pub use gpu::Gpu;
pub use loader::{Loader, Progress};
pub use meeting::comm_words;
pub use runner::{Observer, Site};
pub use session::{Advance, Session, serve};
pub use tensor_type::TensorType;
#[cfg(not(target_arch = "wasm32"))]
pub use threads::{ThreadComm, load_threaded, load_threaded_with_adapters};
pub use weights::Weights;
