//! The program's commands, each with its arguments.

pub mod data;
pub mod judge;
pub mod run;
pub mod score;

use crate::print;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use evaluation::Reader;
use roles::Language;
use rouge::{Dictionary, References, Rule, Scorer};
use std::{path::PathBuf, str::FromStr, sync::Arc};
use synthesis::{Dispatcher, Durability, Endpoint, Journal, Price, Retries, teacher::TeacherSpec};

#[derive(Clone, Copy, ValueEnum)]
pub enum Tongue {
    En,
    Zh,
}

impl From<Tongue> for Language {
    fn from(tongue: Tongue) -> Language {
        match tongue {
            Tongue::En => Language::En,
            Tongue::Zh => Language::Zh,
        }
    }
}

/// How to score.
#[derive(Args)]
pub struct Scoring {
    /// rouge-l/f1, rouge-l/porter-f1, rouge-lsum/f1, rouge-lsum/porter-f1, rouge-l/paper, rouge-l/char-f1 or
    /// rouge-l/jieba-f1.
    #[arg(long)]
    rule: Rule,
    /// What counts of several references: best-f, max, mean or first.
    #[arg(long, default_value_t)]
    references: References,
    /// The language of the answers.
    #[arg(long)]
    language: Tongue,
}

impl Scoring {
    /// The scorer; a warning where the rule sees nothing of the language.
    pub fn scorer(&self) -> Result<Scorer> {
        let (rule, language) = (self.rule, Language::from(self.language));
        if language == Language::Zh && !rule.reads_chinese() {
            eprintln!("warning: {rule} sees only a-z and digits, not Chinese; use {} or {}", Rule::CharF1, Rule::Paper);
        }
        let dictionary = rule.needs_dictionary().then(|| Arc::new(Dictionary::embedded()));
        Ok(Scorer::new(rule, dictionary)?.with_references(self.references).in_unit(rolebench::unit(language)))
    }
}

/// How to read files.
#[derive(Args)]
pub struct Reading {
    /// Tell bad rows and go on without them.
    #[arg(long)]
    keep_going: bool,
}

impl Reading {
    pub fn reader(&self) -> Reader {
        Reader { keep_going: self.keep_going }
    }
}

/// A system: its name, and where its predictions are.
#[derive(Clone)]
pub struct Named {
    pub name: String,
    pub path: PathBuf,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Named, String> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(Named { name: name.to_string(), path: path.into() })
            }
            _ => Err("a system is NAME=PATH, as in tuned=out/predictions.jsonl".to_string()),
        }
    }
}

/// Whom to ask.
#[derive(Args)]
pub struct Asking {
    /// A model file.
    #[arg(long, value_name = "GGUF", required_unless_present = "endpoint")]
    model: Option<PathBuf>,
    /// A LoRA as GGUF, put on the model.
    #[arg(long, value_name = "GGUF", requires = "model")]
    adapter: Option<PathBuf>,
    /// How chats are written, in place of the model file's own layout: rocit for an adapter that was trained so.
    #[arg(long, value_name = "NAME", requires = "model")]
    template: Option<String>,
    /// An OpenAI-compatible server: its address up to and with /v1, then model=NAME and, where needed, key-env=VARIABLE,
    /// concurrency=N, rpm=N, tpm=N, input-price=P, output-price=P (for a million tokens), timeout=SECONDS, all separated by
    /// commas. May be given several times.
    #[arg(long, value_name = "URL,model=NAME", conflicts_with = "model")]
    endpoint: Vec<TeacherSpec>,
    /// Stop before this much money is spent, earlier runs in the same folder included.
    #[arg(long, value_name = "MONEY")]
    max_cost: Option<f64>,
    /// Ask nothing: print how many requests, tokens and how much money it would take.
    #[arg(long)]
    dry_run: bool,
}

impl Asking {
    fn teachers(&self) -> Result<Vec<TeacherSpec>> {
        match &self.model {
            Some(path) if path.to_string_lossy().contains(',') => bail!("a comma in the name of {}", path.display()),
            Some(path) => {
                let spec: TeacherSpec = path.to_string_lossy().parse()?;
                let adapter = self.adapter.as_ref().map(|path| path.to_string_lossy().into_owned());
                Ok(vec![TeacherSpec { adapter, template: self.template.clone(), ..spec }])
            }
            None => Ok(self.endpoint.clone()),
        }
    }

    /// The names of the models that are asked.
    pub fn models(&self) -> Result<Vec<String>> {
        let name = |spec: TeacherSpec| {
            let TeacherSpec { place, model, adapter, template, .. } = spec;
            let mut name = model.unwrap_or_else(|| file_name(&place));
            name.extend(adapter.map(|adapter| format!("+{}", file_name(&adapter))));
            name.extend(template.map(|template| format!("@{template}")));
            name
        };
        Ok(self.teachers()?.into_iter().map(name).collect())
    }

    /// Opens the models and the journal; `rehearsed` answers in their place in a dry run.
    pub fn dispatcher(&self, journal: &std::path::Path, rehearsed: &str) -> Result<Dispatcher> {
        if self.dry_run {
            let (journal, rehearsed) = (Journal::open_read_only(journal)?, rehearsed.to_string());
            return Ok(Dispatcher::rehearsal(&self.models()?, None, journal, move |_| rehearsed.clone()));
        }
        let journal = Journal::open(journal, Durability::Second)?;
        let mut endpoints = Vec::new();
        for spec in self.teachers()? {
            let teacher = spec.open().with_context(|| format!("cannot use {}", spec.place))?;
            let price = Price { input: spec.input_price, output: spec.output_price };
            let limited = Endpoint::new(teacher, spec.concurrency).with_price(price).with_weight(spec.weight);
            endpoints.push(limited.with_limits(spec.requests_per_minute, spec.tokens_per_minute));
        }
        Ok(Dispatcher::new(endpoints, journal, self.max_cost, Retries::default()))
    }

    /// What a dry run found.
    pub fn print_plan(&self, dispatcher: &Dispatcher) -> Result<()> {
        let (mut requests, mut prompt, mut reply) = (0, 0, 0);
        for planned in dispatcher.planned().values() {
            requests += planned.requests;
            prompt += planned.prompt_tokens;
            reply += planned.reply_tokens;
        }
        let prices =
            self.teachers()?.into_iter().map(|spec| Price { input: spec.input_price, output: spec.output_price });
        let cost = prices.map(|price| price.of(prompt, reply)).fold(0.0, f64::max);
        print::plan(requests, dispatcher.tally().answered, [prompt, reply], cost)
    }

    pub fn is_dry(&self) -> bool {
        self.dry_run
    }
}

fn file_name(place: &str) -> String {
    std::path::Path::new(place).file_name().unwrap_or_default().to_string_lossy().into_owned()
}
