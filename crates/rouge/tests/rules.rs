//! What a user relies on: names, identical texts, several references, Chinese.

use rouge::{Rule, Score};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

const ENGLISH: &str = "I never guess. It is a shocking habit, my dear Watson!";
const CHINESE: &str = "俺老孙来也！妖怪，吃俺一棒。";

#[test]
fn a_rule_is_found_by_its_name() {
    for rule in Rule::ALL {
        assert_eq!(Rule::from_name(rule.name()), Ok(rule));
        assert_eq!(rule.to_string().parse(), Ok(rule));
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let message = Rule::from_name("rouge-l").unwrap_err().to_string();
    assert!(message.contains("\"rouge-l\""), "{message}");
    assert!(Rule::ALL.iter().all(|rule| message.contains(rule.name())), "{message}");
}

#[test]
fn identical_english_scores_one_under_every_rule() {
    for rule in Rule::ALL {
        let score = rule.score(ENGLISH, ENGLISH);
        assert!((score.value - 1.0).abs() < 1e-8, "{rule}: {score:?}");
    }
}

#[test]
fn identical_chinese_scores_one_under_the_rules_that_read_it_and_zero_under_the_others() {
    for rule in Rule::ALL {
        let score = rule.score(CHINESE, CHINESE);
        let expected = if rule.reads_chinese() { 1.0 } else { 0.0 };
        assert!((score.value - expected).abs() < 1e-8, "{rule}: {score:?}");
    }
    assert_eq!(Rule::ALL.map(Rule::reads_chinese), [false, false, true, true]);
}

#[test]
fn the_stemmer_joins_forms_of_a_word() {
    assert_eq!(Rule::F1.score("he runs", "he running").value, 0.5);
    assert_eq!(Rule::PorterF1.score("he runs", "he running").value, 1.0);
    assert_eq!(Rule::PorterF1.score("skies", "sky").value, 1.0);
}

#[test]
fn the_best_reference_counts() {
    let references = ["nothing alike", "the cat sat on the mat", "the cat"];
    for rule in Rule::ALL {
        let scores = references.map(|reference| rule.score("the cat", reference));
        assert_eq!(rule.best("the cat", &references), scores[2], "{rule}");
    }
}

#[test]
fn the_papers_rule_takes_the_recall_of_the_reference_of_the_best_f() {
    let references = ["cat", "the cat sat down there"];
    let [short, long] = references.map(|reference| Rule::Paper.score("the cat sat", reference));
    assert!(short.recall > long.recall && long.f1 > short.f1);
    assert_eq!(Rule::Paper.best("the cat sat", &references), long);
    assert_eq!(long.value, 0.6);
}

#[test]
fn without_references_or_tokens_the_score_is_zero() {
    for rule in Rule::ALL {
        assert_eq!(rule.best::<&str>("the cat", &[]), Score::default(), "{rule}");
        assert_eq!(rule.score("", "the cat"), Score::default(), "{rule}");
        assert_eq!(rule.score("the cat", ""), Score::default(), "{rule}");
    }
}

#[test]
fn an_alignment_points_into_the_original_texts() {
    let (prediction, reference) = ("Well, the CAT sat.", "The cat has sat down.");
    let found: Vec<_> = Rule::F1
        .align(prediction, reference)
        .into_iter()
        .map(|(of_prediction, of_reference)| (&prediction[of_prediction], &reference[of_reference]))
        .collect();
    assert_eq!(found, [("the", "The"), ("CAT", "cat"), ("sat", "sat")]);
    let (prediction, reference) = ("俺来也", "俺老孙来也");
    let chinese = Rule::CharF1.align(prediction, reference);
    assert_eq!(chinese, [(0..3, 0..3), (3..6, 9..12), (6..9, 12..15)]);
}

#[test]
fn a_long_text_without_sentences_is_no_trouble() {
    let text = "天地玄黄宇宙洪荒日月盈昃辰宿列张".repeat(1500);
    let score = Rule::Paper.score(&text[3..], &text);
    assert_eq!(score.recall, 1.0);
    assert_eq!(Rule::CharF1.align(&text[3..], &text).len(), text.chars().count() - 1);
}
