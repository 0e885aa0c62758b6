use super::{Asking, Named, Reading};
use crate::print;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use evaluation::{
    judge::{self, Case},
    read_characters,
};
use rolebench::{Sample, draw, join};
use roles::Role;
use serde::Serialize;
use serde_json::json;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};
use synthesis::Dispatcher;

/// A verdict that a rehearsal can read: no asking is planned twice.
const REHEARSED_PAIR: &str = "{\"better\": 0}";

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// Each system beside the first.
    Pairwise,
    /// All systems in one list.
    Ranking,
}

#[derive(Args)]
pub struct JudgeArguments {
    #[command(flatten)]
    asking: Asking,
    /// A system and its predictions; the first is the one that the others are judged against (RoleGPT in the paper).
    #[arg(long = "system", value_name = "NAME=PATH", required = true)]
    systems: Vec<Named>,
    /// Test rows: a JSONL or parquet file, or a folder (its test file, or else all its files).
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// The roles: a folder with ROLE/role.json in it.
    #[arg(long, value_name = "DIR")]
    roles: PathBuf,
    /// Two answers at a time, or all at once.
    #[arg(long, value_enum, default_value = "pairwise")]
    mode: Mode,
    /// Judge only this many rows, drawn at random.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Which rows --limit draws.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Folder for verdicts.jsonl, summary.json and the journal; what was asked already is not asked again.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    reading: Reading,
}

pub fn judge(arguments: &JudgeArguments) -> Result<()> {
    ensure!(arguments.systems.len() > 1, "give --system twice or more: a judge compares");
    let reader = arguments.reading.reader();
    let test = reader.test(&arguments.data)?;
    let characters = read_characters(&arguments.roles)?;
    let roles: HashMap<&str, &Role> = characters.iter().map(|one| (one.role.name.trim(), &one.role)).collect();
    let predictions =
        arguments.systems.iter().map(|system| Ok(reader.rows(&system.path)?)).collect::<Result<Vec<_>>>()?;
    let answered = answered_by_all(&test, &predictions);
    ensure!(!answered.is_empty(), "no test row is answered by all {} systems", arguments.systems.len());
    let places = draw(answered.len(), arguments.limit.unwrap_or(answered.len()), arguments.seed);
    let rows: Vec<&(&Sample, Vec<&str>)> = places.into_iter().map(|place| &answered[place]).collect();
    if let Some((sample, _)) = rows.iter().find(|(sample, _)| !roles.contains_key(sample.key().0)) {
        bail!("no role.json for {} in {}", sample.key().0, arguments.roles.display());
    }
    let cases: Vec<Case> =
        rows.iter().map(|(sample, answers)| Case { role: roles[sample.key().0], sample, answers }).collect();
    if !arguments.asking.is_dry() {
        fs::create_dir_all(&arguments.out).with_context(|| format!("cannot make {}", arguments.out.display()))?;
    }
    let rehearsed = match arguments.mode {
        Mode::Pairwise => REHEARSED_PAIR.to_string(),
        Mode::Ranking => {
            let ranks: Vec<_> =
                (1..=arguments.systems.len()).map(|answer| json!({"answer": answer, "rank": 1})).collect();
            serde_json::to_string(&ranks)?
        }
    };
    let dispatcher = arguments.asking.dispatcher(&arguments.out.join("journal.jsonl"), &rehearsed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        match arguments.mode {
            Mode::Pairwise => pairwise(arguments, &dispatcher, &cases).await,
            Mode::Ranking => ranking(arguments, &dispatcher, &cases).await,
        }
    });
    dispatcher.sync()?;
    if arguments.asking.is_dry() {
        outcome?;
        return arguments.asking.print_plan(&dispatcher);
    }
    let progress = dispatcher.progress();
    eprintln!(
        "{} asked, {} in the journal already, {:.4} spent",
        progress.answered, progress.remembered, progress.spent
    );
    outcome
}

/// The rows that every system has answered, with the answers.
fn answered_by_all<'a>(test: &'a [Sample], predictions: &'a [Vec<Sample>]) -> Vec<(&'a Sample, Vec<&'a str>)> {
    let answers: Vec<HashMap<usize, &str>> = predictions
        .iter()
        .map(|predictions| join(test, predictions).pairs.iter().map(|pair| (pair.place, pair.prediction)).collect())
        .collect();
    let of = |place: usize| answers.iter().map(|answers| answers.get(&place).copied()).collect::<Option<Vec<_>>>();
    test.iter().enumerate().filter_map(|(place, sample)| Some((sample, of(place)?))).collect()
}

async fn pairwise(arguments: &JudgeArguments, dispatcher: &Dispatcher, cases: &[Case<'_>]) -> Result<()> {
    let names: Vec<&str> = arguments.systems.iter().map(|system| system.name.as_str()).collect();
    let (mut verdicts, mut summaries) = (Vec::new(), Vec::new());
    for system in 1..names.len() {
        let pairs: Vec<[&str; 2]> = cases.iter().map(|case| [case.answers[system], case.answers[0]]).collect();
        let cases: Vec<Case> = cases.iter().zip(&pairs).map(|(case, pair)| Case { answers: pair, ..*case }).collect();
        let mut done = 0;
        let found = judge::judge_pairs(dispatcher, &cases, &mut || {
            done += 1;
            tell(arguments, done, cases.len(), names[system]);
        })
        .await?;
        summaries.push((names[system], judge::summarize_pairs(&found)));
        verdicts.extend(
            found.into_iter().map(|verdict| json!({"system": names[system], "against": names[0], "verdict": verdict})),
        );
    }
    if arguments.asking.is_dry() {
        return Ok(());
    }
    let summary: Vec<_> = summaries
        .iter()
        .map(|(system, found)| json!({"system": system, "against": names[0], "summary": found}))
        .collect();
    keep(&arguments.out, &verdicts, &summary)?;
    print::pair_summaries(names[0], &summaries)
}

async fn ranking(arguments: &JudgeArguments, dispatcher: &Dispatcher, cases: &[Case<'_>]) -> Result<()> {
    let names: Vec<&str> = arguments.systems.iter().map(|system| system.name.as_str()).collect();
    let mut done = 0;
    let verdicts = judge::judge_ranks(dispatcher, cases, &mut || {
        done += 1;
        tell(arguments, done, cases.len(), "ranking");
    })
    .await?;
    if arguments.asking.is_dry() {
        return Ok(());
    }
    let (summaries, invalid) = judge::summarize_ranks(&verdicts, names.len());
    let summary: Vec<_> = names
        .iter()
        .zip(&summaries)
        .map(|(system, found)| json!({"system": system, "summary": found, "invalid": invalid}))
        .collect();
    keep(&arguments.out, &verdicts, &summary)?;
    print::rank_summaries(&names, &summaries, invalid)
}

fn tell(arguments: &JudgeArguments, done: usize, total: usize, what: &str) {
    if !arguments.asking.is_dry() {
        eprintln!("{done}/{total}  {what}");
    }
}

fn keep(folder: &Path, verdicts: &[impl Serialize], summary: &impl Serialize) -> Result<()> {
    let mut lines = String::new();
    for verdict in verdicts {
        lines.push_str(&serde_json::to_string(verdict)?);
        lines.push('\n');
    }
    for (name, text) in [("verdicts.jsonl", lines), ("summary.json", serde_json::to_string_pretty(summary)?)] {
        let (path, beside) = (folder.join(name), folder.join(format!("{name}.part")));
        fs::write(&beside, text)
            .and_then(|()| fs::rename(&beside, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
