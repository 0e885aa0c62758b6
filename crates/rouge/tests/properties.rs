//! The bit-parallel subsequence against the textbook's table.
#![cfg(not(target_arch = "wasm32"))]

use proptest::prelude::*;
use rouge::{Dictionary, Rule, Scorer, Unit};
use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
};

type Table = Vec<Vec<usize>>;

fn table(reference: &[&str], prediction: &[&str]) -> Table {
    let mut table = vec![vec![0; prediction.len() + 1]; reference.len() + 1];
    for row in 1..=reference.len() {
        for column in 1..=prediction.len() {
            table[row][column] = if reference[row - 1] == prediction[column - 1] {
                table[row - 1][column - 1] + 1
            } else {
                table[row - 1][column].max(table[row][column - 1])
            };
        }
    }
    table
}

/// The subsequence that the package `rouge` reads out of the table.
fn read_out<'a>(table: &Table, reference: &[&'a str], prediction: &[&str]) -> HashSet<&'a str> {
    let (mut row, mut column) = (reference.len(), prediction.len());
    let mut found = HashSet::new();
    while row > 0 && column > 0 {
        if reference[row - 1] == prediction[column - 1] {
            (row, column) = (row - 1, column - 1);
            found.insert(reference[row]);
        } else if table[row - 1][column] > table[row][column - 1] {
            row -= 1;
        } else {
            column -= 1;
        }
    }
    found
}

/// Words over few letters, so that much repeats, and more of them than a machine word has bits.
fn words() -> impl Strategy<Value = String> {
    prop::collection::vec("[a-e]{1,2}", 1..200).prop_map(|words| words.join(" "))
}

fn scorer(rule: Rule) -> Scorer {
    static DICTIONARY: LazyLock<Arc<Dictionary>> = LazyLock::new(|| Arc::new(Dictionary::embedded()));
    Scorer::new(rule, Some(DICTIONARY.clone())).expect("a dictionary")
}

proptest! {
    #[test]
    fn length_equals_the_tables(prediction in words(), reference in words()) {
        let [p, r]: [Vec<&str>; 2] = [&prediction, &reference].map(|text| text.split(' ').collect());
        let length = table(&r, &p)[r.len()][p.len()];
        let score = scorer(Rule::F1).score(&prediction, &reference);
        prop_assert_eq!(score.recall, length as f64 / r.len() as f64);
        prop_assert_eq!(score.precision, length as f64 / p.len() as f64);
        prop_assert_eq!(scorer(Rule::F1).align(&prediction, &reference).len(), length);
    }

    #[test]
    fn the_papers_rule_picks_the_packages_subsequence(prediction in words(), reference in words()) {
        let [p, r]: [Vec<&str>; 2] = [&prediction, &reference].map(|text| text.split(' ').collect());
        let common = read_out(&table(&r, &p), &r, &p).len();
        let distinct = r.iter().collect::<HashSet<_>>().len();
        let score = scorer(Rule::Paper).in_unit(Unit::Word).score(&prediction, &reference);
        prop_assert_eq!(score.recall, common as f64 / distinct as f64);
    }

    #[test]
    fn no_text_is_a_panic_and_every_score_a_share(prediction in ".*", reference in ".*") {
        for rule in Rule::ALL {
            for unit in [Unit::Word, Unit::Character] {
                let scorer = scorer(rule).in_unit(unit);
                let score = scorer.score(&prediction, &reference);
                for figure in [score.precision, score.recall, score.f1, score.value] {
                    prop_assert!((0.0..=1.0).contains(&figure));
                }
                for (of_prediction, of_reference) in scorer.align(&prediction, &reference) {
                    prop_assert!(prediction.get(of_prediction).is_some() && reference.get(of_reference).is_some());
                }
            }
        }
    }
}
