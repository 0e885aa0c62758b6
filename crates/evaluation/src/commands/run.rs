use super::{Asking, Reading};
use anyhow::{Result, bail, ensure};
use clap::Args;
use evaluation::{Plan, Settings, Told, read_characters};
use rolebench::{Sample, draw};
use roles::Strategy;
use std::{path::PathBuf, str::FromStr};

/// One part of so many.
#[derive(Clone, Copy)]
pub struct Shard {
    part: usize,
    parts: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let parsed = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
        match parsed {
            Some((part, parts)) if (1..=parts).contains(&part) => Ok(Shard { part, parts }),
            _ => Err("a shard is K/N with K from 1 to N, as in 1/4".to_string()),
        }
    }
}

#[derive(Args)]
pub struct RunArguments {
    #[command(flatten)]
    asking: Asking,
    /// The roles: a folder with ROLE/role.json in it and, for strategies with examples, ROLE/dialogue.jsonl.
    #[arg(long, value_name = "DIR")]
    roles: PathBuf,
    /// Test rows: a JSONL or parquet file, or a folder (its test file, or else all its files).
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// How the model is made to play a role: system (RoCIT), zero-shot, few-shot, dialogue (RoleGPT) or retrieval.
    #[arg(long, default_value_t)]
    strategy: Strategy,
    /// Ask only this many rows, drawn at random.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Which rows --limit draws.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Ask only every N-th row, from the K-th on, for N machines.
    #[arg(long, value_name = "K/N", default_value = "1/1")]
    shard: Shard,
    /// Most tokens of an answer.
    #[arg(long, value_name = "N", default_value_t = 200)]
    max_tokens: u32,
    /// Folder for predictions.jsonl and the journal; what it holds already is not asked again.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    reading: Reading,
}

pub fn run(arguments: &RunArguments) -> Result<()> {
    ensure!(arguments.max_tokens > 0, "--max-tokens is 0; an answer has at least 1 token");
    let test = arguments.reading.reader().test(&arguments.data)?;
    let characters = read_characters(&arguments.roles)?;
    let samples = chosen(arguments, &test);
    let asked = samples.len();
    let plan = Plan::new(samples, &characters, arguments.strategy, arguments.max_tokens)?;
    let settings = Settings {
        model: arguments.asking.models()?.join(" "),
        strategy: arguments.strategy.name().to_string(),
        max_tokens: arguments.max_tokens,
        rows: test.len(),
        asked: arguments.limit.unwrap_or(test.len()),
        seed: arguments.seed,
        shard: format!("{}/{}", arguments.shard.part, arguments.shard.parts),
    };
    let dry = arguments.asking.is_dry();
    if !dry {
        settings.claim(&arguments.out)?;
    }
    let dispatcher = arguments.asking.dispatcher(&arguments.out.join("journal.jsonl"), "")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if dry {
        runtime.block_on(async {
            for sample in &plan.samples {
                dispatcher.ask(&plan.request(sample)).await?;
            }
            anyhow::Ok(())
        })?;
        return arguments.asking.print_plan(&dispatcher);
    }
    let out = arguments.out.join("predictions.jsonl");
    let (mut told, mut prompt_tokens) = (0, 0);
    let result = runtime.block_on(plan.run(&dispatcher, &out, &mut |answer| {
        told += 1;
        prompt_tokens += answer.outcome.as_ref().map_or(0, |answer| answer.prompt_tokens);
        tell(told, asked, answer);
    }));
    dispatcher.sync()?;
    let progress = dispatcher.progress();
    eprintln!(
        "{} asked, {} were there already, predictions in {}",
        progress.answered,
        progress.remembered,
        out.display()
    );
    if let Some(mean) = prompt_tokens.checked_div(told as u64) {
        eprintln!("{mean} tokens of context a row under the strategy {}", arguments.strategy);
    }
    match result? {
        0 => Ok(()),
        missing => bail!("{missing} rows have no answer; run again to ask them again"),
    }
}

/// The drawn rows of this shard; those of a role together, so that its instruction is read once.
fn chosen<'a>(arguments: &RunArguments, test: &'a [Sample]) -> Vec<&'a Sample> {
    let places = draw(test.len(), arguments.limit.unwrap_or(test.len()), arguments.seed);
    let Shard { part, parts } = arguments.shard;
    let mut samples: Vec<&Sample> =
        places.into_iter().skip(part - 1).step_by(parts).map(|place| &test[place]).collect();
    samples.sort_by_key(|sample| sample.key().0);
    samples
}

fn tell(told: usize, asked: usize, answer: &Told) {
    let role = answer.sample.key().0;
    match &answer.outcome {
        Ok(answer) => eprintln!("{told}/{asked}  {role}  {} tokens", answer.reply_tokens),
        Err(error) => eprintln!("{told}/{asked}  {role}  no answer: {error}"),
    }
}
