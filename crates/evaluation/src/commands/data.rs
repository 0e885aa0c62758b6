use super::{Reading, Tongue};
use crate::print;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use evaluation::read_lines;
use rolebench::{Sample, check, draw_roles, question_overlap, split_by_question, split_by_role, statistics};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

#[derive(Args)]
pub struct LeaksArguments {
    /// Training rows: a JSONL or parquet file, or a folder (its training file, or else all its files).
    #[arg(long, value_name = "PATH")]
    train: PathBuf,
    /// Test rows: a JSONL or parquet file, or a folder (its test file, or else all its files).
    #[arg(long, value_name = "PATH")]
    test: PathBuf,
    /// Print one JSON object, with the shared questions.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Args)]
pub struct CheckArguments {
    /// JSONL files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Args)]
pub struct StatsArguments {
    /// Rows: a JSONL or parquet file, or a folder.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Lengths are counted in words (en) or characters (zh).
    #[arg(long)]
    language: Tongue,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Args)]
pub struct SplitArguments {
    /// Rows: a JSONL or parquet file, or a folder.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Instruction generalization: this share of the questions is for the test, whoever is asked.
    #[arg(long, value_name = "SHARE", required_unless_present_any = ["held_out", "held_out_roles"])]
    questions: Option<f64>,
    /// Role generalization: these roles are for the test.
    #[arg(long, value_name = "NAME", conflicts_with = "questions")]
    held_out: Vec<String>,
    /// Role generalization: so many roles, drawn at random.
    #[arg(long, value_name = "N", conflicts_with_all = ["questions", "held_out"])]
    held_out_roles: Option<usize>,
    /// What is drawn.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Folder for train.jsonl and test.jsonl.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    reading: Reading,
}

pub fn leaks(arguments: &LeaksArguments) -> Result<()> {
    let reader = arguments.reading.reader();
    let overlap = question_overlap(&reader.train(&arguments.train)?, &reader.test(&arguments.test)?);
    if arguments.json { print::json(&overlap) } else { print::overlap(&overlap) }
}

/// Tells every bad and every odd row; fails where there is a bad one.
pub fn check_files(arguments: &CheckArguments) -> Result<()> {
    let mut bad_rows = 0;
    for path in &arguments.files {
        let (rows, bad) = read_lines(path)?;
        let notices = check(&rows);
        let mut told: Vec<(usize, String)> =
            bad.iter().map(|error| (error.line, format!("bad: {}", error.message))).collect();
        told.extend(notices.iter().map(|notice| (notice.line, format!("odd: {}", notice.oddity))));
        told.sort();
        print::notices(path, &told)?;
        eprintln!("{}: {} rows, {} bad, {} odd", path.display(), rows.len(), bad.len(), notices.len());
        bad_rows += bad.len();
    }
    ensure!(bad_rows == 0, "{bad_rows} rows cannot be read");
    Ok(())
}

pub fn stats(arguments: &StatsArguments) -> Result<()> {
    let found = statistics(arguments.language.into(), &arguments.reading.reader().rows(&arguments.data)?);
    if arguments.json { print::json(&found) } else { print::statistics(&found) }
}

pub fn split(arguments: &SplitArguments) -> Result<()> {
    let rows = arguments.reading.reader().rows(&arguments.data)?;
    let split = match (arguments.questions, arguments.held_out_roles) {
        (Some(share), _) => {
            ensure!((0.0..=1.0).contains(&share), "--questions is {share}; a share is between 0 and 1");
            split_by_question(rows, share, arguments.seed)
        }
        (None, Some(count)) => {
            let held_out = draw_roles(&rows, count, arguments.seed);
            eprintln!("held out: {}", held_out.join(", "));
            split_by_role(rows, &held_out)?
        }
        (None, None) => split_by_role(rows, &arguments.held_out)?,
    };
    fs::create_dir_all(&arguments.out).with_context(|| format!("cannot make {}", arguments.out.display()))?;
    for (name, rows) in [("train.jsonl", &split.train), ("test.jsonl", &split.test)] {
        write_new(&arguments.out.join(name), rows)?;
    }
    let overlap = question_overlap(&split.train, &split.test);
    eprintln!("{} rows for training, {} for the test", split.train.len(), split.test.len());
    eprintln!("{} of the test's {} questions are in training", overlap.shared_questions, overlap.test_questions);
    Ok(())
}

/// Never over a file that is there.
fn write_new(path: &Path, rows: &[Sample]) -> Result<()> {
    let file = match File::create_new(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} is there already; choose another folder", path.display())
        }
        Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
    };
    let mut file = BufWriter::new(file);
    for row in rows {
        serde_json::to_writer(&mut file, row)?;
        file.write_all(b"\n")?;
    }
    file.flush().with_context(|| format!("cannot write {}", path.display()))
}
