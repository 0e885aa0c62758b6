//! What every engine is asked, and what it answers.

use super::load::{Mark, Others};
use super::models::Model;
use anyhow::{Result, ensure};

/// One engine at one number of threads.
pub trait Engine {
    /// What it is called in the table.
    fn name(&self) -> String;

    /// Threads or workers.
    fn threads(&self) -> usize;

    /// Measures both, from a fresh start.
    fn measure(&self, task: &Task) -> Result<Sample>;
}

/// What is measured.
pub struct Task<'a> {
    /// Which of the models it is.
    pub at: usize,
    /// The model.
    pub model: &'a Model,
    /// A prompt of `prefill` tokens.
    pub prefill_prompt: &'a str,
    /// A prompt of `prompt` tokens.
    pub decode_prompt: &'a str,
    /// Tokens whose reading is timed.
    pub prefill: usize,
    /// Tokens before those whose writing is timed.
    pub prompt: usize,
    /// Tokens whose writing is timed.
    pub decode: usize,
}

/// What one engine did once.
pub struct Sample {
    /// Reading a prompt.
    pub prefill: Reading,
    /// Writing a reply.
    pub decode: Reading,
    /// Loading the model, where it can be told.
    pub load_ms: Option<f64>,
    /// Bytes that the page took at its peak beyond an empty one.
    pub memory: Option<u64>,
    /// Version and build, in the engine's own words.
    pub about: String,
}

/// One measured time.
pub struct Reading {
    /// Tokens that passed through the model.
    pub tokens: usize,
    /// Milliseconds that this took.
    pub ms: f64,
    /// What other processes did meanwhile.
    pub others: Option<Others>,
}

impl Reading {
    /// Ends a measurement begun at `mark`.
    pub fn end(mark: &Mark, tokens: usize, ms: f64) -> Result<Reading> {
        ensure!(tokens > 0 && ms > 0.0, "nothing was measured: {tokens} tokens in {ms} ms");
        Ok(Reading { tokens, ms, others: mark.others() })
    }

    /// Tokens a second.
    pub fn rate(&self) -> f64 {
        self.tokens as f64 / self.ms * 1e3
    }
}
