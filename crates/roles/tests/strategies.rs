//! What a model is asked under each strategy, and which examples it is shown.

use proptest::prelude::*;
use roles::{Examples, Exchange, Language, Message, Role, Speaker, Strategy};

fn exchange(user: &str, reply: &str) -> Exchange {
    Exchange { user: user.into(), reply: reply.into() }
}

fn holmes() -> Role {
    Role {
        name: "Holmes".into(),
        description: "You are Holmes, the detective.".into(),
        catchphrases: vec!["Elementary.".into()],
        ..Role::default()
    }
}

fn dialogue() -> Examples {
    Examples::new(vec![
        exchange("Do you like tea?", "With a clue."),
        exchange("Who is Moriarty?", "The Napoleon of crime."),
        exchange("Where is Moriarty now?", "Below the falls; Moriarty fell."),
        exchange("Good night", "Sleep well."),
    ])
}

fn asked(strategy: Strategy, question: &str) -> Vec<Message> {
    strategy.messages(&holmes(), &dialogue(), question)
}

#[test]
fn the_nearest_example_comes_last_and_the_unlike_are_left_out() {
    let examples = dialogue();
    let users =
        |text: &str, count| examples.nearest(text, count).into_iter().map(|one| one.user.as_str()).collect::<Vec<_>>();
    assert_eq!(users("Tell me where MORIARTY is", 5), ["Who is Moriarty?", "Where is Moriarty now?"]);
    assert_eq!(users("Tell me where Moriarty is", 1), ["Where is Moriarty now?"]);
    assert!(users("Zounds!", 5).is_empty() && Examples::default().nearest("Moriarty", 5).is_empty());
}

#[test]
fn chinese_is_searched_by_characters_and_pairs() {
    let examples = Examples::new(vec![
        exchange("你喜欢喝酒吗？", "无酒不成诗。"),
        exchange("月亮美吗？", "举杯邀明月。"),
        exchange("明天去哪里？", "随风而行。"),
    ]);
    assert_eq!(examples.nearest("你为何总写明月", 2).last().map(|one| one.reply.as_str()), Some("举杯邀明月。"));
}

#[test]
fn a_bad_line_of_a_dialogue_is_named() {
    let message =
        Examples::from_jsonl("{\"user\": \"a\", \"reply\": \"b\"}\n\n{\"user\": \"a\"}").unwrap_err().to_string();
    assert!(message.contains("line 3") && message.contains("reply"), "{message}");
    assert!(Examples::from_jsonl("\n").unwrap().is_empty());
}

#[test]
fn system_is_rocits_instruction_and_nothing_else() {
    let expected = [
        Message::system("You are Holmes, the detective.\nYour catchphrases: Elementary."),
        Message::user("Who is Moriarty?"),
    ];
    assert_eq!(asked(Strategy::System, "Who is Moriarty?"), expected);
}

#[test]
fn the_order_stands_in_every_prompt_of_rolegpt() {
    for strategy in [Strategy::ZeroShot, Strategy::FewShot, Strategy::Dialogue] {
        let messages = asked(strategy, "Who is Moriarty?");
        assert!(messages[0].content.contains("answer as Holmes"), "{strategy}");
        assert!(messages[0].content.starts_with("You are Holmes, the detective."), "{strategy}");
        assert_eq!(messages.last(), Some(&Message::user("Who is Moriarty?")), "{strategy}");
    }
}

#[test]
fn examples_are_in_the_instruction_or_turns_of_their_own() {
    let [zero, few, dialogue] =
        [Strategy::ZeroShot, Strategy::FewShot, Strategy::Dialogue].map(|strategy| asked(strategy, "Who is Moriarty?"));
    assert!(!zero[0].content.contains("Napoleon"));
    assert!(few.len() == 2 && few[0].content.contains("Holmes: The Napoleon of crime."));
    let speakers: Vec<_> = dialogue.iter().map(|message| message.speaker).collect();
    let turn = [Speaker::User, Speaker::Assistant];
    assert_eq!(speakers, [&[Speaker::System][..], &turn, &turn, &[Speaker::User]].concat());
    assert_eq!(dialogue[4].content, "The Napoleon of crime.");
}

#[test]
fn retrieval_knows_the_name_and_the_examples_only() {
    let messages = asked(Strategy::Retrieval, "Who is Moriarty?");
    assert!(messages[0].content.starts_with("You are Holmes.\n\nThis is how you speak:"), "{messages:?}");
    assert!(!messages[0].content.contains("detective") && !messages[0].content.contains("answer as"));
    assert_eq!(asked(Strategy::Retrieval, "Zounds!")[0].content, "You are Holmes.");
    let role = Role { name: "李白".into(), language: Language::Zh, ..Role::default() };
    let examples = Examples::new(vec![exchange("你是谁", "青莲居士。")]);
    let messages = Strategy::Retrieval.messages(&role, &examples, "你是谁");
    assert_eq!(messages[0].content, "你是李白。\n\n你平时是这样说话的：\n\n旁人：你是谁\n李白：青莲居士。");
}

#[test]
fn strategies_are_found_by_their_names() {
    for strategy in Strategy::ALL {
        assert_eq!(strategy.to_string().parse(), Ok(strategy));
    }
    let message = "rag".parse::<Strategy>().unwrap_err().to_string();
    assert!(
        message.contains("rag") && message.contains("system, zero-shot, few-shot, dialogue, retrieval"),
        "{message}"
    );
}

proptest! {
    #[test]
    fn a_search_never_panics_and_finds_an_exchange_by_its_own_words(texts in prop::collection::vec(".{0,20}", 1..8)) {
        let examples = Examples::new(texts.iter().map(|text| exchange(text, "")).collect());
        for text in &texts {
            let found = examples.nearest(text, texts.len());
            let has_terms = text.chars().any(char::is_alphanumeric);
            prop_assert_eq!(found.iter().any(|one| &one.user == text), has_terms);
        }
    }
}
