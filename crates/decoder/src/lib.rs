//! GGUF in, logits out: formats, kernels, KV cache. Knows token ids; never text or roles.
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

mod comm;
mod config;
mod error;
mod gguf;
mod kernels;
mod matrix;
mod session;
mod tensor_type;
mod weights;

pub use comm::{Alone, Comm, Disconnected, Shard};
pub use config::{Config, SUPPORTED_ARCHITECTURES};
pub use error::{ForwardError, LoadError};
pub use gguf::{Array, Gguf, TensorInfo, Value};
pub use session::Session;
pub use tensor_type::TensorType;
pub use weights::{Progress, Weights};
