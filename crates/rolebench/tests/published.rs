//! RoleGPT's published figures, on RoleBench itself: set ROLEBENCH_DIR.
#![cfg(not(target_arch = "wasm32"))]

use rolebench::{Language, Report, Sample, join, parse_samples, question_overlap, score};
use rouge::Rule;
use std::{fs, path::Path};

const ENGLISH: &str = "rolebench-eng/instruction-generalization/role_specific";
const CHINESE: &str = "rolebench-zh/role_specific";

fn read(part: &str, file: &str) -> Option<Vec<Sample>> {
    let Some(folder) = std::env::var_os("ROLEBENCH_DIR") else {
        eprintln!("skipped: set ROLEBENCH_DIR");
        return None;
    };
    let path = Path::new(&folder).join(part).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(parse_samples(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn report(part: &str, rule: Rule, language: Language) -> Option<Report> {
    let (test, predictions) = (read(part, "test.jsonl")?, read(part, "rolegpt_baseline.jsonl")?);
    Some(score(rule, language, &join(&test, &predictions)))
}

fn four_digits(value: f64) -> String {
    format!("{value:.4}")
}

#[test]
fn rolegpt_spe_in_english_is_as_published() {
    let Some(report) = report(ENGLISH, Rule::Paper, Language::En) else { return };
    assert_eq!((report.rows, report.missing, report.repeated, report.per_role.len()), (4750, 0, 25, 95));
    assert_eq!(four_digits(report.mean), "0.3229");
}

#[test]
fn rolegpt_spe_in_chinese_is_as_published() {
    let Some(report) = report(CHINESE, Rule::Paper, Language::Zh) else { return };
    assert_eq!((report.rows, report.missing, report.per_role.len()), (239, 0, 5));
    assert_eq!(four_digits(report.mean), "0.2477");
}

#[test]
fn the_other_rules_give_what_the_packages_give() {
    let figures = [(Rule::F1, "0.2327"), (Rule::PorterF1, "0.2381")];
    for (rule, expected) in figures {
        let Some(report) = report(ENGLISH, rule, Language::En) else { return };
        assert_eq!(four_digits(report.mean), expected, "{rule}");
    }
    let Some(report) = report(CHINESE, Rule::CharF1, Language::Zh) else { return };
    assert_eq!(four_digits(report.mean), "0.2239");
}

#[test]
fn seven_chinese_test_rows_are_in_the_training_set() {
    let (Some(train), Some(test)) = (read(CHINESE, "train.jsonl"), read(CHINESE, "test.jsonl")) else { return };
    let overlap = question_overlap(&train, &test);
    assert_eq!((overlap.test_rows, overlap.same_role_and_question), (239, 7));
}
