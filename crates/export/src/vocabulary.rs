//! tokenizer.json and tokenizer_config.json as GGUF's `tokenizer.ggml.*` keys.

use crate::ExportError;
use candle_core::quantized::gguf_file::Value;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// GGUF names a pre-tokenizer; tokenizer.json spells its regular expression out.
const PRE_TOKENIZERS: [(&str, &str); 2] = [
    (
        "qwen2",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    (
        "llama-bpe",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
];

/// GGUF's token types.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

/// A byte-level BPE vocabulary.
#[derive(Debug)]
pub struct Vocabulary {
    tokens: Vec<String>,
    types: Vec<i32>,
    merges: Vec<String>,
    pre: &'static str,
    bos: Option<u32>,
    eos: Option<u32>,
    chat_template: Option<String>,
}

#[derive(Deserialize)]
struct Tokenizer {
    model: Bpe,
    #[serde(default)]
    added_tokens: Vec<Added>,
    pre_tokenizer: serde_json::Value,
}

#[derive(Deserialize)]
struct Bpe {
    vocab: BTreeMap<String, u32>,
    merges: Vec<Merge>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Pair(String, String),
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Settings {
    bos_token: Option<Special>,
    eos_token: Option<Special>,
    chat_template: Option<String>,
}

/// transformers writes a special token as text or as an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Special {
    Text(String),
    Object { content: String },
}

impl Special {
    fn text(self) -> String {
        match self {
            Special::Text(text) | Special::Object { content: text } => text,
        }
    }
}

impl Vocabulary {
    /// Reads the two files of a folder; `size` is the model's number of tokens.
    pub fn read(folder: &Path, size: usize) -> Result<Vocabulary, ExportError> {
        let path = folder.join("tokenizer.json");
        let refuse = |reason: String| ExportError::Tokenizer { reason, path: path.clone() };
        let text = std::fs::read_to_string(&path).map_err(ExportError::io(&path))?;
        let tokenizer: Tokenizer = serde_json::from_str(&text).map_err(ExportError::json(&path))?;
        let pre = tokenizer.pre_tokenizer.to_string();
        let named = PRE_TOKENIZERS.iter().find(|(_, pattern)| {
            let quoted = serde_json::Value::from(*pattern).to_string();
            pre.contains(&quoted)
        });
        let Some((pre, _)) = named else {
            let known = PRE_TOKENIZERS.map(|(name, _)| name).join(", ");
            return Err(refuse(format!("its pre-tokenizer has no name in GGUF (known: {known})")));
        };

        let mut tokens: Vec<String> = (0..size).map(|id| format!("[UNUSED{id}]")).collect();
        let mut types = vec![UNUSED; size];
        let normal = tokenizer.model.vocab.iter().map(|(token, id)| (token.as_str(), *id, NORMAL));
        let added = tokenizer
            .added_tokens
            .iter()
            .map(|added| (added.content.as_str(), added.id, if added.special { CONTROL } else { NORMAL }));
        for (token, id, kind) in normal.chain(added) {
            let at = id as usize;
            if at >= size {
                return Err(refuse(format!("the token \"{token}\" has id {id}, the model knows {size} tokens")));
            }
            tokens[at] = token.to_string();
            types[at] = kind;
        }
        let merges = tokenizer.model.merges.into_iter().map(|merge| match merge {
            Merge::Text(text) => text,
            Merge::Pair(left, right) => format!("{left} {right}"),
        });

        let path_of_settings = folder.join("tokenizer_config.json");
        let text = std::fs::read_to_string(&path_of_settings).map_err(ExportError::io(&path_of_settings))?;
        let settings: Settings = serde_json::from_str(&text).map_err(ExportError::json(&path_of_settings))?;
        let id_of = |special: Option<Special>| -> Result<Option<u32>, ExportError> {
            let Some(text) = special.map(Special::text) else { return Ok(None) };
            match tokens.iter().position(|token| *token == text) {
                Some(id) => Ok(u32::try_from(id).ok()),
                None => Err(refuse(format!("tokenizer_config.json names \"{text}\", which is no token"))),
            }
        };
        let (bos, eos) = (id_of(settings.bos_token)?, id_of(settings.eos_token)?);
        Ok(Vocabulary { merges: merges.collect(), pre, bos, eos, chat_template: settings.chat_template, types, tokens })
    }

    /// The keys and values for a GGUF header.
    pub fn metadata(&self) -> Vec<(String, Value)> {
        let strings = |texts: &[String]| Value::Array(texts.iter().cloned().map(Value::String).collect());
        let mut metadata = vec![
            ("model", Value::String("gpt2".into())),
            ("pre", Value::String(self.pre.into())),
            ("tokens", strings(&self.tokens)),
            ("token_type", Value::Array(self.types.iter().map(|&kind| Value::I32(kind)).collect())),
            ("merges", strings(&self.merges)),
            // The chat template writes the first token itself.
            ("add_bos_token", Value::Bool(false)),
        ];
        metadata.extend(self.bos.map(|id| ("bos_token_id", Value::U32(id))));
        metadata.extend(self.eos.map(|id| ("eos_token_id", Value::U32(id))));
        let mut metadata: Vec<(String, Value)> =
            metadata.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).collect();
        if let Some(template) = &self.chat_template {
            metadata.push(("tokenizer.chat_template".into(), Value::String(template.clone())));
        }
        metadata
    }
}
