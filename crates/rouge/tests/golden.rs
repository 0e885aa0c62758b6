//! Every rule equals the Python package that it stands for, on pairs whose scores `golden.py` has stored.

use rouge::{Rule, Score, Unit};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

const GOLDEN: &str = include_str!("golden.jsonl");
/// The order of the scores in a line.
const SCORERS: [(Rule, Unit); 5] = [
    (Rule::F1, Unit::Word),
    (Rule::PorterF1, Unit::Word),
    (Rule::Paper, Unit::Word),
    (Rule::Paper, Unit::Character),
    (Rule::CharF1, Unit::Character),
];

type Line = (String, String, [[f64; 3]; 5]);

fn golden() -> impl Iterator<Item = Line> {
    GOLDEN.lines().map(|line| serde_json::from_str(line).expect("a line of golden.jsonl"))
}

fn assert_close(score: Score, [precision, recall, f1]: [f64; 3], context: &str) {
    let found = [score.precision, score.recall, score.f1];
    let close = found.iter().zip([precision, recall, f1]).all(|(found, expected)| (found - expected).abs() < 1e-9);
    assert!(close, "{context}: {found:?} instead of {:?}", [precision, recall, f1]);
}

#[test]
fn every_rule_equals_its_package() {
    let mut lines = 0;
    for (prediction, reference, expected) in golden() {
        for ((rule, unit), expected) in SCORERS.into_iter().zip(expected) {
            let score = rule.score_in(unit, &prediction, &reference);
            assert_close(score, expected, &format!("{rule} in {unit:?}s of {prediction:?} and {reference:?}"));
            assert_eq!(score.value, if rule == Rule::Paper { score.recall } else { score.f1 });
        }
        lines += 1;
    }
    assert!(lines >= 2000, "golden.jsonl holds only {lines} lines");
}

#[test]
fn the_reference_decides_the_unit() {
    for (prediction, reference, expected) in golden() {
        let han = reference.chars().any(|character| ('\u{4e00}'..='\u{9fff}').contains(&character));
        let context = format!("{prediction:?} and {reference:?}");
        assert_close(Rule::Paper.score(&prediction, &reference), expected[if han { 3 } else { 2 }], &context);
    }
}

#[test]
fn an_alignment_is_a_common_subsequence_of_full_length() {
    for (prediction, reference, expected) in golden() {
        let pairs = Rule::F1.align(&prediction, &reference);
        let words = |text: &str| {
            let lower = text.to_lowercase();
            lower.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).count()
        };
        let share = if pairs.is_empty() { 0.0 } else { pairs.len() as f64 / words(&reference) as f64 };
        assert!((share - expected[0][1]).abs() < 1e-9, "{prediction:?} and {reference:?}: {pairs:?}");
        for (of_prediction, of_reference) in &pairs {
            let fold = |text: &str| text.to_lowercase().replace('\u{307}', "");
            assert_eq!(fold(&prediction[of_prediction.clone()]), fold(&reference[of_reference.clone()]));
        }
        let ascending =
            pairs.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start && pair[0].1.end <= pair[1].1.start);
        assert!(ascending, "{prediction:?} and {reference:?}: {pairs:?}");
    }
}
