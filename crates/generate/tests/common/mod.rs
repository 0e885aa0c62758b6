//! Vocabularies as GGUF files without tensors.
#![allow(dead_code, reason = "each test program uses its part")]

use std::io::Cursor;

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

/// A file of `$FIXTURES_DIR/tokenizers`, or `None` and a word on stderr.
#[cfg(not(target_arch = "wasm32"))]
pub fn fixture(name: &str) -> Option<Vec<u8>> {
    let Some(folder) = std::env::var_os("FIXTURES_DIR") else {
        eprintln!("skipped: set FIXTURES_DIR");
        return None;
    };
    let file = std::path::Path::new(&folder).join("tokenizers").join(name);
    Some(std::fs::read(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display())))
}

/// A browser has no files: the fixtures are part of the program where the build knows them, see `cargo xtask test`.
#[cfg(all(target_arch = "wasm32", feature = "embedded-fixtures"))]
pub fn fixture(wanted: &str) -> Option<Vec<u8>> {
    macro_rules! embedded {
        ($($name:literal)*) => {
            match wanted {
                $($name => Some(include_bytes!(concat!(env!("FIXTURES_DIR"), "/tokenizers/", $name)).to_vec()),)*
                other => panic!("{other} is not embedded"),
            }
        };
    }
    embedded!(
        "ggml-vocab-llama-spm.gguf.inp" "ggml-vocab-llama-spm.gguf.out" "llama2-tokenizer.model"
        "ggml-vocab-gpt-2.gguf.inp" "ggml-vocab-gpt-2.gguf.out" "ggml-vocab-gpt-2.gguf"
        "ggml-vocab-deepseek-llm.gguf.inp" "ggml-vocab-deepseek-llm.gguf.out" "ggml-vocab-deepseek-llm.gguf"
    )
}

/// A build that knows no fixtures.
#[cfg(all(target_arch = "wasm32", not(feature = "embedded-fixtures")))]
pub fn fixture(_: &str) -> Option<Vec<u8>> {
    None
}

/// The texts of a vector file, and the ids that llama.cpp gives them.
pub fn vectors(inputs: &str, outputs: &str) -> Vec<(String, Vec<u32>)> {
    let ids = outputs.lines().map(|line| line.split_whitespace().map(|id| id.parse().expect("an id")).collect());
    // The last separator ends the last text.
    let texts = inputs.split_terminator("\n__ggml_vocab_test__\n").map(str::to_owned);
    texts.zip(ids).collect()
}

/// Asserts that each text has the ids that llama.cpp gives it, and that they spell it again.
pub fn assert_vectors(tokenizer: &Tokenizer, inputs: &str, outputs: &str) {
    let vectors = vectors(inputs, outputs);
    assert!(vectors.len() >= 46);
    for (text, expected) in vectors {
        let ids = tokenizer.encode(&text, false).expect("the text is encoded");
        assert_eq!(ids, expected, "{text:?}");
        assert_eq!(tokenizer.decode(&ids), text);
    }
}
