//! Which turns leave when the context fills up.

use generate::{Error, Message, PromptSize, fit};
use proptest::prelude::*;

/// One token per character, and one per message.
struct Characters;

impl PromptSize for Characters {
    fn prompt_tokens(&self, messages: &[Message]) -> Result<usize, Error> {
        Ok(messages.iter().map(|message| message.content.len() + 1).sum())
    }
}

#[test]
fn whole_turns_leave_oldest_first() {
    let messages = [
        Message::system("sys"),
        Message::user("one"),
        Message::assistant("1"),
        Message::user("two"),
        Message::assistant("2"),
        Message::user("six"),
    ];
    let all = fit(&Characters, &messages, 30, 10).expect("everything fits");
    assert_eq!((all.messages.as_slice(), all.dropped.len(), all.prompt_tokens), (&messages[..], 0, 20));
    let some = fit(&Characters, &messages, 29, 10).expect("two turns fit");
    assert_eq!(some.messages, [&messages[..1], &messages[3..]].concat());
    assert_eq!(some.dropped, messages[1..3]);
    let error = fit(&Characters, &messages, 17, 10).expect_err("not even the last turn fits");
    assert!(matches!(error, Error::PromptTooLong { needed: 18, context: 17 }), "{error}");
}

fn message() -> impl Strategy<Value = Message> {
    (prop::sample::select(vec!["user", "assistant"]), "[a-z]{0,12}")
        .prop_map(|(role, content)| Message::new(role, content))
}

proptest! {
    #[test]
    fn what_is_kept_fits_and_what_must_stay_stays(
        system in prop::option::of("[a-z]{0,20}"),
        turns in prop::collection::vec(message(), 0..10),
        context in 0usize..150,
        max_tokens in 0usize..40,
    ) {
        let messages: Vec<_> = system.map(Message::system).into_iter().chain(turns).chain([Message::user("last")]).collect();
        let pinned = usize::from(messages[0].role == "system");
        match fit(&Characters, &messages, context, max_tokens) {
            Ok(fit) => {
                prop_assert!(fit.prompt_tokens + max_tokens <= context);
                prop_assert_eq!(fit.prompt_tokens, Characters.prompt_tokens(&fit.messages).unwrap());
                // System message, dropped turns, kept turns: in this order they are the conversation.
                let (system, kept) = fit.messages.split_at(pinned);
                prop_assert_eq!([system, &fit.dropped, kept].concat(), messages.clone());
                prop_assert_eq!(&kept.last().unwrap().content, "last");
                // The conversation is cut before a user message only, and no earlier cut would have fit.
                prop_assert!(fit.dropped.is_empty() || kept[0].role == "user");
                if let Some(turn) = fit.dropped.iter().rposition(|message| message.role == "user") {
                    let more = [system, &fit.dropped[turn..], kept].concat();
                    prop_assert!(Characters.prompt_tokens(&more).unwrap() + max_tokens > context);
                }
            }
            Err(error) => {
                let least = [&messages[..pinned], &messages[messages.len() - 1..]].concat();
                let needed = Characters.prompt_tokens(&least).unwrap() + max_tokens;
                prop_assert!(needed > context);
                prop_assert_eq!(error.to_string().contains(&format!("needs {needed} tokens")), true);
            }
        }
    }
}
