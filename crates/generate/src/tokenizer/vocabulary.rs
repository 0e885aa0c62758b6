use decoder::{Array, Gguf};

use super::unusable;
use crate::Error;

/// The tokens of a model.
#[derive(Debug)]
pub struct Vocabulary {
    pub texts: Vec<String>,
    pub kinds: Vec<Kind>,
}

/// `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// Names by which models end a turn or a text, for files whose metadata do not name all of them.
const ENDS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<｜end▁of▁sentence｜>",
    // A model that fills a gap in code and begins another file has ended this one.
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

impl Vocabulary {
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, Error> {
        let texts = gguf.require("tokenizer.ggml.tokens", Gguf::get_strings)?.to_vec();
        if texts.is_empty() {
            return Err(unusable("tokenizer.ggml.tokens is empty"));
        }
        let mut kinds = match gguf.get_array("tokenizer.ggml.token_type")? {
            None => vec![Kind::Normal; texts.len()],
            Some(Array::Ints(kinds)) if kinds.len() == texts.len() => {
                kinds.iter().map(|&kind| Kind::from(kind)).collect()
            }
            Some(_) => {
                return Err(unusable(format!("tokenizer.ggml.token_type is no array of {} integers", texts.len())));
            }
        };
        for (text, kind) in texts.iter().zip(&mut kinds) {
            // Converters have called control tokens anything; a message must not be able to spell one.
            if ENDS.contains(&text.as_str()) || (*kind == Kind::UserDefined && looks_like_control(text)) {
                *kind = Kind::Control;
            }
        }
        Ok(Self { texts, kinds })
    }

    /// The id in `tokenizer.ggml.{name}_token_id`; `default` where the file has none.
    pub fn special_id(&self, gguf: &Gguf, name: &str, default: Option<u32>) -> Result<Option<u32>, Error> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        match gguf.get_u32(&key)? {
            Some(id) if id as usize >= self.texts.len() => {
                Err(unusable(format!("{key} is {id}, the vocabulary has {} tokens", self.texts.len())))
            }
            Some(id) => Ok(Some(id)),
            None => Ok(default.filter(|&id| (id as usize) < self.texts.len())),
        }
    }

    /// Tokens that end a reply by their name.
    pub fn ends(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.texts).filter(|(_, text)| ENDS.contains(&text.as_str())).map(|(id, _)| id)
    }
}

fn looks_like_control(text: &str) -> bool {
    [("<|", "|>"), ("<｜", "｜>")].iter().any(|(open, close)| text.starts_with(open) && text.ends_with(close))
}

impl From<i64> for Kind {
    fn from(id: i64) -> Self {
        match id {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }
}
