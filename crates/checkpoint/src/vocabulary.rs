//! A folder's tokenizer as GGUF's `tokenizer.ggml.*` keys.

use crate::{CheckpointError, Family, sentencepiece};
use candle_core::quantized::gguf_file::Value;
use decoder::Gguf;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

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
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// What ChatGLM2 and ChatGLM3 keep in code instead of a file, after the pieces of tokenizer.model.
const CHATGLM_SPECIAL: [&str; 9] =
    ["[MASK]", "[gMASK]", "[sMASK]", "sop", "eop", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"];

/// What GGUF puts before the keys of a vocabulary.
const PREFIX: &str = "tokenizer.ggml.";
const TEMPLATE_KEY: &str = "tokenizer.chat_template";

/// A score that no merge beats; for tokens that no merge makes.
const LAST_SCORE: f32 = -1e6;

/// A vocabulary, byte-level BPE or SentencePiece, and the chat template that goes with it.
#[derive(Debug)]
pub struct Vocabulary {
    /// The keys of a GGUF header, but for the chat template.
    metadata: Vec<(String, Value)>,
    chat_template: Option<String>,
}

#[derive(Debug)]
enum Scheme {
    Bytes { merges: Vec<String>, pre: &'static str },
    Pieces { scores: Vec<f32>, adds_space: bool },
}

#[derive(Deserialize)]
struct Tokenizer {
    model: Bpe,
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    pre_tokenizer: serde_json::Value,
    #[serde(default)]
    post_processor: serde_json::Value,
}

#[derive(Deserialize)]
struct Bpe {
    vocab: BTreeMap<String, u32>,
    merges: Vec<Merge>,
    #[serde(default)]
    byte_fallback: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Pair(String, String),
}

impl Merge {
    fn text(&self) -> String {
        match self {
            Merge::Text(text) => text.clone(),
            Merge::Pair(left, right) => format!("{left} {right}"),
        }
    }
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Default, Deserialize)]
struct Settings {
    bos_token: Option<Special>,
    eos_token: Option<Special>,
    unk_token: Option<Special>,
    pad_token: Option<Special>,
    add_bos_token: Option<bool>,
    chat_template: Option<Template>,
    #[serde(default)]
    added_tokens_decoder: BTreeMap<String, Decoded>,
}

#[derive(Deserialize)]
struct Decoded {
    content: String,
    #[serde(default)]
    special: bool,
}

/// transformers writes a special token as text or as an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Special {
    Text(String),
    Object { content: String },
}

impl Special {
    fn text(&self) -> &str {
        match self {
            Special::Text(text) | Special::Object { content: text } => text,
        }
    }
}

/// One template, or several with names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Template {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

impl Vocabulary {
    /// Reads tokenizer.json or else tokenizer.model, with tokenizer_config.json; `size` is the model's number of tokens.
    pub fn read(folder: &Path, family: Family, size: usize) -> Result<Vocabulary, CheckpointError> {
        let (json, model) = (folder.join("tokenizer.json"), folder.join("tokenizer.model"));
        let mut table = Table { tokens: vec![None; size], path: json.clone() };
        let settings = read_settings(folder)?;
        // SentencePiece's own file has the scores, which the JSON lacks.
        let pieces = match std::fs::read(&model) {
            Ok(bytes) => sentencepiece::parse(&bytes),
            Err(_) => None,
        };
        let mut starts_with_bos = None;
        let scheme = if let Some(pieces) = pieces {
            table.path = model;
            table.pieces(&pieces, family)?
        } else if json.is_file() {
            let text = std::fs::read_to_string(&json).map_err(CheckpointError::io(&json))?;
            let tokenizer: Tokenizer = serde_json::from_str(&text).map_err(CheckpointError::json(&json))?;
            starts_with_bos = Some(tokenizer.starts_with(settings.bos_token.as_ref().map(Special::text)));
            table.json(&tokenizer, family)?
        } else if model.is_file() {
            table.path = model;
            return Err(table.refuse("it is no SentencePiece model; the folder needs a tokenizer.json"));
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
        let add_bos = match family {
            // Their templates and prompts begin with [gMASK].
            Family::ChatGlm | Family::Glm | Family::Glm4 => false,
            _ => settings.add_bos_token.or(starts_with_bos).unwrap_or(is_pieces),
        };
        let special = [
            ("bos_token_id", id_of(&settings.bos_token)?),
            ("eos_token_id", id_of(&settings.eos_token)?),
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

/// Texts and types by id, while they are gathered.
struct Table {
    tokens: Vec<Option<(String, i32)>>,
    path: PathBuf,
}

impl Table {
    fn refuse(&self, reason: &str) -> CheckpointError {
        CheckpointError::Tokenizer { reason: reason.to_owned(), path: self.path.clone() }
    }

    fn set(&mut self, id: u32, text: &str, kind: i32) -> Result<(), CheckpointError> {
        let size = self.tokens.len();
        let Some(token) = self.tokens.get_mut(id as usize) else {
            return Err(self.refuse(&format!("the token \"{text}\" has id {id}, the model knows {size} tokens")));
        };
        *token = Some((text.to_owned(), kind));
        Ok(())
    }

    fn is_special(&self, id: u32, text: &str) -> bool {
        let found = self.tokens.get(id as usize).and_then(Option::as_ref);
        found.is_some_and(|(known, kind)| known == text && *kind != NORMAL)
    }

    fn pieces(&mut self, model: &sentencepiece::Model, family: Family) -> Result<Scheme, CheckpointError> {
        for (id, piece) in (0..).zip(&model.pieces) {
            self.set(id, &piece.text, piece.kind)?;
        }
        if family == Family::ChatGlm {
            for (id, text) in (model.pieces.len() as u32..self.tokens.len() as u32).zip(CHATGLM_SPECIAL) {
                self.set(id, text, CONTROL)?;
            }
        }
        let mut scores: Vec<f32> = model.pieces.iter().map(|piece| piece.score).collect();
        scores.resize(self.tokens.len(), LAST_SCORE);
        Ok(Scheme::Pieces { scores, adds_space: model.adds_space })
    }

    fn json(&mut self, tokenizer: &Tokenizer, family: Family) -> Result<Scheme, CheckpointError> {
        let is_pieces = tokenizer.model.byte_fallback;
        for (text, &id) in &tokenizer.model.vocab {
            let is_byte = is_pieces && text.len() == 6 && text.starts_with("<0x") && text.ends_with('>');
            let kind = match (is_byte, is_pieces && text == "<unk>") {
                (true, _) => BYTE,
                (_, true) => UNKNOWN,
                _ => NORMAL,
            };
            self.set(id, text, kind)?;
        }
        for added in &tokenizer.added_tokens {
            let is_unknown = is_pieces && added.content == "<unk>";
            let kind = match (is_unknown, added.special) {
                (true, _) => UNKNOWN,
                (_, true) => CONTROL,
                _ => USER_DEFINED,
            };
            self.set(added.id, &added.content, kind)?;
        }
        if !is_pieces {
            let merges = tokenizer.model.merges.iter().map(Merge::text).collect();
            return Ok(Scheme::Bytes { merges, pre: self.pre_tokenizer(&tokenizer.pre_tokenizer, family)? });
        }
        // A merge comes the earlier the better the score of what it makes.
        let mut ranks: HashMap<String, f32> = HashMap::new();
        for (rank, merge) in tokenizer.model.merges.iter().enumerate() {
            ranks.entry(merge.text().replace(' ', "")).or_insert(-(rank as f32));
        }
        let score = |token: &Option<(String, i32)>| token.as_ref().and_then(|(text, _)| ranks.get(text)).copied();
        let scores = self.tokens.iter().map(|token| score(token).unwrap_or(LAST_SCORE)).collect();
        Ok(Scheme::Pieces { scores, adds_space: true })
    }

    fn pre_tokenizer(&self, found: &serde_json::Value, family: Family) -> Result<&'static str, CheckpointError> {
        let found = found.to_string();
        let named = PRE_TOKENIZERS.iter().find(|(_, pattern)| found.contains(&serde_json::json!(pattern).to_string()));
        match named {
            Some((_, _)) if matches!(family, Family::ChatGlm | Family::Glm | Family::Glm4) => Ok("glm4"),
            Some((name, _)) => Ok(name),
            None => {
                let known = PRE_TOKENIZERS.map(|(name, _)| name).join(", ");
                Err(self.refuse(&format!("its pre-tokenizer has no name in GGUF (known: {known})")))
            }
        }
    }
}

impl Tokenizer {
    /// Whether the post-processor puts `bos` before every text.
    fn starts_with(&self, bos: Option<&str>) -> bool {
        let single = |processor: &serde_json::Value| processor["single"][0]["SpecialToken"]["id"].as_str() == bos;
        let several = self.post_processor["processors"].as_array();
        bos.is_some() && several.map_or_else(|| single(&self.post_processor), |all| all.iter().any(single))
    }
}

fn read_settings(folder: &Path) -> Result<Settings, CheckpointError> {
    let path = folder.join("tokenizer_config.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(CheckpointError::json(&path)),
        Err(_) => Ok(Settings::default()),
    }
}

/// The template lies in tokenizer_config.json, or in a file of its own.
fn read_template(folder: &Path, template: Option<Template>) -> Option<String> {
    match template {
        Some(Template::One(text)) => Some(text),
        Some(Template::Named(all)) => all.into_iter().find(|t| t.name == "default").map(|t| t.template),
        None => std::fs::read_to_string(folder.join("chat_template.jinja")).ok(),
    }
}
