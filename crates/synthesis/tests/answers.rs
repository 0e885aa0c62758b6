//! What teachers write, read and judged.

use proptest::prelude::*;
use roles::Language::{En, Zh};
use synthesis::{Answer, Reject, check, clean, parse_triplets};

fn answer(text: &str) -> Answer {
    let (text, model) = (text.to_string(), "m".to_string());
    Answer { text, prompt_tokens: 0, reply_tokens: 0, complete: true, model, cost: 0.0 }
}

#[test]
fn triplets_are_read_from_json_however_it_is_wrapped_or_cut() {
    let item = |question: &str, rating: &str| {
        format!(
            r#"{{"question": "{question}", "completeness": "{rating}", "reason": "r {{x}}", "answer": "I \"did\"."}}"#
        )
    };
    let list = format!("{{\"items\": [{}, {}]}}", item("Who {are} you?", "High"), item("What?", "Low"));
    for text in [
        list.clone(),
        format!("Sure!\n```json\n{list}\n```\nDone."),
        format!("[{}, {}", item("Who {are} you?", "High"), item("What?", "low")),
    ] {
        let triplets = parse_triplets(&text);
        assert_eq!(triplets.len(), 2, "{text}");
        assert_eq!((triplets[0].question.as_str(), triplets[0].high), ("Who {are} you?", true));
        assert_eq!((triplets[0].answer.as_str(), triplets[0].reason.as_str()), ("I \"did\".", "r {x}"));
        assert!(!triplets[1].high);
    }
    let cut = &list[..list.len() - 40];
    assert_eq!(parse_triplets(cut).len(), 1, "the whole triplet before the cut is kept: {cut}");
    let chinese = r#"{"问题": "你是谁？", "真实性": "高", "理由": "合乎人物", "回答": "俺老孙是也。"}"#;
    let triplets = parse_triplets(chinese);
    assert!(triplets[0].high && triplets[0].answer == "俺老孙是也。");
}

#[test]
fn triplets_are_read_from_labelled_lines() {
    let text = "Here they are:\n\n**Question 1:** Who built\nthe raft?\nCompleteness: High, because it names the raft.\nResponse: I did,\n\
        with my own hands.\n\n2. Question: And then?\n- Factualness: Low (vague)\n- Answer: Then we slept.\n\nQuestion 3: Unfinished?";
    let triplets = parse_triplets(text);
    assert_eq!(triplets.len(), 2);
    assert_eq!(triplets[0].question, "Who built the raft?");
    assert_eq!(triplets[0].reason, "it names the raft.");
    assert_eq!(triplets[0].answer, "I did, with my own hands.");
    assert!(triplets[0].high && !triplets[1].high);
    let chinese = "问题一：花果山在哪里？\n完整性：高，因为点明了地点\n回答：在东胜神洲。\n问题2：然后呢？\n完整性：低\n回答：不记得了。";
    let triplets = parse_triplets(chinese);
    assert_eq!((triplets.len(), triplets[0].high, triplets[1].high), (2, true, false));
    assert_eq!((triplets[0].question.as_str(), triplets[0].reason.as_str()), ("花果山在哪里？", "点明了地点"));
}

#[test]
fn each_of_the_four_rules_drops_what_it_names_in_both_languages() {
    let cases = [
        (En, "As an AI language model, I have no tea.", Reject::AiIdentity),
        (En, "I’m an AI, dear Watson.", Reject::AiIdentity),
        (En, "In the role of Holmes I would say no.", Reject::RoleIdentity),
        (En, "I'm sorry, but I can't help with that.", Reject::Rejection),
        (En, "I went to the shop and then I met", Reject::Incomplete),
        (En, "  \n…", Reject::Incomplete),
        (En, "这是一个完全用中文写成的回答。", Reject::WrongLanguage),
        (Zh, "作为一个人工智能，我没有名字。", Reject::AiIdentity),
        (Zh, "我扮演的是孙悟空。", Reject::RoleIdentity),
        (Zh, "很抱歉，我无法回答这个问题。", Reject::Rejection),
        (Zh, "This is an answer in plain English, is it not?", Reject::WrongLanguage),
    ];
    for (language, text, reason) in cases {
        assert_eq!(clean(&answer(text), "Holmes", language), Err(reason), "{text}");
    }
    let cut = Answer { complete: false, ..answer("A whole sentence.") };
    assert_eq!(clean(&cut, "Holmes", En), Err(Reject::Incomplete));
}

#[test]
fn good_answers_stay_and_lose_the_name_and_quotes_around_them() {
    for (language, text, kept) in [
        (En, "Holmes: \"Elementary.\"", "Elementary."),
        (En, "42", "42"),
        (En, "The paint aided him; he said \"no\".", "The paint aided him; he said \"no\"."),
        (Zh, "孙悟空：俺老孙来也！", "俺老孙来也！"),
        (Zh, "“好借好还，再借不难。”", "好借好还，再借不难。"),
    ] {
        let name = if language == Zh { "孙悟空" } else { "Holmes" };
        assert_eq!(clean(&answer(text), name, language).as_deref(), Ok(kept));
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic_and_triplets_are_whole(text in "(\\PC|[\"{}\\[\\]:,\\\\\n]|Question 1: |answer|问题：|High){0,60}") {
        for triplet in parse_triplets(&text) {
            prop_assert!(!triplet.question.is_empty() && !triplet.answer.is_empty());
        }
        let _ = (check(&text, En), clean(&answer(&text), "A", Zh));
    }
}
