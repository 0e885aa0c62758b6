//! Near-duplicates and decontamination find all that the threshold's own measure calls near, and nothing else.

use proptest::prelude::*;
use rolebench::Sample;
use synthesis::{measure, near};

const WORDS: [&str; 8] = ["who", "built", "the", "raft", "on", "龙", "宫", "river"];

fn texts() -> impl Strategy<Value = Vec<String>> {
    let text = prop::collection::vec(prop::sample::select(WORDS.as_slice()), 0..9).prop_map(|words| words.join(" "));
    prop::collection::vec(text, 0..25)
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

proptest! {
    #[test]
    fn the_index_finds_what_a_comparison_of_all_pairs_finds(
        texts in texts(), against in texts(), percent in 20u32..=100,
    ) {
        let threshold = f64::from(percent) / 100.0;
        let found = near::nearest(&borrowed(&texts), &borrowed(&against), threshold);
        for (text, found) in texts.iter().zip(found) {
            let scores: Vec<f64> = against.iter().map(|other| near::rouge_l(text, other)).collect();
            let best = scores.iter().copied().fold(0.0, f64::max);
            match found {
                Some(near) => {
                    prop_assert!(near.f1 >= threshold - 1e-9 && near.f1 == best);
                    prop_assert_eq!(scores.iter().position(|&score| score == best), Some(near.place));
                }
                None => prop_assert!(best < threshold, "{text:?} is {best} near"),
            }
        }
    }

    #[test]
    fn what_is_left_after_duplicates_has_none(texts in texts(), percent in 20u32..=100) {
        let threshold = f64::from(percent) / 100.0;
        let repeated = near::duplicates(&borrowed(&texts), threshold);
        let left: Vec<usize> = (0..texts.len()).filter(|&at| repeated[at].is_none()).collect();
        for (nth, &at) in left.iter().enumerate() {
            for &other in &left[..nth] {
                prop_assert!(near::rouge_l(&texts[at], &texts[other]) < threshold);
            }
        }
        for (at, near) in repeated.iter().enumerate().filter_map(|(at, near)| Some((at, (*near)?))) {
            prop_assert!(near.place < at && repeated[near.place].is_none() && near.f1 >= threshold - 1e-9);
        }
    }
}

#[test]
fn identical_texts_are_near_in_both_languages_and_others_are_not() {
    assert_eq!(near::rouge_l("Who built the raft?", "who built THE raft"), 1.0);
    assert_eq!(near::rouge_l("花果山在哪里？", "花果山在哪里"), 1.0);
    assert_eq!(near::rouge_l("Who?", "花果山"), 0.0);
    let texts =
        ["Who built the raft?", "Who has built the raft?", "Where is the king?", "花果山在何处？", "花果山在哪里？"];
    let repeated: Vec<bool> = near::duplicates(&texts, 0.7).iter().map(Option::is_some).collect();
    assert_eq!(repeated, [false, true, false, false, false]);
}

#[test]
fn every_planted_paraphrase_above_the_threshold_is_found() {
    let question = |nth: usize| {
        format!("Why did the captain of ship {nth} leave harbour {} before the storm of that year came?", nth * 7)
    };
    let chinese =
        |nth: usize| format!("第{nth}次大闹天宫的时候，你为什么要先去找东海龙王借兵器{}？", "呢".repeat(nth % 3));
    let questions = (0..150).map(question).chain((0..50).map(chinese));
    let test: Vec<Sample> = questions
        .map(|question| Sample { role: "A".into(), question, generated: vec!["x".into()], kind: vec![] })
        .collect();
    let planted = measure(&test, 0.7);
    assert!(planted.iter().all(|planting| planting.planted == 200));
    for planting in &planted {
        assert_eq!((planting.recall(), planting.precision()), (1.0, 1.0), "{planting:?}");
    }
    // Mild ones are all above it, harsh ones are not: the measurement tells strengths apart.
    assert!(planted[0].above == 200 && planted[3].above < 200, "{planted:?}");
}
