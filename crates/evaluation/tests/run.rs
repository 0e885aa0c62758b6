//! Runs of a model over test rows: strategies, shards, and being killed.

mod common;

use common::{assert_refused, evaluate, folder, json, role, stderr};
use serde_json::json;
use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;
use tests::stories260k;

const TEST: &str = concat!(
    "{\"role\": \"A\", \"question\": \" one\", \"generated\": [\"a b c d\"]}\n",
    "{\"role\": \"B\", \"question\": \"one\", \"generated\": [\"x\", \"no\"]}\n",
    "{\"role\": \"A\", \"question\": \"two\", \"generated\": [\"yes\"]}\n",
);
const RUN: [&str; 9] =
    ["run", "--model", "model.gguf", "--roles", "roles", "--data", "test.jsonl", "--max-tokens", "8"];

fn run(folder: &Path, more: &[&str]) -> Output {
    evaluate(folder, &[&RUN[..], more].concat())
}

/// A folder with test rows, two roles and a small model; nothing where the model is not at hand.
fn workplace() -> Option<TempDir> {
    let gguf = stories260k::gguf()?;
    let (a, b) = (role("A"), role("B"));
    let dialogue = b"{\"user\": \"number one\", \"reply\": \"the first\"}\n";
    Some(folder(&[
        ("test.jsonl", TEST.as_bytes()),
        ("roles/a/role.json", &a),
        ("roles/a/dialogue.jsonl", dialogue),
        ("roles/b/role.json", &b),
        ("model.gguf", &gguf),
    ]))
}

#[test]
fn unknown_roles_and_missing_examples_are_refused_before_the_model_is_read() {
    let (a, b) = (role("A"), role("B"));
    let folder = folder(&[("test.jsonl", TEST.as_bytes()), ("roles/a/role.json", &a)]);
    assert_refused(&run(folder.path(), &["--out", "out"]), &["no role.json for B", "there are A"]);
    fs::create_dir(folder.path().join("roles/b")).expect("a folder");
    fs::write(folder.path().join("roles/b/role.json"), b).expect("a file");
    assert_refused(&run(folder.path(), &["--out", "out", "--strategy", "dialogue"]), &["dialogue.jsonl", "A, B"]);
    assert_refused(&run(folder.path(), &["--out", "out"]), &["cannot use model.gguf"]);
    assert_refused(&run(folder.path(), &["--out", "out", "--shard", "0/2"]), &["--help"]);
}

#[test]
fn a_run_that_was_cut_off_anywhere_ends_with_the_same_file() {
    let Some(folder) = workplace() else { return };
    let ask = || {
        let output = run(folder.path(), &["--out", "out"]);
        assert!(output.status.success(), "{}", stderr(&output));
        (fs::read(folder.path().join("out/predictions.jsonl")).expect("predictions"), stderr(&output))
    };
    let (whole, told) = ask();
    assert!(told.contains("3 asked, 0 were there already"), "{told}");
    let rows = rolebench::parse_samples(std::str::from_utf8(&whole).expect("UTF-8")).expect("rows");
    assert_eq!(
        rows.iter().map(|row| (row.role.as_str(), row.question.trim())).collect::<Vec<_>>(),
        [("A", "one"), ("A", "two"), ("B", "one")]
    );
    assert!(rows.iter().all(|row| !row.generated[0].is_empty()), "{rows:?}");
    let journal = folder.path().join("out/journal.jsonl");
    let lines = fs::read(&journal).expect("a journal");
    for cut in [0, 1, 20, lines.len() / 3, lines.len() / 2, lines.len() - 1] {
        fs::write(&journal, &lines[..cut]).expect("a torn journal");
        fs::remove_file(folder.path().join("out/predictions.jsonl")).expect("predictions");
        assert_eq!(ask().0, whole, "cut at {cut}");
    }
    let (again, told) = ask();
    assert_eq!(again, whole);
    assert!(told.contains("0 asked, 3 were there already"), "{told}");
    assert_refused(&run(folder.path(), &["--out", "out", "--seed", "1"]), &["another run", "seed"]);
}

#[test]
fn a_killed_run_goes_on() {
    let Some(folder) = workplace() else { return };
    let start = |out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evaluate"));
        command.current_dir(folder.path()).args(RUN).args(["--out", out]).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the program runs")
    };
    assert!(start("whole").wait().expect("an end").success());
    for wait in [5, 20, 40, 60, 90, 130, 200] {
        let mut killed = start("killed");
        thread::sleep(Duration::from_millis(wait));
        killed.kill().expect("the program is killed");
        killed.wait().expect("an end");
    }
    assert!(start("killed").wait().expect("an end").success());
    let predictions = |out: &str| fs::read(folder.path().join(out).join("predictions.jsonl")).expect("predictions");
    assert_eq!(predictions("killed"), predictions("whole"));
}

#[test]
fn limits_and_shards_part_the_rows() {
    let Some(folder) = workplace() else { return };
    assert!(run(folder.path(), &["--out", "few", "--limit", "2", "--seed", "5"]).status.success());
    let rows = |out: &str| {
        let text = fs::read_to_string(folder.path().join(out).join("predictions.jsonl")).expect("predictions");
        rolebench::parse_samples(&text).expect("rows")
    };
    assert_eq!(rows("few").len(), 2);
    for part in ["1/2", "2/2"] {
        assert!(run(folder.path(), &["--out", &part.replace('/', "of"), "--shard", part]).status.success());
    }
    let mut keys: Vec<_> =
        [rows("1of2"), rows("2of2")].concat().iter().map(|row| (row.role.clone(), row.question.clone())).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3);
}

#[test]
fn a_dry_run_asks_nothing_and_tells_what_it_would_take() {
    let Some(folder) = workplace() else { return };
    let output = run(folder.path(), &["--out", "out", "--dry-run", "--strategy", "zero-shot"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("requests       3") && text.contains("reply tokens   24"), "{text}");
    assert!(!folder.path().join("out").exists());
}

#[test]
fn predictions_are_scored_where_they_lie() {
    let Some(folder) = workplace() else { return };
    assert!(run(folder.path(), &["--out", "out"]).status.success());
    let arguments = ["score", "--data", "test.jsonl", "--predictions", "out/predictions.jsonl", "--language", "en"];
    let report = json(&evaluate(folder.path(), &[&arguments[..], &["--rule", "rouge-l/f1", "--json"]].concat()));
    assert_eq!((&report["rows"], &report["missing"]), (&json!(3), &json!(0)));
}
