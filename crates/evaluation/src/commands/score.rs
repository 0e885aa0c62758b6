use super::{Named, Reading, Scoring};
use crate::print;
use anyhow::{Context, Result, ensure};
use clap::Args;
use evaluation::report::{self, System};
use rolebench::{
    CSV_HEAD, Pair, References, Sample, ScoredRow, Table, compare, join, raw_rows, score, score_pair, table,
};
use rouge::Scorer;
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Args)]
pub struct ScoreArguments {
    /// Test rows: a JSONL or parquet file, or a folder (its test file, or else all its files).
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Predictions in RoleBench's shape.
    #[arg(long, value_name = "FILE")]
    predictions: PathBuf,
    #[command(flatten)]
    scoring: Scoring,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Write each row with its scores to this file.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Args)]
pub struct CompareArguments {
    /// The first system's predictions.
    first: PathBuf,
    /// The second system's predictions.
    second: PathBuf,
    /// Test rows: a JSONL or parquet file, or a folder (its test file, or else all its files).
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    #[command(flatten)]
    scoring: Scoring,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Args)]
pub struct TableArguments {
    /// A folder with general/ and role_specific/ in it, each with a test file.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// General instructions with plain answers, for RAW.
    #[arg(long, value_name = "FILE")]
    instructions: Option<PathBuf>,
    /// A system and its predictions for both parts: a file, or a folder whose files are taken together. May be given several
    /// times; all others are compared with the first.
    #[arg(long = "system", value_name = "NAME=PATH", required = true)]
    systems: Vec<Named>,
    #[command(flatten)]
    scoring: Scoring,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Args)]
pub struct PrintTableArguments {
    #[command(flatten)]
    table: TableArguments,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct ReportArguments {
    #[command(flatten)]
    table: TableArguments,
    /// The page's title.
    #[arg(long, default_value = "RoleBench")]
    title: String,
    /// The HTML file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn score_predictions(arguments: &ScoreArguments) -> Result<()> {
    let scorer = arguments.scoring.scorer()?;
    let reader = arguments.reading.reader();
    let test = reader.test(&arguments.data)?;
    let predictions = reader.rows(&arguments.predictions)?;
    let joined = join(&test, &predictions);
    let report = score(&scorer, &joined);
    ensure_joined(report.rows, &test, &predictions, &arguments.predictions)?;
    if let Some(path) = &arguments.csv {
        let record = |pair: &Pair| {
            let Pair { sample, place, prediction } = *pair;
            ScoredRow { sample, place, prediction, score: score_pair(&scorer, pair), tokens: None }.csv(scorer.rule())
        };
        let table = CSV_HEAD.to_string() + &joined.pairs.iter().map(record).collect::<String>();
        fs::write(path, table).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if arguments.json { print::json(&report) } else { print::report(&report) }
}

pub fn compare_predictions(arguments: &CompareArguments) -> Result<()> {
    let scorer = arguments.scoring.scorer()?;
    let reader = arguments.reading.reader();
    let test = reader.test(&arguments.data)?;
    let [first, second] = [reader.rows(&arguments.first)?, reader.rows(&arguments.second)?];
    let found = compare(&scorer, &test, &first, &second);
    ensure_joined(found.rows + found.only_first, &test, &first, &arguments.first)?;
    ensure_joined(found.rows + found.only_second, &test, &second, &arguments.second)?;
    ensure!(found.rows > 0, "no test row is answered by both systems");
    if arguments.json { print::json(&found) } else { print::comparison(&found) }
}

pub fn print_table(arguments: &PrintTableArguments) -> Result<()> {
    let systems = systems(&arguments.table)?;
    if arguments.json {
        let tables: Vec<(&str, &Table)> = systems.iter().map(|system| (system.name.as_str(), &system.table)).collect();
        return print::json(&tables.into_iter().collect::<std::collections::BTreeMap<_, _>>());
    }
    print::table(&systems)
}

pub fn write_report(arguments: &ReportArguments) -> Result<()> {
    let page = report::html(&arguments.title, &systems(&arguments.table)?)?;
    fs::write(&arguments.out, page).with_context(|| format!("cannot write {}", arguments.out.display()))?;
    eprintln!("{}", arguments.out.display());
    Ok(())
}

fn systems(arguments: &TableArguments) -> Result<Vec<System>> {
    let scorer = arguments.scoring.scorer()?;
    let reader = arguments.reading.reader();
    let part = |name: &str| reader.test(&arguments.data.join(name));
    let (general, role_specific) = (part("general")?, part("role_specific")?);
    let instructions = match &arguments.instructions {
        Some(path) => reader.instructions(path)?,
        None => Vec::new(),
    };
    let (raw, unknown) = raw_rows(&general, &instructions);
    if let (Some(path), true) = (&arguments.instructions, unknown > 0) {
        eprintln!(
            "{unknown} general test rows have no plain answer in {}; RAW is of the other {}",
            path.display(),
            raw.len()
        );
    }
    let references = References { general: &general, role_specific: &role_specific, instructions: &instructions };
    let parts = [("RAW", &raw), ("CUS", &general), ("SPE", &role_specific)];
    let mut first: Option<Vec<Sample>> = None;
    let mut found = Vec::new();
    for Named { name, path } in &arguments.systems {
        let predictions = reader.rows(path)?;
        let table = table(&scorer, references, &predictions);
        let rows = [&table.cus, &table.spe].into_iter().flatten().map(|part| part.rows).sum();
        ensure_joined(rows, &general, &predictions, path)?;
        let against_first = first.as_ref().map_or_else(Vec::new, |first| against(&scorer, &parts, &predictions, first));
        found.push(System { name: name.clone(), table, against_first });
        first.get_or_insert(predictions);
    }
    Ok(found)
}

fn against(
    scorer: &Scorer,
    parts: &[(&'static str, &Vec<Sample>)],
    predictions: &[Sample],
    first: &[Sample],
) -> Vec<(&'static str, rolebench::Comparison)> {
    let found = parts.iter().map(|(metric, test)| (*metric, compare(scorer, test, predictions, first)));
    found.filter(|(_, comparison)| comparison.rows > 0).collect()
}

fn ensure_joined(rows: usize, test: &[Sample], predictions: &[Sample], path: &Path) -> Result<()> {
    ensure!(
        rows > 0,
        "none of the {} predictions has the role and the question of one of the {} test rows: {}",
        predictions.len(),
        test.len(),
        path.display()
    );
    Ok(())
}
