//! Any text comes back from its tokens, whatever the scheme; segments are one text.
#![cfg(not(target_arch = "wasm32"))]

mod common;
#[path = "common/vocabularies.rs"]
mod vocabularies;

use std::sync::LazyLock;

use generate::{Segment, TextStream, Tokenizer};
use proptest::prelude::*;

static TOKENIZERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    [vocabularies::llama2(), vocabularies::gpt2(), vocabularies::deepseek_llm()].into_iter().flatten().collect()
});

/// Unicode at large, and the characters at which tokenizers part company.
fn text() -> impl Strategy<Value = String> {
    let hard = "[ \t\r\n\u{a0}\u{3000}'’a-cA-Cé0-2①.,!$<|>/s床が가नि\u{301}\u{200d}🦙🏽\u{2581}\u{0}]{0,24}";
    prop_oneof![any::<String>(), hard.prop_map(|text| text)]
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let (mut stream, mut text, mut previous) = (TextStream::default(), String::new(), None);
    for &id in ids {
        text += &stream.push(&tokenizer.token_bytes(id, previous));
        previous = Some(id);
    }
    text + &stream.flush()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_comes_back(text in text()) {
        for tokenizer in TOKENIZERS.iter() {
            let ids = tokenizer.encode(&text, false).expect("encoded");
            // SentencePiece spells a space as U+2581 and cannot tell the two apart.
            let is_spm = tokenizer.bos_text() == "<s>";
            let expected = if is_spm { text.replace('\u{2581}', " ") } else { text.clone() };
            prop_assert_eq!(tokenizer.decode(&ids), expected.clone());
            prop_assert_eq!(streamed(tokenizer, &ids), expected);
        }
    }

    #[test]
    fn segments_are_one_text(parts in prop::collection::vec((text(), any::<bool>()), 0..5)) {
        for tokenizer in TOKENIZERS.iter() {
            let whole: String = parts.iter().map(|(text, _)| text.as_str()).collect();
            prop_assume!(!tokenizer.spells_control(&whole));
            let segments: Vec<_> =
                parts.iter().map(|(text, parse_special)| Segment { text, parse_special: *parse_special }).collect();
            let ids = tokenizer.encode_segments(&segments).expect("encoded");
            prop_assert_eq!(ids, tokenizer.encode(&whole, true).expect("encoded"));
        }
    }
}
