//! The program as a user runs it: files in, text and exit codes out.

mod common;

use common::{BAD_INPUT, assert_refused, evaluate, folder, json, stderr};
use serde_json::{Value, json};

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
const ROWS: &[u8] = include_bytes!("rows.parquet");
const SCORE: [&str; 9] =
    ["score", "--data", "test.jsonl", "--predictions", "out.jsonl", "--language", "en", "--rule", "rouge-l/f1"];

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
    let rules = [
        ("rouge-l/porter-f1", 0.0, true),
        ("rouge-l/char-f1", 1.0, false),
        ("rouge-l/jieba-f1", 1.0, false),
        ("rouge-l/paper", 1.0, false),
    ];
    for (rule, mean, warned) in rules {
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

#[test]
fn bad_rows_are_all_told_and_left_out_only_when_asked() {
    let bad = [PREDICTIONS.as_bytes(), b"{}\n\xc4\xe3\n{\"role\": \"A\", \"question\": \"two\", \"generated\": []}\n"]
        .concat();
    let folder = folder(&[("test.jsonl", TEST.as_bytes()), ("out.jsonl", &bad)]);
    let output = evaluate(folder.path(), &SCORE);
    assert_eq!(output.status.code(), BAD_INPUT);
    let lines =
        ["line 4: missing field", "line 5: not UTF-8", "line 6: the field \"generated\"", "--keep-going", "out.jsonl"];
    assert!(lines.iter().all(|words| stderr(&output).contains(words)), "{}", stderr(&output));
    let output = evaluate(folder.path(), &[&SCORE[..], &["--json", "--keep-going"]].concat());
    assert_eq!(json(&output)["rows"], 2);
    assert_eq!(stderr(&output).matches("skipped: line").count(), 3, "{}", stderr(&output));
}

#[test]
fn a_check_tells_bad_and_odd_rows_with_file_and_line() {
    let rows = [TEST.as_bytes(), b"{}\n", TEST.as_bytes()].concat();
    let folder = folder(&[("rows.jsonl", &rows), ("good.jsonl", PREDICTIONS.as_bytes())]);
    let output = evaluate(folder.path(), &["check", "rows.jsonl"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), BAD_INPUT);
    for words in [
        "rows.jsonl:1: odd: white space",
        "rows.jsonl:4: bad: missing field",
        "rows.jsonl:5: odd: role and question are those of line 1",
    ] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    assert!(evaluate(folder.path(), &["check", "good.jsonl"]).status.success());
}

#[test]
fn a_comparison_tells_difference_and_significance() {
    let better = PREDICTIONS.replace("a b", "a b c d");
    let folder =
        folder(&[("test.jsonl", TEST.as_bytes()), ("b.jsonl", PREDICTIONS.as_bytes()), ("a.jsonl", better.as_bytes())]);
    let arguments =
        ["compare", "a.jsonl", "b.jsonl", "--data", "test.jsonl", "--rule", "rouge-l/f1", "--language", "en"];
    let found = json(&evaluate(folder.path(), &[&arguments[..], &["--json"]].concat()));
    assert_eq!((&found["rows"], &found["wins"], &found["ties"]), (&json!(2), &json!(1), &json!(1)));
    assert!((found["difference"].as_f64().expect("a number") - 1.0 / 6.0).abs() < 1e-12, "{found}");
    let text = String::from_utf8(evaluate(folder.path(), &arguments).stdout).expect("text");
    assert!(text.contains("+0.1667") && text.contains("1 better, 1 the same, 0 worse"), "{text}");
}

/// The two parts, plain answers, and two systems of which the second is perfect.
fn systems() -> tempfile::TempDir {
    let general = "{\"role\": \"A\", \"question\": \"why\", \"generated\": [\"for <b> honour\"]}\n";
    let specific =
        "{\"role\": \"A\", \"question\": \"who\", \"generated\": [\"a knight\"], \"type\": \"script_based\"}\n";
    let plain = "{\"instruction\": \"why\", \"answer\": \"for honour\"}\n";
    let first = general.replace("honour", "gold");
    folder(&[
        ("data/general/test.jsonl", general.as_bytes()),
        ("data/role_specific/test.jsonl", specific.as_bytes()),
        ("plain.jsonl", plain.as_bytes()),
        ("base/1.jsonl", first.as_bytes()),
        ("base/2.jsonl", specific.as_bytes()),
        ("tuned.jsonl", [general, specific].concat().as_bytes()),
    ])
}

const TABLE: [&str; 12] = [
    "--data",
    "data",
    "--instructions",
    "plain.jsonl",
    "--system",
    "base=base",
    "--system",
    "tuned=tuned.jsonl",
    "--rule",
    "rouge-l/f1",
    "--language",
    "en",
];

#[test]
fn a_table_has_raw_cus_spe_and_their_mean() {
    let folder = systems();
    let found = json(&evaluate(folder.path(), &[&["table"], &TABLE[..], &["--json"]].concat()));
    let mean = |part: &str| found["tuned"][part]["mean"].as_f64().expect("a number");
    assert_eq!([mean("raw"), mean("cus"), mean("spe")], [0.8, 1.0, 1.0]);
    assert!((found["tuned"]["mean"].as_f64().expect("a number") - 2.8 / 3.0).abs() < 1e-12, "{found}");
    let text = String::from_utf8(evaluate(folder.path(), &[&["table"], &TABLE[..]].concat()).stdout).expect("text");
    assert!(text.contains("RAW") && text.contains("tuned CUS: +0.3333 beside base"), "{text}");
}

#[test]
fn a_report_is_one_page_that_loads_nothing() {
    let folder = systems();
    let arguments = [&["report"], &TABLE[..], &["--title", "<script>", "--out", "report.html"]].concat();
    let output = evaluate(folder.path(), &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let page = std::fs::read_to_string(folder.path().join("report.html")).expect("a page");
    for words in ["rouge-l/f1", "0.9333", "<svg", "SPE by role", "script_based", "&lt;script&gt;", "+0.3333"] {
        assert!(page.contains(words), "{words:?} is not in the page");
    }
    assert!(!page.contains("src=") && !page.contains("href=") && !page.contains("NaN"));
    let data =
        page.split_once("id=\"figures\">").and_then(|(_, rest)| rest.split_once("</script>")).expect("figures").0;
    let data: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(data[1]["table"]["cus"]["rows"], 1);
}

#[test]
fn parts_of_a_split_share_no_question() {
    let rows: String = (0..40)
        .map(|n| format!("{{\"role\": \"R{}\", \"question\": \"q{}\", \"generated\": [\"x\"]}}\n", n % 2, n / 2))
        .collect();
    let folder = folder(&[("rows.jsonl", rows.as_bytes())]);
    let split = |more: &[&str]| evaluate(folder.path(), &[&["split", "--data", "rows.jsonl"], more].concat());
    let output = split(&["--questions", "0.25", "--out", "a"]);
    assert!(
        stderr(&output).contains("30 rows for training, 10 for the test\n0 of the test's 5 questions"),
        "{}",
        stderr(&output)
    );
    assert_refused(&split(&["--questions", "0.25", "--out", "a"]), &["is there already"]);
    assert_refused(&split(&["--held-out", "R9", "--out", "b"]), &["no row asks R9", "R0, R1"]);
    assert!(split(&["--held-out", "R1", "--out", "b"]).status.success());
    let stats = json(&evaluate(folder.path(), &["stats", "--data", "b/test.jsonl", "--language", "en", "--json"]));
    assert_eq!((&stats["rows"], &stats["per_role"]), (&json!(20), &json!({"R1": 20})));
}

/// `rows.parquet` is made by `rows.py`.
#[test]
fn parquet_is_read_like_jsonl() {
    let damaged = &ROWS[..ROWS.len() / 2];
    let folder =
        folder(&[("split/test.parquet", ROWS), ("damaged.parquet", damaged), ("out.jsonl", PREDICTIONS.as_bytes())]);
    let arguments =
        ["score", "--predictions", "out.jsonl", "--language", "en", "--rule", "rouge-l/f1", "--json", "--data"];
    let report = json(&evaluate(folder.path(), &[&arguments[..], &["split"]].concat()));
    assert_eq!(
        (&report["rows"], &report["missing"], &report["per_type"]["script_based"]["rows"]),
        (&json!(1), &json!(2), &json!(1))
    );
    let stats =
        json(&evaluate(folder.path(), &["stats", "--data", "split/test.parquet", "--language", "zh", "--json"]));
    assert_eq!((&stats["answers"], &stats["per_role"]), (&json!(4), &json!({"A": 2, "李白": 1})));
    assert_refused(
        &evaluate(folder.path(), &[&arguments[..], &["damaged.parquet"]].concat()),
        &["parquet", "damaged.parquet"],
    );
}

#[test]
fn every_row_is_written_as_csv() {
    let predictions = PREDICTIONS.replace("[\"no\"]", "[\"no, \\\"never\\\"\"]");
    let folder = folder(&[("test.jsonl", TEST.as_bytes()), ("out.jsonl", predictions.as_bytes())]);
    assert!(evaluate(folder.path(), &[&SCORE[..], &["--csv", "rows.csv"]].concat()).status.success());
    let table = std::fs::read_to_string(folder.path().join("rows.csv")).expect("a table");
    let lines: Vec<&str> = table.split("\r\n").collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("row,role,question,type,rule,value"), "{table}");
    assert!(lines[1].starts_with("1,A, one,script_based,rouge-l/f1,0.6666666666666666,1,0.5,"), "{table}");
    assert!(lines[2].ends_with(",\"no, \"\"never\"\"\",\"[\"\"x\"\",\"\"no\"\"]\",,"), "{table}");
}
