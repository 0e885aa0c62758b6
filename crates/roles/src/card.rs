//! Character cards V1, V2 and V3: JSON, or a PNG that carries it in a `ccv3` or `chara` text chunk.

use crate::{Exchange, Language, Role, png};
use base64::Engine as _;
use serde_json::{Map, Value};

/// A character card as it came: every field is kept, also those that this program does not know.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// The fields of `data` (V2, V3), or of the whole object (V1).
    fields: Map<String, Value>,
}

/// Why a card is refused.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// Neither JSON nor PNG.
    #[error("not a character card: {0}")]
    Json(#[from] serde_json::Error),
    /// A picture without a character.
    #[error("this PNG carries no character: it has no \"ccv3\" or \"chara\" text chunk")]
    NoChunk,
    /// The text chunk does not hold base64.
    #[error("the PNG's \"{keyword}\" chunk is damaged: {source}")]
    Base64 {
        /// The chunk's keyword.
        keyword: &'static str,
        /// What the decoder says.
        source: base64::DecodeError,
    },
    /// JSON, but not an object.
    #[error("not a character card: the JSON is {found}, a card is an object")]
    NotAnObject {
        /// What kind of JSON value it is.
        found: &'static str,
    },
    /// A card must at least say who it is.
    #[error("the card's field \"name\" is {found}; a card needs a name")]
    NoName {
        /// "missing", "empty" or "not text".
        found: &'static str,
    },
    /// A file saved as something else, a lorebook for example.
    #[error("the file's \"spec\" is \"{found}\"; expected chara_card_v2 or chara_card_v3")]
    Spec {
        /// The value found.
        found: String,
    },
}

impl Card {
    /// Reads a card from the bytes of a JSON or PNG file.
    pub fn read(bytes: &[u8]) -> Result<Card, CardError> {
        if !png::is_png(bytes) {
            return Card::from_value(serde_json::from_slice(bytes)?);
        }
        for keyword in ["ccv3", "chara"] {
            if let Some(text) = png::text_chunk(bytes, keyword) {
                let json = base64::engine::general_purpose::STANDARD
                    .decode(text.trim_ascii())
                    .map_err(|source| CardError::Base64 { keyword, source })?;
                return Card::from_value(serde_json::from_slice(&json)?);
            }
        }
        Err(CardError::NoChunk)
    }

    fn from_value(value: Value) -> Result<Card, CardError> {
        let mut object = match value {
            Value::Object(object) => object,
            Value::Null => return Err(CardError::NotAnObject { found: "null" }),
            Value::Bool(_) => return Err(CardError::NotAnObject { found: "true or false" }),
            Value::Number(_) => return Err(CardError::NotAnObject { found: "a number" }),
            Value::String(_) => return Err(CardError::NotAnObject { found: "a string" }),
            Value::Array(_) => return Err(CardError::NotAnObject { found: "a list" }),
        };
        if let Some(Value::String(spec)) = object.get("spec")
            && !matches!(spec.as_str(), "chara_card_v2" | "chara_card_v3")
        {
            return Err(CardError::Spec { found: spec.clone() });
        }
        let fields = match object.remove("data") {
            Some(Value::Object(data)) => data,
            _ => object,
        };
        let found = match fields.get("name") {
            None => "missing",
            Some(Value::String(name)) if name.trim().is_empty() => "empty",
            Some(Value::String(_)) => return Ok(Card { fields }),
            Some(_) => "not text",
        };
        Err(CardError::NoName { found })
    }

    /// A field's text; empty where the card has none.
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The character's name.
    pub fn name(&self) -> &str {
        self.text("name").trim()
    }

    /// The role that the card describes, with `{{char}}` and `{{user}}` filled in for a `user` of that name.
    ///
    /// The language is Chinese when more than a third of the description's letters are.
    pub fn role(&self, user: &str) -> Role {
        let fill = |text: &str| fill_names(text.trim(), self.name(), user);
        let about: Vec<String> = ["description", "personality", "scenario", "system_prompt"]
            .into_iter()
            .map(|field| fill(self.text(field)))
            .filter(|text| !text.is_empty())
            .collect();
        let description = about.join("\n");
        let language = language_of(&description);
        Role {
            id: slug(self.name()),
            name: self.name().to_string(),
            language,
            tagline: fill(self.text("creator_notes")).lines().next().unwrap_or_default().chars().take(60).collect(),
            description: if description.is_empty() { self.name().to_string() } else { description },
            greeting: fill(self.text("first_mes")),
            source: self.text("creator").to_string(),
            ..Role::default()
        }
    }

    /// The card's example dialogue (`mes_example`) as exchanges; lines of other speakers are left out.
    pub fn examples(&self, user: &str) -> Vec<Exchange> {
        let text = fill_names(self.text("mes_example"), self.name(), user);
        let (of_user, of_role) = (format!("{user}:"), format!("{}:", self.name()));
        let mut exchanges: Vec<Exchange> = Vec::new();
        let mut asked: Option<String> = None;
        for line in text.lines().map(str::trim) {
            if let Some(words) = line.strip_prefix(&of_user) {
                asked = Some(words.trim().to_string());
            } else if let Some(words) = line.strip_prefix(&of_role)
                && let Some(user) = asked.take()
            {
                exchanges.push(Exchange { user, reply: words.trim().to_string() });
            }
        }
        exchanges
    }
}

/// Puts names in the place of `{{char}}`, `<BOT>`, `{{user}}` and `<USER>`, whatever their case.
fn fill_names(text: &str, role: &str, user: &str) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    'text: while let Some(first) = rest.chars().next() {
        if matches!(first, '{' | '<') {
            for (mark, name) in [("{{char}}", role), ("<bot>", role), ("{{user}}", user), ("<user>", user)] {
                if rest.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark)) {
                    filled.push_str(name);
                    rest = &rest[mark.len()..];
                    continue 'text;
                }
            }
        }
        filled.push(first);
        rest = &rest[first.len_utf8()..];
    }
    filled
}

fn language_of(text: &str) -> Language {
    let letters = text.chars().filter(|letter| letter.is_alphabetic()).count();
    let chinese = text.chars().filter(|letter| ('\u{4e00}'..='\u{9fff}').contains(letter)).count();
    if chinese * 3 > letters { Language::Zh } else { Language::En }
}

fn slug(name: &str) -> String {
    let words: Vec<String> = name
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    if words.is_empty() { "card".to_string() } else { words.join("-") }
}
