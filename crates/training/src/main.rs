//! The `train` program.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use training::corpus::{Example, RoleFolder, SourceSpec, read_examples};
use training::plan::{Mixed, Trainer, plan};
use training::pretrain::{PretrainOptions, pretrain};
use training::rocit::{RocitOptions, rocit};
use training::tokenizer::Tokenizer;

/// Trains tokenizers, small LLaMA models and LoRAs of larger ones on the CPU or with CUDA.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Learn a byte-level BPE vocabulary
    Tokenizer(TokenizerOptions),
    /// Train a LLaMA from scratch, or train one further
    Pretrain(Box<PretrainOptions>),
    /// Train a LoRA for roles on a base model
    Rocit(Box<RocitOptions>),
    /// Write data and configuration that train the same LoRA with another trainer, into --out
    Plan(Box<PlanOptions>),
}

#[derive(clap::Args)]
struct PlanOptions {
    /// Who is to train
    #[arg(long = "for", value_enum)]
    trainer: Trainer,
    #[command(flatten)]
    options: RocitOptions,
}

#[derive(clap::Args)]
struct TokenizerOptions {
    /// JSONL files as for pretraining
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// Folder with the role cards of RoleBench rows
    #[arg(long, value_name = "DIR")]
    roles: Option<PathBuf>,
    /// Tokens in the vocabulary, with special tokens and bytes
    #[arg(long, default_value_t = 8192)]
    vocab_size: usize,
    /// Folder for tokenizer.json and tokenizer_config.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Read at most this many bytes of text of each file
    #[arg(long, value_name = "N")]
    limit_bytes: Option<usize>,
}

fn train_tokenizer(options: &TokenizerOptions) -> Result<()> {
    let roles = options.roles.as_deref().map(RoleFolder::read).transpose()?.unwrap_or_default();
    let mut texts = Vec::new();
    for path in &options.data {
        // Weights mean nothing here, but the same list of sources may be given to both commands.
        let spec: SourceSpec = path.display().to_string().parse().map_err(anyhow::Error::msg)?;
        let found = read_examples(&spec.path, &roles)?;
        let mut left = options.limit_bytes.unwrap_or(usize::MAX);
        for text in found.examples.iter().flat_map(Example::texts) {
            if text.len() > left {
                break;
            }
            left -= text.len();
            texts.push(text.to_owned());
        }
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    let tokenizer = Tokenizer::train(&texts, options.vocab_size)?;
    tokenizer.save(&options.out)?;
    let tokens: usize = texts.iter().take(1000).map(|t| tokenizer.encode(t).map_or(0, |e| e.len())).sum();
    let sample: usize = texts.iter().take(1000).map(String::len).sum();
    eprintln!(
        "{} tokens from {:.1} MB of text; {:.2} bytes a token in the first texts",
        tokenizer.vocab_size(),
        bytes as f64 / 1e6,
        sample as f64 / tokens.max(1) as f64
    );
    Ok(())
}

fn run() -> Result<()> {
    match Arguments::parse().command {
        Command::Tokenizer(options) => train_tokenizer(&options).context("tokenizer"),
        Command::Pretrain(options) => {
            let report = pretrain(&options)?;
            eprintln!("done at step {}, loss {:.4}", report.step, report.loss);
            Ok(())
        }
        Command::Plan(arguments) => {
            let made = plan(arguments.trainer, &arguments.options)?;
            for Mixed { name, share, chats, rows } in &made.sources {
                let share = 100.0 * share;
                eprintln!(
                    "{name}: {share:.0} % of the tokens by its weight: {chats} chats in {rows} rows of train.jsonl"
                );
            }
            eprintln!("{} chats held out, {} left out", made.held_out, made.left_out);
            Ok(())
        }
        Command::Rocit(options) => {
            let report = rocit(&options)?;
            eprintln!("done at step {}, loss {:.4}", report.step, report.loss);
            Ok(())
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
