//! What a run says about itself: `metrics.jsonl` and a line on stderr now and then.

use crate::optimizer::StepReport;
use crate::{Error, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// `metrics.jsonl`: a line for each step and each evaluation.
pub struct Metrics {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Metrics {
    /// Opens the file, dropping lines after `step`: an interrupted run wrote them beyond its last checkpoint.
    pub fn open(path: &Path, step: u64) -> Result<Metrics> {
        let before = fs::read_to_string(path).unwrap_or_default();
        let kept = before.lines().filter(|line| {
            let line: Option<Value> = serde_json::from_str(line).ok();
            line.and_then(|l| l["step"].as_u64()).is_some_and(|s| s <= step)
        });
        let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
        fs::write(path, kept).map_err(Error::io(path))?;
        let file = File::options().append(true).open(path).map_err(Error::io(path))?;
        Ok(Metrics { file: BufWriter::new(file), path: path.to_owned() })
    }

    /// Writes a step's line; `speed` is in tokens per second.
    pub fn step(&mut self, step: u64, report: &StepReport, lr: f64, speed: f64) -> Result<()> {
        self.line(&json!({
            "step": step,
            "loss": report.loss,
            "lr": lr,
            "grad_norm": report.gradient_norm,
            "tokens": report.tokens,
            "targets": report.targets,
            "tokens_per_second": speed.round(),
        }))
    }

    /// Writes an evaluation's line.
    pub fn held_out(&mut self, step: u64, losses: &BTreeMap<String, f64>) -> Result<()> {
        self.line(&json!({ "step": step, "held_out_loss": losses }))?;
        self.flush()
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))
    }

    fn line(&mut self, value: &Value) -> Result<()> {
        writeln!(self.file, "{value}").map_err(Error::io(&self.path))
    }
}

/// Speed and time left.
pub struct Progress {
    first_step: u64,
    end: u64,
    steps: u64,
    started: Instant,
    last_step: Instant,
    last_line: Instant,
    loss: f64,
}

impl Progress {
    /// For the steps from `first_step` to `end`.
    pub fn new(first_step: u64, end: u64) -> Progress {
        let now = Instant::now();
        Progress { first_step, end, steps: 0, started: now, last_step: now, last_line: now, loss: f64::NAN }
    }

    /// Notes a step; returns its speed in tokens per second.
    pub fn step(&mut self, report: &StepReport, lr: f64) -> f64 {
        let now = Instant::now();
        let speed = report.tokens as f64 / now.duration_since(self.last_step).as_secs_f64().max(1e-9);
        self.last_step = now;
        self.steps += 1;
        self.loss = if self.loss.is_nan() { report.loss } else { 0.95 * self.loss + 0.05 * report.loss };
        let step = self.first_step + self.steps;
        if now.duration_since(self.last_line) >= PROGRESS_EVERY || step == self.end {
            self.last_line = now;
            let left = self.started.elapsed().as_secs_f64() / self.steps as f64 * (self.end - step) as f64;
            let (end, loss, norm) = (self.end, self.loss, report.gradient_norm);
            let left = clock(left as u64);
            eprintln!("step {step}/{end}  loss {loss:.4}  lr {lr:.2e}  norm {norm:.2}  {speed:.0} tok/s  {left} left");
        }
        speed
    }
}

fn clock(seconds: u64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
