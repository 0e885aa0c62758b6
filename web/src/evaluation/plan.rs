use protocol::ModelInfo;
use rolebench::Sample;
use roles::{Language, Strategy};
use rouge::{References, Rule};
use serde::{Deserialize, Serialize};

use crate::models::Chosen;

/// Which test rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Data {
    /// Of the project's own set: questions about a role's life and knowledge.
    #[default]
    RoleSpecific,
    /// Of the project's own set: questions that every role is asked.
    General,
    /// The same questions with the answers of nobody in particular: RAW.
    Raw,
    /// A file of the reader.
    File,
    /// A file at an address.
    Url,
}

impl Data {
    /// Every one, with its name in forms.
    pub const ALL: [(Data, &'static str); 5] = [
        (Data::RoleSpecific, "role_specific"),
        (Data::General, "general"),
        (Data::Raw, "raw"),
        (Data::File, "file"),
        (Data::Url, "url"),
    ];

    /// Where the project's own rows lie; nothing for others.
    pub fn path(self, language: Language) -> Option<String> {
        let part = match self {
            Data::RoleSpecific => "role_specific",
            Data::General | Data::Raw => "general",
            Data::File | Data::Url => return None,
        };
        Some(format!("data/rolebench-{}/{part}/test.jsonl", half(language)))
    }

    /// Where the plain answers for [`Data::Raw`] lie.
    pub fn instructions(language: Language) -> String {
        format!("data/instructions-{}/instructions-general.jsonl", half(language))
    }

    /// The name in forms.
    pub fn name(self) -> &'static str {
        Data::ALL.into_iter().find(|(data, _)| *data == self).map_or("", |(_, name)| name)
    }
}

/// A half of RoleBench, as its folders are named.
fn half(language: Language) -> &'static str {
    match language {
        Language::En => "eng",
        Language::Zh => "zh",
    }
}

/// What the reader has chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// Which test rows.
    pub data: Data,
    /// Their address, for [`Data::Url`].
    pub url: String,
    /// The language of the answers.
    pub language: Language,
    /// How to score.
    #[serde(with = "named")]
    pub rule: Rule,
    /// What counts of several references.
    #[serde(with = "named")]
    pub references: References,
    /// How the model is made to play a role.
    #[serde(with = "named")]
    pub strategy: Strategy,
    /// How many questions are asked.
    pub count: usize,
    /// Which ones are drawn.
    pub seed: u64,
}

impl Default for Choice {
    fn default() -> Choice {
        Choice::of(Language::En)
    }
}

impl Choice {
    /// What a reader of this language begins with.
    pub fn of(language: Language) -> Choice {
        Choice {
            data: Data::default(),
            url: String::new(),
            language,
            rule: default_rule(language),
            references: References::default(),
            strategy: Strategy::default(),
            count: 10,
            seed: 0,
        }
    }
}

/// The rule that reads a language.
pub fn default_rule(language: Language) -> Rule {
    match language {
        Language::En => Rule::F1,
        Language::Zh => Rule::CharF1,
    }
}

/// A run of this page: what was chosen, and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Names it; later ones are greater.
    pub id: String,
    /// What was chosen.
    pub choice: Choice,
    /// The test file's name or address.
    pub source: String,
    /// How the model can be loaded again.
    pub chosen: Option<Chosen>,
    /// The model.
    pub model: ModelInfo,
    /// Most tokens of an answer.
    pub max_tokens: u32,
    /// Which test rows are asked, in this order.
    pub places: Vec<usize>,
    /// How many of them were asked.
    pub asked: usize,
    /// Mean of the scores, under [`Choice::rule`].
    pub mean: Option<f64>,
    /// Mean tokens of the prompts.
    pub prompt_tokens: f64,
}

impl Run {
    /// Has every question been asked?
    pub fn is_complete(&self) -> bool {
        self.asked == self.places.len()
    }
}

/// What a model answered to one question, and what that cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The test row's place, from 0.
    pub place: usize,
    /// The answer; nothing where the prompt did not fit the context.
    pub text: Option<String>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub tokens: usize,
    /// Examples that did not fit the context.
    pub dropped_messages: usize,
    /// Was the model told who it is?
    pub instructed: bool,
}

/// The row of RoleBench that an answer is.
pub fn prediction(test: &[Sample], answer: &Answer) -> Option<Sample> {
    let sample = test.get(answer.place)?;
    let text = answer.text.clone()?;
    Some(Sample { generated: vec![text], kind: Vec::new(), ..sample.clone() })
}

/// What has a name on the command line is kept under it.
pub mod named {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::{fmt::Display, str::FromStr};

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}
