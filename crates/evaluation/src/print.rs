//! What the program writes for people and for programs.

use anyhow::Result;
use evaluation::{
    judge::{PairSummary, RankSummary},
    report::System,
};
use rolebench::{Comparison, Lengths, Overlap, Report, Statistics, Table};
use serde::Serialize;
use std::{
    io::{self, Write},
    path::Path,
};

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
    writeln!(out, "rule  {}, of several references {}", report.rule, report.references)?;
    writeln!(out, "mean  {:.4}  (95 % between {low:.4} and {high:.4})", report.mean)?;
    writeln!(out, "      precision {:.4}, recall {:.4}, F {:.4}", report.precision, report.recall, report.f1)?;
    writeln!(out, "rows  {} scored, {} without a prediction", report.rows, report.missing)?;
    writeln!(out, "      {} predictions replaced by a later one for the same row", report.repeated)?;
    writeln!(out)?;
    for (kind, score) in &report.per_type {
        writeln!(out, "{:.4}  {:>5} rows  {kind}", score.mean, score.rows)?;
    }
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

/// RAW, CUS, SPE and their mean, a line for each system.
pub fn table(systems: &[System]) -> Result<()> {
    let mut out = io::stdout().lock();
    let width = systems.iter().map(|system| system.name.chars().count()).max().unwrap_or(0);
    if let Some(first) = systems.first() {
        writeln!(out, "rule  {}, of several references {}", first.table.rule, first.table.references)?;
    }
    writeln!(out, "{:width$}  {:>7}  {:>7}  {:>7}  {:>7}  95 % of the mean", "", "RAW", "CUS", "SPE", "mean")?;
    let figure = |mean: Option<f64>| mean.map_or_else(|| "–".to_string(), |mean| format!("{mean:.4}"));
    for System { name, table: Table { raw, cus, spe, mean, ci95, .. }, .. } in systems {
        let [raw, cus, spe] = [raw, cus, spe].map(|part| figure(part.as_ref().map(|part| part.mean)));
        let interval = ci95.map_or_else(String::new, |[low, high]| format!("{low:.4} to {high:.4}"));
        writeln!(out, "{name:width$}  {raw:>7}  {cus:>7}  {spe:>7}  {:>7}  {interval}", figure(*mean))?;
    }
    for system in systems {
        for (metric, found) in &system.against_first {
            let [low, high] = found.ci95;
            writeln!(
                out,
                "{} {metric}: {:+.4} beside {} (95 % {low:+.4} to {high:+.4}, p {:.4})",
                system.name, found.difference, systems[0].name, found.p
            )?;
        }
    }
    Ok(())
}

/// A comparison of two systems.
pub fn comparison(found: &Comparison) -> Result<()> {
    let mut out = io::stdout().lock();
    let [low, high] = found.ci95;
    writeln!(out, "rule        {}, of several references {}", found.rule, found.references)?;
    writeln!(out, "first       {:.4}", found.first)?;
    writeln!(out, "second      {:.4}", found.second)?;
    writeln!(out, "difference  {:+.4}  (95 % between {low:+.4} and {high:+.4}, p {:.4})", found.difference, found.p)?;
    let Comparison { rows, only_first, only_second, wins, ties, losses, .. } = found;
    writeln!(
        out,
        "rows        {rows} answered by both, {only_first} only by the first, {only_second} only by the second"
    )?;
    writeln!(out, "            {wins} better, {ties} the same, {losses} worse")?;
    writeln!(out)?;
    for (role, difference) in &found.per_role {
        writeln!(out, "{difference:+.4}  {role}")?;
    }
    Ok(())
}

/// What a judge thinks of each system beside the first.
pub fn pair_summaries(first: &str, summaries: &[(&str, PairSummary)]) -> Result<()> {
    let mut out = io::stdout().lock();
    for (system, found) in summaries {
        let [low, high] = found.ci95;
        writeln!(out, "{system} beside {first}")?;
        writeln!(
            out,
            "win rate     {:.1} %  (95 % between {:.1} and {:.1})",
            100.0 * found.win_rate,
            100.0 * low,
            100.0 * high
        )?;
        writeln!(
            out,
            "questions    {} better, {} as good, {} worse, {} without a verdict",
            found.wins, found.ties, found.losses, found.invalid
        )?;
        writeln!(out, "flip rate    {:.1} % of the questions", 100.0 * found.flip_rate)?;
        writeln!(out, "shown first  wins {:.1} %", 100.0 * found.first_shown)?;
        writeln!(
            out,
            "longer       wins {:.1} %; {:+.0} characters in the mean",
            100.0 * found.longer_wins,
            found.length_gap
        )?;
    }
    Ok(())
}

/// How a judge ranks the systems.
pub fn rank_summaries(names: &[&str], summaries: &[RankSummary], invalid: usize) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "mean rank  95 %          win rate  flips")?;
    for (name, found) in names.iter().zip(summaries) {
        let [low, high] = found.ci95;
        let (wins, flips) = (100.0 * found.win_rate, 100.0 * found.flip_rate);
        writeln!(out, "{:.2}       {low:.2} to {high:.2}  {wins:>6.1} %  {flips:.1} %  {name}", found.mean_rank)?;
    }
    writeln!(out, "{invalid} questions without a verdict; win rates beside {}", names.first().unwrap_or(&""))?;
    Ok(())
}

/// Bad and odd rows with their lines.
pub fn notices(path: &Path, told: &[(usize, String)]) -> Result<()> {
    let mut out = io::stdout().lock();
    for (line, what) in told {
        writeln!(out, "{}:{line}: {what}", path.display())?;
    }
    Ok(())
}

/// What a file holds.
pub fn statistics(found: &Statistics) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "rows       {}", found.rows)?;
    writeln!(out, "questions  {} different", found.questions)?;
    let per_row: Vec<String> =
        found.answers_per_row.iter().map(|(answers, rows)| format!("{answers}: {rows} rows")).collect();
    writeln!(out, "answers    {}  ({})", found.answers, per_row.join(", "))?;
    for (name, Lengths { mean, median, max }) in [("question", found.question_length), ("answer", found.answer_length)]
    {
        writeln!(out, "{name:<9}  {mean:.1} long in the mean, median {median}, at most {max}")?;
    }
    writeln!(out)?;
    for (kind, rows) in &found.per_type {
        writeln!(out, "{rows:>6} rows  {kind}")?;
    }
    for (role, rows) in &found.per_role {
        writeln!(out, "{rows:>6} rows  {role}")?;
    }
    Ok(())
}

/// What a dry run would have asked: requests, those that the journal has, tokens of prompts and replies, money.
pub fn plan(requests: usize, remembered: usize, [prompt, reply]: [u64; 2], cost: f64) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "requests       {requests}  ({remembered} are in the journal already)")?;
    writeln!(out, "prompt tokens  {prompt}  (estimated)")?;
    writeln!(out, "reply tokens   {reply}  (at most)")?;
    writeln!(out, "cost           {cost:.4}  (at most, at the dearest endpoint's prices)")?;
    Ok(())
}
