//! The tokens of a folder, gathered from whichever file has them.

use super::files::{Merge, Tokenizer};
use crate::tiktoken::Ranks;
use crate::{CheckpointError, Family, sentencepiece};
use std::collections::HashMap;
use std::path::PathBuf;

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
pub const NORMAL: i32 = 1;
pub const UNKNOWN: i32 = 2;
pub const CONTROL: i32 = 3;
pub const USER_DEFINED: i32 = 4;
pub const UNUSED: i32 = 5;
pub const BYTE: i32 = 6;

/// What ChatGLM2 and ChatGLM3 keep in code instead of a file, after the pieces of tokenizer.model.
const CHATGLM_SPECIAL: [&str; 9] =
    ["[MASK]", "[gMASK]", "[sMASK]", "sop", "eop", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"];

/// What GLM-4 keeps in code, after the ranks of tokenizer.model.
const GLM_4_SPECIAL: [&str; 14] = [
    "<|endoftext|>",
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<sop>",
    "<eop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
];

/// A score that no merge beats; for tokens that no merge makes.
const LAST_SCORE: f32 = -1e6;

#[derive(Debug)]
pub enum Scheme {
    Bytes { merges: Vec<String>, pre: &'static str },
    Pieces { scores: Vec<f32>, adds_space: bool },
}

/// Texts and types by id, while they are gathered.
pub struct Table {
    pub tokens: Vec<Option<(String, i32)>>,
    pub path: PathBuf,
}

impl Table {
    pub fn refuse(&self, reason: &str) -> CheckpointError {
        CheckpointError::Tokenizer { reason: reason.to_owned(), path: self.path.clone() }
    }

    pub fn set(&mut self, id: u32, text: &str, kind: i32) -> Result<(), CheckpointError> {
        let size = self.tokens.len();
        let Some(token) = self.tokens.get_mut(id as usize) else {
            return Err(self.refuse(&format!("the token \"{text}\" has id {id}, the model knows {size} tokens")));
        };
        *token = Some((text.to_owned(), kind));
        Ok(())
    }

    pub fn is_special(&self, id: u32, text: &str) -> bool {
        let found = self.tokens.get(id as usize).and_then(Option::as_ref);
        found.is_some_and(|(known, kind)| known == text && *kind != NORMAL)
    }

    pub fn pieces(&mut self, model: &sentencepiece::Model, family: Family) -> Result<Scheme, CheckpointError> {
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

    /// A tiktoken file says neither how words are split nor which tokens are special: both are known of GLM-4 alone.
    pub fn ranks(&mut self, ranks: &Ranks, family: Family) -> Result<Scheme, CheckpointError> {
        if !family.is_glm() {
            return Err(self.refuse("only GLM-4's tiktoken file is known; the folder needs a tokenizer.json"));
        }
        let texts = ranks.texts();
        let special = texts.len()..self.tokens.len();
        for (id, text) in (0..).zip(texts) {
            self.set(id, &text, NORMAL)?;
        }
        for (id, text) in special.zip(GLM_4_SPECIAL) {
            self.set(id as u32, text, CONTROL)?;
        }
        Ok(Scheme::Bytes { merges: ranks.merges(), pre: "glm4" })
    }

    pub fn json(&mut self, tokenizer: &Tokenizer, family: Family) -> Result<Scheme, CheckpointError> {
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
            Some((_, _)) if family.is_glm() => Ok("glm4"),
            Some((name, _)) => Ok(name),
            None => {
                let known = PRE_TOKENIZERS.map(|(name, _)| name).join(", ");
                Err(self.refuse(&format!("its pre-tokenizer has no name in GGUF (known: {known})")))
            }
        }
    }
}
