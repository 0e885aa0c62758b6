//! Reading, joining, scoring and leak reports, through the public interface.

use rolebench::{Kind, Language, Sample, draw, join, parse_samples, question_overlap, score};
use rouge::Rule;

fn row(role: &str, question: &str, answers: &[&str]) -> Sample {
    let generated = answers.iter().map(ToString::to_string).collect();
    Sample { role: role.into(), question: question.into(), generated, kind: Vec::new() }
}

fn refusal(text: &str) -> String {
    parse_samples(text).unwrap_err().to_string()
}

#[test]
fn both_forms_of_type_and_unknown_fields_are_read() {
    let text = concat!(
        "\u{feff}{\"role\": \"A\", \"question\": \" q\", \"generated\": [\"x\"], \"type\": \"script_based\"}\r\n",
        "\n",
        "{\"role\": \"A\", \"question\": \"q\", \"generated\": [\"x\", \"y\"], \"type\": [\"script_agnostic\", \"own\"]}\n",
        "{\"role\": \"A\", \"question\": \"q\", \"generated\": [\"x\"], \"id\": 7}",
    );
    let rows = parse_samples(text).unwrap();
    assert_eq!(rows[0], Sample { kind: vec![Kind::ScriptBased], ..row("A", " q", &["x"]) });
    assert_eq!(rows[1].kind, [Kind::ScriptAgnostic, Kind::Other]);
    assert_eq!(rows[2], row("A", "q", &["x"]));
}

#[test]
fn a_prediction_is_written_without_a_type() {
    let json = serde_json::to_string(&row("李白", "你好？", &["嗯。"])).unwrap();
    assert_eq!(json, r#"{"role":"李白","question":"你好？","generated":["嗯。"]}"#);
    assert_eq!(parse_samples(&json).unwrap(), [row("李白", "你好？", &["嗯。"])]);
}

#[test]
fn a_bad_row_is_named_by_its_line() {
    let good = r#"{"role": "A", "question": "q", "generated": ["x"]}"#;
    let cases = [
        (r#"{"role": "A", "question": "q"}"#, "generated"),
        (r#"{"role": "  ", "question": "q", "generated": ["x"]}"#, "\"role\" is empty"),
        (r#"{"role": "A", "question": "", "generated": ["x"]}"#, "\"question\" is empty"),
        (r#"{"role": "A", "question": "q", "generated": []}"#, "empty list"),
        (r#"{"role": "A", "question": "q", "generated": "x"}"#, "sequence"),
        (r#"{"role": "A", "question": "q", "generated": ["x"], "type": 3}"#, "\"type\""),
        (r#"{"role": "A", "#, "EOF"),
        ("plain text", "expected"),
    ];
    for (bad, words) in cases {
        let message = refusal(&format!("{good}\n\n{bad}\n{good}"));
        assert!(message.starts_with("line 3: "), "{message}");
        assert!(message.contains(words) && !message.contains("at line 1") && !message.contains('\n'), "{message}");
    }
}

#[test]
fn the_last_prediction_of_a_key_counts_and_stray_spaces_do_not() {
    let test = [row("A", " q1", &["x"]), row("A", "q2", &["x"]), row("B", "q1", &["x"]), row("A", "q1", &["y"])];
    let predictions = [row("A", "q1 ", &["old"]), row("A", "q1", &["new", "other"]), row("C", "q1", &["unused"])];
    let joined = join(&test, &predictions);
    let found: Vec<_> = joined.pairs.iter().map(|pair| (pair.sample, pair.prediction)).collect();
    assert_eq!(found, [(&test[0], "new"), (&test[3], "new")]);
    assert_eq!((joined.missing, joined.repeated), (2, 1));
}

#[test]
fn a_report_gives_the_mean_of_the_rows_and_of_each_role() {
    let test =
        [row("A", "1", &["no", "a b c d"]), row("A", "2", &["z"]), row("B", "1", &["a b"]), row("B", "2", &["a"])];
    let predictions = [row("A", "1", &["a b"]), row("A", "2", &["z"]), row("B", "1", &["c"])];
    let report = score(Rule::F1, Language::En, &join(&test, &predictions));
    assert_eq!((report.rule, report.rows, report.missing, report.repeated), ("rouge-l/f1", 3, 1, 0));
    assert!((report.mean - (2.0 / 3.0 + 1.0) / 3.0).abs() < 1e-12);
    assert_eq!((report.per_role["A"].rows, report.per_role["B"].rows), (2, 1));
    assert_eq!((report.per_role["A"].mean, report.per_role["B"].mean), ((2.0 / 3.0 + 1.0) / 2.0, 0.0));
    assert!(report.ci95[0] <= report.mean && report.mean <= report.ci95[1]);
}

#[test]
fn the_interval_is_repeatable_and_as_wide_as_theory_says() {
    let test: Vec<_> = (0..400).map(|n| row("A", &n.to_string(), &["yes"])).collect();
    let answer = |n: usize| if n.is_multiple_of(2) { "yes" } else { "no" };
    let predictions: Vec<_> = (0..400).map(|n| row("A", &n.to_string(), &[answer(n)])).collect();
    let joined = join(&test, &predictions);
    let report = score(Rule::F1, Language::En, &joined);
    assert_eq!(report, score(Rule::F1, Language::En, &joined));
    // The standard error of 400 fair coins is 0.025.
    assert_eq!(report.mean, 0.5);
    assert!((report.ci95[0] - 0.451).abs() < 0.006 && (report.ci95[1] - 0.549).abs() < 0.006, "{:?}", report.ci95);
}

#[test]
fn the_language_decides_what_the_papers_rule_compares() {
    let test = [row("李白", "问", &["床前明月光"])];
    let predictions = [row("李白", "问", &["床前看月光"])];
    let joined = join(&test, &predictions);
    assert_eq!(score(Rule::Paper, Language::Zh, &joined).mean, 0.8);
    assert_eq!(score(Rule::Paper, Language::En, &joined).mean, 0.0);
}

#[test]
fn nothing_joined_is_a_report_of_zeros() {
    let report = score(Rule::F1, Language::En, &join(&[], &[]));
    assert_eq!((report.rows, report.mean, report.ci95), (0, 0.0, [0.0, 0.0]));
}

#[test]
fn an_overlap_counts_rows_and_questions() {
    let train = [row("A", "q1", &["x"]), row("B", " q2", &["x"])];
    let test = [row("A", " q1", &["x"]), row("C", "q1", &["x"]), row("A", "q2", &["x"]), row("A", "q3", &["x"])];
    let overlap = question_overlap(&train, &test);
    assert_eq!((overlap.test_rows, overlap.same_question, overlap.same_role_and_question), (4, 3, 1));
    assert_eq!((overlap.test_questions, overlap.shared_questions), (3, 2));
    assert_eq!(overlap.questions, ["q1", "q2"]);
}

#[test]
fn a_larger_draw_contains_the_smaller() {
    let (few, more) = (draw(1000, 10, 7), draw(1000, 50, 7));
    assert!(few.iter().all(|place| more.contains(place)) && more.is_sorted());
    assert_eq!((few.len(), more.len()), (10, 50));
    assert_ne!(few, draw(1000, 10, 8));
    assert_eq!(draw(3, 10, 7), [0, 1, 2]);
    assert!(draw(0, 10, 7).is_empty());
}
