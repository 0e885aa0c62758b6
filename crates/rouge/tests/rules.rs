//! What a user relies on: names, identical texts, several references, Chinese.

use rouge::{References, Rule, Score, Scorer};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

const ENGLISH: &str = "I never guess. It is a shocking habit, my dear Watson!";
const CHINESE: &str = "俺老孙来也！妖怪，吃俺一棒。";

/// The rules that need no dictionary.
fn scorers() -> impl Iterator<Item = Scorer> {
    Rule::ALL.into_iter().filter(|rule| !rule.needs_dictionary()).map(scorer)
}

fn scorer(rule: Rule) -> Scorer {
    Scorer::new(rule, None).expect("a rule without a dictionary")
}

#[test]
fn rules_are_found_by_their_names() {
    for rule in Rule::ALL {
        assert_eq!(rule.to_string().parse(), Ok(rule));
    }
    for references in References::ALL {
        assert_eq!(references.to_string().parse(), Ok(references));
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let message = "rouge-l".parse::<Rule>().unwrap_err().to_string();
    assert!(message.contains("\"rouge-l\""), "{message}");
    assert!(Rule::ALL.iter().all(|rule| message.contains(rule.name())), "{message}");
    let message = "best".parse::<References>().unwrap_err().to_string();
    assert!(References::ALL.iter().all(|references| message.contains(references.name())), "{message}");
}

#[test]
fn words_of_a_dictionary_need_a_dictionary() {
    let message = Scorer::new(Rule::JiebaF1, None).unwrap_err().to_string();
    assert!(message.contains("rouge-l/jieba-f1 needs a dictionary"), "{message}");
}

#[test]
fn identical_english_scores_one_under_every_rule() {
    for scorer in scorers() {
        let score = scorer.score(ENGLISH, ENGLISH);
        assert!((score.value - 1.0).abs() < 1e-8, "{scorer:?}: {score:?}");
    }
}

#[test]
fn identical_chinese_scores_one_under_the_rules_that_read_it_and_zero_under_the_others() {
    for scorer in scorers() {
        let score = scorer.score(CHINESE, CHINESE);
        let expected = if scorer.rule().reads_chinese() { 1.0 } else { 0.0 };
        assert!((score.value - expected).abs() < 1e-8, "{scorer:?}: {score:?}");
    }
    let readers = Rule::ALL.into_iter().filter(|rule| rule.reads_chinese()).map(Rule::name).collect::<Vec<_>>();
    assert_eq!(readers, ["rouge-l/paper", "rouge-l/char-f1", "rouge-l/jieba-f1"]);
}

#[test]
fn several_references_count_as_their_rule_says() {
    let references = ["cat", "the cat sat down there", "the cat sat on a mat over there"];
    let scorer = scorer(Rule::Paper);
    let [short, near, long] = references.map(|reference| scorer.score("the cat sat", reference));
    assert!(short.value > near.value && near.f1 > short.f1 && near.f1 > long.f1);
    let of = |way: References| scorer.clone().with_references(way).score_all("the cat sat", &references);
    assert_eq!([of(References::First), of(References::Max), of(References::BestF)], [short, short, near]);
    let mean = of(References::Mean);
    assert!((mean.value - (short.value + near.value + long.value) / 3.0).abs() < 1e-15);
    let place = |way: References| scorer.clone().with_references(way).nearest("the cat sat", &references);
    assert_eq!(References::ALL.map(place), [Some(1), Some(0), Some(1), Some(0)]);
    assert_eq!(scorer.nearest::<&str>("the cat sat", &[]), None);
}

#[test]
fn the_stemmer_joins_forms_of_a_word() {
    assert_eq!(scorer(Rule::F1).score("he runs", "he running").value, 0.5);
    assert_eq!(scorer(Rule::PorterF1).score("he runs", "he running").value, 1.0);
    assert_eq!(scorer(Rule::PorterF1).score("skies", "sky").value, 1.0);
}

#[test]
fn the_best_reference_counts() {
    let references = ["nothing alike", "the cat sat on the mat", "the cat"];
    for scorer in scorers() {
        let scores = references.map(|reference| scorer.score("the cat", reference));
        assert_eq!(scorer.score_all("the cat", &references), scores[2], "{scorer:?}");
    }
}

#[test]
fn the_papers_rule_takes_the_recall_of_the_reference_of_the_best_f() {
    let references = ["cat", "the cat sat down there"];
    let [short, long] = references.map(|reference| scorer(Rule::Paper).score("the cat sat", reference));
    assert!(short.recall > long.recall && long.f1 > short.f1);
    assert_eq!(scorer(Rule::Paper).score_all("the cat sat", &references), long);
    assert_eq!(long.value, 0.6);
}

#[test]
fn without_references_or_tokens_the_score_is_zero() {
    for scorer in scorers() {
        assert_eq!(scorer.score_all::<&str>("the cat", &[]), Score::default(), "{scorer:?}");
        assert_eq!(scorer.score("", "the cat"), Score::default(), "{scorer:?}");
        assert_eq!(scorer.score("the cat", ""), Score::default(), "{scorer:?}");
    }
}

#[test]
fn an_alignment_points_into_the_original_texts() {
    let (prediction, reference) = ("Well, the CAT sat.", "The cat has sat down.");
    let found: Vec<_> = scorer(Rule::F1)
        .align(prediction, reference)
        .into_iter()
        .map(|(of_prediction, of_reference)| (&prediction[of_prediction], &reference[of_reference]))
        .collect();
    assert_eq!(found, [("the", "The"), ("CAT", "cat"), ("sat", "sat")]);
    let (prediction, reference) = ("俺来也", "俺老孙来也");
    let chinese = scorer(Rule::CharF1).align(prediction, reference);
    assert_eq!(chinese, [(0..3, 0..3), (3..6, 9..12), (6..9, 12..15)]);
}

#[test]
fn a_long_text_without_sentences_is_no_trouble() {
    let text = "天地玄黄宇宙洪荒日月盈昃辰宿列张".repeat(1500);
    let score = scorer(Rule::Paper).score(&text[3..], &text);
    assert_eq!(score.recall, 1.0);
    assert_eq!(scorer(Rule::CharF1).align(&text[3..], &text).len(), text.chars().count() - 1);
}
