//! The `export` program.

use anyhow::{Context, Result};
use candle_core::quantized::GgmlDType;
use checkpoint::{Adapter, Base};
use clap::{Args, Parser, Subcommand};
use decoder::part_paths;
use export::{
    GgufOptions, Imatrix, NamedAdapter, Source, Type, WebOptions, WebSummary, check_web, collect, compare, merge,
    write_adapter, write_gguf, write_web,
};
use std::path::{Path, PathBuf};

/// Turns trained checkpoints into files for the web and for llama.cpp
#[derive(Parser)]
#[command(name = "export", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes a GGUF with weights, tokenizer and chat template
    Gguf(GgufArguments),
    /// Writes base and adapter as one checkpoint folder
    Merge {
        #[command(flatten)]
        source: SourceArguments,
        /// The folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Writes an adapter as a GGUF that is put on a quantized base
    Adapter {
        #[command(flatten)]
        source: SourceArguments,
        /// How its matrices are stored: F16 or F32
        #[arg(long = "type", default_value = "F16", value_parser = parse_adapter_type)]
        kind: GgmlDType,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        about: About,
    },
    /// Reads a text with a model and notes which inputs of its matrices are large, for `gguf --imatrix`
    Imatrix {
        #[command(flatten)]
        source: SourceArguments,
        /// The text: the more like what the model will read, the better
        #[arg(long, value_name = "FILE")]
        text: PathBuf,
        /// Read at most this many tokens
        #[arg(long, default_value_t = 50_000)]
        limit: usize,
        /// The file to write, in llama.cpp's format
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Writes a folder that any web server serves and the page opens: parts, adapters, roles, card, manifest
    Web(Box<WebArguments>),
    /// Reads a GGUF back and compares it with another one of the same model, say the F32 one, on a text
    Check {
        /// A folder that `export web` wrote: its files are compared with its manifest, and nothing else is done
        #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "reference", "text"])]
        web: Option<PathBuf>,
        /// The file; of a split model all parts in order
        #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "web")]
        model: Vec<PathBuf>,
        /// The file to compare with
        #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "web")]
        reference: Vec<PathBuf>,
        /// The text
        #[arg(long, value_name = "FILE", required_unless_present = "web")]
        text: Option<PathBuf>,
        /// Read at most this many tokens
        #[arg(long, default_value_t = 256)]
        limit: usize,
    },
}

#[derive(Args)]
struct SourceArguments {
    /// The base: a folder with config.json, safetensors and tokenizer.json or tokenizer.model, or a GGUF, of a split one
    /// any part
    #[arg(long, value_name = "DIR|GGUF")]
    model: PathBuf,
    /// A PEFT folder: adapter_config.json and adapter_model.safetensors
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
}

#[derive(Args)]
struct GgufArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// How matrices are stored: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K_M, Q4_K_M, Q5_K_M, Q6_K or web
    #[arg(long = "type", value_parser = parse_type)]
    kind: Type,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// An importance matrix by which Q4_0, web and the K types spare the weights that matter most: a file of `imatrix` or of
    /// llama.cpp's llama-imatrix
    #[arg(long, value_name = "FILE")]
    imatrix: Option<PathBuf>,
    /// Split into parts of at most about this size, named as llama.cpp does: 500M, 2G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    shards: Option<u64>,
    #[command(flatten)]
    about: About,
}

#[derive(Args)]
struct WebArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// A PEFT folder that stays beside the model under this name and is changed between messages; may be repeated
    #[arg(long = "adapters", value_name = "NAME=DIR", num_args = 1.., value_parser = parse_pair)]
    adapters: Vec<(String, String)>,
    /// For which roles an adapter was made, by id or name [default: the role of the adapter's name]
    #[arg(long = "adapter-roles", value_name = "NAME=ID,ID", num_args = 1.., value_parser = parse_pair)]
    adapter_roles: Vec<(String, String)>,
    /// How matrices are stored: see `export gguf --help`
    #[arg(long = "type", default_value = "web", value_parser = parse_type)]
    kind: Type,
    /// An importance matrix: see `export gguf --help`
    #[arg(long, value_name = "FILE")]
    imatrix: Option<PathBuf>,
    /// A folder of roles: ID/role.json, or character cards as .json and .png
    #[arg(long, value_name = "DIR")]
    roles: Option<PathBuf>,
    /// Parts of at most about this size: 500M, 2G
    ///
    /// 256 MB fits a buffer of any browser and the caches of content networks, and a model of a gigabyte is still a handful of
    /// requests. Hosts that limit a file's size may ask for less.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse_size)]
    shards: u64,
    /// What the model or its adapters were trained on, for the card; may be repeated
    #[arg(long, value_name = "TEXT")]
    data: Vec<String>,
    /// The folder to write; it must not exist or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    about: About,
}

impl WebArguments {
    fn options(self) -> Result<WebOptions> {
        let mut adapters: Vec<NamedAdapter> = self
            .adapters
            .into_iter()
            .map(|(name, folder)| NamedAdapter { name, folder: folder.into(), roles: Vec::new() })
            .collect();
        for (name, roles) in self.adapter_roles {
            let adapter = adapters.iter_mut().find(|adapter| adapter.name == name);
            let adapter =
                adapter.with_context(|| format!("--adapter-roles names {name:?}, which no --adapters does"))?;
            adapter.roles = roles.split(',').map(|role| role.trim().to_owned()).collect();
        }
        let folder_name = || self.source.model.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(WebOptions {
            kind: self.kind,
            imatrix: self.imatrix.as_deref().map(Imatrix::read).transpose()?,
            name: self.about.name.or_else(folder_name).unwrap_or_else(|| "model".into()),
            licence: self.about.license.unwrap_or_default(),
            description: self.about.description.unwrap_or_default(),
            data: self.data,
            part_bytes: self.shards,
            adapters,
            roles: self.roles,
        })
    }
}

#[derive(Args)]
struct About {
    /// The model's name, kept in the file
    #[arg(long)]
    name: Option<String>,
    /// The weights' licence, kept in the file
    #[arg(long)]
    license: Option<String>,
    /// A sentence on the model, kept in the file
    #[arg(long)]
    description: Option<String>,
}

impl About {
    fn texts(self) -> Vec<(String, String)> {
        let texts = [("name", self.name), ("license", self.license), ("description", self.description)];
        texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?))).collect()
    }
}

fn main() {
    if let Err(error) = run(Arguments::parse()) {
        eprintln!("export: {error:#}");
        std::process::exit(2);
    }
}

fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Gguf(arguments) => {
            let source = Source::open(&arguments.source.model, arguments.source.adapter.as_deref())?;
            let about = arguments.about.texts();
            let imatrix = arguments.imatrix.as_deref().map(Imatrix::read).transpose()?;
            let options = GgufOptions { kind: arguments.kind, about, imatrix, part_bytes: arguments.shards };
            let summary = write_gguf(&source, &options, &arguments.out)?;
            for file in &summary.files {
                eprintln!("{}", file.display());
            }
            let (tensors, parameters, bytes) = (summary.tensors, summary.parameters, summary.bytes);
            eprintln!("{tensors} tensors, {parameters} parameters, {bytes} bytes");
        }
        Command::Merge { source, out } => {
            source.adapter.as_ref().context("merge needs an --adapter")?;
            let files = merge(&Source::open(&source.model, source.adapter.as_deref())?, &out)?;
            eprintln!("{}: {files} files of weights", out.display());
        }
        Command::Adapter { source, kind, out, about } => {
            let folder = source.adapter.as_deref().context("adapter needs an --adapter")?;
            let base = Base::open(&source.model)?;
            let adapter = Adapter::read(folder, base.shape())?;
            write_adapter(&adapter, base.shape(), kind, &about.texts(), &out)?;
            eprintln!("{}: rank {} on {} matrices", out.display(), adapter.config.r, adapter.matrices.len());
        }
        Command::Web(arguments) => {
            let mut source = Source::open(&arguments.source.model, arguments.source.adapter.as_deref())?;
            let out = arguments.out.clone();
            let summary = write_web(&mut source, &arguments.options()?, &out)?;
            print_web(&out, &summary);
        }
        Command::Imatrix { source, text, limit, out } => {
            let words = std::fs::read_to_string(&text).with_context(|| format!("cannot read {}", text.display()))?;
            let matrix = imatrix(&source, &words, limit, &out)?;
            matrix.write(&text.file_name().unwrap_or_default().to_string_lossy(), &out)?;
            let (entries, chunks, size) = (matrix.entries.len(), matrix.chunks, matrix.chunk_size);
            eprintln!("{}: {entries} matrices, {chunks} pieces of {size} tokens", out.display());
        }
        Command::Check { web: Some(folder), .. } => {
            print_web(&folder, &check_web(&folder)?);
        }
        Command::Check { web: None, model, reference, text, limit } => {
            let text = text.context("check needs a --text")?;
            let text = std::fs::read_to_string(&text).with_context(|| format!("cannot read {}", text.display()))?;
            let c = compare(&model, &reference, &text, limit)?;
            eprintln!("{} tokens: perplexity {:.4}, reference {:.4}", c.tokens, c.perplexity, c.reference_perplexity);
            let (divergence, worst, agreement) = (c.divergence, c.largest_difference, 100.0 * c.agreement);
            eprintln!(
                "divergence {divergence:.6} nats, logits differ by {worst:.4} at most, same token {agreement:.1} %"
            );
        }
    }
    Ok(())
}

fn print_web(folder: &Path, summary: &WebSummary) {
    let WebSummary { name, parameters, parts, adapters, roles, files, chunks, bytes } = summary;
    eprintln!("{}: {name}, {parameters} parameters, parts: {parts}, roles: {roles}", folder.display());
    if !adapters.is_empty() {
        eprintln!("adapters: {}", adapters.join(", "));
    }
    eprintln!("{files} files, {chunks} chunks, {bytes} bytes");
}

/// NAME=VALUE, both with something in them.
fn parse_pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
    match pair {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a name and a value with = between, as in alice=runs/alice/adapter".into()),
    }
}

/// The decoder reads GGUF only: a folder, or a base under an adapter, becomes one beside `out` for the time being.
fn imatrix(source: &SourceArguments, text: &str, limit: usize, out: &Path) -> Result<Imatrix> {
    if source.model.is_file() && source.adapter.is_none() {
        return Ok(collect(&part_paths(&source.model), text, limit)?);
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::tempdir_in(folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    let options = GgufOptions { kind: Type::Q8_0, about: vec![], imatrix: None, part_bytes: None };
    let source = Source::open(&source.model, source.adapter.as_deref())?;
    let summary = write_gguf(&source, &options, &folder.path().join("model.gguf"))?;
    Ok(collect(&summary.files, text, limit)?)
}

fn parse_type(text: &str) -> Result<Type, String> {
    let known = Type::ALL.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(text));
    known
        .map(|(kind, ..)| *kind)
        .ok_or_else(|| format!("known types: {}", Type::ALL.map(|(_, name, _)| name).join(", ")))
}

fn parse_adapter_type(text: &str) -> Result<GgmlDType, String> {
    match text.to_ascii_uppercase().as_str() {
        "F16" => Ok(GgmlDType::F16),
        "F32" => Ok(GgmlDType::F32),
        _ => Err("known types: F16, F32".into()),
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.to_ascii_uppercase() {
        text if text.ends_with('G') => (text[..text.len() - 1].to_owned(), 1_000_000_000),
        text if text.ends_with('K') => (text[..text.len() - 1].to_owned(), 1_000),
        text if text.ends_with('M') => (text[..text.len() - 1].to_owned(), 1_000_000),
        text => (text, 1),
    };
    let number: Option<u64> = digits.parse().ok().filter(|number| *number > 0);
    number.and_then(|number| number.checked_mul(factor)).ok_or_else(|| "a size like 500M or 2G".into())
}
