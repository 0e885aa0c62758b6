//! Raw results as JSON lines, and the table made of them.

use super::engine::{Engine, Reading, Sample};
use super::load::{self, Others};
use super::models::Model;
use super::{llama_cpp, machine};
use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// One run's results.
pub struct Report {
    lines: File,
    table: PathBuf,
    rows: Vec<Row>,
    heading: String,
    /// What is not in the table, and why.
    absent: Vec<String>,
    tokens: [usize; 2],
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Measure {
    Prefill,
    Decode,
}

/// One measured time.
#[derive(Serialize)]
struct Row {
    model: String,
    bytes: u64,
    engine: String,
    threads: usize,
    about: String,
    repetition: usize,
    measure: Measure,
    tokens: usize,
    ms: f64,
    tokens_per_second: f64,
    load_ms: Option<f64>,
    /// Bytes that the page took at its peak beyond an empty one.
    memory: Option<u64>,
    /// Bytes a second that as many threads read from memory just before.
    stream: f64,
    others: Option<Others>,
    /// Others left the engine its cores.
    clean: bool,
}

/// A cell of the table.
struct Cell {
    median: f64,
    least: f64,
    most: f64,
    clean: usize,
}

impl Report {
    /// An empty report in this folder.
    pub fn create(folder: &Path, name: &str, prefill: usize, decode: usize, absent: Vec<String>) -> Result<Report> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lines = File::create(folder.join(format!("{name}.jsonl")))?;
        let table = folder.join(format!("{name}.md"));
        let browser = machine::chromium().unwrap_or_else(|| "no Chromium".to_string());
        let heading = format!("{}, {}, {} cores, {browser}", machine::today(), machine::processor(), load::cores());
        eprintln!("{heading}");
        for word in &absent {
            eprintln!("left out: {word}");
        }
        Ok(Report { lines, table, rows: Vec::new(), heading, absent, tokens: [prefill, decode] })
    }

    /// Keeps what an engine did.
    ///
    /// # Errors
    /// The results cannot be written.
    pub fn add(
        &mut self,
        model: &Model,
        engine: &dyn Engine,
        repetition: usize,
        sample: &Sample,
        stream: f64,
    ) -> Result<()> {
        for (measure, reading) in [(Measure::Prefill, &sample.prefill), (Measure::Decode, &sample.decode)] {
            let row = row(model, engine, repetition, sample, stream, measure, reading);
            writeln!(self.lines, "{}", serde_json::to_string(&row)?)?;
            self.rows.push(row);
        }
        let others = sample.prefill.others.zip(sample.decode.others);
        let others = others.map_or(String::new(), |(a, b)| format!(", others {} and {} cores", a.show(), b.show()));
        eprintln!(
            "{} {} {}×: {:.1} / {:.1} tokens/s{others}",
            model.name,
            engine.name(),
            engine.threads(),
            sample.prefill.rate(),
            sample.decode.rate()
        );
        // A run may be broken off after hours.
        self.write_table()
    }

    /// Says what is not in the table, and why.
    pub fn leave_out(&mut self, word: String) {
        eprintln!("left out: {word}");
        self.absent.push(word);
    }

    /// Writes and prints the table.
    pub fn finish(mut self) -> Result<()> {
        self.note_equal_builds();
        self.write_table()?;
        print(&self.render());
        eprintln!("written to {}, and the raw results beside it", self.table.display());
        Ok(())
    }

    fn write_table(&self) -> Result<()> {
        std::fs::write(&self.table, self.render()).with_context(|| format!("cannot write {}", self.table.display()))
    }

    /// A page that takes no `relaxedSimd` measures the same build twice.
    fn note_equal_builds(&mut self) {
        let of = |name: &str| self.rows.iter().find(|row| row.engine.contains(name)).map(|row| row.about.clone());
        if let (Some(relaxed), Some(plain)) = (of("relaxed SIMD"), of("plain SIMD"))
            && relaxed == plain
        {
            self.absent.push(format!("the page called both its builds \"{plain}\": they may be the same"));
        }
    }

    fn render(&self) -> String {
        let mut text = format!("# Tokens per second, {}\n", self.heading);
        let models = distinct(self.rows.iter().map(|row| row.model.as_str()));
        for model in models {
            self.render_model(&mut text, model);
        }
        text.push_str("\nMedian (least to most) of the repetitions in which others left the engine its cores; ");
        text.push_str("with ~, of all of them, because there was none such. ");
        text.push_str("GB/s: the file's bytes times the tokens decoded in a second, and what as many threads read from memory just before. ");
        text.push_str("Memory: of the page at its peak, beyond an empty one, and as a share of the file.\n");
        if !self.absent.is_empty() {
            text.push_str("\nNot in the table:\n\n");
            for word in &self.absent {
                let _ = writeln!(text, "- {word}");
            }
        }
        text
    }

    fn render_model(&self, text: &mut String, model: &str) {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.model == model).collect();
        let [prefill, decode] = self.tokens;
        let _ = writeln!(text, "\n## {model}, {:.1} MB\n", rows[0].bytes as f64 / 1e6);
        let _ =
            writeln!(text, "| engine | threads | prefill {prefill} | decode {decode} | of llama.cpp | GB/s | memory |");
        text.push_str("|---|---|---|---|---|---|---|\n");
        for threads in distinct(rows.iter().map(|row| row.threads)) {
            let of = |engine: &str, measure| cell(&rows, engine, threads, measure);
            for engine in distinct(rows.iter().filter(|row| row.threads == threads).map(|row| row.engine.as_str())) {
                let cells = [Measure::Prefill, Measure::Decode]
                    .map(|measure| (of(engine, measure), of(llama_cpp::NAME, measure)));
                let ratios = cells.each_ref().map(|(ours, theirs)| ratio(ours.as_ref(), theirs.as_ref()));
                let [prefill, decode] = cells.map(|(cell, _)| cell.map_or_else(|| "–".to_string(), |cell| cell.show()));
                let stream = of_stream(&rows, engine, threads);
                let memory = memory(rows.iter().filter(|row| row.engine == engine && row.threads == threads));
                let ratios = ratios.join(" / ");
                let _ =
                    writeln!(text, "| {engine} | {threads} | {prefill} | {decode} | {ratios} | {stream} | {memory} |");
            }
        }
    }
}

impl Cell {
    fn show(&self) -> String {
        let places = if self.median < 100.0 { 1 } else { 0 };
        let mark = if self.clean == 0 { "~" } else { "" };
        format!("{mark}{:.places$} ({:.places$} to {:.places$})", self.median, self.least, self.most)
    }
}

fn row(
    model: &Model,
    engine: &dyn Engine,
    repetition: usize,
    sample: &Sample,
    stream: f64,
    measure: Measure,
    reading: &Reading,
) -> Row {
    Row {
        model: model.name.clone(),
        bytes: model.bytes,
        engine: engine.name(),
        threads: engine.threads(),
        about: sample.about.clone(),
        repetition,
        measure,
        tokens: reading.tokens,
        ms: reading.ms,
        tokens_per_second: reading.rate(),
        load_ms: sample.load_ms,
        memory: sample.memory,
        stream,
        others: reading.others,
        clean: reading.others.is_none_or(|others| others.left_alone(engine.threads())),
    }
}

fn cell(rows: &[&Row], engine: &str, threads: usize, measure: Measure) -> Option<Cell> {
    let of = |row: &&&Row| row.engine == engine && row.threads == threads && row.measure == measure;
    let all: Vec<&&Row> = rows.iter().filter(of).collect();
    let clean = all.iter().filter(|row| row.clean).count();
    let kept = all.iter().filter(|row| clean == 0 || row.clean);
    let mut rates: Vec<f64> = kept.map(|row| row.tokens_per_second).collect();
    rates.sort_by(f64::total_cmp);
    let (least, most) = (*rates.first()?, *rates.last()?);
    Some(Cell { median: median(rates.into_iter())?, least, most, clean })
}

fn ratio(ours: Option<&Cell>, theirs: Option<&Cell>) -> String {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => format!("{:.2}", ours.median / theirs.median),
        _ => "–".to_string(),
    }
}

/// What decoding reads of the file in a second, beside what a plain reading of memory reached.
fn of_stream(rows: &[&Row], engine: &str, threads: usize) -> String {
    let of = |row: &&&Row| row.engine == engine && row.threads == threads && row.measure == Measure::Decode;
    let decode: Vec<&&Row> = rows.iter().filter(of).collect();
    let weights = median(decode.iter().map(|row| row.bytes as f64 * row.tokens_per_second));
    let stream = median(decode.iter().map(|row| row.stream));
    match (weights, stream) {
        (Some(weights), Some(stream)) => format!("{:.1} of {:.1}", weights / 1e9, stream / 1e9),
        _ => "–".to_string(),
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[middle - 1] + upper) / 2.0 })
}

/// The most memory that a page took, and as a share of the file.
fn memory<'a>(rows: impl Iterator<Item = &'a &'a Row>) -> String {
    let most = rows.filter_map(|row| Some((row.memory?, row.bytes))).max();
    most.map_or("–".to_string(), |(memory, file)| {
        format!("{:.0} MB, {:.2}", memory as f64 / 1e6, memory as f64 / file as f64)
    })
}

/// Each value once, in the order of its first appearance.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for value in values {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

#[expect(clippy::print_stdout, reason = "the table is this command's result")]
fn print(table: &str) {
    print!("{table}");
}
