use clap::{Args, Parser, Subcommand, ValueEnum};
use roles::Language;
use std::{path::PathBuf, str::FromStr};
use synthesis::{Assembly, ContextInstruct, Pipeline, RoleGpt, Strategy};

/// A RoleBench of one's own, with any teacher.
#[derive(Parser)]
#[command(version, about)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make a role's description, catchphrases and dialogue from scripts, books or a character card.
    Profile(ProfileArguments),
    /// Make role-specific questions and answers (Context-Instruct).
    ContextInstruct(ContextArguments),
    /// Answer general instructions as roles (RoleGPT).
    Rolegpt(RolegptArguments),
    /// Make profiles, role-specific and general rows of many roles, and a data set of them.
    All(Box<AllArguments>),
    /// Make one data set of the parts that shards of `all` made.
    Assemble(AssembleArguments),
}

#[derive(Args)]
pub struct TeacherArguments {
    /// Who is asked: an OpenAI-compatible address up to /v1, or a GGUF file; then settings, with commas: model=NAME,
    /// key-env=VARIABLE, weight=N, concurrency=N, rpm=N, tpm=N, input-price=P, output-price=P (of a million tokens),
    /// timeout=SECONDS. Several teachers share the work.
    #[arg(long = "teacher", value_name = "PLACE,NAME=VALUE,…", required = true)]
    pub teachers: Vec<String>,
    /// Where everything goes, the journal of requests and answers too. The same command goes on where it ended.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Ask nothing: count requests, estimate tokens, cost and time.
    #[arg(long)]
    pub dry_run: bool,
    /// Stop before the journal's answers cost more than this.
    #[arg(long, value_name = "COST")]
    pub max_cost: Option<f64>,
    /// Attempts at a request.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub attempts: u32,
    /// Force each answer to the disk at once, not once a second.
    #[arg(long)]
    pub sync: bool,
}

#[derive(Args)]
pub struct RoleArguments {
    /// The role's name; a card has one of its own.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub role: String,
    /// Other names of the role in the scripts.
    #[arg(long = "alias", value_name = "NAME")]
    pub aliases: Vec<String>,
    /// Scripts, books (text, Fountain, EPUB, SRT, VTT) and character cards (JSON, PNG).
    #[arg(long = "source", value_name = "FILE")]
    pub sources: Vec<PathBuf>,
    /// The language of the role; otherwise that of the sources.
    #[arg(long)]
    pub language: Option<Tongue>,
    /// Who says "I" in the books.
    #[arg(long, value_name = "NAME", default_value = "Narrator")]
    pub narrator: String,
}

#[derive(Args)]
pub struct ProfileArguments {
    #[command(flatten)]
    pub teacher: TeacherArguments,
    #[command(flatten)]
    pub role: RoleArguments,
}

#[derive(Args)]
pub struct ContextSettings {
    /// Candidates for each role.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub candidates: usize,
    /// Questions asked for at once.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub per_request: usize,
    /// Most rounds over the segments.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub rounds: u32,
    /// Most tokens of a segment.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub segment_tokens: u64,
    /// ROUGE-L F of two questions from which on the later is a duplicate.
    #[arg(long, value_name = "F", default_value_t = 0.7)]
    pub duplicate: f64,
}

#[derive(Args)]
pub struct ContextArguments {
    #[command(flatten)]
    pub teacher: TeacherArguments,
    /// The finished profile: a folder with role.json and dialogue.jsonl.
    #[arg(long, value_name = "DIR")]
    pub profile: PathBuf,
    /// Scripts and books in which the role appears.
    #[arg(long = "source", value_name = "FILE")]
    pub sources: Vec<PathBuf>,
    /// Other names of the role in the scripts.
    #[arg(long = "alias", value_name = "NAME")]
    pub aliases: Vec<String>,
    #[command(flatten)]
    pub settings: ContextSettings,
}

#[derive(Args)]
pub struct RolegptSettings {
    /// General instructions: JSON or JSONL as of Super-NaturalInstructions, UltraChat, Alpaca, COIG or BELLE.
    #[arg(long = "instructions", value_name = "FILE")]
    pub instructions: Vec<PathBuf>,
    /// Draw so many of them for each language, without near-duplicates.
    #[arg(long, value_name = "N", default_value_t = 1500)]
    pub sample: usize,
    /// BM25 nearness from which on an instruction is a near-duplicate of one that was drawn.
    #[arg(long, value_name = "F", default_value_t = 0.7)]
    pub nearness: f64,
    /// How the role is put to the teacher.
    #[arg(long, default_value = "dialogue")]
    pub strategy: Manner,
    /// Reference answers to each instruction.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub references: u32,
    /// Most tokens of an answer.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_tokens: u32,
    /// Which instructions are drawn, and which questions become the test.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
}

#[derive(Args)]
pub struct RolegptArguments {
    #[command(flatten)]
    pub teacher: TeacherArguments,
    /// Finished profiles: a folder with ROLE/role.json and ROLE/dialogue.jsonl in it.
    #[arg(long, value_name = "DIR")]
    pub roles: PathBuf,
    #[command(flatten)]
    pub settings: RolegptSettings,
}

#[derive(Args)]
pub struct DatasetSettings {
    /// Test rows (JSONL in RoleBench's shape) that no row may be near to.
    #[arg(long = "test", value_name = "FILE")]
    pub tests: Vec<PathBuf>,
    /// ROUGE-L F of a question to a test question from which on its row is dropped.
    #[arg(long, value_name = "F", default_value_t = 0.7)]
    pub contamination: f64,
    /// Share of the questions that become the test.
    #[arg(long, value_name = "F", default_value_t = 0.1)]
    pub test_share: f64,
    /// The data set's name.
    #[arg(long, value_name = "NAME", default_value = "A RoleBench of our own")]
    pub title: String,
    /// The data set's licence, as its card names it.
    #[arg(long, value_name = "NAME", default_value = "other")]
    pub licence: String,
}

#[derive(Args)]
pub struct AllArguments {
    #[command(flatten)]
    pub teacher: TeacherArguments,
    #[command(flatten)]
    pub role: RoleArguments,
    /// Many roles: a JSON list of {"role", "aliases", "sources", "language", "narrator", "profile"}; a "profile" is the
    /// folder of a finished one. Paths are seen from the plan's folder.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["role", "sources"])]
    pub plan: Option<PathBuf>,
    /// The k-th of n parts of the roles, for many machines: k/n.
    #[arg(long, value_name = "K/N", default_value = "1/1")]
    pub shard: Shard,
    #[command(flatten)]
    pub context: ContextSettings,
    #[command(flatten)]
    pub rolegpt: RolegptSettings,
    #[command(flatten)]
    pub dataset: DatasetSettings,
}

#[derive(Args)]
pub struct AssembleArguments {
    /// Folders that `all --shard` wrote.
    #[arg(long = "from", value_name = "DIR", required = true)]
    pub from: Vec<PathBuf>,
    /// Where the data set goes.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Which questions become the test.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub dataset: DatasetSettings,
}

#[derive(Clone, Copy, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tongue {
    En,
    Zh,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Manner {
    /// Description and directives.
    ZeroShot,
    /// The same, and lines of the role as examples in the text.
    FewShot,
    /// The same, and lines of the role as turns before the question.
    Dialogue,
    /// The bare system instruction, for models trained on it.
    Rocit,
}

/// One of so many.
#[derive(Clone, Copy, Debug)]
pub struct Shard {
    pub nth: usize,
    pub of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let numbers = text.split_once('/').and_then(|(nth, of)| Some((nth.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((nth, of)) if 1 <= nth && nth <= of => Ok(Shard { nth, of }),
            _ => Err("expected K/N with 1 ≤ K ≤ N, as 2/8".to_string()),
        }
    }
}

impl From<Tongue> for Language {
    fn from(tongue: Tongue) -> Language {
        match tongue {
            Tongue::En => Language::En,
            Tongue::Zh => Language::Zh,
        }
    }
}

impl ContextSettings {
    pub fn apply(&self, pipeline: &mut Pipeline) {
        pipeline.profiler.segment_tokens = self.segment_tokens;
        pipeline.context_instruct = ContextInstruct {
            candidates: self.candidates,
            per_request: self.per_request,
            most_rounds: self.rounds,
            duplicate: self.duplicate,
            ..ContextInstruct::default()
        };
    }
}

impl RolegptSettings {
    pub fn apply(&self, pipeline: &mut Pipeline) {
        let strategy = match self.strategy {
            Manner::ZeroShot => Strategy::ZeroShot,
            Manner::FewShot => Strategy::FewShot,
            Manner::Dialogue => Strategy::Dialogue,
            Manner::Rocit => Strategy::Rocit,
        };
        pipeline.rolegpt =
            RoleGpt { strategy, references: self.references, max_tokens: self.max_tokens, ..RoleGpt::default() };
    }
}

impl DatasetSettings {
    pub fn assembly(&self, seed: u64) -> Assembly {
        Assembly { test_share: self.test_share, seed, contamination: self.contamination }
    }
}
