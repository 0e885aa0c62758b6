use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Result, bail};
use clap::{Parser, builder::PossibleValuesParser};
use decoder::CacheType;
use generate::{ChatTemplate, Options};

use crate::tokenize::Special;

/// Talk to a role on the command line.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Arguments {
    /// Model in GGUF format; by default the first of models/*.gguf
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// LoRA adapters in GGUF format for the model; the first is in use at first, /adapter NAME changes it
    #[arg(long = "adapter", value_name = "FILE", num_args = 1..)]
    pub adapters: Vec<PathBuf>,
    /// Whom to talk to, by name or id
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// Give the prompt to the model as it is, without chat template and role
    #[arg(long, conflicts_with_all = ["role", "system"])]
    pub raw: bool,
    /// Folder of roles, each in <slug>/role.json
    #[arg(long, value_name = "DIR", default_value = "data/roles")]
    pub roles: PathBuf,
    /// System instruction of your own
    #[arg(long, value_name = "TEXT", conflicts_with = "role")]
    pub system: Option<String>,
    /// Ask this, print the reply and leave; without it, a conversation begins
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Layout of the conversation, for a model that brings no chat template or a wrong one [default: its own, else rocit]
    #[arg(long, value_name = "NAME", conflicts_with = "raw", value_parser = PossibleValuesParser::new(ChatTemplate::names()))]
    pub template: Option<String>,
    /// Ask a model that thinks before it replies not to, where its chat template knows how
    #[arg(long, conflicts_with = "raw")]
    pub no_thinking: bool,
    /// Print the tokens of the text on stdin as one JSON array of ids and leave; the model needs no tensors
    ///
    /// As llama.cpp's llama-tokenize: control tokens spelled out in the text become their ids, the begin-of-text token comes first
    /// if the model wants one, and the end-of-text token last. The text is taken to the byte: a line break at its end counts, and
    /// backslashes escape nothing.
    #[arg(long, conflicts_with_all = ["prompt", "role", "system", "raw", "template", "no_thinking"])]
    tokenize: bool,
    /// With --tokenize: control tokens are plain text, and none are added (llama-tokenize --no-parse-special --no-bos)
    #[arg(long, requires = "tokenize")]
    no_special: bool,
    /// 0 always takes the most probable token
    #[arg(long, value_name = "T", default_value_t = Options::default().temperature)]
    temperature: f32,
    /// Sample among the K most probable tokens; 0 for all
    #[arg(long, value_name = "K", default_value_t = Options::default().top_k)]
    top_k: usize,
    /// Sample among the fewest tokens whose probabilities reach P
    #[arg(long, value_name = "P", default_value_t = Options::default().top_p)]
    top_p: f32,
    /// Sample among tokens at least P times as probable as the best
    #[arg(long, value_name = "P", default_value_t = Options::default().min_p)]
    min_p: f32,
    /// Make recent tokens less probable; 1 is off [default: 1.1, and 1 at temperature 0]
    #[arg(long, value_name = "R")]
    repetition_penalty: Option<f32>,
    /// Longest reply, in tokens
    #[arg(long, value_name = "N", default_value_t = Options::default().max_tokens)]
    max_tokens: usize,
    /// Seed of the random numbers
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Tokens of prompt and replies that the model sees; 0 for as many as it was trained for
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub context: usize,
    /// Threads that share the arithmetic; 0 for as many as there are cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// How the keys and values of the context are kept
    #[arg(long, value_name = "TYPE", value_parser = ["f32", "f16", "q8"], default_value = "f16")]
    cache: String,
    /// Print one JSON object with the reply and its timings
    #[arg(long, requires = "prompt")]
    pub json: bool,
}

impl Arguments {
    /// The sampling options.
    pub fn options(&self) -> Options {
        // Temperature 0 asks for the most probable text, which a penalty would change.
        let penalty = if self.temperature == 0.0 { 1.0 } else { Options::default().repetition_penalty };
        Options {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty.unwrap_or(penalty),
            seed: self.seed,
            max_tokens: self.max_tokens,
            ..Options::default()
        }
    }

    /// How many threads share the arithmetic.
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// How keys and values are kept.
    pub fn cache_type(&self) -> CacheType {
        match self.cache.as_str() {
            "f32" => CacheType::F32,
            "q8" => CacheType::Q8,
            _ => CacheType::F16,
        }
    }

    /// How to read the text that is to be tokenized, if that is what is asked for.
    pub fn tokenize(&self) -> Option<Special> {
        self.tokenize.then_some(if self.no_special { Special::Text } else { Special::Parsed })
    }

    /// The model file.
    pub fn model(&self) -> Result<PathBuf> {
        match &self.model {
            Some(file) => Ok(file.clone()),
            None => first_gguf(Path::new("models")),
        }
    }
}

fn first_gguf(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let first = entries.filter(|path| path.extension().is_some_and(|extension| extension == "gguf")).min();
    match first {
        Some(file) => Ok(file),
        None => bail!("there is no model in {}; name one with --model FILE", folder.display()),
    }
}
