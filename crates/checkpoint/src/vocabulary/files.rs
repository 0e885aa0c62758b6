//! tokenizer.json and tokenizer_config.json as transformers writes them.

use crate::CheckpointError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
pub struct Tokenizer {
    pub model: Bpe,
    #[serde(default)]
    pub added_tokens: Vec<Added>,
    #[serde(default)]
    pub pre_tokenizer: serde_json::Value,
    #[serde(default)]
    pub post_processor: serde_json::Value,
}

#[derive(Deserialize)]
pub struct Bpe {
    pub vocab: BTreeMap<String, u32>,
    pub merges: Vec<Merge>,
    #[serde(default)]
    pub byte_fallback: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Merge {
    Text(String),
    Pair(String, String),
}

impl Merge {
    pub fn text(&self) -> String {
        match self {
            Merge::Text(text) => text.clone(),
            Merge::Pair(left, right) => format!("{left} {right}"),
        }
    }
}

#[derive(Deserialize)]
pub struct Added {
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub special: bool,
}

#[derive(Default, Deserialize)]
pub struct Settings {
    pub bos_token: Option<Special>,
    pub eos_token: Option<Special>,
    pub unk_token: Option<Special>,
    pub pad_token: Option<Special>,
    pub add_bos_token: Option<bool>,
    pub chat_template: Option<Template>,
    #[serde(default)]
    pub added_tokens_decoder: BTreeMap<String, Decoded>,
}

#[derive(Deserialize)]
pub struct Decoded {
    pub content: String,
    #[serde(default)]
    pub special: bool,
}

/// transformers writes a special token as text or as an object.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Special {
    Text(String),
    Object { content: String },
}

impl Special {
    pub fn text(&self) -> &str {
        match self {
            Special::Text(text) | Special::Object { content: text } => text,
        }
    }
}

/// One template, or several with names.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Template {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
pub struct NamedTemplate {
    pub name: String,
    pub template: String,
}

impl Tokenizer {
    /// Whether the post-processor puts `bos` before every text.
    pub fn starts_with(&self, bos: Option<&str>) -> bool {
        let single = |processor: &serde_json::Value| processor["single"][0]["SpecialToken"]["id"].as_str() == bos;
        let several = self.post_processor["processors"].as_array();
        bos.is_some() && several.map_or_else(|| single(&self.post_processor), |all| all.iter().any(single))
    }
}

pub fn read_settings(folder: &Path) -> Result<Settings, CheckpointError> {
    let path = folder.join("tokenizer_config.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(CheckpointError::json(&path)),
        Err(_) => Ok(Settings::default()),
    }
}

/// The template lies in tokenizer_config.json, or in a file of its own.
pub fn read_template(folder: &Path, template: Option<Template>) -> Option<String> {
    match template {
        Some(Template::One(text)) => Some(text),
        Some(Template::Named(all)) => all.into_iter().find(|t| t.name == "default").map(|t| t.template),
        None => std::fs::read_to_string(folder.join("chat_template.jinja")).ok(),
    }
}
