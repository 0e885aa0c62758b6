//! RoleGPT's published figures, on RoleBench itself: set ROLEBENCH_DIR.
#![cfg(not(target_arch = "wasm32"))]

use rolebench::{Language, Report, Sample, join, parse_samples, question_overlap, score, score_pair, unit};
use rouge::{Dictionary, References, Rule, Scorer};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

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

fn scorer(rule: Rule, language: Language) -> Scorer {
    static DICTIONARY: LazyLock<Arc<Dictionary>> = LazyLock::new(|| Arc::new(Dictionary::embedded()));
    let dictionary = rule.needs_dictionary().then(|| DICTIONARY.clone());
    Scorer::new(rule, dictionary).expect("a dictionary where one is needed").in_unit(unit(language))
}

fn report(part: &str, scorer: &Scorer) -> Option<Report> {
    let (test, predictions) = (read(part, "test.jsonl")?, read(part, "rolegpt_baseline.jsonl")?);
    Some(score(scorer, &join(&test, &predictions)))
}

fn four_digits(value: f64) -> String {
    format!("{value:.4}")
}

#[test]
fn rolegpt_spe_in_english_is_as_published() {
    let Some(report) = report(ENGLISH, &scorer(Rule::Paper, Language::En)) else { return };
    assert_eq!((report.rows, report.missing, report.repeated, report.per_role.len()), (4750, 0, 25, 95));
    assert_eq!(four_digits(report.mean), "0.3229");
}

#[test]
fn rolegpt_spe_in_chinese_is_as_published() {
    let Some(report) = report(CHINESE, &scorer(Rule::Paper, Language::Zh)) else { return };
    assert_eq!((report.rows, report.missing, report.per_role.len()), (239, 0, 5));
    assert_eq!(four_digits(report.mean), "0.2477");
}

/// `packages.json` says, for each file and rule, how many rows there are and the mean for each way with several references.
#[test]
fn every_rule_gives_on_every_file_what_the_packages_give() {
    type Means = BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>>;
    let packages: Means = serde_json::from_str(include_str!("packages.json")).expect("means");
    let mut compared = 0;
    for (part, rules) in &packages {
        let language = if part.starts_with("rolebench-zh") { Language::Zh } else { Language::En };
        let (Some(test), Some(predictions)) = (read(part, "test.jsonl"), read(part, "rolegpt_baseline.jsonl")) else {
            return;
        };
        let joined = join(&test, &predictions);
        for (rule, means) in rules {
            let scorer = scorer(rule.parse().expect("a rule"), language);
            assert_eq!(joined.pairs.len() as f64, means["rows"], "{part}");
            for references in References::ALL {
                let scorer = scorer.clone().with_references(references);
                let values = joined.pairs.iter().map(|pair| score_pair(&scorer, pair).value);
                let mean = values.sum::<f64>() / joined.pairs.len() as f64;
                let expected = means[references.name()];
                assert!((mean - expected).abs() < 1e-9, "{part}, {rule}, {references}: {mean} instead of {expected}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 4 * (2 * 5 + 2 * 3));
}

#[test]
fn seven_chinese_test_rows_are_in_the_training_set() {
    let (Some(train), Some(test)) = (read(CHINESE, "train.jsonl"), read(CHINESE, "test.jsonl")) else { return };
    let overlap = question_overlap(&train, &test);
    assert_eq!((overlap.test_rows, overlap.same_role_and_question), (239, 7));
}
