//! Scores predictions over RoleBench, makes them with a model and lets a model judge them.

mod commands;
mod print;

use clap::{Parser, Subcommand};
use commands::{data, judge, run, score};
use std::{io, process::ExitCode};

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
    /// Let a model answer test rows, at temperature 0; continues where an earlier run ended.
    Run(run::RunArguments),
    /// Score predictions with ROUGE-L.
    Score(score::ScoreArguments),
    /// RAW, CUS, SPE and their mean for some systems.
    Table(score::PrintTableArguments),
    /// Two systems on the rows that both answered: difference, interval, significance.
    Compare(score::CompareArguments),
    /// Let a model say which of some systems plays its roles better (the paper's GPT evaluator).
    Judge(judge::JudgeArguments),
    /// Tables and plots of some systems in one HTML file.
    Report(score::ReportArguments),
    /// Tell bad and odd rows with their lines.
    Check(data::CheckArguments),
    /// Count and measure rows.
    Stats(data::StatsArguments),
    /// Part rows into training and test, by question or by role.
    Split(data::SplitArguments),
    /// Count test questions that are in the training set.
    Leaks(data::LeaksArguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Score(arguments) => score::score_predictions(&arguments),
        Command::Table(arguments) => score::print_table(&arguments),
        Command::Compare(arguments) => score::compare_predictions(&arguments),
        Command::Judge(arguments) => judge::judge(&arguments),
        Command::Report(arguments) => score::write_report(&arguments),
        Command::Check(arguments) => data::check_files(&arguments),
        Command::Stats(arguments) => data::stats(&arguments),
        Command::Split(arguments) => data::split(&arguments),
        Command::Leaks(arguments) => data::leaks(&arguments),
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
