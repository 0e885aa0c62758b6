//! The smallest published model that writes sentences, as a GGUF: stories260K of llama2.c.

use std::{
    env, fs, io,
    io::Cursor,
    path::{Path, PathBuf},
};

use candle_core::{
    Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Value},
    },
};

/// What the model writes at temperature 0 from nothing, as published beside it: 256 tokens.
pub const GREEDY_TEXT: &str = "\
Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.
Lily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do. She said, \"I want to play with your ball, but I can't find it.\"
Lily was sad and didn't know what to do. She said, \"I'm sorry, Lily. I didn't know what to do.\"
Lily didn't want to help her mom, so she said, \"I'm sorry, mom. I didn't know what to do.\" Her mom said, \"Don't worry, Lily. We can help you.";

/// The model as an F32 GGUF, or `None` (and a word on stderr) when `FIXTURES_DIR` is unset.
///
/// # Panics
/// The fixture is unreadable.
pub fn gguf() -> Option<Vec<u8>> {
    let Some(fixtures) = env::var_os("FIXTURES_DIR") else {
        eprintln!("skipped: set FIXTURES_DIR");
        return None;
    };
    let folder = PathBuf::from(fixtures).join("models/stories260K");
    Some(convert(&folder).unwrap_or_else(|error| panic!("cannot convert {}: {error}", folder.display())))
}

/// As [`gguf`], split into `count` files as llama.cpp does: the metadata in the first, the tensors in all.
///
/// # Panics
/// The fixture is unreadable.
pub fn split_gguf(count: usize) -> Option<Vec<Vec<u8>>> {
    let whole = gguf()?;
    Some(split(&whole, count).unwrap_or_else(|error| panic!("cannot split the model: {error}")))
}

fn split(whole: &[u8], count: usize) -> candle_core::Result<Vec<Vec<u8>>> {
    let mut whole = Cursor::new(whole);
    let content = gguf_file::Content::read(&mut whole)?;
    let mut names: Vec<&String> = content.tensor_infos.keys().collect();
    names.sort();
    let share = names.len().div_ceil(count);
    let mut parts = Vec::new();
    for (part, names) in names.chunks(share).enumerate() {
        let numbers = [
            ("split.no", Value::U16(part as u16)),
            ("split.count", Value::U16(count as u16)),
            ("split.tensors.count", Value::I32(content.tensor_infos.len() as i32)),
        ];
        let mut metadata: Vec<(&str, &Value)> = numbers.iter().map(|(key, value)| (*key, value)).collect();
        if part == 0 {
            metadata.extend(content.metadata.iter().map(|(key, value)| (key.as_str(), value)));
        }
        let tensors = names.iter().map(|name| Ok((name.as_str(), content.tensor(&mut whole, name, &Device::Cpu)?)));
        let tensors = tensors.collect::<candle_core::Result<Vec<_>>>()?;
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let mut file = Cursor::new(Vec::new());
        gguf_file::write(&mut file, &metadata, &tensors)?;
        parts.push(file.into_inner());
    }
    Ok(parts)
}

/// Converts `stories260K.bin` and `tok512.bin` of `folder` to an F32 GGUF with its tokenizer inside.
///
/// # Errors
/// A file is missing or shorter than its header says.
pub fn convert(folder: &Path) -> io::Result<Vec<u8>> {
    let shape = Shape::read(&fs::read(folder.join("stories260K.bin"))?)?;
    let mut metadata = shape.metadata();
    metadata.extend(tokenizer(&fs::read(folder.join("tok512.bin"))?, shape.vocab_size)?);
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<_> = shape.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut file = Cursor::new(Vec::new());
    gguf_file::write(&mut file, &metadata, &tensors).map_err(io::Error::other)?;
    Ok(file.into_inner())
}

/// A llama2.c checkpoint: seven 32-bit integers, then all weights of a kind after another as f32.
struct Shape {
    width: usize,
    hidden: usize,
    blocks: usize,
    heads: usize,
    kv_heads: usize,
    vocab_size: usize,
    context: usize,
    tensors: Vec<(String, QTensor)>,
}

impl Shape {
    fn read(bytes: &[u8]) -> io::Result<Self> {
        let mut words = Words(bytes);
        let mut size = || words.u32().map(|n| n as usize);
        let (width, hidden, blocks) = (size()?, size()?, size()?);
        let (heads, kv_heads, vocab_size, context) = (size()?, size()?, size()?, size()?);
        let mut shape = Self { width, hidden, blocks, heads, kv_heads, vocab_size, context, tensors: Vec::new() };
        let kv_width = width / heads * kv_heads;
        shape.matrix("token_embd", vocab_size, width, &mut words)?;
        shape.vectors("attn_norm", &mut words)?;
        shape.matrices("attn_q", width, width, &mut words)?;
        shape.matrices("attn_k", kv_width, width, &mut words)?;
        shape.matrices("attn_v", kv_width, width, &mut words)?;
        shape.matrices("attn_output", width, width, &mut words)?;
        shape.vectors("ffn_norm", &mut words)?;
        shape.matrices("ffn_gate", hidden, width, &mut words)?;
        shape.matrices("ffn_down", width, hidden, &mut words)?;
        shape.matrices("ffn_up", hidden, width, &mut words)?;
        shape.tensor("output_norm", &[width], &mut words)?;
        Ok(shape)
    }

    fn vectors(&mut self, kind: &str, words: &mut Words) -> io::Result<()> {
        (0..self.blocks).try_for_each(|block| self.tensor(&format!("blk.{block}.{kind}"), &[self.width], words))
    }

    fn matrices(&mut self, kind: &str, rows: usize, columns: usize, words: &mut Words) -> io::Result<()> {
        (0..self.blocks).try_for_each(|block| self.matrix(&format!("blk.{block}.{kind}"), rows, columns, words))
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize, words: &mut Words) -> io::Result<()> {
        self.tensor(name, &[rows, columns], words)
    }

    fn tensor(&mut self, name: &str, dimensions: &[usize], words: &mut Words) -> io::Result<()> {
        let values = (0..dimensions.iter().product()).map(|_| words.f32()).collect::<io::Result<Vec<f32>>>()?;
        let tensor = Tensor::from_vec(values, dimensions, &Device::Cpu).map_err(io::Error::other)?;
        let tensor = QTensor::quantize(&tensor, GgmlDType::F32).map_err(io::Error::other)?;
        self.tensors.push((format!("{name}.weight"), tensor));
        Ok(())
    }

    fn metadata(&self) -> Vec<(String, Value)> {
        let size = |key: &str, n: usize| (format!("llama.{key}"), Value::U32(n as u32));
        vec![
            ("general.architecture".into(), Value::String("llama".into())),
            ("general.name".into(), Value::String("stories260K".into())),
            size("context_length", self.context),
            size("embedding_length", self.width),
            size("block_count", self.blocks),
            size("feed_forward_length", self.hidden),
            size("attention.head_count", self.heads),
            size("attention.head_count_kv", self.kv_heads),
            size("rope.dimension_count", self.width / self.heads),
            ("llama.attention.layer_norm_rms_epsilon".into(), Value::F32(1e-5)),
        ]
    }
}

/// The vocabulary of llama2.c: the longest length, then score, length and text of each token, with spaces as themselves.
fn tokenizer(bytes: &[u8], vocab_size: usize) -> io::Result<Vec<(String, Value)>> {
    let mut words = Words(bytes);
    words.u32()?;
    let (mut tokens, mut scores, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for id in 0..vocab_size {
        scores.push(Value::F32(words.f32()?));
        let len = words.u32()? as usize;
        let text = String::from_utf8_lossy(words.take(len)?).into_owned();
        let (text, kind) = match id {
            0 => (text, 2),
            // llama2.c puts the control tokens between line breaks.
            1 | 2 => (text.trim().to_owned(), 3),
            3..=258 => (text, 6),
            _ => (text.replace(' ', "\u{2581}"), 1),
        };
        tokens.push(Value::String(text));
        kinds.push(Value::I32(kind));
    }
    Ok(vec![
        ("tokenizer.ggml.model".into(), Value::String("llama".into())),
        ("tokenizer.ggml.tokens".into(), Value::Array(tokens)),
        ("tokenizer.ggml.scores".into(), Value::Array(scores)),
        ("tokenizer.ggml.token_type".into(), Value::Array(kinds)),
        ("tokenizer.ggml.unknown_token_id".into(), Value::U32(0)),
        ("tokenizer.ggml.bos_token_id".into(), Value::U32(1)),
        ("tokenizer.ggml.eos_token_id".into(), Value::U32(2)),
    ])
}

/// Little-endian numbers of a byte slice.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn take(&mut self, len: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.take(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn f32(&mut self) -> io::Result<f32> {
        self.u32().map(f32::from_bits)
    }
}
