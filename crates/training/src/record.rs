//! What a run notes about itself and its data, and how it is known again.

use crate::corpus::{Source, SourceSpec, hex};
use crate::{Error, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// Reads all sources, on `threads` threads.
pub fn load_sources(
    specs: &[SourceSpec],
    threads: usize,
    load: impl Fn(&SourceSpec) -> Result<Source> + Send,
) -> Result<Vec<Source>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Argument(format!("--threads {threads}: {e}")))?;
    pool.install(|| specs.iter().map(load).collect())
}

/// The sources with their hashes.
pub fn data(sources: &[Source]) -> Vec<Value> {
    let describe = |s: &Source| {
        json!({
            "source": s.name,
            "weight": s.weight,
            "sha256": s.sha256,
            "documents": s.documents.len(),
            "tokens": s.token_count(),
            "held_out_documents": s.held_out.len(),
        })
    };
    sources.iter().map(describe).collect()
}

/// SHA-256 of a file; that of nothing where there is none.
pub fn file_sha256(path: &Path) -> String {
    hex(Sha256::new_with_prefix(fs::read(path).unwrap_or_default()))
}

/// SHA-256 of a text.
pub fn text_sha256(text: &str) -> String {
    hex(Sha256::new_with_prefix(text))
}

/// Refuses to continue the run in `run` where what `fixed` names, the model or the data are not what it was started with.
pub fn check_same_run(record: &Value, run: &Path, fixed: &[&str]) -> Result<()> {
    let path = run.join("train.json");
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let started: Value = serde_json::from_str(&text).map_err(Error::json(&path))?;
    let must_equal = |argument: &str, was: &Value, now: &Value| match was == now {
        true => Ok(()),
        false => Err(Error::Resume {
            argument: argument.into(),
            started: was.to_string(),
            now: now.to_string(),
            path: run.into(),
        }),
    };
    for &name in fixed {
        let argument = format!("--{}", name.replace('_', "-"));
        // Runs of earlier versions do not name every argument.
        if let Some(value) = started["arguments"].get(name) {
            must_equal(&argument, value, &record["arguments"][name])?;
        }
    }
    must_equal("--tokenizer (sha256)", &started["tokenizer_sha256"], &record["tokenizer_sha256"])?;
    must_equal("--preset or --config (the model)", &started["model"], &record["model"])?;
    let count = |data: &Value| data.as_array().map_or(0, Vec::len);
    must_equal("number of --data", &count(&started["data"]).into(), &count(&record["data"]).into())?;
    for i in 0..count(&record["data"]) {
        for part in ["source", "weight", "sha256"] {
            must_equal(&format!("--data {} ({part})", i + 1), &started["data"][i][part], &record["data"][i][part])?;
        }
    }
    Ok(())
}

/// Says what `rows` rows of `context` tokens will make of the sources.
pub fn announce_sources(sources: &[Source], rows: u64, context: usize) {
    let total: f64 = sources.iter().map(|s| s.weight).sum();
    for source in sources {
        let tokens = source.token_count();
        let share = source.weight / total;
        let rows = rows as f64 * share;
        let epochs = rows * context as f64 / tokens as f64;
        eprintln!(
            "{}: {} documents, {:.2} M tokens, {} held out, {:.0} % of rows, about {epochs:.1} epochs",
            source.name,
            source.documents.len(),
            tokens as f64 / 1e6,
            source.held_out.len(),
            100.0 * share,
        );
        if source.cut > 0 || source.dropped > 0 {
            let (cut, dropped) = (source.cut, source.dropped);
            eprintln!(
                "  longer than --context: {cut} chats lost their end, {dropped} were left out, their answers lost"
            );
        }
        if !source.unknown_roles.is_empty() {
            let names: Vec<&str> = source.unknown_roles.iter().map(String::as_str).take(5).collect();
            let count = source.unknown_roles.len();
            eprintln!("  left out: rows of {count} roles without a card in --roles ({}, ...)", names.join(", "));
        }
    }
}
