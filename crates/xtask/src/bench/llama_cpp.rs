//! llama.cpp, natively: its own `llama-bench`.

use super::engine::{Engine, Reading, Sample, Task};
use super::load::Mark;
use crate::process::command;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What this engine is called; the others' ratios are to it.
pub const NAME: &str = "llama.cpp, native";

/// `llama-bench` with so many threads.
pub struct LlamaBench {
    program: PathBuf,
    threads: usize,
}

/// A line of `llama-bench -o jsonl`.
#[derive(Deserialize)]
struct Line {
    avg_ns: f64,
    n_prompt: usize,
    n_gen: usize,
    build_number: u64,
    build_commit: String,
}

impl LlamaBench {
    /// The program and its number of threads.
    pub fn new(program: &Path, threads: usize) -> LlamaBench {
        LlamaBench { program: program.to_path_buf(), threads }
    }

    fn bench(&self, model: &Path, tokens: [usize; 3]) -> Result<Line> {
        let mut bench = command(&self.program, "-r 1 -ngl 0 -o jsonl");
        bench.arg("-m").arg(model).arg("-t").arg(self.threads.to_string());
        for (flag, count) in ["-p", "-n", "-d"].into_iter().zip(tokens) {
            bench.arg(flag).arg(count.to_string());
        }
        let output = bench.output().with_context(|| format!("cannot start {}", self.program.display()))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let Some(line) = printed.lines().find(|line| line.starts_with('{')).filter(|_| output.status.success()) else {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("llama-bench failed: {}", complaint.lines().last().unwrap_or_default());
        };
        serde_json::from_str(line).context("llama-bench printed a line in another form")
    }
}

impl Engine for LlamaBench {
    fn name(&self) -> String {
        NAME.to_string()
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn measure(&self, task: &Task) -> Result<Sample> {
        let mark = Mark::now();
        let read = self.bench(&task.model.path, [task.prefill, 0, 0])?;
        let prefill = Reading::end(&mark, read.n_prompt, read.avg_ns / 1e6)?;
        let mark = Mark::now();
        let wrote = self.bench(&task.model.path, [0, task.decode, task.prompt])?;
        let decode = Reading::end(&mark, wrote.n_gen, wrote.avg_ns / 1e6)?;
        let about = format!("build {} ({})", read.build_number, read.build_commit);
        Ok(Sample { prefill, decode, load_ms: None, memory: None, about })
    }
}
