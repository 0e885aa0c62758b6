//! Every rule equals the Python package that it stands for, on pairs whose scores `golden.py` has stored.

use rouge::{Dictionary, Rule, Score, Scorer, Unit};
use std::sync::Arc;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

const GOLDEN: &str = include_str!("golden.jsonl");
/// The order of the scores in a line.
const RULES: [(Rule, Unit); 8] = [
    (Rule::F1, Unit::Word),
    (Rule::PorterF1, Unit::Word),
    (Rule::SumF1, Unit::Word),
    (Rule::SumPorterF1, Unit::Word),
    (Rule::Paper, Unit::Word),
    (Rule::Paper, Unit::Character),
    (Rule::CharF1, Unit::Character),
    (Rule::JiebaF1, Unit::Character),
];

/// A prediction, a reference, and the scores of each rule that the package can compute.
struct Line {
    prediction: String,
    reference: String,
    scores: [Option<[f64; 3]>; 8],
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Text {
    Whole(String),
    Repeated(Vec<(String, usize)>),
}

impl From<Text> for String {
    fn from(text: Text) -> String {
        match text {
            Text::Whole(text) => text,
            Text::Repeated(pieces) => pieces.iter().map(|(piece, times)| piece.repeat(*times)).collect(),
        }
    }
}

fn golden() -> impl Iterator<Item = Line> {
    GOLDEN.lines().map(|line| {
        let (prediction, reference, scores): (Text, Text, _) =
            serde_json::from_str(line).expect("a line of golden.jsonl");
        Line { prediction: prediction.into(), reference: reference.into(), scores }
    })
}

/// Nothing where the dictionary is not part of the program.
fn scorer(rule: Rule) -> Option<Scorer> {
    Scorer::new(rule, rule.needs_dictionary().then(dictionary).flatten()).ok()
}

#[cfg(not(target_arch = "wasm32"))]
fn dictionary() -> Option<Arc<Dictionary>> {
    Some(Arc::new(Dictionary::embedded()))
}

#[cfg(target_arch = "wasm32")]
fn dictionary() -> Option<Arc<Dictionary>> {
    None
}

fn assert_close(score: Score, [precision, recall, f1]: [f64; 3], context: &str) {
    let found = [score.precision, score.recall, score.f1];
    let close = found.iter().zip([precision, recall, f1]).all(|(found, expected)| (found - expected).abs() < 1e-9);
    assert!(close, "{context}: {found:?} instead of {:?}", [precision, recall, f1]);
}

#[test]
fn every_rule_equals_its_package() {
    let scorers = RULES.map(|(rule, unit)| scorer(rule).map(|scorer| scorer.in_unit(unit)));
    let mut lines = 0;
    for Line { prediction, reference, scores } in golden() {
        for (scorer, expected) in scorers.iter().zip(scores) {
            let (Some(scorer), Some(expected)) = (scorer, expected) else { continue };
            let score = scorer.score(&prediction, &reference);
            let [p, r] = [&prediction, &reference].map(|text| text.chars().take(300).collect::<String>());
            assert_close(score, expected, &format!("{scorer:?} of {p:?} and {r:?}"));
            assert_eq!(score.value, if scorer.rule() == Rule::Paper { score.recall } else { score.f1 });
        }
        lines += 1;
    }
    assert!(lines >= 10_000, "golden.jsonl holds only {lines} lines");
}

#[test]
fn the_reference_decides_the_unit() {
    let scorer = scorer(Rule::Paper).expect("no dictionary is needed");
    for Line { prediction, reference, scores } in golden() {
        let han = reference.chars().any(|character| ('\u{3400}'..='\u{9fff}').contains(&character));
        let Some(expected) = scores[if han { 5 } else { 4 }] else { continue };
        assert_close(scorer.score(&prediction, &reference), expected, &format!("{prediction:?} and {reference:?}"));
    }
}

#[test]
fn an_alignment_is_a_common_subsequence_of_full_length() {
    let scorer = scorer(Rule::F1).expect("no dictionary is needed");
    for Line { prediction, reference, scores } in golden() {
        let Some(expected) = scores[0] else { continue };
        let pairs = scorer.align(&prediction, &reference);
        let words = |text: &str| {
            let lower = text.to_lowercase();
            lower.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).count()
        };
        let share = if pairs.is_empty() { 0.0 } else { pairs.len() as f64 / words(&reference) as f64 };
        assert!((share - expected[1]).abs() < 1e-9, "{prediction:?} and {reference:?}: {pairs:?}");
        for (of_prediction, of_reference) in &pairs {
            let fold = |text: &str| text.to_lowercase().replace('\u{307}', "");
            assert_eq!(fold(&prediction[of_prediction.clone()]), fold(&reference[of_reference.clone()]));
        }
        let ascending =
            pairs.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start && pair[0].1.end <= pair[1].1.start);
        assert!(ascending, "{prediction:?} and {reference:?}: {pairs:?}");
    }
}
