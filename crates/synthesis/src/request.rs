use roles::Message;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// The step of the pipeline that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Notes on one piece of a script.
    Notes,
    /// The description in the third person.
    Description,
    /// The same in the second person.
    SecondPerson,
    /// Catchphrases.
    Catchphrases,
    /// Questions, confidence and answers from no script.
    ScriptAgnostic,
    /// Questions, confidence and answers from a piece of the script.
    ScriptBased,
    /// Reference answers to general instructions.
    Reference,
    /// The one answer that stands for `RoleGPT` itself.
    Baseline,
    /// A model under test answers a question.
    Answer,
    /// A judge compares answers.
    Judge,
}

/// How a reply is sampled; the defaults are the paper's for `RoleGPT`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 always takes the most probable token.
    pub temperature: f32,
    /// Share of probability that is sampled from, in (0, 1].
    pub top_p: f32,
    /// Most tokens of the reply.
    pub max_tokens: u32,
}

impl Sampling {
    /// Temperature 0.7, top-p 0.95 (paper, sections 2.8 and 3) and so many tokens.
    pub fn paper(max_tokens: u32) -> Sampling {
        Sampling { temperature: 0.7, top_p: 0.95, max_tokens }
    }
}

/// One question to a teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Who asks.
    pub stage: Stage,
    /// The prompt.
    pub messages: Vec<Message>,
    /// How to sample.
    pub sampling: Sampling,
    /// Should the reply be one JSON object?
    pub json: bool,
    /// Tells apart several answers to the same prompt.
    pub sample: u32,
}

/// The SHA-256 of a request and of the models it may go to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Request {
    /// The request's name in the journal. `models` are the teachers' models: another model is another request.
    pub fn key(&self, models: &str) -> Key {
        let content = serde_json::to_vec(&(models, self)).expect("text and numbers are always JSON");
        Key(Sha256::digest(content).into())
    }

    /// A guess at the tokens of the prompt, for prices and limits.
    pub fn estimated_tokens(&self) -> u64 {
        // Four tokens frame a message in the usual chat formats.
        self.messages.iter().map(|message| 4 + estimate_tokens(&message.content)).sum()
    }
}

/// A guess at a text's tokens: four letters to a token, and two tokens to three Chinese characters.
pub fn estimate_tokens(text: &str) -> u64 {
    let (mut narrow, mut wide) = (0u64, 0u64);
    for letter in text.chars() {
        match letter {
            '\u{2e80}'.. => wide += 1,
            _ => narrow += 1,
        }
    }
    narrow.div_ceil(4) + (wide * 2).div_ceil(3)
}

impl Key {
    /// A number drawn from the key: the same request gives the same.
    pub fn seed(self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("eight bytes"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl std::str::FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Key, ()> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(());
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| ())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ())?;
        }
        Ok(Key(bytes))
    }
}

impl Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom("a key is 64 hexadecimal digits"))
    }
}
