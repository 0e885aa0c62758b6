//! Token ids against llama.cpp's vectors; special tokens, bytes, refusals.

mod common;
#[path = "common/vocabularies.rs"]
mod vocabularies;

use common::{Metadata, vectors};
use generate::{TextStream, Tokenizer};

fn assert_vectors(name: &str, tokenizer: &Tokenizer) {
    let vectors = vectors(name).expect("the vocabulary is there, so are the vectors");
    assert_eq!(vectors.len(), 46);
    for (text, expected) in vectors {
        let ids = tokenizer.encode(&text, false).expect("the text is encoded");
        assert_eq!(ids, expected, "{text:?}");
        assert_eq!(tokenizer.decode(&ids), text);
    }
}

#[test]
fn llama_spm_equals_llama_cpp_and_decodes_to_the_same_text() {
    let Some(tokenizer) = vocabularies::llama2() else { return };
    assert_vectors("llama-spm", &tokenizer);
}

#[test]
fn gpt2_equals_llama_cpp_and_decodes_to_the_same_text() {
    let Some(tokenizer) = vocabularies::gpt2() else { return };
    assert_vectors("gpt-2", &tokenizer);
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
    assert!(refusal(gpt2().text("tokenizer.ggml.pre", "tekken")).contains("\"tekken\"; supported: gpt-2"));
    assert!(refusal(gpt2()).contains("tokenizer.ggml.merges"));
    assert!(refusal(gpt2().texts("tokenizer.ggml.merges", &["ab"])).contains("\"ab\" is no pair"));
    assert!(refusal(gpt2().texts("tokenizer.ggml.merges", &["a c"])).contains("unusable"));
}
