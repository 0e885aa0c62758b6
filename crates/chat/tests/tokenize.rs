//! Text on stdin, ids on stdout; and the choice of a chat template.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;
use tests::stories260k;

fn chat(model: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
    command.arg("--model").arg(model).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // A program that refuses its arguments never reads this.
    child.stdin.take().expect("piped").write_all(input).ok();
    child.wait_with_output().expect("the program ends")
}

fn ids(model: &Path, arguments: &[&str], input: &str) -> Vec<u32> {
    let output = chat(model, &[&["--tokenize"], arguments].concat(), input.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON array")
}

fn refusal(model: &Path, arguments: &[&str], input: &[u8]) -> String {
    let output = chat(model, arguments, input);
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// A GGUF without tensors: four control tokens and four of text; begin and end of text are wanted.
fn vocabulary_only() -> (TempDir, std::path::PathBuf) {
    let mut bytes = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0".to_vec();
    let string = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    let key = |bytes: &mut Vec<u8>, key: &str, kind: &[u32], len: Option<u64>| {
        string(bytes, key);
        bytes.extend(kind.iter().flat_map(|kind| kind.to_le_bytes()));
        bytes.extend(len.into_iter().flat_map(u64::to_le_bytes));
    };
    key(&mut bytes, "tokenizer.ggml.model", &[8], None);
    string(&mut bytes, "llama");
    key(&mut bytes, "tokenizer.ggml.tokens", &[9, 8], Some(8));
    for text in ["<unk>", "<s>", "</s>", "<|end|>", "\u{2581}", "a", "\u{2581}a", "<0x0A>"] {
        string(&mut bytes, text);
    }
    key(&mut bytes, "tokenizer.ggml.scores", &[9, 6], Some(8));
    bytes.extend([0.0f32; 8].iter().flat_map(|score| score.to_le_bytes()));
    key(&mut bytes, "tokenizer.ggml.token_type", &[9, 5], Some(8));
    bytes.extend([2i32, 3, 3, 3, 1, 1, 1, 6].iter().flat_map(|kind| kind.to_le_bytes()));
    key(&mut bytes, "tokenizer.ggml.add_eos_token", &[7], None);
    bytes.push(1);
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("vocabulary.gguf");
    fs::write(&file, bytes).expect("the file is written");
    (folder, file)
}

#[test]
fn a_vocabulary_is_enough() {
    let (_folder, file) = vocabulary_only();
    assert_eq!(ids(&file, &[], "a<|end|>a\n"), [1, 6, 3, 6, 7, 2]);
    assert_eq!(ids(&file, &[], ""), [1, 2]);
    // As llama-tokenize: what the text spells out comes on top of what the model wants.
    assert_eq!(ids(&file, &[], "<s>"), [1, 1, 2]);
}

#[test]
fn without_specials_nothing_is_parsed_or_added() {
    let (_folder, file) = vocabulary_only();
    assert_eq!(ids(&file, &["--no-special"], "a a"), [6, 6]);
    assert!(!ids(&file, &["--no-special"], "a<|end|></s>").iter().any(|id| [2, 3].contains(id)));
    assert_eq!(ids(&file, &["--no-special"], ""), [0; 0]);
}

#[test]
fn input_that_is_not_utf_8_is_refused_with_its_place() {
    let (_folder, file) = vocabulary_only();
    let refused = refusal(&file, &["--tokenize"], b"a\xffb");
    assert_eq!(refused, "error: stdin is not UTF-8: its byte 1 begins no character\n");
}

#[test]
fn what_tokenizing_has_no_use_for_is_refused() {
    let (_folder, file) = vocabulary_only();
    assert!(refusal(&file, &["--no-special"], b"").contains("--tokenize"));
    assert!(refusal(&file, &["--tokenize", "--prompt", "x"], b"").contains("--prompt"));
    assert!(refusal(Path::new("none.gguf"), &["--tokenize"], b"a").contains("none.gguf"));
}

#[test]
fn the_template_decides_what_the_model_is_given() {
    let Some(gguf) = stories260k::gguf() else { return };
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("stories.gguf");
    fs::write(&file, gguf).expect("the file is written");
    let prompt_tokens = |template: &[&str]| {
        let arguments =
            [&["--prompt", "Hello", "--json", "--max-tokens", "1", "--system", "Be brief."], template].concat();
        let output = chat(&file, &arguments, b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        report["prompt_tokens"].as_u64().expect("a count")
    };
    let own = prompt_tokens(&[]);
    assert_eq!(own, prompt_tokens(&["--template", "rocit"]), "a file without a template gets RoCIT's");
    assert!(prompt_tokens(&["--template", "vicuna"]) < own);
    assert!(prompt_tokens(&["--template", "qwen3", "--no-thinking"]) > prompt_tokens(&["--template", "qwen3"]));
    let refused = refusal(&file, &["--prompt", "x", "--template", "klingon"], b"");
    assert!(refused.contains("klingon") && refused.contains("alpaca") && refused.contains("chatglm2"), "{refused}");
}
