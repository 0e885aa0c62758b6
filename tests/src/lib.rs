//! Tests across crates: golden text, the whole pipeline, the page in a real browser. Knows every crate from outside; never their internals.

mod programs;
pub mod stories260k;

pub use programs::{program, run};
