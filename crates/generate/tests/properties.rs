//! Any text comes back from its tokens, whatever the scheme; segments are one text; the sampler's search finds what sorting finds.
#![cfg(not(target_arch = "wasm32"))]

mod common;
#[path = "common/vocabularies.rs"]
mod vocabularies;

use std::sync::LazyLock;

use generate::{Options, Sampler, Segment, TextStream, Tokenizer};
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

    #[test]
    fn the_top_k_are_those_of_a_sorted_list(
        logits in prop::collection::vec(prop_oneof![4 => -3i8..4, 1 => Just(i8::MIN)], 1..700),
        (top_k, seed) in (2usize..60, any::<u64>()),
    ) {
        // Few values, so that many are equal; the least stands for what is no number.
        let logits: Vec<f32> = logits.iter().map(|&x| if x == i8::MIN { f32::NAN } else { f32::from(x) / 2.0 }).collect();
        let rank = |logit: f32| if logit.is_nan() { f32::NEG_INFINITY } else { logit };
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| rank(logits[b]).total_cmp(&rank(logits[a])).then(a.cmp(&b)));
        let mut only_best = vec![f32::NEG_INFINITY; logits.len()];
        order.iter().take(top_k).for_each(|&token| only_best[token] = logits[token]);

        let options = Options { temperature: 1.0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed, ..Options::default() };
        let mut by_top_k = Sampler::new(Options { top_k, ..options.clone() }).expect("valid options");
        let mut of_all = Sampler::new(Options { top_k: 0, ..options.clone() }).expect("valid options");
        for _ in 0..8 {
            prop_assert_eq!(by_top_k.sample(&logits, &[]), of_all.sample(&only_best, &[]));
        }
        let mut greedy = Sampler::new(Options { temperature: 0.0, ..options }).expect("valid options");
        prop_assert_eq!(greedy.sample(&logits, &[]) as usize, if rank(logits[order[0]]) > f32::NEG_INFINITY { order[0] } else { 0 });
    }
}
