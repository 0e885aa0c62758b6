//! What the program writes for people and for programs.

use anyhow::Result;
use evaluation::Answer;
use rolebench::{Overlap, Report};
use serde::Serialize;
use std::io::{self, Write};

/// How many shared questions are shown.
const SHOWN: usize = 10;

/// One JSON object on one line.
pub fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value)?;
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// A report as a table.
pub fn report(report: &Report) -> Result<()> {
    let mut out = io::stdout().lock();
    let [low, high] = report.ci95;
    writeln!(out, "rule  {}", report.rule)?;
    writeln!(out, "mean  {:.4}  (95 % between {low:.4} and {high:.4})", report.mean)?;
    writeln!(out, "rows  {} scored, {} without a prediction", report.rows, report.missing)?;
    writeln!(out, "      {} predictions replaced by a later one for the same row", report.repeated)?;
    writeln!(out)?;
    for (role, score) in &report.per_role {
        writeln!(out, "{:.4}  {:>5} rows  {role}", score.mean, score.rows)?;
    }
    Ok(())
}

/// Leaks as counts, with the first shared questions.
pub fn overlap(overlap: &Overlap) -> Result<()> {
    let mut out = io::stdout().lock();
    let share = |part: usize, whole: usize| format!("{part} of {whole} ({:.1} %)", 100.0 * part as f64 / whole as f64);
    let rows = |count| share(count, overlap.test_rows);
    writeln!(out, "test rows whose question is in training            {}", rows(overlap.same_question))?;
    writeln!(out, "test rows whose role and question are in training  {}", rows(overlap.same_role_and_question))?;
    let questions = share(overlap.shared_questions, overlap.test_questions);
    writeln!(out, "test questions that are in training                {questions}")?;
    for question in overlap.questions.iter().take(SHOWN) {
        writeln!(out, "  {question}")?;
    }
    if overlap.questions.len() > SHOWN {
        writeln!(out, "  and {} more", overlap.questions.len() - SHOWN)?;
    }
    Ok(())
}

/// A line on stderr for each answer of a run.
pub fn answer(asked: usize, answer: &Answer) {
    let role = answer.sample.key().0;
    match &answer.outcome {
        Ok(outcome) => {
            let speed = outcome.tokens as f64 / (outcome.decode_ms / 1e3).max(1e-3);
            eprintln!("{asked}  {role}  {} tokens, {speed:.0} a second", outcome.tokens);
        }
        Err(error) => eprintln!("{asked}  {role}  skipped: {error}"),
    }
}
