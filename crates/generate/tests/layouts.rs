//! Chat templates against stored golden text: our named layouts, and what model files bring.

use generate::{ChatTemplate, Error, Message};
use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

/// A line of `templates.jsonl`, which `templates.py` writes.
#[derive(Deserialize)]
struct Line {
    named: Option<String>,
    file: Option<String>,
    messages: Vec<Message>,
    bos_token: String,
    eos_token: String,
    thinking: Option<bool>,
    expected: String,
}

impl Line {
    fn assert_rendered_by(&self, mut template: ChatTemplate) {
        if let Some(thinking) = self.thinking {
            template.set_thinking(thinking);
        }
        let name = self.named.as_ref().or(self.file.as_ref());
        let text = template.render(&self.messages, true).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert_eq!(text, self.expected, "{name:?}, thinking {:?}", self.thinking);
    }
}

fn lines() -> impl Iterator<Item = Line> {
    include_str!("templates.jsonl").lines().map(|line| serde_json::from_str(line).expect("a line of templates.jsonl"))
}

#[test]
fn every_named_layout_is_the_published_one() {
    for name in ChatTemplate::names() {
        let mut conversations = 0;
        for line in lines().filter(|line| line.named.as_deref() == Some(name)) {
            line.assert_rendered_by(ChatTemplate::named(name, &line.bos_token, &line.eos_token).expect("it compiles"));
            conversations += 1;
        }
        assert!(conversations >= 3, "{name} has {conversations} golden conversations");
    }
}

#[test]
fn an_unknown_layout_is_refused_with_the_known_ones() {
    let error = ChatTemplate::named("klingon", "", "").expect_err("refused");
    assert!(matches!(&error, Error::UnknownTemplate { .. }));
    assert!(error.to_string().contains("\"klingon\"; known: rocit, alpaca, vicuna, llama2"), "{error}");
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn templates_of_model_files_equal_jinja() {
    let Some(folder) = std::env::var_os("LLAMA_CPP_DIR") else {
        eprintln!("skipped: set LLAMA_CPP_DIR to a folder with llama.cpp's source");
        return;
    };
    let folder = std::path::Path::new(&folder).join("models/templates");
    for line in lines() {
        let Some(file) = &line.file else { continue };
        let source = std::fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let template = ChatTemplate::new(&source, &line.bos_token, &line.eos_token);
        line.assert_rendered_by(template.unwrap_or_else(|error| panic!("{file}: {error}")));
    }
}
