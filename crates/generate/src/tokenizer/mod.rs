mod byte_bpe;
mod pre_tokenization;
mod special;
mod spm;
mod vocabulary;

use std::ops::Range;

use decoder::Gguf;

use crate::Error;
use byte_bpe::ByteBpe;
use pre_tokenization::PreTokenization;
use special::{Fragment, SpecialTokens};
use spm::Spm;
use vocabulary::{Kind, Vocabulary};

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
    add_eos: bool,
    add_space_prefix: bool,
}

#[derive(Debug)]
enum Scheme {
    Spm(Spm),
    ByteBpe(Box<ByteBpe>),
}

/// A part of a text that says whether control tokens spelled out in it are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The text.
    pub text: &'a str,
    /// Whether control tokens in it become their ids.
    pub parse_special: bool,
}

impl Tokenizer {
    /// Builds the tokenizer; works for files without tensors, too.
    ///
    /// # Errors
    /// Missing or contradictory metadata, an unknown model or pre-tokenizer.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, Error> {
        let mut vocabulary = Vocabulary::from_gguf(gguf)?;
        let is_spm = gguf.get_str("tokenizer.ggml.model")? == Some("llama");
        let id = |name: &str, default: u32| vocabulary.special_id(gguf, name, is_spm.then_some(default));
        let [bos, eos, unknown] = [id("bos", 1)?, id("eos", 2)?, id("unknown", 0)?];
        let [eot, eom] = ["eot", "eom"].map(|name| vocabulary.special_id(gguf, name, None));
        let end_of_generation = [eos, eot?, eom?].into_iter().flatten().chain(vocabulary.ends()).collect();
        if gguf.get_array("tokenizer.ggml.token_type")?.is_none() {
            for id in [bos, eos].into_iter().flatten() {
                vocabulary.kinds[id as usize] = Kind::Control;
            }
        }
        let (scheme, add_bos) = match gguf.require("tokenizer.ggml.model", Gguf::get_str)? {
            "llama" => (Scheme::Spm(Spm::from_gguf(gguf, &vocabulary, unknown)?), true),
            "gpt2" => {
                let rule = PreTokenization::from_gguf(gguf)?;
                (Scheme::ByteBpe(Box::new(ByteBpe::from_gguf(gguf, &vocabulary, rule)?)), rule.add_bos)
            }
            other => return Err(unusable(format!("its model is {other:?}; supported: llama, gpt2"))),
        };
        let name = gguf.get_str("general.name")?.unwrap_or_default().to_lowercase();
        let is_phi3 = name.contains("phi-3") || name.contains("phi3");
        let special =
            SpecialTokens::new(&vocabulary, |text| is_phi3 && !["<unk>", "<s>", "<|endoftext|>"].contains(&text));
        let add_bos = gguf.get_bool("tokenizer.ggml.add_bos_token")?.unwrap_or(add_bos);
        let add_eos = gguf.get_bool("tokenizer.ggml.add_eos_token")?.unwrap_or(false);
        let add_space_prefix = is_spm && gguf.get_bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        Ok(Self { vocabulary, scheme, special, bos, eos, end_of_generation, add_bos, add_eos, add_space_prefix })
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

    /// The begin-of-text token as the vocabulary spells it; empty if there is none.
    pub fn bos_text(&self) -> &str {
        self.bos.and_then(|id| self.token_text(id)).unwrap_or_default()
    }

    /// The end-of-text token as the vocabulary spells it; empty if there is none.
    pub fn eos_text(&self) -> &str {
        self.eos.and_then(|id| self.token_text(id)).unwrap_or_default()
    }

    /// Whether prompts begin with [`Self::bos`].
    pub fn add_bos(&self) -> bool {
        self.add_bos
    }

    /// Whether the file asks for [`Self::eos`] after a text. Prompts do not heed it: nothing could follow.
    pub fn add_eos(&self) -> bool {
        self.add_eos
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
        self.encode_segments(&[Segment { text, parse_special }])
    }

    /// The ids of a text in several segments: those of the whole text, but for control tokens, which are seen only where one or
    /// several adjacent segments allow them.
    ///
    /// # Errors
    /// The vocabulary lacks what the merges promise.
    pub fn encode_segments(&self, segments: &[Segment<'_>]) -> Result<Vec<u32>, Error> {
        let (text, trusted) = join(segments);
        let mut ids = Vec::new();
        let mut after_special = true;
        for fragment in self.special.split(&text, &trusted) {
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

    /// Whether [`Self::encode`] would find a control token in the text, if allowed to.
    pub fn spells_control(&self, text: &str) -> bool {
        self.special.spells_control(text)
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

/// The whole text, and the ranges of it in which control tokens are meant; no two of them touch.
fn join(segments: &[Segment<'_>]) -> (String, Vec<Range<usize>>) {
    let mut whole = String::new();
    let mut trusted: Vec<Range<usize>> = Vec::new();
    for segment in segments {
        let start = whole.len();
        whole.push_str(segment.text);
        match trusted.last_mut().filter(|range| range.end == start) {
            _ if !segment.parse_special => {}
            Some(range) => range.end = whole.len(),
            None => trusted.push(start..whole.len()),
        }
    }
    (whole, trusted)
}

fn unusable(reason: impl Into<String>) -> Error {
    Error::Tokenizer { reason: reason.into() }
}
