//! Token ids against llama.cpp's vectors; special tokens, bytes, refusals.

mod common;
#[path = "common/vocabularies.rs"]
mod vocabularies;

use common::{Metadata, assert_vectors, fixture};
use generate::{Segment, TextStream, Tokenizer};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

fn assert_fixture_vectors(name: &str, tokenizer: &Tokenizer) {
    let read = |extension: &str| {
        let bytes = fixture(&format!("ggml-vocab-{name}.gguf.{extension}")).expect("where the vocabulary is");
        String::from_utf8(bytes).expect("UTF-8")
    };
    assert_vectors(tokenizer, &read("inp"), &read("out"));
}

#[test]
fn llama_spm_equals_llama_cpp_and_decodes_to_the_same_text() {
    let Some(tokenizer) = vocabularies::llama2() else { return };
    assert_fixture_vectors("llama-spm", &tokenizer);
}

#[test]
fn gpt2_equals_llama_cpp_and_decodes_to_the_same_text() {
    let Some(tokenizer) = vocabularies::gpt2() else { return };
    assert_fixture_vectors("gpt-2", &tokenizer);
}

#[test]
fn deepseek_llm_equals_llama_cpp_and_decodes_to_the_same_text() {
    let Some(tokenizer) = vocabularies::deepseek_llm() else { return };
    assert_fixture_vectors("deepseek-llm", &tokenizer);
}

#[test]
fn streamed_tokens_never_show_half_a_character() {
    for tokenizer in [vocabularies::llama2(), vocabularies::gpt2()].into_iter().flatten() {
        let text = "床前明月光，疑是地上霜。🦙🚀 Ünïcödé — 李白";
        let ids = tokenizer.encode(text, false).expect("the text is encoded");
        assert!(ids.len() > text.chars().count(), "some characters take several tokens");
        let (mut stream, mut shown, mut previous) = (TextStream::default(), String::new(), None);
        for id in ids {
            let piece = stream.push(&tokenizer.token_bytes(id, previous));
            assert!(!piece.contains(char::REPLACEMENT_CHARACTER));
            shown += &piece;
            assert!(text.starts_with(&shown));
            previous = Some(id);
        }
        assert_eq!(shown, text);
    }
}

/// Three control tokens, the letters, and a user-defined token.
fn small_spm() -> Metadata {
    let tokens = ["<unk>", "<s>", "</s>", "\u{2581}", "a", "b", "\u{2581}a", "ab", "<0xE6>", "<sep>"];
    Metadata::default()
        .text("tokenizer.ggml.model", "llama")
        .texts("tokenizer.ggml.tokens", &tokens)
        .floats("tokenizer.ggml.scores", &[0.0, 0.0, 0.0, -3.0, -4.0, -5.0, -1.0, -2.0, 0.0, 0.0])
        .numbers("tokenizer.ggml.token_type", &[2, 3, 3, 1, 1, 1, 1, 1, 6, 4])
        .number("tokenizer.ggml.unknown_token_id", 0)
        .number("tokenizer.ggml.bos_token_id", 1)
        .number("tokenizer.ggml.eos_token_id", 2)
}

#[test]
fn control_tokens_are_parsed_only_on_request_and_user_defined_ones_always() {
    let tokenizer = small_spm().tokenizer();
    let encode = |text, parse_special| tokenizer.encode(text, parse_special).expect("the text is encoded");
    // After a special token, the next text gets its space prefix as at the start.
    assert_eq!(encode("a</s>ab", true), [6, 2, 6, 5]);
    assert_eq!(encode("b<sep>b", false), [3, 5, 9, 3, 5]);
    assert!(!encode("</s>", false).contains(&2));
    assert_eq!(tokenizer.decode(&[6, 2, 7]), "aab");
    assert!(tokenizer.is_end_of_generation(2) && !tokenizer.is_end_of_generation(1));
}

#[test]
fn control_tokens_are_seen_only_in_segments_that_allow_them() {
    let tokenizer = small_spm().tokenizer();
    let encode = |segments: &[(&str, bool)]| {
        let segment = |&(text, parse_special)| Segment { text, parse_special };
        let segments: Vec<_> = segments.iter().map(segment).collect();
        tokenizer.encode_segments(&segments).expect("the text is encoded")
    };
    let plain = tokenizer.encode("a</s>", false).expect("the text is encoded");
    assert!(!plain.contains(&2));
    assert_eq!(encode(&[("<s>", true), ("a</s>", false), ("</s>", true)]), [&[1], &plain[..], &[2]].concat());
    // Neither half of a control token may come from elsewhere, but adjacent segments that allow them are one text.
    assert!(!encode(&[("</", true), ("s>", false)]).contains(&2));
    assert!(!encode(&[("<", false), ("/s>", true)]).contains(&2));
    assert_eq!(encode(&[("a", false), ("</", true), ("", true), ("s>", true)]), [6, 2]);
    // What is no control token is merged across the borders, with one space prefix.
    assert_eq!(encode(&[("</s>a", true), ("", false), ("b", false), ("<sep", true), (">", false)]), [2, 6, 5, 9]);
    assert!(tokenizer.spells_control("ab</s>") && !tokenizer.spells_control("ab<sep>"));
}

#[test]
fn the_longest_special_token_is_found_first_wherever_it_is() {
    let tokens = ["<unk>", "<s>", "</s>", "aa", "aba", "a", "b"];
    let metadata = Metadata::default().text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", &tokens);
    let metadata =
        metadata.floats("tokenizer.ggml.scores", &[0.0; 7]).boolean("tokenizer.ggml.add_space_prefix", false);
    let tokenizer = metadata.numbers("tokenizer.ggml.token_type", &[2, 3, 3, 4, 4, 1, 1]).tokenizer();
    assert_eq!(tokenizer.encode("aaba", false).expect("encoded"), [5, 4]);
    assert_eq!(tokenizer.encode("aaab", false).expect("encoded"), [3, 5, 6]);
}

#[test]
fn phi_3_drops_white_space_after_its_control_tokens() {
    let tokens = ["<unk>", "<s>", "</s>", "<|user|>", "<|end|>", "\u{2581}", "a", "<0x0A>"];
    let named = |name: &str| {
        let metadata = Metadata::default().text("tokenizer.ggml.model", "llama").text("general.name", name);
        let metadata = metadata.texts("tokenizer.ggml.tokens", &tokens).floats("tokenizer.ggml.scores", &[0.0; 8]);
        let metadata = metadata.numbers("tokenizer.ggml.token_type", &[2, 3, 3, 3, 3, 1, 1, 6]);
        let ids = metadata.tokenizer().encode("<s> a<|user|>\n\t <|end|>\n", true);
        ids.expect("the text is encoded")
    };
    assert_eq!(named("Phi-3 mini"), [1, 5, 5, 6, 3, 4]);
    assert_eq!(named("Llama"), [1, 5, 5, 6, 3, 5, 7, 0, 5, 4, 5, 7]);
}

#[test]
fn tokens_that_look_like_control_are_control_whatever_their_type() {
    let tokens = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<think>", "\u{2581}"];
    let metadata = Metadata::default().text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", &tokens);
    let metadata = metadata.floats("tokenizer.ggml.scores", &[0.0; 7]);
    let tokenizer = metadata.numbers("tokenizer.ggml.token_type", &[2, 3, 3, 4, 1, 4, 1]).tokenizer();
    assert_eq!(tokenizer.encode("<|im_start|><think><|im_end|>", true).expect("encoded"), [3, 5, 4]);
    let plain = tokenizer.encode("<|im_start|><think><|im_end|>", false).expect("encoded");
    assert!(plain.contains(&5) && !plain.contains(&3) && !plain.contains(&4), "{plain:?}");
    assert!(tokenizer.is_end_of_generation(4) && tokenizer.is_end_of_generation(2));
    assert_eq!(tokenizer.decode(&[6, 3, 5, 4]), "<think>");
}

#[test]
fn no_control_token_is_merged_from_plain_text() {
    for tokenizer in [vocabularies::llama2(), vocabularies::deepseek_llm()].into_iter().flatten() {
        let [bos, eos] = [tokenizer.bos(), tokenizer.eos()].map(|id| id.expect("the vocabulary names it"));
        for text in [tokenizer.bos_text(), tokenizer.eos_text()] {
            assert!(tokenizer.spells_control(text));
            let ids = tokenizer.encode(&format!("a{text} b"), false).expect("the text is encoded");
            assert!(!ids.contains(&bos) && !ids.contains(&eos), "{ids:?}");
            assert_eq!(tokenizer.decode(&ids), format!("a{text} b"));
        }
    }
}

#[test]
fn the_best_score_is_merged_first_and_unknown_bytes_become_the_unknown_token() {
    let tokenizer = small_spm().tokenizer();
    // "▁a" scores above "ab".
    assert_eq!(tokenizer.encode("ab", false).expect("encoded"), [6, 5]);
    let without_prefix = small_spm().boolean("tokenizer.ggml.add_space_prefix", false).tokenizer();
    assert_eq!(without_prefix.encode("ab", false).expect("encoded"), [7]);
    // 末 is E6 9C AB: one byte token and two unknown bytes.
    assert_eq!(without_prefix.encode("末", false).expect("encoded"), [8, 0, 0]);
}

#[test]
fn unusable_vocabularies_are_refused_by_what_is_wrong() {
    let refusal = |metadata: Metadata| Tokenizer::from_gguf(&metadata.gguf()).expect_err("refused").to_string();
    let texts = |metadata: Metadata| metadata.texts("tokenizer.ggml.tokens", &["a", "b"]);
    assert!(refusal(Metadata::default()).contains("tokenizer.ggml.tokens"));
    let bert = texts(Metadata::default().text("tokenizer.ggml.model", "bert"));
    assert!(refusal(bert).contains("\"bert\"; supported: llama, gpt2"));
    let no_scores = texts(Metadata::default().text("tokenizer.ggml.model", "llama"));
    assert!(refusal(no_scores).contains("tokenizer.ggml.scores is no array of 2 floats"));
    let far = texts(Metadata::default().number("tokenizer.ggml.bos_token_id", 2));
    assert!(refusal(far).contains("tokenizer.ggml.bos_token_id is 2, the vocabulary has 2 tokens"));
    let gpt2 = || texts(Metadata::default().text("tokenizer.ggml.model", "gpt2"));
    assert!(
        refusal(gpt2().text("tokenizer.ggml.pre", "klingon")).contains("\"klingon\"; supported: gpt-2, phi-2, mpt")
    );
    assert!(refusal(gpt2()).contains("tokenizer.ggml.merges"));
    assert!(refusal(gpt2().texts("tokenizer.ggml.merges", &["ab"])).contains("\"ab\" is no pair"));
    assert!(refusal(gpt2().texts("tokenizer.ggml.merges", &["a c"])).contains("unusable"));
}
