mod byte_bpe;
mod special;
mod spm;

use decoder::{Array, Gguf};

use crate::Error;
use byte_bpe::ByteBpe;
use special::{Fragment, SpecialTokens};
use spm::Spm;

/// A tokenizer built from the metadata of a GGUF (`tokenizer.ggml.*`).
///
/// Models `llama` (SentencePiece BPE with scores and byte fallback) and `gpt2` (byte-level BPE with merges).
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    scheme: Scheme,
    special: SpecialTokens,
    bos: Option<u32>,
    eos: Option<u32>,
    end_of_generation: Vec<u32>,
    add_bos: bool,
    add_space_prefix: bool,
}

#[derive(Debug)]
enum Scheme {
    Spm(Spm),
    ByteBpe(Box<ByteBpe>),
}

/// `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

#[derive(Debug)]
struct Vocabulary {
    texts: Vec<String>,
    kinds: Vec<Kind>,
}

/// Names by which models end a turn, for files whose metadata names only the end of the text.
const END_OF_TURN: &[&str] =
    &["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<EOT>"];

impl Tokenizer {
    /// Builds the tokenizer; works for files without tensors, too.
    ///
    /// # Errors
    /// Missing or contradictory metadata, an unknown model or pre-tokenizer.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, Error> {
        let vocabulary = Vocabulary::from_gguf(gguf)?;
        let id = |name: &str| vocabulary.special_id(gguf, name);
        let [bos, eos, unknown] = [id("bos")?, id("eos")?, id("unknown")?];
        let turn_ends = [eos, id("eot")?, id("eom")?];
        let named =
            (0..).zip(&vocabulary.texts).filter(|(_, text)| END_OF_TURN.contains(&text.as_str())).map(|(id, _)| id);
        let end_of_generation = turn_ends.into_iter().flatten().chain(named).collect();
        let scheme = match gguf.require("tokenizer.ggml.model", Gguf::get_str)? {
            "llama" => Scheme::Spm(Spm::from_gguf(gguf, &vocabulary, unknown)?),
            "gpt2" => Scheme::ByteBpe(Box::new(ByteBpe::from_gguf(gguf, &vocabulary)?)),
            other => return Err(unusable(format!("its model is {other:?}; supported: llama, gpt2"))),
        };
        let is_spm = matches!(scheme, Scheme::Spm(_));
        let special = SpecialTokens::new(&vocabulary, [bos, eos].into_iter().flatten());
        let add_bos = gguf.get_bool("tokenizer.ggml.add_bos_token")?.unwrap_or(is_spm);
        let add_space_prefix = is_spm && gguf.get_bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        Ok(Self { vocabulary, scheme, special, bos, eos, end_of_generation, add_bos, add_space_prefix })
    }

    /// Number of tokens.
    #[expect(clippy::len_without_is_empty, reason = "a vocabulary is never empty")]
    pub fn len(&self) -> usize {
        self.vocabulary.texts.len()
    }

    /// The begin-of-text token.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The end-of-text token.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Whether prompts begin with [`Self::bos`].
    pub fn add_bos(&self) -> bool {
        self.add_bos
    }

    /// Whether the model ends its reply by this token.
    pub fn is_end_of_generation(&self, token: u32) -> bool {
        self.end_of_generation.contains(&token)
    }

    /// The token's text as the vocabulary spells it.
    pub fn token_text(&self, token: u32) -> Option<&str> {
        self.vocabulary.texts.get(token as usize).map(String::as_str)
    }

    /// The ids of `text`, without a begin-of-text token.
    ///
    /// With `parse_special`, control tokens spelled out in the text (`</s>`, `<|im_end|>`) become their ids; else they are plain text.
    ///
    /// # Errors
    /// The vocabulary lacks what the merges promise.
    pub fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::new();
        let mut after_special = true;
        for fragment in self.special.split(text, parse_special) {
            match (fragment, &self.scheme) {
                (Fragment::Special(id), _) => ids.push(id),
                (Fragment::Text(text), Scheme::Spm(spm)) => {
                    spm.encode(text, self.add_space_prefix && after_special, &mut ids);
                }
                (Fragment::Text(text), Scheme::ByteBpe(bpe)) => bpe.encode(text, &mut ids)?,
            }
            after_special = matches!(fragment, Fragment::Special(_));
        }
        Ok(ids)
    }

    /// The bytes that a token adds to a text after `previous`: possibly part of a character; none for control tokens.
    ///
    /// At the start of a text (`previous` is `None` or the begin-of-text token) the space that [`Self::encode`] put there is left out.
    pub fn token_bytes(&self, token: u32, previous: Option<u32>) -> Vec<u8> {
        let Some(text) = self.token_text(token) else { return Vec::new() };
        let mut bytes = match (self.vocabulary.kinds[token as usize], &self.scheme) {
            (Kind::Control | Kind::Unknown | Kind::Unused, _) => Vec::new(),
            (Kind::UserDefined, _) => text.as_bytes().to_vec(),
            (Kind::Byte, _) => spm::byte_value(text).into_iter().collect(),
            (Kind::Normal, Scheme::Spm(_)) => text.replace(spm::SPACE, " ").into_bytes(),
            (Kind::Normal, Scheme::ByteBpe(bpe)) => bpe.bytes(text),
        };
        let at_start = previous.is_none() || previous == self.bos;
        if self.add_space_prefix && at_start && bytes.first() == Some(&b' ') {
            bytes.remove(0);
        }
        bytes
    }

    /// The text of `tokens`; bytes that make no character become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let mut bytes = Vec::new();
        let mut previous = None;
        for &token in tokens {
            bytes.extend(self.token_bytes(token, previous));
            previous = Some(token);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Vocabulary {
    fn from_gguf(gguf: &Gguf) -> Result<Self, Error> {
        let texts = gguf.require("tokenizer.ggml.tokens", Gguf::get_strings)?.to_vec();
        if texts.is_empty() {
            return Err(unusable("tokenizer.ggml.tokens is empty"));
        }
        let kinds = match gguf.get_array("tokenizer.ggml.token_type")? {
            None => vec![Kind::Normal; texts.len()],
            Some(Array::Ints(kinds)) if kinds.len() == texts.len() => {
                kinds.iter().map(|&kind| Kind::from(kind)).collect()
            }
            Some(_) => {
                return Err(unusable(format!("tokenizer.ggml.token_type is no array of {} integers", texts.len())));
            }
        };
        Ok(Self { texts, kinds })
    }

    fn special_id(&self, gguf: &Gguf, name: &str) -> Result<Option<u32>, Error> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        match gguf.get_u32(&key)? {
            Some(id) if id as usize >= self.texts.len() => {
                Err(unusable(format!("{key} is {id}, the vocabulary has {} tokens", self.texts.len())))
            }
            id => Ok(id),
        }
    }
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

fn unusable(reason: impl Into<String>) -> Error {
    Error::Tokenizer { reason: reason.into() }
}
