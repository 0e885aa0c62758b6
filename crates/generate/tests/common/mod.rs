//! Vocabularies as GGUF files without tensors.
#![allow(dead_code, reason = "each test program uses its part")]

use std::{env, fs, io::Cursor, path::PathBuf};

use decoder::Gguf;
use generate::Tokenizer;

/// Builds the metadata of a GGUF.
#[derive(Default)]
pub struct Metadata {
    bytes: Vec<u8>,
    count: u64,
}

impl Metadata {
    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key, 8);
        self.string(value.as_bytes());
        self
    }

    pub fn number(mut self, key: &str, value: u32) -> Self {
        self.key(key, 4);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub fn boolean(mut self, key: &str, value: bool) -> Self {
        self.key(key, 7);
        self.bytes.push(value.into());
        self
    }

    pub fn texts<S: AsRef<[u8]>>(mut self, key: &str, values: &[S]) -> Self {
        self.array(key, 8, values.len());
        values.iter().for_each(|value| self.string(value.as_ref()));
        self
    }

    pub fn floats(mut self, key: &str, values: &[f32]) -> Self {
        self.array(key, 6, values.len());
        self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    pub fn numbers(mut self, key: &str, values: &[i32]) -> Self {
        self.array(key, 5, values.len());
        self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    pub fn gguf(self) -> Gguf {
        let header = [&b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0"[..], &self.count.to_le_bytes(), &self.bytes].concat();
        Gguf::read(&mut Cursor::new(header)).expect("the metadata is well-formed")
    }

    pub fn tokenizer(self) -> Tokenizer {
        Tokenizer::from_gguf(&self.gguf()).expect("the tokenizer is usable")
    }

    fn key(&mut self, key: &str, type_id: u32) {
        self.count += 1;
        self.string(key.as_bytes());
        self.bytes.extend(type_id.to_le_bytes());
    }

    fn array(&mut self, key: &str, type_id: u32, len: usize) {
        self.key(key, 9);
        self.bytes.extend(type_id.to_le_bytes());
        self.bytes.extend((len as u64).to_le_bytes());
    }

    fn string(&mut self, text: &[u8]) {
        self.bytes.extend((text.len() as u64).to_le_bytes());
        self.bytes.extend(text);
    }
}

/// `tokenizers` of `FIXTURES_DIR`, or `None` and a word on stderr.
pub fn fixtures() -> Option<PathBuf> {
    let fixtures = env::var_os("FIXTURES_DIR").map(|folder| PathBuf::from(folder).join("tokenizers"));
    if fixtures.is_none() {
        eprintln!("skipped: set FIXTURES_DIR");
    }
    fixtures
}

/// The texts of a vector file and the ids that llama.cpp gives them.
pub fn vectors(name: &str) -> Option<Vec<(String, Vec<u32>)>> {
    let fixtures = fixtures()?;
    let read = |extension: &str| {
        let file = fixtures.join(format!("ggml-vocab-{name}.gguf.{extension}"));
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()))
    };
    let (inputs, outputs) = (read("inp"), read("out"));
    let ids = outputs.lines().map(|line| line.split_whitespace().map(|id| id.parse().expect("an id")).collect());
    // The last separator ends the last text.
    let texts = inputs.split_terminator("\n__ggml_vocab_test__\n").map(str::to_owned);
    Some(texts.zip(ids).collect())
}
