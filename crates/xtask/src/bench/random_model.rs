//! GGUF files of random weights in the shapes of known models: as fast as those, and free to make anywhere.

use anyhow::{Context, Result};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const SHAPES: [Shape; 2] = [
    Shape { name: "random-135m", layers: 30, width: 576, heads: 9, kv_heads: 3, inner: 1536, vocabulary: 49_152 },
    Shape { name: "random-1b", layers: 22, width: 2048, heads: 32, kv_heads: 4, inner: 5632, vocabulary: 32_000 },
];
/// Larger than one WebAssembly memory may be once it stands beside its file: Q4_0 only.
const LARGE: Shape =
    Shape { name: "random-7b", layers: 32, width: 4096, heads: 32, kv_heads: 32, inner: 11_008, vocabulary: 32_000 };
const CONTEXT: u32 = 2048;
const ALIGNMENT: u64 = 32;
/// Values in a block of both types, and the bytes of the F16 scale before them.
const BLOCK: usize = 32;
/// Special and byte tokens. Their rows of the output matrix are zero, so that no reply ends early or breaks a character.
const SPECIAL: usize = 3 + 256;

/// A LLaMA whose output matrix is its embedding.
struct Shape {
    name: &'static str,
    layers: usize,
    width: usize,
    heads: usize,
    kv_heads: usize,
    inner: usize,
    vocabulary: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    F32,
    Q4_0,
    Q8_0,
}

struct Tensor {
    name: String,
    rows: usize,
    columns: usize,
    stored: Stored,
}

/// Makes those files that the folder lacks, or with `large` the large one alone, and returns all of them.
pub fn make_missing(folder: &Path, large: bool) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (shapes, types): (&[Shape], &[_]) = match large {
        true => (&[LARGE], &[(Stored::Q4_0, "Q4_0")]),
        false => (&SHAPES, &[(Stored::Q4_0, "Q4_0"), (Stored::Q8_0, "Q8_0")]),
    };
    let mut files = Vec::new();
    for shape in shapes {
        for &(stored, name) in types {
            let file = folder.join(format!("{}-{name}.gguf", shape.name));
            if !file.exists() {
                eprintln!("making {}", file.display());
                let unfinished = file.with_extension("gguf.part");
                write(shape, stored, &unfinished).with_context(|| format!("cannot write {}", unfinished.display()))?;
                std::fs::rename(&unfinished, &file)?;
            }
            files.push(file);
        }
    }
    Ok(files)
}

fn write(shape: &Shape, stored: Stored, path: &Path) -> Result<()> {
    let tensors = tensors(shape, stored);
    let header = header(shape, &tensors);
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&header)?;
    pad(&mut file, header.len() as u64)?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for tensor in &tensors {
        for row in 0..tensor.rows {
            let zero = tensor.name == "token_embd.weight" && row < SPECIAL;
            file.write_all(&values(tensor, zero, &mut random))?;
        }
        pad(&mut file, tensor.bytes())?;
    }
    Ok(file.flush()?)
}

fn tensors(shape: &Shape, stored: Stored) -> Vec<Tensor> {
    let (width, inner) = (shape.width, shape.inner);
    let keys = width / shape.heads * shape.kv_heads;
    let tensor = |name: String, rows, columns, stored| Tensor { name, rows, columns, stored };
    // llama.cpp keeps a tied embedding at 8 bits, as it is the output matrix too.
    let mut all = vec![
        tensor("token_embd.weight".to_string(), shape.vocabulary, width, Stored::Q8_0),
        tensor("output_norm.weight".to_string(), 1, width, Stored::F32),
    ];
    for layer in 0..shape.layers {
        let parts = [
            ("attn_norm", 1, width, Stored::F32),
            ("attn_q", width, width, stored),
            ("attn_k", keys, width, stored),
            ("attn_v", keys, width, stored),
            ("attn_output", width, width, stored),
            ("ffn_norm", 1, width, Stored::F32),
            ("ffn_gate", inner, width, stored),
            ("ffn_up", inner, width, stored),
            ("ffn_down", width, inner, stored),
        ];
        all.extend(
            parts.map(|(name, rows, columns, stored)| {
                tensor(format!("blk.{layer}.{name}.weight"), rows, columns, stored)
            }),
        );
    }
    all
}

impl Tensor {
    fn row_bytes(&self) -> usize {
        match self.stored {
            Stored::F32 => self.columns * 4,
            Stored::Q4_0 => self.columns / BLOCK * (2 + BLOCK / 2),
            Stored::Q8_0 => self.columns / BLOCK * (2 + BLOCK),
        }
    }

    fn bytes(&self) -> u64 {
        (self.row_bytes() * self.rows) as u64
    }

    fn number(&self) -> u32 {
        match self.stored {
            Stored::F32 => 0,
            Stored::Q4_0 => 2,
            Stored::Q8_0 => 8,
        }
    }
}

/// One row: ones for a norm; else random integers whose scale keeps the activations near one.
fn values(tensor: &Tensor, zero: bool, random: &mut ChaCha8Rng) -> Vec<u8> {
    if tensor.stored == Stored::F32 {
        return 1f32.to_le_bytes().repeat(tensor.columns);
    }
    let mut row = vec![0; tensor.row_bytes()];
    random.fill_bytes(&mut row);
    // The integers spread evenly, by 4.6 in 4 bits and by 74 in 8.
    let spread = if tensor.stored == Stored::Q4_0 { 4.6 } else { 74.0 };
    let scale = if zero { 0.0 } else { 1.0 / (tensor.columns as f32).sqrt() / spread };
    let block = row.len() / (tensor.columns / BLOCK);
    for block in row.chunks_exact_mut(block) {
        block[..2].copy_from_slice(&half(scale).to_le_bytes());
    }
    row
}

/// A small, not negative number as F16; its last bits are cut off.
fn half(number: f32) -> u16 {
    let bits = number.to_bits();
    let exponent = (bits >> 23) as i32 - 127 + 15;
    if exponent <= 0 { 0 } else { ((exponent as u16) << 10) | ((bits >> 13) & 0x3ff) as u16 }
}

fn header(shape: &Shape, tensors: &[Tensor]) -> Vec<u8> {
    let mut keys = Keys::default();
    keys.text("general.architecture", "llama");
    keys.text("general.name", shape.name);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    keys.count("llama.context_length", CONTEXT);
    keys.count("llama.embedding_length", count(shape.width));
    keys.count("llama.block_count", count(shape.layers));
    keys.count("llama.feed_forward_length", count(shape.inner));
    keys.count("llama.attention.head_count", count(shape.heads));
    keys.count("llama.attention.head_count_kv", count(shape.kv_heads));
    keys.float("llama.attention.layer_norm_rms_epsilon", 1e-5);
    keys.count("llama.rope.dimension_count", count(shape.width / shape.heads));
    keys.count("llama.vocab_size", count(shape.vocabulary));
    keys.text("tokenizer.ggml.model", "llama");
    keys.vocabulary(&vocabulary(shape.vocabulary));
    keys.count("tokenizer.ggml.bos_token_id", 1);
    keys.count("tokenizer.ggml.eos_token_id", 2);
    keys.count("tokenizer.ggml.unknown_token_id", 0);

    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend(keys.number.to_le_bytes());
    bytes.extend(keys.bytes);
    let mut offset = 0u64;
    for tensor in tensors {
        put_text(&mut bytes, &tensor.name);
        let dimensions = if tensor.rows == 1 { vec![tensor.columns] } else { vec![tensor.columns, tensor.rows] };
        bytes.extend(count(dimensions.len()).to_le_bytes());
        bytes.extend(dimensions.iter().flat_map(|&size| (size as u64).to_le_bytes()));
        bytes.extend(tensor.number().to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        offset += tensor.bytes().next_multiple_of(ALIGNMENT);
    }
    bytes
}

/// Specials, bytes, letters, and words of two to four letters, each with and without the space before it.
fn vocabulary(size: usize) -> Vec<String> {
    let letters = || ('a'..='z').map(String::from);
    let pairs = || letters().flat_map(move |a| letters().map(move |b| a.clone() + &b));
    let longer = |words: Vec<String>| words.into_iter().flat_map(move |a| letters().map(move |b| a.clone() + &b));
    let triples: Vec<String> = longer(pairs().collect()).collect();
    let words = letters().chain(pairs()).chain(triples.clone()).chain(longer(triples));
    let mut all: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    all.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    all.push("▁".to_string());
    all.extend(words.flat_map(|word| [word.clone(), format!("▁{word}")]).take(size - all.len()));
    all
}

/// Metadata in GGUF's binary form.
#[derive(Default)]
struct Keys {
    bytes: Vec<u8>,
    number: u64,
}

impl Keys {
    const U32: u32 = 4;
    const I32: u32 = 5;
    const F32: u32 = 6;
    const TEXT: u32 = 8;
    const ARRAY: u32 = 9;

    fn key(&mut self, key: &str, kind: u32) {
        put_text(&mut self.bytes, key);
        self.bytes.extend(kind.to_le_bytes());
        self.number += 1;
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key, Keys::TEXT);
        put_text(&mut self.bytes, value);
    }

    fn count(&mut self, key: &str, value: u32) {
        self.key(key, Keys::U32);
        self.bytes.extend(value.to_le_bytes());
    }

    fn float(&mut self, key: &str, value: f32) {
        self.key(key, Keys::F32);
        self.bytes.extend(value.to_le_bytes());
    }

    fn array(&mut self, key: &str, kind: u32, length: usize) {
        self.key(key, Keys::ARRAY);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend((length as u64).to_le_bytes());
    }

    fn vocabulary(&mut self, tokens: &[String]) {
        self.array("tokenizer.ggml.tokens", Keys::TEXT, tokens.len());
        for token in tokens {
            put_text(&mut self.bytes, token);
        }
        self.array("tokenizer.ggml.scores", Keys::F32, tokens.len());
        self.bytes.extend((0..tokens.len()).flat_map(|at| (-(at.saturating_sub(SPECIAL) as f32)).to_le_bytes()));
        self.array("tokenizer.ggml.token_type", Keys::I32, tokens.len());
        // Normal, unknown, control and byte tokens, in llama.cpp's numbers.
        let kind = |at| {
            if at == 0 {
                2
            } else if at < 3 {
                3
            } else if at < SPECIAL {
                6
            } else {
                1i32
            }
        };
        self.bytes.extend((0..tokens.len()).flat_map(|at| kind(at).to_le_bytes()));
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn pad(file: &mut impl Write, written: u64) -> Result<()> {
    let missing = written.next_multiple_of(ALIGNMENT) - written;
    Ok(file.write_all(&[0; ALIGNMENT as usize][..usize::try_from(missing)?])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vocabulary_is_full_and_holds_no_token_twice() {
        for shape in &SHAPES {
            let mut tokens = vocabulary(shape.vocabulary);
            assert_eq!(tokens.len(), shape.vocabulary);
            assert!(tokens.contains(&"▁ab".to_string()));
            tokens.sort();
            tokens.dedup();
            assert_eq!(tokens.len(), shape.vocabulary);
        }
    }

    #[test]
    fn halves() {
        assert_eq!(half(1.0), 0x3c00);
        assert_eq!(half(0.0), 0);
        assert_eq!(half(0.0099), 0x2111);
    }
}
