use super::{Ending, arguments::TeacherArguments, progress::Bar};
use anyhow::{Context, Result, ensure};
use std::{fs, future::Future, pin::Pin, sync::Arc};
use synthesis::{
    Dispatcher, Durability, Endpoint, Failure, Journal, Planned, Price, Retries, Stage, rehearsed_answer,
    teacher::{Teacher, TeacherSpec},
};

/// Seconds that a request takes where nobody knows better: for a dry run's estimate of time.
const SECONDS_A_REQUEST: f64 = 5.0;

/// A step of work over a dispatcher.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + 'a>>;

/// Rehearses the work to know how much there is of it, then does it; `None` after a dry run.
pub async fn run<'a, T>(
    arguments: &TeacherArguments,
    per_request: usize,
    work: impl Fn(Arc<Dispatcher>) -> Work<'a, T>,
) -> Result<Option<(T, Arc<Dispatcher>)>> {
    if let Some(limit) = arguments.max_cost {
        ensure!(limit.is_finite() && limit >= 0.0, "--max-cost is {limit}, expected 0 or more");
    }
    let path = arguments.out.join("journal.jsonl");
    // Not by clap, which would repeat what it refuses: someone may have put a key there.
    let specs: Vec<TeacherSpec> =
        arguments.teachers.iter().map(|text| text.parse().context("in --teacher")).collect::<Result<_>>()?;
    let specs = specs.as_slice();
    let mut local = Vec::new();
    for spec in specs {
        // A file is opened once, and its context must be known for the rehearsal; a server costs nothing to open later.
        local.push(if spec.is_server() { None } else { Some(Box::new(spec.open_file()?) as Box<dyn Teacher>) });
    }
    let models: Vec<String> = specs.iter().zip(&local).map(|(spec, local)| model(spec, local.as_deref())).collect();
    let context = local.iter().flatten().filter_map(|teacher| teacher.context()).min();
    let journal = Journal::open_read_only(&path)?;
    let answer = move |request: &synthesis::Request| rehearsed_answer(request, per_request);
    let rehearsal = Arc::new(Dispatcher::rehearsal(&models, context, journal, answer));
    work(Arc::clone(&rehearsal)).await.map_err(Ending)?;
    let planned = rehearsal.planned();
    if arguments.dry_run {
        print_plan(&planned, specs, rehearsal.tally().spent);
        return Ok(None);
    }
    fs::create_dir_all(&arguments.out).with_context(|| format!("cannot make {}", arguments.out.display()))?;
    let durability = if arguments.sync { Durability::Answer } else { Durability::Second };
    let journal = Journal::open(&path, durability)?;
    let before = journal.tally();
    if before.answered + before.in_doubt > 0 {
        eprintln!("{} answers are in the journal already", before.answered);
    }
    if before.in_doubt > 0 {
        eprintln!("{} requests were under way when an earlier run was killed; they are asked again", before.in_doubt);
    }
    let mut endpoints = Vec::new();
    for (spec, local) in specs.iter().zip(local) {
        let teacher = local.map_or_else(|| spec.open(), Ok)?;
        let price = Price { input: spec.input_price, output: spec.output_price };
        let endpoint = Endpoint::new(teacher, spec.concurrency).with_weight(spec.weight).with_price(price);
        endpoints.push(endpoint.with_limits(spec.requests_per_minute, spec.tokens_per_minute));
    }
    let retries = Retries { attempts: arguments.attempts.max(1), ..Retries::default() };
    let dispatcher = Arc::new(Dispatcher::new(endpoints, journal, arguments.max_cost, retries));
    let total = planned.values().map(|planned| planned.requests).sum();
    let bar = Bar::start(Arc::clone(&dispatcher), total);
    let outcome = work(Arc::clone(&dispatcher)).await;
    bar.finish();
    dispatcher.sync().map_err(Ending)?;
    Ok(Some((outcome.map_err(Ending)?, dispatcher)))
}

fn model(spec: &TeacherSpec, local: Option<&dyn Teacher>) -> String {
    local.map_or_else(|| spec.model.clone().unwrap_or_default(), |teacher| teacher.model().to_string())
}

#[expect(clippy::print_stdout, reason = "it is what a dry run is asked for")]
fn print_plan(planned: &std::collections::BTreeMap<Stage, Planned>, specs: &[TeacherSpec], spent: f64) {
    println!("{:<18} {:>9} {:>15} {:>20}", "step", "requests", "prompt tokens", "reply tokens at most");
    let mut sum = Planned::default();
    for (stage, planned) in planned {
        let Planned { requests, prompt_tokens, reply_tokens } = *planned;
        println!("{:<18} {requests:>9} {prompt_tokens:>15} {reply_tokens:>20}", format!("{stage:?}"));
        sum.requests += requests;
        sum.prompt_tokens += prompt_tokens;
        sum.reply_tokens += reply_tokens;
    }
    let Planned { requests, prompt_tokens, reply_tokens } = sum;
    println!("{:<18} {requests:>9} {prompt_tokens:>15} {reply_tokens:>20}", "all");
    let weights: f64 = specs.iter().map(|spec| f64::from(spec.weight)).sum();
    let price = |spec: &TeacherSpec| Price { input: spec.input_price, output: spec.output_price };
    let cost: f64 =
        specs.iter().map(|spec| price(spec).of(prompt_tokens, reply_tokens) * f64::from(spec.weight) / weights).sum();
    println!("cost at most       {cost:.4} (spent before: {spent:.4})");
    let slowest = specs.iter().map(|spec| {
        let share = f64::from(spec.weight) / weights;
        let limited = |amount: u64, a_minute: Option<u32>| {
            a_minute.map_or(0.0, |limit| amount as f64 * share / f64::from(limit.max(1)) * 60.0)
        };
        let free = requests as f64 * share * SECONDS_A_REQUEST / spec.concurrency as f64;
        free.max(limited(requests as u64, spec.requests_per_minute))
            .max(limited(prompt_tokens + reply_tokens, spec.tokens_per_minute))
    });
    let seconds = slowest.fold(0.0, f64::max);
    println!(
        "time               about {:.0} minutes, at {SECONDS_A_REQUEST} seconds a request and the limits given",
        (seconds / 60.0).ceil()
    );
    println!("Requests are exact if every answer is well-formed; tokens of prompts are estimated.");
}
