use super::{Entry, Imatrix};
use crate::ExportError;
use crate::check::load;
use decoder::{Session, Site};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Tokens that are read in one context.
const CHUNK: usize = 512;

/// Sums and number of the inputs of a block's site.
type Sums = BTreeMap<(usize, Site), (Vec<f64>, u64)>;

/// Reads the first `limit` tokens of `text` with the model in `files` and notes how large the inputs of its matrices are.
pub fn collect(files: &[PathBuf], text: &str, limit: usize) -> Result<Imatrix, ExportError> {
    let model = load(files)?;
    let read = |source| ExportError::Read { source, path: files[0].clone() };
    let mut tokens = model.tokenizer().encode(text, false).map_err(read)?;
    tokens.truncate(limit);
    if tokens.len() < 2 {
        return Err(ExportError::Text { found: tokens.len() });
    }
    let config = model.config();
    let bos = model.tokenizer().bos().filter(|_| model.tokenizer().add_bos());
    let chunk = CHUNK.min(config.context_length).min(tokens.len() + usize::from(bos.is_some()));
    let widths = [config.embedding_length, config.head_count * config.head_dim, config.feed_forward_length];
    let sums: Arc<Mutex<Sums>> = Arc::default();
    let shared = Arc::clone(&sums);
    let mut session = Session::new(Arc::clone(model.weights()), chunk);
    session.observe(Box::new(move |block, site, input| {
        let width = match site {
            Site::Attention | Site::FeedForward => widths[0],
            Site::AttentionOutput => widths[1],
            Site::Down => widths[2],
        };
        let mut all = shared.lock().expect("nobody breaks down while adding");
        let (sums, count) = all.entry((block, site)).or_insert_with(|| (vec![0.0; width], 0));
        for row in input.chunks_exact(width) {
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
            *count += 1;
        }
    }));
    let mut chunks = 0;
    for piece in tokens.chunks(chunk - usize::from(bos.is_some())) {
        session.truncate(0).map_err(|error| read(error.into()))?;
        let piece: Vec<u32> = bos.into_iter().chain(piece.iter().copied()).collect();
        session.forward(&piece).map_err(|error| read(error.into()))?;
        chunks += 1;
    }
    drop(session);
    let sums = sums.lock().expect("nobody breaks down while adding");
    let entries = sums.iter().flat_map(|((block, site), (sums, count))| {
        let names: &[&str] = match site {
            Site::Attention => &["attn_q", "attn_k", "attn_v", "attn_qkv"],
            Site::AttentionOutput => &["attn_output"],
            Site::FeedForward => &["ffn_gate", "ffn_up"],
            Site::Down => &["ffn_down"],
        };
        let entry = Entry { sums: sums.iter().map(|&sum| sum as f32).collect(), count: *count as f32 };
        names.iter().map(move |name| (format!("blk.{block}.{name}.weight"), entry.clone()))
    });
    let mut entries: BTreeMap<String, Entry> = entries.collect();
    let names = tensor_names(files)?;
    entries.retain(|name, _| names.contains(name));
    Ok(Imatrix { entries, chunks, chunk_size: chunk as u32 })
}

/// Families differ in which of a block's products are one matrix.
fn tensor_names(files: &[PathBuf]) -> Result<Vec<String>, ExportError> {
    let (gguf, _) = crate::check::open(files)?;
    Ok(gguf.tensors().keys().cloned().collect())
}
