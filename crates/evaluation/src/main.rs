//! Scores predictions over RoleBench, makes them with a local model, and looks for leaks between splits.

mod print;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use evaluation::{Ledger, Runner, check_roles, read_roles, read_rows, read_test, read_train};
use generate::{Generator, Model};
use rolebench::{Sample, draw, join, question_overlap, score, unit};
use roles::Language;
use rouge::{Dictionary, References, Rule, Scorer};
use std::{fs::File, io, ops::ControlFlow, path::PathBuf, process::ExitCode, sync::Arc};

/// Bad input, as with clap's own errors.
const EXIT_BAD_INPUT: u8 = 2;

/// RoleBench on the command line.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Score predictions with ROUGE-L.
    Score(ScoreArguments),
    /// Let a local model answer test rows, at temperature 0; continues where an earlier run ended.
    Run(RunArguments),
    /// Count test questions that are in the training set.
    Leaks(LeaksArguments),
}

#[derive(Args)]
struct ScoreArguments {
    /// Test rows: a JSONL file, or a folder (its test.jsonl, or else all its *.jsonl files).
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Predictions: JSONL in RoleBench's shape.
    #[arg(long, value_name = "FILE")]
    predictions: PathBuf,
    /// rouge-l/f1, rouge-l/porter-f1, rouge-lsum/f1, rouge-lsum/porter-f1, rouge-l/paper, rouge-l/char-f1 or
    /// rouge-l/jieba-f1.
    #[arg(long)]
    rule: Rule,
    /// What counts of several references: best-f, max, mean or first.
    #[arg(long, default_value_t)]
    references: References,
    /// The language of the answers.
    #[arg(long)]
    language: Tongue,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct RunArguments {
    /// The model, a GGUF file.
    #[arg(long, value_name = "GGUF")]
    model: PathBuf,
    /// The roles: a folder with ROLE/role.json in it.
    #[arg(long, value_name = "DIR")]
    roles: PathBuf,
    /// Test rows: a JSONL file, or a folder (its test.jsonl, or else all its *.jsonl files).
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Ask only this many rows, drawn at random.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Which rows --limit draws.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Most tokens of an answer.
    #[arg(long, value_name = "N", default_value_t = 200)]
    max_tokens: usize,
    /// Where the predictions go; rows already there are not asked again.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args)]
struct LeaksArguments {
    /// Training rows: a JSONL file, or a folder (its train.jsonl, or else all its *.jsonl files).
    #[arg(long, value_name = "PATH")]
    train: PathBuf,
    /// Test rows: a JSONL file, or a folder (its test.jsonl, or else all its *.jsonl files).
    #[arg(long, value_name = "PATH")]
    test: PathBuf,
    /// Print one JSON object, with the shared questions.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Tongue {
    En,
    Zh,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Score(arguments) => score_predictions(&arguments),
        Command::Run(arguments) => run(&arguments),
        Command::Leaks(arguments) => leaks(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(EXIT_BAD_INPUT)
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn score_predictions(arguments: &ScoreArguments) -> Result<()> {
    let language = match arguments.language {
        Tongue::En => Language::En,
        Tongue::Zh => Language::Zh,
    };
    let rule = arguments.rule;
    if language == Language::Zh && !rule.reads_chinese() {
        eprintln!("warning: {rule} sees only a-z and digits, not Chinese; use {} or {}", Rule::CharF1, Rule::Paper);
    }
    let test = read_test(&arguments.data)?;
    let predictions = read_rows(&arguments.predictions)?;
    let dictionary = rule.needs_dictionary().then(|| Arc::new(Dictionary::embedded()));
    let scorer = Scorer::new(rule, dictionary)?.with_references(arguments.references).in_unit(unit(language));
    let report = score(&scorer, &join(&test, &predictions));
    ensure!(
        report.rows > 0,
        "none of the {} predictions has the role and the question of one of the {} test rows: {}",
        predictions.len(),
        test.len(),
        arguments.predictions.display()
    );
    if arguments.json { print::json(&report) } else { print::report(&report) }
}

fn run(arguments: &RunArguments) -> Result<()> {
    ensure!(arguments.max_tokens > 0, "--max-tokens is 0; an answer has at least 1 token");
    let test = read_test(&arguments.data)?;
    let places = draw(test.len(), arguments.limit.unwrap_or(test.len()), arguments.seed);
    let samples: Vec<&Sample> = places.into_iter().map(|place| &test[place]).collect();
    let roles = read_roles(&arguments.roles)?;
    check_roles(&roles, &samples)?;
    let mut ledger = Ledger::open(&arguments.out)?;
    if !ledger.is_empty() {
        eprintln!("{} answers are in {} already", ledger.len(), arguments.out.display());
    }
    let path = arguments.model.display();
    let mut reader = File::open(&arguments.model).with_context(|| format!("cannot open {path}"))?;
    let model =
        Model::load(&mut reader, &mut |_| ControlFlow::Continue(())).with_context(|| format!("cannot load {path}"))?;
    let mut runner = Runner::new(Generator::new(Arc::new(model), 0), &roles, arguments.max_tokens);
    let (mut asked, mut refused) = (0, 0);
    runner.run(&samples, &mut ledger, &mut |answer| {
        asked += 1;
        refused += usize::from(answer.outcome.is_err());
        print::answer(asked, answer);
    })?;
    eprintln!("{asked} asked, {} answers in {}", ledger.len(), arguments.out.display());
    ensure!(refused == 0, "{refused} rows have no answer, their prompts are too long for the model");
    Ok(())
}

fn leaks(arguments: &LeaksArguments) -> Result<()> {
    let overlap = question_overlap(&read_train(&arguments.train)?, &read_test(&arguments.test)?);
    if arguments.json { print::json(&overlap) } else { print::overlap(&overlap) }
}
