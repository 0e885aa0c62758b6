//! The command line: files in, teachers opened, one step or all of them.

mod arguments;
mod inputs;
mod progress;
mod session;
mod steps;

pub use arguments::Arguments;

use anyhow::Result;
use arguments::Command;

/// A run that had to end: no teacher, no money, no journal. The journal keeps what was answered.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Ending(#[from] pub synthesis::Failure);

/// Does what the arguments say.
pub fn run(arguments: Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match arguments.command {
            Command::Profile(arguments) => steps::profile(&arguments).await,
            Command::ContextInstruct(arguments) => steps::context_instruct(&arguments).await,
            Command::Rolegpt(arguments) => steps::rolegpt(&arguments).await,
            Command::All(arguments) => steps::all(&arguments).await,
            Command::Assemble(arguments) => steps::assemble(&arguments),
        }
    })
}
