//! Tokenizer, chat template, sampler and decoder: a stream of text out. Knows text and tokens; never files or roles.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{fs::File, ops::ControlFlow, sync::Arc};
//! use generate::{Generator, Message, Model, Options, Prompt};
//! let model = Model::load(&mut File::open("model.gguf")?, &mut |_| ControlFlow::Continue(()))?;
//! let mut generator = Generator::new(Arc::new(model), 512);
//! generator.start(&Prompt::Messages(vec![Message::user("Who are you?")]), Options::default())?;
//! while let Some(text) = generator.step()? {
//!     print!("{text}");
//! }
//! let outcome = generator.finish();
//! # Ok(()) }
//! ```
//!
//! To cancel, stop calling [`Generator::step`]; [`Generator::finish`] then says so.

mod error;
mod fit;
mod generator;
mod guard;
mod model;
mod named;
mod sampler;
mod stream;
mod strftime;
mod template;
mod tokenizer;

pub use decoder::Progress;
pub use error::Error;
pub use fit::{Fit, PromptSize, fit};
pub use generator::{Generator, Outcome, Prompt, StopReason};
pub use model::{Model, Outline};
pub use named::ROCIT_TEMPLATE;
pub use sampler::{Options, Sampler};
pub use stream::TextStream;
pub use template::{ChatTemplate, Message};
pub use tokenizer::{Segment, Tokenizer};
