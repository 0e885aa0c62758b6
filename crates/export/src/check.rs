//! Reads a written model back and compares it with another one on a text.

use crate::ExportError;
use decoder::{Gguf, Loader, Session, Shard};
use generate::{Model, Outline};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How one model differs from another on the same tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Tokens that both read.
    pub tokens: usize,
    /// Perplexity of the model.
    pub perplexity: f64,
    /// Perplexity of the other one.
    pub reference_perplexity: f64,
    /// Mean Kullback-Leibler divergence from the other one, in nats a token.
    pub divergence: f64,
    /// Largest difference of two logits.
    pub largest_difference: f32,
    /// Share of tokens after which both think the same token the likeliest.
    pub agreement: f64,
}

/// Compares the model in `files` with the one in `reference` on the first `limit` tokens of `text`.
pub fn compare(files: &[PathBuf], reference: &[PathBuf], text: &str, limit: usize) -> Result<Comparison, ExportError> {
    let (model, reference) = (load(files)?, load(reference)?);
    let (found, wanted) = (model.config().vocab_size, reference.config().vocab_size);
    if found != wanted {
        return Err(ExportError::Vocabulary { found, wanted });
    }
    let read = |source| ExportError::Read { source, path: files[0].clone() };
    let mut tokens: Vec<u32> = model.tokenizer().bos().filter(|_| model.tokenizer().add_bos()).into_iter().collect();
    tokens.extend(model.tokenizer().encode(text, false).map_err(read)?);
    tokens.truncate(limit.min(model.config().context_length).min(reference.config().context_length));
    if tokens.len() < 2 {
        return Err(ExportError::Text { found: tokens.len() });
    }
    let mut sessions = [&model, &reference].map(|model| Session::new(Arc::clone(model.weights()), tokens.len()));
    let count = (tokens.len() - 1) as f64;
    let mut sum = Comparison {
        tokens: tokens.len(),
        perplexity: 0.0,
        reference_perplexity: 0.0,
        divergence: 0.0,
        largest_difference: 0.0,
        agreement: 0.0,
    };
    for pair in tokens.windows(2) {
        let [logits, expected] = sessions.each_mut().map(|session| session.forward(&pair[..1]).map(<[f32]>::to_vec));
        let (logits, expected) = (logits.map_err(|e| read(e.into()))?, expected.map_err(|e| read(e.into()))?);
        let (p, q) = (log_softmax(&expected), log_softmax(&logits));
        let next = pair[1] as usize;
        sum.perplexity -= q[next] / count;
        sum.reference_perplexity -= p[next] / count;
        sum.divergence += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>() / count;
        let worst = logits.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        sum.largest_difference = sum.largest_difference.max(worst);
        sum.agreement += f64::from(u8::from(likeliest(&logits) == likeliest(&expected))) / count;
    }
    (sum.perplexity, sum.reference_perplexity) = (sum.perplexity.exp(), sum.reference_perplexity.exp());
    Ok(sum)
}

pub fn load(paths: &[PathBuf]) -> Result<Model, ExportError> {
    let (gguf, mut files) = open(paths)?;
    let refuse = |source: generate::Error| ExportError::Read { source, path: paths[0].clone() };
    let outline = Outline::from_gguf(&gguf).map_err(refuse)?;
    let mut loader = Loader::new(&gguf, Shard::WHOLE).map_err(|e| refuse(e.into()))?;
    while loader.step(&mut files).map_err(|e| refuse(e.into()))?.is_continue() {}
    Ok(outline.with_weights(loader.finish()))
}

/// Reads the header of a model in one file or several.
pub fn open(paths: &[PathBuf]) -> Result<(Gguf, Vec<File>), ExportError> {
    let mut files = Vec::new();
    for path in paths {
        files.push(File::open(path).map_err(ExportError::io(path))?);
    }
    let path = paths.first().map_or(Path::new(""), PathBuf::as_path);
    let refuse = |source: decoder::LoadError| ExportError::Read { source: source.into(), path: path.to_owned() };
    let gguf = Gguf::read_parts(&mut files).map_err(refuse)?;
    Ok((gguf, files))
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&l| (f64::from(l) - max).exp()).sum();
    logits.iter().map(|&l| f64::from(l) - max - sum.ln()).collect()
}

fn likeliest(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
}
