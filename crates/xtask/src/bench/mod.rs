//! `cargo xtask bench`: how fast, beside others on the same files and the same machine.

mod chat;
mod chromium;
mod engine;
mod llama_cpp;
mod load;
mod machine;
mod models;
mod page;
mod prompt;
mod random_model;
mod report;
mod stream;
mod wllama;

use anyhow::{Result, bail, ensure};
use chromium::Chromium;
use clap::{Args, Subcommand};
use engine::{Engine, Task};
use models::Model;
use report::Report;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What is measured.
#[derive(Subcommand)]
pub enum Subject {
    /// Prefill and decode of our decoder, natively and in Chromium, of llama.cpp and of wllama
    Decoder(Box<Decoder>),
}

/// How the decoder is measured.
#[derive(Args)]
pub struct Decoder {
    /// GGUF files, or folders of them; by default the models that come with the page
    #[arg(long, value_name = "PATH", num_args = 1..)]
    models: Vec<PathBuf>,
    /// Makes files of random weights in this folder, where it lacks them, and measures them
    #[arg(long, value_name = "FOLDER")]
    make: Option<PathBuf>,
    /// Of those files only one in the shape of LLaMA-2-7B, 3.9 GB
    #[arg(long, requires = "make")]
    large: bool,
    /// Threads or workers
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// How often each engine is measured, the engines taking turns
    #[arg(long, value_name = "N", default_value_t = 3)]
    repetitions: usize,
    /// Tokens of the prompt whose reading is timed
    #[arg(long, value_name = "N", default_value_t = 512)]
    prefill: usize,
    /// Tokens of the reply whose writing is timed
    #[arg(long, value_name = "N", default_value_t = 128)]
    decode: usize,
    /// Tokens of the prompt before that reply
    #[arg(long, value_name = "N", default_value_t = 16)]
    prompt: usize,
    /// Seconds to wait for other processes to come to rest before each measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    quiet: u64,
    /// Only engines whose name holds one of these
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// llama.cpp's llama-bench
    #[arg(long, value_name = "FILE")]
    llama_bench: Option<PathBuf>,
    /// Folders with the npm package @wllama/wllama, 2.x or 3.x
    #[arg(long, value_name = "FOLDER", num_args = 1..)]
    wllama: Vec<PathBuf>,
    /// Our `chat` program; by default it is built
    #[arg(long, value_name = "FILE")]
    chat: Option<PathBuf>,
    /// Builds the page first; without it, dist/ is measured as it is
    #[arg(long)]
    build_page: bool,
    /// Where the results go [default: benches/runs/<date>-<machine>]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The results' name
    #[arg(long, default_value = "decoder")]
    name: String,
}

/// Measures.
pub fn run(root: &Path, subject: Subject) -> Result<()> {
    let Subject::Decoder(wanted) = subject;
    ensure!(wanted.repetitions > 0 && wanted.decode > 1 && wanted.prefill > 0, "there would be nothing to measure");
    let mut models = models::find(&wanted.models)?;
    if let Some(folder) = &wanted.make {
        models.extend(models::find(&random_model::make_missing(folder, wanted.large)?)?);
    }
    if models.is_empty() {
        models = models::find(&[root.join("models")])?;
    }
    let chat = match &wanted.chat {
        Some(program) => program.clone(),
        None => chat::build(root)?,
    };
    let (engines, absent) = engines(root, &wanted, &chat, &models)?;
    let folder = wanted.out.clone().unwrap_or_else(|| root.join("benches/runs").join(machine::run_name()));
    let mut report = Report::create(&folder, &wanted.name, wanted.prefill, wanted.decode, absent)?;
    for (at, model) in models.iter().enumerate() {
        measure(&wanted, &chat, at, model, &engines, &mut report)?;
    }
    report.finish()
}

/// All engines take turns, so that a change of the machine's speed meets all of them.
fn measure(
    wanted: &Decoder,
    chat: &Path,
    at: usize,
    model: &Model,
    engines: &[Box<dyn Engine>],
    report: &mut Report,
) -> Result<()> {
    let mut given_up = vec![false; engines.len()];
    for repetition in 0..wanted.repetitions {
        let prompts = match prompt::Prompts::fit(chat, model, [wanted.prefill, wanted.prompt], repetition) {
            Ok(prompts) => prompts,
            Err(error) => {
                report.leave_out(format!("{}: {error:#}", model.name));
                return Ok(());
            }
        };
        for (engine, given_up) in engines.iter().zip(&mut given_up) {
            if *given_up {
                continue;
            }
            load::wait_for_quiet(wanted.quiet);
            let [prefill_prompt, decode_prompt] = &prompts.texts;
            let task = Task {
                at,
                model,
                prefill_prompt,
                decode_prompt,
                prefill: wanted.prefill,
                prompt: wanted.prompt,
                decode: wanted.decode,
            };
            let stream = stream::bytes_per_second(engine.threads());
            match engine.measure(&task) {
                Ok(sample) => report.add(model, engine.as_ref(), repetition, &sample, stream)?,
                Err(error) => {
                    let threads = engine.threads();
                    report.leave_out(format!("{} on {}, {threads} threads: {error:#}", engine.name(), model.name));
                    *given_up = true;
                }
            }
        }
    }
    Ok(())
}

type Engines = Vec<Box<dyn Engine>>;

/// The engines at hand, and a word on each that is not.
fn engines(root: &Path, wanted: &Decoder, chat: &Path, models: &[Model]) -> Result<(Engines, Vec<String>)> {
    let (mut engines, mut absent): (Engines, _) = (Vec::new(), Vec::new());
    let has_page = wanted.build_page || root.join("dist/index.html").exists();
    if wanted.build_page {
        crate::page::build(root)?;
    }
    if !has_page {
        absent.push("our page: dist/ is empty; --build-page fills it".to_string());
    }
    if wanted.llama_bench.is_none() {
        absent.push("llama.cpp: --llama-bench FILE was not given".to_string());
    }
    if wanted.wllama.is_empty() {
        absent.push("wllama: --wllama FOLDER was not given".to_string());
    }
    let chromium = match has_page {
        true => Some(Rc::new(Chromium::start(&root.join("dist"), models, &wanted.wllama)?)),
        false => None,
    };
    let packages = wllama::Package::read_all(&wanted.wllama)?;
    let takes_threads = chat::takes_threads(chat);
    for &threads in &wanted.threads {
        if let Some(program) = &wanted.llama_bench {
            engines.push(Box::new(llama_cpp::LlamaBench::new(program, threads)));
        }
        if threads == 1 || takes_threads {
            engines.push(Box::new(chat::Native::new(chat, takes_threads.then_some(threads))));
        } else {
            absent.push(format!("ours, natively, {threads} threads: this `chat` has no --threads"));
        }
        let Some(chromium) = &chromium else { continue };
        for relaxed in [true, false] {
            engines.push(Box::new(page::Page::new(Rc::clone(chromium), threads, relaxed)));
        }
        for package in &packages {
            engines.push(Box::new(wllama::Wllama::new(Rc::clone(chromium), package.clone(), threads)));
        }
    }
    if !wanted.only.is_empty() {
        engines.retain(|engine| wanted.only.iter().any(|part| engine.name().contains(part.as_str())));
    }
    if engines.is_empty() {
        bail!("no engine is left to measure");
    }
    Ok((engines, absent))
}
