//! A folder's tokenizer as GGUF's `tokenizer.ggml.*` keys.

mod files;
mod table;

use crate::tiktoken::Ranks;
use crate::{CheckpointError, Family, sentencepiece};
use candle_core::quantized::gguf_file::Value;
use decoder::Gguf;
use files::{Special, Tokenizer, read_settings, read_template};
use std::path::Path;
use table::{CONTROL, Scheme, Table, UNUSED, USER_DEFINED};

/// What GGUF puts before the keys of a vocabulary.
const PREFIX: &str = "tokenizer.ggml.";
const TEMPLATE_KEY: &str = "tokenizer.chat_template";

/// A vocabulary, byte-level BPE or SentencePiece, and the chat template that goes with it.
#[derive(Debug)]
pub struct Vocabulary {
    /// The keys of a GGUF header, but for the chat template.
    metadata: Vec<(String, Value)>,
    chat_template: Option<String>,
}

impl Vocabulary {
    /// Reads tokenizer.json or else tokenizer.model, with tokenizer_config.json; `size` is the model's number of tokens.
    pub fn read(folder: &Path, family: Family, size: usize) -> Result<Vocabulary, CheckpointError> {
        let (json, model) = (folder.join("tokenizer.json"), folder.join("tokenizer.model"));
        let mut table = Table { tokens: vec![None; size], path: json.clone() };
        let settings = read_settings(folder)?;
        let model_bytes = std::fs::read(&model).ok();
        // SentencePiece's own file has the scores, which the JSON lacks.
        let pieces = model_bytes.as_deref().and_then(sentencepiece::parse);
        let mut starts_with_bos = None;
        let scheme = if let Some(pieces) = pieces {
            table.path = model;
            table.pieces(&pieces, family)?
        } else if json.is_file() {
            let text = std::fs::read_to_string(&json).map_err(CheckpointError::io(&json))?;
            let tokenizer: Tokenizer = serde_json::from_str(&text).map_err(CheckpointError::json(&json))?;
            starts_with_bos = Some(tokenizer.starts_with(settings.bos_token.as_ref().map(Special::text)));
            table.json(&tokenizer, family)?
        } else if let Some(bytes) = model_bytes {
            table.path = model;
            let ranks = Ranks::parse(&bytes).map_err(|reason| table.refuse(&reason))?;
            table.ranks(&ranks, family)?
        } else {
            return Err(CheckpointError::Tokenizer {
                reason: "there is neither tokenizer.json nor tokenizer.model".into(),
                path: folder.to_owned(),
            });
        };
        for (id, added) in &settings.added_tokens_decoder {
            let id: u32 = id.parse().map_err(|_| table.refuse(&format!("\"{id}\" is no token id")))?;
            // The vocabulary itself knows the unknown token from control tokens.
            if !table.is_special(id, &added.content) {
                table.set(id, &added.content, if added.special { CONTROL } else { USER_DEFINED })?;
            }
        }
        let tokens = table.tokens.iter().enumerate();
        let (tokens, types): (Vec<String>, Vec<i32>) =
            tokens.map(|(id, t)| t.clone().unwrap_or_else(|| (format!("[UNUSED{id}]"), UNUSED))).unzip();
        let id_of = |special: &Option<Special>| -> Result<Option<u32>, CheckpointError> {
            let Some(text) = special.as_ref().map(Special::text) else { return Ok(None) };
            match tokens.iter().position(|token| token == text) {
                Some(id) => Ok(u32::try_from(id).ok()),
                None => Err(table.refuse(&format!("tokenizer_config.json names \"{text}\", which is no token"))),
            }
        };
        let is_pieces = matches!(scheme, Scheme::Pieces { .. });
        // GLM's templates and prompts begin with [gMASK].
        let add_bos = !family.is_glm() && settings.add_bos_token.or(starts_with_bos).unwrap_or(is_pieces);
        // It hands the word back by the token that begins the user's turn.
        let turn = family.is_glm().then(|| tokens.iter().position(|token| token == "<|user|>")).flatten();
        let special = [
            ("bos_token_id", id_of(&settings.bos_token)?),
            ("eos_token_id", id_of(&settings.eos_token)?),
            ("eot_token_id", turn.and_then(|id| u32::try_from(id).ok())),
            ("unknown_token_id", id_of(&settings.unk_token)?),
            ("padding_token_id", id_of(&settings.pad_token)?),
        ];
        let strings = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
        let mut metadata = vec![
            ("token_type", Value::Array(types.into_iter().map(Value::I32).collect())),
            ("add_bos_token", Value::Bool(add_bos)),
            ("tokens", strings(tokens)),
        ];
        match scheme {
            Scheme::Bytes { merges, pre } => metadata.extend([
                ("model", Value::String("gpt2".into())),
                ("pre", Value::String(pre.into())),
                ("merges", strings(merges)),
            ]),
            Scheme::Pieces { scores, adds_space } => metadata.extend([
                ("model", Value::String("llama".into())),
                ("pre", Value::String("default".into())),
                ("scores", Value::Array(scores.into_iter().map(Value::F32).collect())),
                ("add_space_prefix", Value::Bool(adds_space)),
            ]),
        }
        metadata.extend(special.into_iter().filter_map(|(key, id)| Some((key, Value::U32(id?)))));
        metadata.sort_by_key(|(key, _)| *key);
        let metadata = metadata.into_iter().map(|(key, value)| (format!("{PREFIX}{key}"), value)).collect();
        Ok(Vocabulary { metadata, chat_template: read_template(folder, settings.chat_template) })
    }

    /// The vocabulary of a GGUF: its keys as they are.
    pub(crate) fn of_gguf(gguf: &Gguf) -> Vocabulary {
        let keys = gguf.metadata().iter().filter(|(key, _)| key.starts_with(PREFIX));
        let metadata = keys.map(|(key, value)| (key.clone(), typed(value))).collect();
        let template = match gguf.metadata().get(TEMPLATE_KEY) {
            Some(decoder::Value::String(text)) => Some(text.clone()),
            _ => None,
        };
        Vocabulary { metadata, chat_template: template }
    }

    /// The chat template.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// Takes the chat template that lies beside an adapter, if one does: it is the layout that the adapter was trained on.
    pub fn use_template_of(&mut self, adapter: &Path) {
        if let Ok(template) = std::fs::read_to_string(adapter.join("chat_template.jinja")) {
            self.chat_template = Some(template);
        }
    }

    /// The keys and values for a GGUF header.
    pub fn metadata(&self) -> Vec<(String, Value)> {
        let template = self.chat_template.as_ref().map(|text| (TEMPLATE_KEY.to_owned(), Value::String(text.clone())));
        self.metadata.iter().cloned().chain(template).collect()
    }
}

/// A value of a header in the type that llama.cpp writes it in.
fn typed(value: &decoder::Value) -> Value {
    use decoder::{Array, Value as Read};
    match value {
        Read::Int(number) => u32::try_from(*number).map_or(Value::I64(*number as i64), Value::U32),
        Read::Float(number) => Value::F32(*number as f32),
        Read::Bool(flag) => Value::Bool(*flag),
        Read::String(text) => Value::String(text.clone()),
        Read::Array(Array::Bytes(bytes)) => Value::Array(bytes.iter().copied().map(Value::U8).collect()),
        Read::Array(Array::Ints(ints)) => Value::Array(ints.iter().map(|&int| Value::I32(int as i32)).collect()),
        Read::Array(Array::Floats(floats)) => Value::Array(floats.iter().copied().map(Value::F32).collect()),
        Read::Array(Array::Strings(texts)) => Value::Array(texts.iter().cloned().map(Value::String).collect()),
    }
}
