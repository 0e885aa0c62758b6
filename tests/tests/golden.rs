//! The same words at temperature 0, token for token, natively.

use std::{io::Cursor, ops::ControlFlow, sync::Arc};

use generate::{Error, Generator, Model, Options, Outcome, Prompt, StopReason};
use tests::stories260k;

fn model() -> Option<Arc<Model>> {
    let gguf = stories260k::gguf()?;
    let model = Model::load(&mut Cursor::new(gguf), &mut |_| ControlFlow::Continue(()));
    Some(Arc::new(model.expect("the converted model loads")))
}

fn greedy(max_tokens: usize) -> Options {
    Options { temperature: 0.0, repetition_penalty: 1.0, max_tokens, ..Options::default() }
}

fn reply(generator: &mut Generator, prompt: &str, options: Options) -> (String, Outcome) {
    generator.start(&Prompt::Text(prompt.to_owned()), options).expect("the prompt is accepted");
    let mut streamed = String::new();
    while let Some(text) = generator.step().expect("a step succeeds") {
        streamed += &text;
    }
    (streamed, generator.finish())
}

#[test]
fn writes_the_published_story() {
    let Some(model) = model() else { return };
    let (streamed, outcome) = reply(&mut Generator::new(model, 0), "", greedy(256));
    assert_eq!(outcome.text, stories260k::GREEDY_TEXT);
    assert_eq!(streamed, outcome.text);
    assert_eq!((outcome.prompt_tokens, outcome.tokens, outcome.stop), (1, 256, StopReason::MaxTokens));
}

#[test]
fn a_story_continues_from_its_own_words_and_reuses_them() {
    let Some(model) = model() else { return };
    let mut generator = Generator::new(model, 0);
    let (start, expected) = stories260k::GREEDY_TEXT.split_at(100);
    let (_, first) = reply(&mut generator, start, greedy(10));
    assert!(expected.starts_with(&first.text) && first.tokens == 10, "{first:?}");
    let (_, again) = reply(&mut generator, start, greedy(10));
    assert_eq!(again.text, first.text);
    assert_eq!(again.reused_tokens, again.prompt_tokens - 1);
}

#[test]
fn a_long_prompt_is_read_in_chunks_between_which_a_caller_may_leave() {
    let Some(model) = model() else { return };
    let mut generator = Generator::new(model, 0);
    generator.start(&Prompt::Text(stories260k::GREEDY_TEXT.to_owned()), greedy(1)).expect("the prompt fits");
    assert_eq!(generator.step().expect("a step succeeds").as_deref(), Some(""));
    let outcome = generator.finish();
    assert_eq!((outcome.stop, outcome.tokens), (StopReason::Cancelled, 0));
    assert_eq!(generator.step().expect("nothing is left"), None);
}

#[test]
fn a_stop_text_split_over_tokens_ends_the_reply() {
    let Some(model) = model() else { return };
    let options = Options { stop: vec!["little girl named".to_owned()], ..greedy(256) };
    let (streamed, outcome) = reply(&mut Generator::new(model, 0), "", options);
    assert_eq!(outcome.text, "Once upon a time, there was a ");
    assert_eq!((streamed.as_str(), outcome.stop), (outcome.text.as_str(), StopReason::StopSequence));
}

#[test]
fn a_full_context_ends_the_reply_and_refuses_a_longer_prompt() {
    let Some(model) = model() else { return };
    let mut generator = Generator::new(model, 16);
    let (_, outcome) = reply(&mut generator, "", greedy(256));
    assert_eq!((outcome.stop, outcome.tokens), (StopReason::ContextFull, 16));
    let error = generator.start(&Prompt::Text(stories260k::GREEDY_TEXT.to_owned()), greedy(1)).unwrap_err();
    assert!(matches!(error, Error::PromptTooLong { needed: 258, context: 16 }), "{error}");
}

#[test]
fn a_seed_repeats_and_another_differs() {
    let Some(model) = model() else { return };
    let mut generator = Generator::new(model, 0);
    let mut sample =
        |seed| reply(&mut generator, "", Options { seed, temperature: 1.0, max_tokens: 40, ..Options::default() }).0;
    let (first, again, other) = (sample(7), sample(7), sample(8));
    assert_eq!(first, again);
    assert_ne!(first, other);
}
