//! The program as a user runs it: files in, text and exit codes out.

use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;
use tests::stories260k;

const BAD_INPUT: Option<i32> = Some(2);
const TEST: &str = concat!(
    "{\"role\": \"A\", \"question\": \" one\", \"generated\": [\"a b c d\"], \"type\": [\"script_based\"]}\n",
    "{\"role\": \"A\", \"question\": \"two\", \"generated\": [\"yes\"], \"type\": \"script_based\"}\n",
    "{\"role\": \"B\", \"question\": \"one\", \"generated\": [\"x\", \"no\"]}\n",
);
const PREDICTIONS: &str = concat!(
    "{\"role\": \"A\", \"question\": \"one\", \"generated\": [\"zzz\"]}\n",
    "{\"role\": \"A\", \"question\": \"one\", \"generated\": [\"a b\"]}\n",
    "{\"role\": \"B\", \"question\": \"one\", \"generated\": [\"no\"]}\n",
);
const SCORE: [&str; 9] =
    ["score", "--data", "test.jsonl", "--predictions", "out.jsonl", "--language", "en", "--rule", "rouge-l/f1"];

/// A folder with these files in it.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        fs::write(path, bytes).expect("the file is written");
    }
    folder
}

fn evaluate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evaluate")).current_dir(folder).args(arguments).output().expect("the program runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// Asserts exit code 2 and a last line on stderr that holds all of `words`.
fn assert_refused(output: &Output, words: &[&str]) {
    let stderr = stderr(output);
    assert_eq!(output.status.code(), BAD_INPUT, "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "{word:?} is not in {stderr:?}");
    }
}

#[test]
fn a_score_is_one_json_object() {
    let folder = folder(&[("test.jsonl", TEST.as_bytes()), ("out.jsonl", PREDICTIONS.as_bytes())]);
    let report = json(&evaluate(folder.path(), &[&SCORE[..], &["--json"]].concat()));
    let mean = report["mean"].as_f64().expect("a number");
    assert!((mean - 5.0 / 6.0).abs() < 1e-12, "{report}");
    for (key, value) in
        [("rule", json!("rouge-l/f1")), ("rows", json!(2)), ("missing", json!(1)), ("repeated", json!(1))]
    {
        assert_eq!(report[key], value, "{key} of {report}");
    }
    assert_eq!(report["per_role"]["B"], json!({"rows": 1, "mean": 1.0}));
    assert_eq!(report["ci95"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_score_for_people_names_the_rule_and_every_role() {
    let folder = folder(&[("test.jsonl", TEST.as_bytes()), ("out.jsonl", PREDICTIONS.as_bytes())]);
    let output = evaluate(folder.path(), &SCORE);
    let text = String::from_utf8_lossy(&output.stdout);
    for words in ["rouge-l/f1", "0.8333", "1 without a prediction", "rows  A", "rows  B"] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
}

#[test]
fn a_folder_stands_for_its_test_file_or_for_all_its_rows() {
    let files: [(&str, &[u8]); 4] = [
        ("split/test.jsonl", TEST.as_bytes()),
        ("split/train.jsonl", TEST.as_bytes()),
        ("parts/1.jsonl", TEST.as_bytes()),
        ("parts/2.jsonl", TEST.as_bytes()),
    ];
    let folder = folder(&files);
    let rows = |data: &str| {
        let arguments = ["score", "--rule", "rouge-l/f1", "--language", "en", "--json", "--data", data];
        json(&evaluate(folder.path(), &[&arguments[..], &["--predictions", "split/train.jsonl"]].concat()))["rows"]
            .clone()
    };
    assert_eq!((rows("split"), rows("parts")), (json!(3), json!(6)));
}

#[test]
fn bad_files_are_named_with_the_line() {
    let cases: [(&[u8], &[&str]); 4] = [
        (
            b"{\"role\": \"A\", \"question\": \"q\", \"generated\": [\"x\"]}\n{\"role\": \"A\"}\n",
            &["line 2", "question", "out.jsonl"],
        ),
        (
            b"\n{\"role\": \"\", \"question\": \"q\", \"generated\": [\"x\"]}\n",
            &["line 2", "\"role\" is empty", "out.jsonl"],
        ),
        (b"{}\n\n\xc4\xe3\xba\xc3\n", &["line 3", "UTF-8", "out.jsonl"]),
        (b"\n\n", &["no rows", "out.jsonl"]),
    ];
    for (bytes, words) in cases {
        let folder = folder(&[("test.jsonl", TEST.as_bytes()), ("out.jsonl", bytes)]);
        let output = evaluate(folder.path(), &SCORE);
        assert_refused(&output, words);
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
    let folder = folder(&[("test.jsonl", TEST.as_bytes())]);
    assert_refused(&evaluate(folder.path(), &SCORE), &["cannot read", "out.jsonl"]);
}

#[test]
fn predictions_for_other_rows_are_refused() {
    let other = br#"{"role": "C", "question": "one", "generated": ["x"]}"#;
    let folder = folder(&[("test.jsonl", TEST.as_bytes()), ("out.jsonl", other)]);
    assert_refused(&evaluate(folder.path(), &SCORE), &["none of the 1 predictions", "3 test rows", "out.jsonl"]);
}

#[test]
fn an_unknown_rule_is_answered_with_the_known_ones() {
    let folder = folder(&[("test.jsonl", TEST.as_bytes()), ("out.jsonl", PREDICTIONS.as_bytes())]);
    let output = evaluate(folder.path(), &[&SCORE[..8], &["rouge-l"]].concat());
    assert_eq!(output.status.code(), BAD_INPUT);
    assert!(rouge::Rule::ALL.iter().all(|rule| stderr(&output).contains(rule.name())), "{}", stderr(&output));
}

#[test]
fn a_rule_that_drops_chinese_says_so() {
    let row = "{\"role\": \"李白\", \"question\": \"问\", \"generated\": [\"床前明月光\"]}";
    let folder = folder(&[("rows.jsonl", row.as_bytes())]);
    let arguments =
        ["score", "--data", "rows.jsonl", "--predictions", "rows.jsonl", "--language", "zh", "--json", "--rule"];
    for (rule, mean, warned) in
        [("rouge-l/porter-f1", 0.0, true), ("rouge-l/char-f1", 1.0, false), ("rouge-l/paper", 1.0, false)]
    {
        let output = evaluate(folder.path(), &[&arguments[..], &[rule]].concat());
        let found = json(&output)["mean"].as_f64().expect("a number");
        assert!((found - mean).abs() < 1e-8, "{rule}: {found}");
        assert_eq!(stderr(&output).contains("warning"), warned, "{rule}: {}", stderr(&output));
    }
}

#[test]
fn leaks_are_counted() {
    let train = br#"{"role": "B", "question": "one ", "generated": ["x"]}"#;
    let folder = folder(&[("test.jsonl", TEST.as_bytes()), ("train.jsonl", train)]);
    let arguments = ["leaks", "--train", "train.jsonl", "--test", "test.jsonl"];
    let overlap = json(&evaluate(folder.path(), &[&arguments[..], &["--json"]].concat()));
    assert_eq!(overlap["same_question"], 2);
    assert_eq!(overlap["same_role_and_question"], 1);
    assert_eq!(overlap["questions"], json!(["one"]));
    let of_folders = evaluate(folder.path(), &["leaks", "--train", ".", "--test", ".", "--json"]);
    assert_eq!(json(&of_folders), overlap);
    let text = String::from_utf8(evaluate(folder.path(), &arguments).stdout).expect("text");
    assert!(text.contains("2 of 3 (66.7 %)"), "{text}");
}

fn role(name: &str) -> Vec<u8> {
    json!({"id": "x", "name": name, "language": "en", "description": format!("You are {name}.")})
        .to_string()
        .into_bytes()
}

fn run(folder: &Path, more: &[&str]) -> Output {
    let arguments = ["run", "--model", "model.gguf", "--roles", "roles", "--data", "test.jsonl", "--max-tokens", "8"];
    evaluate(folder, &[&arguments[..], more].concat())
}

#[test]
fn a_run_refuses_unknown_roles_and_foreign_files_before_it_reads_the_model() {
    let (a, b) = (role("A"), role("B"));
    let folder = folder(&[("test.jsonl", TEST.as_bytes()), ("roles/a/role.json", &a), ("notes.txt", b"my notes")]);
    let out = ["--out", "out.jsonl"];
    assert_refused(&run(folder.path(), &out), &["no role.json for B", "there are A"]);
    fs::create_dir(folder.path().join("roles/b")).expect("a folder");
    fs::write(folder.path().join("roles/b/role.json"), b).expect("a file");
    assert_refused(&run(folder.path(), &["--out", "notes.txt"]), &["no predictions", "notes.txt"]);
    assert_eq!(fs::read(folder.path().join("notes.txt")).expect("still there"), b"my notes");
    assert_refused(&run(folder.path(), &out), &["cannot open model.gguf"]);
}

#[test]
fn a_run_that_was_cut_off_anywhere_ends_with_the_same_file() {
    let Some(gguf) = stories260k::gguf() else { return };
    let (a, b) = (role("A"), role("B"));
    let files: [(&str, &[u8]); 4] =
        [("test.jsonl", TEST.as_bytes()), ("roles/a/role.json", &a), ("roles/b/role.json", &b), ("model.gguf", &gguf)];
    let folder = folder(&files);
    let out = folder.path().join("out.jsonl");
    let ask = || {
        let output = run(folder.path(), &["--out", "out.jsonl"]);
        assert!(output.status.success(), "{}", stderr(&output));
        (fs::read(&out).expect("predictions"), stderr(&output))
    };
    let (whole, _) = ask();
    let rows = rolebench::parse_samples(std::str::from_utf8(&whole).expect("UTF-8")).expect("rows");
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| !row.generated[0].is_empty()), "{rows:?}");
    for cut in [0, 1, 20, whole.len() / 2, whole.len() - 1] {
        fs::write(&out, &whole[..cut]).expect("a torn file");
        assert_eq!(ask().0, whole, "cut at {cut}");
    }
    let (again, told) = ask();
    assert_eq!(again, whole);
    assert!(told.contains("0 asked"), "{told}");
}

#[test]
fn a_limited_run_answers_that_many_rows() {
    let Some(gguf) = stories260k::gguf() else { return };
    let (a, b) = (role("A"), role("B"));
    let files: [(&str, &[u8]); 4] =
        [("test.jsonl", TEST.as_bytes()), ("roles/a/role.json", &a), ("roles/b/role.json", &b), ("model.gguf", &gguf)];
    let folder = folder(&files);
    assert!(run(folder.path(), &["--out", "out.jsonl", "--limit", "2", "--seed", "5"]).status.success());
    let report = json(&evaluate(folder.path(), &[&SCORE[..], &["--json"]].concat()));
    assert_eq!((&report["rows"], &report["missing"]), (&json!(2), &json!(1)));
}
