//! Makes RoleBench-shaped data with a teacher model: profiles, Context-Instruct, RoleGPT. Knows prompts and journals; never kernels or gradients.

mod cli;

use clap::Parser;
use cli::{Arguments, Ending};
use std::process::ExitCode;

/// Bad input, as with clap's own errors.
const EXIT_BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    match cli::run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            // A run that had to end may go on later; input that is wrong stays wrong.
            if error.is::<Ending>() { ExitCode::FAILURE } else { ExitCode::from(EXIT_BAD_INPUT) }
        }
    }
}
