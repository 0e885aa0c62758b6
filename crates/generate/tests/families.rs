//! Token ids of every family whose vocabulary and vectors llama.cpp keeps beside its source.
#![cfg(not(target_arch = "wasm32"))]

mod common;

use std::{env, fs, path::Path};

use common::assert_vectors;
use decoder::Gguf;
use generate::Tokenizer;

const FAMILIES: &[&str] = &[
    "command-r",
    "deepseek-coder",
    "deepseek-llm",
    "falcon",
    "gpt-2",
    "llama-bpe",
    "llama-spm",
    "mpt",
    "phi-3",
    "qwen2",
    "qwen35",
    "refact",
    "starcoder",
];

#[test]
fn every_family_equals_llama_cpp() {
    let Some(folder) = env::var_os("LLAMA_CPP_DIR") else {
        eprintln!("skipped: set LLAMA_CPP_DIR to a folder with llama.cpp's source");
        return;
    };
    for family in FAMILIES {
        let file = Path::new(&folder).join(format!("models/ggml-vocab-{family}.gguf"));
        let mut reader = fs::File::open(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let gguf = Gguf::read(&mut reader).expect("a GGUF without tensors");
        let tokenizer = Tokenizer::from_gguf(&gguf).expect("the tokenizer is usable");
        let read =
            |extension: &str| fs::read_to_string(file.with_extension(format!("gguf.{extension}"))).expect("text");
        assert_vectors(&tokenizer, &read("inp"), &read("out"));
        eprintln!("{family}: all vectors");
    }
}
