//! What a run says about itself: files of JSON lines, and its progress on stderr.

use crate::optimizer::StepReport;
use crate::{Error, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal, Write, stderr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two lines of progress where stderr is no terminal.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// A file of JSON lines that each name a step.
pub struct StepLines {
    file: BufWriter<File>,
    path: PathBuf,
}

impl StepLines {
    /// Opens the file, dropping lines after `step`: an interrupted run wrote them beyond its last checkpoint.
    pub fn open(path: &Path, step: u64) -> Result<StepLines> {
        let before = fs::read_to_string(path).unwrap_or_default();
        let kept = before.lines().filter(|line| {
            let line: Option<Value> = serde_json::from_str(line).ok();
            line.and_then(|l| l["step"].as_u64()).is_some_and(|s| s <= step)
        });
        let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
        fs::write(path, kept).map_err(Error::io(path))?;
        let file = File::options().append(true).open(path).map_err(Error::io(path))?;
        Ok(StepLines { file: BufWriter::new(file), path: path.to_owned() })
    }

    /// Adds a line, which must have a field `step`.
    pub fn line(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.file, value).map_err(Error::json(&self.path))?;
        self.file.write_all(b"\n").map_err(Error::io(&self.path))
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))
    }
}

/// `metrics.jsonl`: a line for each step and each evaluation.
pub struct Metrics(StepLines);

impl Metrics {
    /// Opens the file as [`StepLines::open`] does.
    pub fn open(path: &Path, step: u64) -> Result<Metrics> {
        StepLines::open(path, step).map(Metrics)
    }

    /// Writes a step's line; `speed` is in tokens per second.
    pub fn step(&mut self, step: u64, report: &StepReport, lr: f64, speed: f64) -> Result<()> {
        self.0.line(&json!({
            "step": step,
            "loss": report.loss,
            "lr": lr,
            "grad_norm": report.gradient_norm,
            "tokens": report.tokens,
            "targets": report.targets,
            "tokens_per_second": speed.round(),
        }))
    }

    /// Writes an evaluation's line; `rouge_l` is the mean over the sampled answers, if there are any.
    pub fn held_out(&mut self, step: u64, losses: &BTreeMap<String, f64>, rouge_l: Option<f64>) -> Result<()> {
        let mut line = json!({ "step": step, "held_out_loss": losses });
        if let Some(mean) = rouge_l {
            line["sample_rouge_l"] = mean.into();
        }
        self.0.line(&line)?;
        self.0.flush()
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

/// Loss, speed and time left: a bar on a terminal, a line now and then elsewhere.
pub struct Progress {
    bar: Option<ProgressBar>,
    first_step: u64,
    end: u64,
    steps: u64,
    started: Instant,
    last_step: Instant,
    last_line: Instant,
    loss: f64,
    speed: f64,
}

impl Progress {
    /// For the steps from `first_step` to `end`.
    pub fn new(first_step: u64, end: u64) -> Progress {
        let now = Instant::now();
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(end), ProgressDrawTarget::stderr())
                .with_finish(ProgressFinish::AndLeave);
            let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}").expect("the template is valid");
            bar.set_style(style);
            bar.set_position(first_step);
            bar
        });
        Progress {
            bar,
            first_step,
            end,
            steps: 0,
            started: now,
            last_step: now,
            last_line: now,
            loss: f64::NAN,
            speed: f64::NAN,
        }
    }

    /// Notes a step; returns its speed in tokens per second.
    pub fn step(&mut self, report: &StepReport, lr: f64) -> f64 {
        let now = Instant::now();
        let speed = report.tokens as f64 / now.duration_since(self.last_step).as_secs_f64().max(1e-9);
        self.last_step = now;
        self.steps += 1;
        let smooth = |old: f64, new: f64| if old.is_nan() { new } else { 0.95 * old + 0.05 * new };
        self.loss = smooth(self.loss, report.loss);
        self.speed = smooth(self.speed, speed);
        let step = self.first_step + self.steps;
        let left = self.started.elapsed().as_secs_f64() / self.steps as f64 * self.end.saturating_sub(step) as f64;
        let (end, loss, norm, left) = (self.end, self.loss, report.gradient_norm, clock(left as u64));
        let smooth_speed = self.speed;
        match &self.bar {
            Some(bar) => {
                bar.set_position(step);
                bar.set_message(format!("loss {loss:.4}  {smooth_speed:.0} tok/s  {left} left"));
            }
            None if now.duration_since(self.last_line) >= PROGRESS_EVERY || step == end => {
                self.last_line = now;
                eprintln!(
                    "step {step}/{end}  loss {loss:.4}  lr {lr:.2e}  norm {norm:.2}  {smooth_speed:.0} tok/s  {left} left"
                );
            }
            None => {}
        }
        speed
    }

    /// Writes lines above the bar. What happened since the last step is not counted as the next one's time.
    pub fn say(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
        self.last_step = Instant::now();
    }
}

fn clock(seconds: u64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
