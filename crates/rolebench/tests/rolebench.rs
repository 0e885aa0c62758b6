//! Reading, joining, scoring and leak reports, through the public interface.

use proptest::prelude::*;
use rolebench::{
    Bootstrap, Instruction, Kind, Language, Line, Oddity, References, Sample, check, compare, draw, draw_roles,
    interval, join, parse_instructions, parse_lines, parse_samples, question_overlap, raw_rows, score, score_pair,
    split_by_question, split_by_role, statistics, table, unit,
};
use rouge::{Rule, Scorer};
use std::collections::HashSet;

fn row(role: &str, question: &str, answers: &[&str]) -> Sample {
    let generated = answers.iter().map(ToString::to_string).collect();
    Sample { role: role.into(), question: question.into(), generated, kind: Vec::new() }
}

fn scorer(rule: Rule, language: Language) -> Scorer {
    Scorer::new(rule, None).expect("a rule without a dictionary").in_unit(unit(language))
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
    let report = score(&scorer(Rule::F1, Language::En), &join(&test, &predictions));
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
    let report = score(&scorer(Rule::F1, Language::En), &joined);
    assert_eq!(report, score(&scorer(Rule::F1, Language::En), &joined));
    // The standard error of 400 fair coins is 0.025.
    assert_eq!(report.mean, 0.5);
    assert!((report.ci95[0] - 0.451).abs() < 0.006 && (report.ci95[1] - 0.549).abs() < 0.006, "{:?}", report.ci95);
}

#[test]
fn the_language_decides_what_the_papers_rule_compares() {
    let test = [row("李白", "问", &["床前明月光"])];
    let predictions = [row("李白", "问", &["床前看月光"])];
    let joined = join(&test, &predictions);
    assert_eq!(score(&scorer(Rule::Paper, Language::Zh), &joined).mean, 0.8);
    assert_eq!(score(&scorer(Rule::Paper, Language::En), &joined).mean, 0.0);
}

#[test]
fn nothing_joined_is_a_report_of_zeros() {
    let report = score(&scorer(Rule::F1, Language::En), &join(&[], &[]));
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
    // The same on every platform and in every version: runs and reports name their seeds.
    assert_eq!(draw(1000, 5, 7), [17, 389, 454, 584, 900]);
}

#[test]
fn every_line_is_read_by_itself() {
    let good = r#"{"role": "A", "question": "q", "generated": ["x"]}"#;
    let bytes = [good.as_bytes(), b"\n\xc4\xe3\n\n{}\r\n", good.as_bytes()].concat();
    let (rows, bad): (Vec<_>, Vec<_>) = parse_lines(&bytes).partition(Result::is_ok);
    assert_eq!(rows.into_iter().map(|row| row.unwrap().number).collect::<Vec<_>>(), [1, 5]);
    let bad: Vec<_> = bad.into_iter().map(|row| row.unwrap_err()).collect();
    assert_eq!(bad.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 4]);
    assert!(bad[0].message.contains("UTF-8") && bad[1].message.contains("role"), "{bad:?}");
    let instructions: Vec<_> =
        parse_instructions(b"{\"instruction\": \"q\", \"answer\": \"\"}\n{\"answer\": \"a\"}").collect();
    assert!(instructions[0].as_ref().is_err_and(|error| error.to_string().contains("\"answer\" is empty")));
    assert!(
        instructions[1].as_ref().is_err_and(|error| error.to_string().contains("line 2: missing field `instruction`"))
    );
}

#[test]
fn odd_rows_are_told_with_their_lines() {
    let text = concat!(
        "{\"role\": \"A\", \"question\": \"q\", \"generated\": [\"x\"], \"type\": \"script_based\"}\n",
        "\n",
        "{\"role\": \"A\", \"question\": \" q\", \"generated\": [\"x\", \" \"]}\n",
        "{\"role\": \"B\", \"question\": \"q\", \"generated\": [\"x\", \"x\", \"y\"], \"type\": [\"own\", \"script_based\"]}\n",
    );
    let rows: Vec<Line<Sample>> = parse_lines(text.as_bytes()).collect::<Result<_, _>>().unwrap();
    let found: Vec<_> = check(&rows).into_iter().map(|notice| (notice.line, notice.oddity)).collect();
    let expected = [
        (3, Oddity::StraySpace),
        (3, Oddity::EmptyAnswer),
        (3, Oddity::RepeatedRow { first: 1 }),
        (4, Oddity::RepeatedAnswer),
        (4, Oddity::CountOfKinds),
        (4, Oddity::UnknownKind),
    ];
    assert_eq!(found, expected);
}

#[test]
fn kinds_have_means_of_their_own() {
    let kinds = [Kind::ScriptBased, Kind::ScriptAgnostic];
    let test: Vec<Sample> = kinds
        .iter()
        .enumerate()
        .map(|(n, kind)| Sample { kind: vec![*kind], ..row("A", &n.to_string(), &["a"]) })
        .collect();
    let predictions = [row("A", "0", &["a"]), row("A", "1", &["b"])];
    let report = score(&scorer(Rule::F1, Language::En), &join(&test, &predictions));
    assert_eq!(
        report.per_type.iter().map(|(name, part)| (*name, part.mean)).collect::<Vec<_>>(),
        [("script_agnostic", 0.0), ("script_based", 1.0)]
    );
    assert_eq!((report.precision, report.recall, report.f1), (0.5, 0.5, 0.5));
}

#[test]
fn an_interval_made_in_steps_is_the_interval() {
    let test: Vec<_> = (0..50).map(|n| row("A", &n.to_string(), &["a b c"])).collect();
    let predictions: Vec<_> = (0..50).map(|n| row("A", &n.to_string(), &[["a", "a b", "z"][n % 3]])).collect();
    let scorer = scorer(Rule::F1, Language::En);
    let scores: Vec<_> = join(&test, &predictions).pairs.iter().map(|pair| score_pair(&scorer, pair)).collect();
    let mut bootstrap = Bootstrap::new(scores.iter().map(|score| score.value).collect());
    let mut steps = 1;
    while bootstrap.step(500) {
        steps += 1;
    }
    assert_eq!((steps, bootstrap.interval()), (100, interval(&scores)));
}

#[test]
fn raw_compares_with_the_plain_answer_cus_with_the_roles_and_spe_with_the_specific_part() {
    let general = [row("A", " q", &["in style"]), row("A", "unknown", &["x"])];
    let role_specific = [row("A", "life", &["born here"])];
    let instructions = [Instruction { instruction: "q ".into(), answer: "plain".into() }];
    let (rows, unknown) = raw_rows(&general, &instructions);
    assert_eq!((rows, unknown), (vec![row("A", " q", &["plain"])], 1));
    let references = References { general: &general, role_specific: &role_specific, instructions: &instructions };
    let scorer = scorer(Rule::F1, Language::En);
    let predictions = [row("A", "q", &["plain style"]), row("A", "life", &["born here"])];
    let whole = table(&scorer, references, &predictions);
    let [raw, cus, spe] = [&whole.raw, &whole.cus, &whole.spe].map(|part| part.as_ref().unwrap().mean);
    assert_eq!([raw, cus, spe], [2.0 / 3.0, 0.5, 1.0]);
    assert_eq!(whole.cus.unwrap().missing, 1);
    assert!((whole.mean.unwrap() - (raw + cus + spe) / 3.0).abs() < 1e-15 && whole.ci95.is_some());
    let part = table(&scorer, references, &predictions[1..]);
    assert!(part.raw.is_none() && part.mean.is_none() && part.spe.is_some());
}

#[test]
fn a_comparison_is_of_the_rows_that_both_answered() {
    let test: Vec<_> = (0..40).map(|n| row(["A", "B"][n % 2], &n.to_string(), &["a b"])).collect();
    let answers = |text: &str, rows: std::ops::Range<usize>| -> Vec<Sample> {
        test[rows].iter().map(|sample| row(&sample.role, &sample.question, &[text])).collect()
    };
    let scorer = scorer(Rule::F1, Language::En);
    let (good, bad) = (answers("a b", 0..30), answers("a", 10..40));
    let found = compare(&scorer, &test, &good, &bad);
    assert_eq!((found.rows, found.only_first, found.only_second), (20, 10, 10));
    assert_eq!((found.wins, found.ties, found.losses), (20, 0, 0));
    assert!((found.difference - 1.0 / 3.0).abs() < 1e-12 && found.p < 0.001, "{found:?}");
    assert!(found.per_role.values().all(|difference| (difference - 1.0 / 3.0).abs() < 1e-12));
    let same = compare(&scorer, &test, &good, &good);
    assert_eq!((same.difference, same.p, same.ties, same.ci95), (0.0, 1.0, 30, [0.0, 0.0]));
}

#[test]
fn the_permutation_test_is_as_sure_as_theory_says() {
    // 8 wins of 10 by the same margin: 2 (45 + 10 + 1) of 1,024 coin rows are as uneven.
    let test: Vec<_> = (0..10).map(|n| row("A", &n.to_string(), &["a"])).collect();
    let answer = |wins: bool, n: usize| row("A", &n.to_string(), &[if (n < 8) == wins { "a" } else { "z" }]);
    let [first, second] = [true, false].map(|wins| (0..10).map(|n| answer(wins, n)).collect::<Vec<_>>());
    let p = compare(&scorer(Rule::F1, Language::En), &test, &first, &second).p;
    assert!((p - 112.0 / 1024.0).abs() < 0.01, "{p}");
}

#[test]
fn a_split_by_question_shares_no_question_and_one_by_role_no_role() {
    let rows: Vec<_> = (0..120).map(|n| row(&format!("R{}", n % 4), &format!(" q{}", n / 4), &["x"])).collect();
    let split = split_by_question(rows.clone(), 0.2, 3);
    assert_eq!((split.train.len(), split.test.len()), (96, 24));
    assert_eq!(question_overlap(&split.train, &split.test).shared_questions, 0);
    assert_eq!(split, split_by_question(rows.clone(), 0.2, 3));
    assert_ne!(split, split_by_question(rows.clone(), 0.2, 4));
    let held_out = draw_roles(&rows, 2, 1);
    let split = split_by_role(rows.clone(), &held_out).unwrap();
    let roles = |rows: &[Sample]| rows.iter().map(|row| row.role.clone()).collect::<HashSet<_>>();
    assert!(roles(&split.train).is_disjoint(&roles(&split.test)) && split.test.len() == 60);
    let message = split_by_role(rows, &["Nobody".to_string()]).unwrap_err().to_string();
    assert!(message.contains("Nobody") && message.contains("R0, R1"), "{message}");
}

#[test]
fn statistics_count_words_in_english_and_characters_in_chinese() {
    let rows = [row("A", "who are you", &["I am A", "me"]), row("B", "who are you", &["one two three four"])];
    let found = statistics(Language::En, &rows);
    assert_eq!((found.rows, found.questions, found.answers), (2, 1, 3));
    assert_eq!(found.answers_per_row.into_iter().collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    assert_eq!((found.answer_length.max, found.answer_length.median, found.question_length.mean), (4, 3, 3.0));
    assert_eq!(statistics(Language::Zh, &[row("李白", "你 是谁", &["我。"])]).question_length.max, 3);
    assert_eq!(statistics(Language::En, &[]).answer_length.max, 0);
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic_and_every_full_line_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        prop_assert!(parse_lines(&bytes).count() <= lines);
        prop_assert!(parse_instructions(&bytes).count() <= lines);
    }
}
