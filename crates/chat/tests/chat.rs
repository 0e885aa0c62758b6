//! The program as a user runs it: files in, text and exit codes out.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;
use tests::stories260k;

const BAD_INPUT: Option<i32> = Some(2);

fn chat(folder: &Path, arguments: &[&str]) -> Output {
    chat_with_input(folder, arguments, "")
}

fn chat_with_input(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
    command.current_dir(folder).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // A program that refuses its arguments never reads this.
    child.stdin.take().expect("piped").write_all(input.as_bytes()).ok();
    child.wait_with_output().expect("the program ends")
}

/// Asserts exit code 2 and one line on stderr that holds all of `words`.
fn assert_refused(output: &Output, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), BAD_INPUT, "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in {stderr:?}");
    }
}

/// A folder with `models/stories.gguf` and one role, or `None` without the fixtures.
fn workplace() -> Option<TempDir> {
    let gguf = stories260k::gguf()?;
    let folder = TempDir::new().expect("a temporary folder");
    write(&folder.path().join("models/stories.gguf"), &gguf);
    let role = br#"{"id": "li-bai", "name": "Li Bai", "language": "en", "tagline": "poet", "description": "You write poems."}"#;
    write(&folder.path().join("data/roles/li-bai/role.json"), role);
    Some(folder)
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
    fs::write(path, bytes).expect("the file is written");
}

fn bad_model(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("model.gguf");
    write(&file, bytes);
    (folder, file)
}

#[test]
fn raw_at_temperature_0_prints_the_published_story() {
    let Some(folder) = workplace() else { return };
    let output = chat(folder.path(), &["--raw", "--prompt", "", "--temperature", "0"]);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", stories260k::GREEDY_TEXT));
}

#[test]
fn json_is_one_object_with_text_counts_and_times() {
    let Some(folder) = workplace() else { return };
    let arguments = [
        "--model",
        "models/stories.gguf",
        "--raw",
        "--prompt",
        "",
        "--temperature",
        "0",
        "--max-tokens",
        "10",
        "--json",
    ];
    let output = chat(folder.path(), &arguments);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let text = report["text"].as_str().expect("a text");
    assert!(!text.is_empty() && stories260k::GREEDY_TEXT.starts_with(text), "{text}");
    assert_eq!((report["prompt_tokens"].as_u64(), report["tokens"].as_u64()), (Some(1), Some(10)));
    for time in ["load_ms", "prefill_ms", "decode_ms"] {
        assert!(report[time].as_f64().is_some_and(|ms| ms >= 0.0), "{time}");
    }
}

#[test]
fn a_conversation_goes_on_after_a_mistake() {
    let Some(folder) = workplace() else { return };
    let input = "/role Nobody\nHello\n/reset\n\nOnce upon a time\n/quit\nnever read\n";
    let arguments = ["--role", "li bai", "--temperature", "0", "--max-tokens", "12", "--context", "400"];
    let output = chat_with_input(folder.path(), &arguments, input);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("unknown role \"Nobody\"") && stderr.contains("Li Bai: poet"), "{stderr}");
    assert_eq!(stderr.matches(" tokens, ").count(), 2, "{stderr}");
    assert!(!output.stdout.is_empty());
}

#[test]
fn roles_are_offered_and_chosen_by_number() {
    let Some(folder) = workplace() else { return };
    let output = chat_with_input(folder.path(), &["--max-tokens", "1"], "7\n1\nHello\n");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.contains("1  Li Bai: poet"), "{stderr}");
    assert!(stderr.contains("[Li Bai: 1 tokens"), "{stderr}");
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_with_both_sizes() {
    let Some(folder) = workplace() else { return };
    let long = "once ".repeat(100);
    let output = chat(folder.path(), &["--raw", "--prompt", &long, "--context", "32"]);
    assert_refused(&output, &["the prompt needs", "the context holds 32"]);
}

#[test]
fn an_unknown_role_is_refused_with_the_known_ones() {
    let Some(folder) = workplace() else { return };
    assert_refused(&chat(folder.path(), &["--role", "Du Fu", "--prompt", "Hello"]), &["\"Du Fu\"", "Li Bai"]);
}

#[test]
fn options_out_of_range_are_refused() {
    let Some(folder) = workplace() else { return };
    assert_refused(&chat(folder.path(), &["--prompt", "x", "--top-p", "1.5"]), &["top-p is 1.5", "at most 1"]);
}

#[test]
fn no_model_and_a_missing_one_are_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    assert_refused(&chat(folder.path(), &["--prompt", "x"]), &["no model", "--model"]);
    assert_refused(&chat(folder.path(), &["--prompt", "x", "--model", "none.gguf"]), &["none.gguf"]);
    assert_refused(&chat(folder.path(), &["--prompt", "x", "--model", "."]), &["cannot load ."]);
}

#[test]
fn a_truncated_model_is_refused_with_both_sizes() {
    let Some(gguf) = stories260k::gguf() else { return };
    for len in [20, 3_000, gguf.len() - 1] {
        let (folder, file) = bad_model(&gguf[..len]);
        let output = chat(folder.path(), &["--model", &file.to_string_lossy(), "--prompt", "x"]);
        assert_refused(&output, &["truncated", &format!("the file has {len}"), "download it again"]);
    }
}

#[test]
fn an_unknown_architecture_is_refused_with_the_supported_ones() {
    let Some(mut gguf) = stories260k::gguf() else { return };
    let key = b"general.architecture";
    let at = gguf.windows(key.len()).position(|window| window == key).expect("the key") + key.len() + 12;
    gguf[at..at + 5].copy_from_slice(b"mamba");
    let (folder, file) = bad_model(&gguf);
    let output = chat(folder.path(), &["--model", &file.to_string_lossy(), "--prompt", "x"]);
    assert_refused(&output, &["unknown architecture \"mamba\"", "supported: llama"]);
}

#[test]
fn a_text_file_named_gguf_is_refused_by_what_it_is() {
    for (bytes, words) in [
        (&b"Hello, I am a model."[..], "text that starts with \"Hello, I am a mo"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"", "an empty file"),
    ] {
        let (folder, file) = bad_model(bytes);
        let output = chat(folder.path(), &["--model", &file.to_string_lossy(), "--prompt", "x"]);
        assert_refused(&output, &["not a GGUF", words]);
    }
}
