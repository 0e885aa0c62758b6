//! SentencePiece models and converted ones as GGUF vocabularies.

use candle_core::quantized::gguf_file::{self, Value};
use checkpoint::{Family, Vocabulary};
use decoder::Gguf;
use generate::Tokenizer;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// A protocol buffer field of bytes.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut len = content.len();
    while len >= 0x80 {
        field.push(len as u8 | 0x80);
        len >>= 7;
    }
    field.push(len as u8);
    field.extend(content);
    field
}

/// A small SentencePiece model.
fn model() -> Vec<u8> {
    let piece = |text: &str, score: f32, kind: u8| {
        let mut piece = bytes(1, text.as_bytes());
        piece.push(2 << 3 | 5);
        piece.extend(score.to_le_bytes());
        piece.extend([3 << 3, kind]);
        bytes(1, &piece)
    };
    let mut model = [piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3), piece("</s>", 0.0, 3)].concat();
    (0..=255u8).for_each(|byte| model.extend(piece(&format!("<0x{byte:02X}>"), 0.0, 6)));
    for (i, text) in ["▁a", "ab", "▁ab", "a", "b", "▁"].into_iter().enumerate() {
        model.extend(piece(text, -(i as f32), 1));
    }
    model.extend(bytes(3, &[3 << 3, 1]));
    model
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, content)| fs::write(folder.path().join(name), content).unwrap());
    folder
}

fn tokenizer(folder: &Path, family: Family, size: usize) -> Tokenizer {
    let metadata = Vocabulary::read(folder, family, size).unwrap().metadata();
    let pairs: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let architecture = Value::String("llama".into());
    let pairs: Vec<_> = pairs.into_iter().chain([("general.architecture", &architecture)]).collect();
    let mut file = Cursor::new(Vec::new());
    gguf_file::write(&mut file, &pairs, &[]).unwrap();
    file.set_position(0);
    Tokenizer::from_gguf(&Gguf::read(&mut file).unwrap()).unwrap()
}

#[test]
fn pieces_merge_by_their_scores_and_added_tokens_are_control_tokens() {
    let settings = br#"{"bos_token": "<s>", "eos_token": {"content": "</s>"}, "chat_template": "x",
        "added_tokens_decoder": {"265": {"content": "<|user|>", "special": true}}}"#;
    let folder = folder(&[("tokenizer.model", &model()), ("tokenizer_config.json", settings)]);
    let tokenizer = tokenizer(folder.path(), Family::Llama, 270);
    assert_eq!(tokenizer.encode("ab", false).unwrap(), [261]);
    assert_eq!(tokenizer.encode("<|user|>ab", true).unwrap()[0], 265);
    assert!(tokenizer.add_bos());
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.len()), (Some(1), Some(2), 270));
}

#[test]
fn chatglm_has_the_tokens_that_its_authors_keep_in_code() {
    let folder = folder(&[("tokenizer.model", &model())]);
    let tokenizer = tokenizer(folder.path(), Family::ChatGlm, 280);
    assert_eq!(tokenizer.token_text(265), Some("[MASK]"));
    assert_eq!(tokenizer.encode("[gMASK]sop<|user|>", true).unwrap(), [266, 268, 271]);
    assert!(!tokenizer.add_bos());
}

#[test]
fn a_truncated_model_is_refused_or_shorter_and_never_breaks_the_reader() {
    let model = model();
    for end in (0..model.len()).step_by(7) {
        let folder = folder(&[("tokenizer.model", &model[..end])]);
        if let Err(error) = Vocabulary::read(folder.path(), Family::Llama, 300) {
            assert!(error.to_string().contains("tokenizer"), "{error}");
        }
    }
    let folder = folder(&[("tokenizer.model", &model)]);
    let error = Vocabulary::read(folder.path(), Family::Llama, 100).unwrap_err().to_string();
    assert!(error.contains("the model knows 100 tokens"), "{error}");
}

/// LLaMA 2's own tokenizer.model gives the ids of llama.cpp's vocabulary of LLaMA.
#[test]
fn llama_2_tokenizes_as_in_llama_cpp() {
    let Some(fixtures) = std::env::var_os("FIXTURES_DIR").map(PathBuf::from) else {
        eprintln!("FIXTURES_DIR is not set: LLaMA 2's tokenizer is not compared");
        return;
    };
    let at = |name: &str| fixtures.join("tokenizers").join(name);
    let folder = folder(&[("tokenizer.model", &fs::read(at("llama2-tokenizer.model")).unwrap())]);
    let ours = tokenizer(folder.path(), Family::Llama, 32_000);
    let inputs = fs::read_to_string(at("ggml-vocab-llama-spm.gguf.inp")).unwrap();
    let outputs = fs::read_to_string(at("ggml-vocab-llama-spm.gguf.out")).unwrap();
    let texts: Vec<&str> = inputs.split("\n__ggml_vocab_test__\n").collect();
    let mut compared = 0;
    for (text, ids) in texts.iter().zip(outputs.lines()) {
        let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert_eq!(ours.encode(text, false).unwrap(), ids, "{text:?}");
        compared += 1;
    }
    assert!(compared > 30, "{compared} texts were compared");
}

/// The fixture's folder as GLM-4's: a vocabulary of 640 ranks, and room for the tokens that its authors keep in code.
fn glm_4(name: &str) -> (tempfile::TempDir, Tokenizer) {
    let model = fs::read(Path::new("tests/tiktoken").join(name).with_extension("model")).unwrap();
    let folder =
        folder(&[("tokenizer.model", &model), ("tokenizer_config.json", br#"{"eos_token": "<|endoftext|>"}"#)]);
    let tokenizer = tokenizer(folder.path(), Family::ChatGlm, 660);
    (folder, tokenizer)
}

/// tests/tiktoken/tiktoken_ids.py wrote what the package tiktoken gives.
#[test]
fn ranks_give_the_ids_of_tiktoken_even_where_no_training_made_them() {
    let expected: serde_json::Value =
        serde_json::from_str(&fs::read_to_string("tests/tiktoken/ids.json").unwrap()).unwrap();
    for name in ["trained", "shuffled"] {
        let (_folder, tokenizer) = glm_4(name);
        for row in expected[name].as_array().unwrap() {
            let text = row["text"].as_str().unwrap();
            let ids: Vec<u32> = serde_json::from_value(row["ids"].clone()).unwrap();
            assert_eq!(tokenizer.encode(text, false).unwrap(), ids, "{name}: {text:?}");
            assert_eq!(tokenizer.decode(&ids), text);
        }
    }
}

#[test]
fn glm_4_has_the_tokens_that_its_authors_keep_in_code() {
    let (_folder, tokenizer) = glm_4("trained");
    assert_eq!(tokenizer.encode("[gMASK]<sop><|user|>", true).unwrap(), [642, 644, 647]);
    assert_eq!((tokenizer.eos(), tokenizer.add_bos(), tokenizer.len()), (Some(640), false, 660));
    assert!([640, 647].iter().all(|&end| tokenizer.is_end_of_generation(end)), "it stops before the user's turn");
}

#[test]
fn a_tiktoken_file_that_is_damaged_or_of_another_family_is_refused() {
    let model = fs::read_to_string("tests/tiktoken/trained.model").unwrap();
    let refused = |model: &str, family: Family| {
        let folder = folder(&[("tokenizer.model", model.as_bytes())]);
        Vocabulary::read(folder.path(), family, 660).unwrap_err().to_string()
    };
    let without = |line: usize| {
        let lines = model.lines().enumerate().filter(|(number, _)| *number != line);
        lines.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    for (model, family, reason) in [
        (model.clone(), Family::Llama, "only GLM-4's tiktoken file is known"),
        (model.replacen(" 7\n", " seven\n", 1), Family::ChatGlm, "line 8 is not a token in base64 and its rank"),
        (without(300), Family::ChatGlm, "the rank 300 is missing or comes twice"),
        (model.replacen(" 9\n", " 8\n", 1), Family::ChatGlm, "the rank 9 is missing or comes twice"),
        (model.clone() + &model, Family::ChatGlm, "the token of line 641 has a rank already"),
        (model.replacen("AA== ", "AAAA ", 1), Family::ChatGlm, "the byte 0 has no token"),
    ] {
        let error = refused(&model, family);
        assert!(error.contains(reason) && error.contains("tokenizer.model"), "{error}");
    }
}
