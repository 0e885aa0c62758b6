//! The workspace's own programs, as a user starts them.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program of this name beside the running test: `target/debug/NAME` for a test in `target/debug/deps`.
pub fn program(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let path =
        test.ancestors().nth(2).unwrap_or(Path::new(".")).join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !path.exists() {
        let wanted = format!("{} is not built; run `cargo build --bins` first", path.display());
        return Err(Error::new(ErrorKind::NotFound, wanted));
    }
    Ok(path)
}

/// Runs a program in a folder, its arguments given as one string split at spaces.
pub fn run(name: &str, folder: &Path, arguments: &str) -> Result<Output> {
    Command::new(program(name)?).current_dir(folder).args(arguments.split_whitespace()).output()
}
