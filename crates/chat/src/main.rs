//! Talk to a role on the command line. Knows files and terminals; never kernels.

mod arguments;
mod conversation;
mod model_file;
mod roles_folder;
mod tokenize;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use anyhow::Result;
use clap::Parser;
use generate::{Generator, Message, Options, Outcome, Prompt};
use serde::Serialize;

use arguments::Arguments;
use conversation::Conversation;
use roles_folder::RolesFolder;

/// Bad input, as with clap's own errors.
const EXIT_BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(EXIT_BAD_INPUT)
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(special) = arguments.tokenize() {
        return tokenize::run(&arguments.model()?, special);
    }
    let options = arguments.options();
    options.validate()?;
    let roles = RolesFolder::read(&arguments.roles)?;
    // A misspelt role is reported before a large model is read.
    let role = arguments.role.as_deref().map(|name| roles.find(name)).transpose()?;
    let started = Instant::now();
    let mut generator = model_file::open(&arguments.model()?, arguments)?;
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    let system = arguments.system.clone().or_else(|| role.map(|role| role.system_instruction()));
    match &arguments.prompt {
        Some(prompt) => answer(&mut generator, arguments, options, system, prompt, load_ms),
        None if arguments.raw => Conversation::raw(generator, options).with_adapters(&arguments.adapters).run(),
        None => Conversation::new(generator, options, &roles, role, system)?.with_adapters(&arguments.adapters).run(),
    }
}

fn answer(
    generator: &mut Generator,
    arguments: &Arguments,
    options: Options,
    system: Option<String>,
    prompt: &str,
    load_ms: f64,
) -> Result<()> {
    let prompt = match arguments.raw {
        true => Prompt::Text(prompt.to_owned()),
        false => Prompt::Messages(system.map(Message::system).into_iter().chain([Message::user(prompt)]).collect()),
    };
    generator.start(&prompt, options)?;
    let mut stdout = io::stdout().lock();
    if !arguments.json {
        stream(generator, &mut stdout)?;
        return Ok(());
    }
    let Outcome { text, prompt_tokens, tokens, prefill_ms, decode_ms, .. } = stream(generator, &mut io::sink())?;
    let report = Report { text, prompt_tokens, tokens, load_ms, prefill_ms, decode_ms };
    writeln!(stdout, "{}", serde_json::to_string(&report)?)?;
    Ok(())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    text: String,
    prompt_tokens: usize,
    tokens: usize,
    load_ms: f64,
    prefill_ms: f64,
    decode_ms: f64,
}

/// Writes a reply as it comes, and a line break after it.
fn stream(generator: &mut Generator, out: &mut impl Write) -> Result<Outcome> {
    while let Some(text) = generator.step()? {
        out.write_all(text.as_bytes())?;
        out.flush()?;
    }
    writeln!(out)?;
    Ok(generator.finish())
}

/// `chat … | head` closes our output early, which is no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
