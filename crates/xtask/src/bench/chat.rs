//! Our decoder, natively: the `chat` program.

use super::engine::{Engine, Reading, Sample, Task};
use super::load::Mark;
use crate::process::{command, output, run};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `chat` with so many threads; `None` where it knows only one.
pub struct Native {
    program: PathBuf,
    threads: Option<usize>,
}

/// What `chat --json` prints.
#[derive(Deserialize)]
pub struct Answer {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    tokens: usize,
    load_ms: f64,
    prefill_ms: f64,
    decode_ms: f64,
}

impl Native {
    /// The program and its number of threads.
    pub fn new(program: &Path, threads: Option<usize>) -> Native {
        Native { program: program.to_path_buf(), threads }
    }
}

impl Engine for Native {
    fn name(&self) -> String {
        "ours, native".to_string()
    }

    fn threads(&self) -> usize {
        self.threads.unwrap_or(1)
    }

    fn measure(&self, task: &Task) -> Result<Sample> {
        let mark = Mark::now();
        let read = ask(&self.program, &task.model.path, task.prefill_prompt, 1, self.threads)?;
        let prefill = Reading::end(&mark, read.prompt_tokens, read.prefill_ms)?;
        let mark = Mark::now();
        let wrote = ask(&self.program, &task.model.path, task.decode_prompt, task.decode, self.threads)?;
        // The first token of a reply falls out of the prompt.
        let decode = Reading::end(&mark, wrote.tokens.saturating_sub(1), wrote.decode_ms)?;
        Ok(Sample { prefill, decode, load_ms: Some(read.load_ms), memory: None, about: String::new() })
    }
}

/// Builds `chat` as it is shipped.
pub fn build(root: &Path) -> Result<PathBuf> {
    run(command(env!("CARGO"), "build --quiet --locked --release -p chat").current_dir(root))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let program = target.join("release").join(format!("chat{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        bail!("cargo made no {}", program.display());
    }
    Ok(program)
}

/// Does this `chat` know --threads?
pub fn takes_threads(program: &Path) -> bool {
    output(Command::new(program).arg("--help")).is_some_and(|help| help.contains("--threads"))
}

/// Asks for a reply of so many tokens to a prompt as it stands.
pub fn ask(program: &Path, model: &Path, prompt: &str, tokens: usize, threads: Option<usize>) -> Result<Answer> {
    let mut chat = command(program, "--raw --json --temperature 0 --max-tokens");
    chat.arg(tokens.to_string()).arg("--model").arg(model).arg("--prompt").arg(prompt);
    if let Some(threads) = threads {
        chat.arg("--threads").arg(threads.to_string());
    }
    let output = chat.output().with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        bail!("chat failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("chat printed something else than its report")
}
