//! The chat template and the built-in layout are the same text and the same tokens.

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use roles::{Message, Speaker};
use training::document::{Document, chat_template};
use training::tokenizer::{BOS, EOS, EOS_ID, Tokenizer};

fn tokenizer() -> Tokenizer {
    let text = "### Instruction:\nYou are 孙悟空。\n\n### Input:\nHello, how are you?\n\n### Response:\nI am \"well\", thank you!";
    Tokenizer::train(&[text.repeat(8)], 400).unwrap()
}

fn message(speaker: Speaker, content: &str) -> Message {
    Message::new(speaker, content)
}

fn chats() -> Vec<Vec<Message>> {
    use Speaker::{Assistant, System, User};
    let [system, first, answer] = [
        (System, "You are 孙悟空。\nSpeak!"),
        (User, " Hello, how are 12 you? "),
        (Assistant, "\"Well\", 俺老孙 says.\n"),
    ]
    .map(|(speaker, content)| message(speaker, content));
    vec![
        vec![system.clone(), first.clone(), answer.clone()],
        vec![first.clone(), answer.clone()],
        vec![system, first, answer, message(User, "</s>?"), message(Assistant, "No <s> is</s> text.")],
    ]
}

fn render(messages: &[Message], add_generation_prompt: bool) -> String {
    let template = chat_template();
    let messages = Value::from(Serde(messages));
    Environment::new()
        .render_str(&template, context! { messages, add_generation_prompt, bos_token => BOS, eos_token => EOS })
        .unwrap()
}

#[test]
fn the_template_writes_the_papers_layout() {
    let rendered = render(&chats()[0], false);
    let expected = "<s>### Instruction:\nYou are 孙悟空。\nSpeak!</s>\n\n### Input:\nHello, how are 12 you?</s>\n\n\
                    ### Response:\n\"Well\", 俺老孙 says.</s>";
    assert_eq!(rendered, expected);
    assert_eq!(render(&chats()[1][..1], true), "<s>### Input:\nHello, how are 12 you?</s>\n\n### Response:\n");
}

#[test]
fn the_template_and_the_layout_give_the_same_tokens() {
    let tokenizer = tokenizer();
    for chat in chats() {
        let document = Document::chat(&tokenizer, &chat).unwrap();
        assert_eq!(tokenizer.decode(&document.tokens).unwrap(), render(&chat, false));
    }
    // As other programs do it: render, then tokenize the whole text with its special tokens.
    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path()).unwrap();
    let foreign = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
    for chat in &chats()[..2] {
        let document = Document::chat(&tokenizer, chat).unwrap();
        let ids = foreign.encode(render(chat, false), false).unwrap();
        assert_eq!(ids.get_ids(), document.tokens);
        let prompt = foreign.encode(render(&chat[..chat.len() - 1], true), false).unwrap();
        let answer = document.trained.iter().position(|&t| t).unwrap();
        assert_eq!(prompt.get_ids(), &document.tokens[..answer], "the prompt of inference ends where training starts");
    }
}

#[test]
fn exactly_the_answers_are_trained() {
    let tokenizer = tokenizer();
    for chat in chats() {
        let document = Document::chat(&tokenizer, &chat).unwrap();
        let trained = document.tokens.iter().zip(&document.trained).filter(|(_, trained)| **trained);
        let trained: Vec<u32> = trained.map(|(token, _)| *token).collect();
        let answers = chat.iter().filter(|m| m.speaker == Speaker::Assistant);
        let expected: Vec<u32> =
            answers.flat_map(|m| [tokenizer.encode(m.content.trim()).unwrap(), vec![EOS_ID]].concat()).collect();
        assert_eq!(trained, expected);
    }
}

#[test]
fn every_byte_has_a_token() {
    let tokenizer = tokenizer();
    let text = "\u{0}\u{7f} é 漢 🐒\r\n\t x²";
    assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
    assert_eq!(tokenizer.encode("2026").unwrap().len(), 4, "digits stand alone");
}
