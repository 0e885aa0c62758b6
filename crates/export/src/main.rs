//! The `export` program.

use anyhow::Result;
use clap::{Parser, Subcommand};
use export::{Checkpoint, Type, write_gguf};
use std::path::PathBuf;

/// Turns trained checkpoints into files for the web
#[derive(Parser)]
#[command(name = "export", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes one GGUF file with weights, tokenizer and chat template
    Gguf {
        /// The checkpoint: a folder with config.json, model.safetensors and tokenizer.json
        #[arg(long)]
        model: PathBuf,
        /// How matrices are stored: F32, F16, Q8_0 or Q4_0
        #[arg(long = "type", value_parser = parse_type)]
        kind: Type,
        /// The file to write
        #[arg(long)]
        out: PathBuf,
        /// The model's name, kept in the file
        #[arg(long)]
        name: Option<String>,
        /// The weights' licence, kept in the file
        #[arg(long)]
        license: Option<String>,
        /// A sentence on the model, kept in the file
        #[arg(long)]
        description: Option<String>,
    },
}

fn main() {
    if let Err(error) = run(Arguments::parse()) {
        eprintln!("export: {error:#}");
        std::process::exit(2);
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let Command::Gguf { model, kind, out, name, license, description } = arguments.command;
    let checkpoint = Checkpoint::open(&model)?;
    let texts = [("name", &name), ("license", &license), ("description", &description)];
    let about: Vec<(&str, &str)> = texts.into_iter().filter_map(|(key, text)| Some((key, text.as_deref()?))).collect();
    let summary = write_gguf(&checkpoint, kind, &about, &out)?;
    eprintln!(
        "{}: {} tensors, {} parameters, {} bytes",
        out.display(),
        summary.tensors,
        summary.parameters,
        summary.bytes
    );
    Ok(())
}

fn parse_type(text: &str) -> Result<Type, String> {
    let known = Type::ALL.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(text));
    known
        .map(|(kind, ..)| *kind)
        .ok_or_else(|| format!("known types: {}", Type::ALL.map(|(_, name, _)| name).join(", ")))
}
