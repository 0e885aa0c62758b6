//! The vocabularies of LLaMA 2, GPT-2 and DeepSeek LLM out of the fixtures.
//!
//! The `.gguf` fixtures went through a text decoder that replaced every byte outside UTF-8 by U+FFFD, numbers included; strings
//! survived. So LLaMA's vocabulary is read from its SentencePiece model, and the others' strings are cut out of their GGUFs again.
#![allow(dead_code, reason = "each test program uses its part")]

use generate::Tokenizer;

use crate::common::{Metadata, fixture};

pub fn llama2() -> Option<Tokenizer> {
    let model = fixture("llama2-tokenizer.model")?;
    let (mut texts, mut scores, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    let mut model = Protobuf(&model);
    while let Some((field, piece)) = model.field() {
        if field != 1 {
            continue;
        }
        let (mut text, mut score, mut kind) = (Vec::new(), 0.0, 1);
        let mut piece = Protobuf(piece);
        while let Some((field, value)) = piece.field() {
            match field {
                1 => text = value.to_vec(),
                2 => score = f32::from_le_bytes(value.try_into().expect("four bytes")),
                3 => kind = i32::from(value[0]),
                _ => {}
            }
        }
        texts.push(text);
        scores.push(score);
        kinds.push(kind);
    }
    assert_eq!(texts.len(), 32_000);
    let metadata = Metadata::default().text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", &texts);
    let metadata = metadata.floats("tokenizer.ggml.scores", &scores).numbers("tokenizer.ggml.token_type", &kinds);
    let metadata = metadata.number("tokenizer.ggml.bos_token_id", 1).number("tokenizer.ggml.eos_token_id", 2);
    Some(metadata.number("tokenizer.ggml.unknown_token_id", 0).tokenizer())
}

pub fn gpt2() -> Option<Tokenizer> {
    let gguf = fixture("ggml-vocab-gpt-2.gguf")?;
    let tokens = strings(&gguf, b"tokenizer.ggml.tokens", 50_257);
    let merges = strings(&gguf, b"tokenizer.ggml.merges", 50_000);
    let metadata = Metadata::default().text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "gpt-2");
    let metadata = metadata.texts("tokenizer.ggml.tokens", &tokens).texts("tokenizer.ggml.merges", &merges);
    Some(metadata.number("tokenizer.ggml.eos_token_id", 50_256).tokenizer())
}

pub fn deepseek_llm() -> Option<Tokenizer> {
    let gguf = fixture("ggml-vocab-deepseek-llm.gguf")?;
    let tokens = strings(&gguf, b"tokenizer.ggml.tokens", 102_400);
    let merges = strings(&gguf, b"tokenizer.ggml.merges", 99_757);
    // Two control tokens follow the merged ones, then letters and padding that its makers added.
    let kinds = [vec![1; 100_000], vec![3; 2], vec![4; 2_398]].concat();
    let metadata = Metadata::default().text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "deepseek-llm");
    let metadata = metadata.texts("tokenizer.ggml.tokens", &tokens).numbers("tokenizer.ggml.token_type", &kinds);
    let metadata = metadata.texts("tokenizer.ggml.merges", &merges).number("tokenizer.ggml.bos_token_id", 100_000);
    Some(metadata.number("tokenizer.ggml.eos_token_id", 100_001).tokenizer())
}

/// A reader of protocol buffers: field numbers and the bytes of their values.
struct Protobuf<'a>(&'a [u8]);

impl<'a> Protobuf<'a> {
    fn field(&mut self) -> Option<(u64, &'a [u8])> {
        if self.0.is_empty() {
            return None;
        }
        let tag = self.varint();
        let len = match tag & 7 {
            0 => self.0.iter().position(|byte| byte & 0x80 == 0).expect("a complete number") + 1,
            2 => self.varint() as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = self.0.split_at(len);
        self.0 = rest;
        Some((tag >> 3, value))
    }

    fn varint(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = self.0[0];
            self.0 = &self.0[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
}

/// The strings of a GGUF array whose lengths may be damaged: each ends where the zeros of the next one's length begin.
fn strings<'a>(gguf: &'a [u8], key: &[u8], count: usize) -> Vec<&'a [u8]> {
    let key = gguf.windows(key.len()).position(|window| window == key).expect("the key") + key.len();
    let first_length = key + 16;
    let (_, mut start) = length_field(gguf, first_length);
    let mut strings = Vec::with_capacity(count);
    while strings.len() + 1 < count {
        let (end, next) = length_field(gguf, start);
        strings.push(&gguf[start..end]);
        start = next;
    }
    let last_len = gguf[start - 8] as usize;
    strings.push(&gguf[start..start + last_len]);
    strings
}

/// First byte of the next string length at or after `from`, and the first byte after it.
fn length_field(gguf: &[u8], from: usize) -> (usize, usize) {
    let zeros = from + gguf[from..].windows(6).position(|window| window == [0; 6]).expect("a length");
    let (low, end) = if gguf[zeros + 6] == 0 { (zeros - 1, zeros + 7) } else { (zeros - 2, zeros + 6) };
    let damaged = gguf[..=low].ends_with("\u{fffd}".as_bytes());
    (if damaged { low - 2 } else { low }, end)
}
