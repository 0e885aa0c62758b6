use serde::{Deserialize, Deserializer, Serialize};

/// A row of RoleBench: a test row with its references, or a prediction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Who is asked.
    pub role: String,
    /// The question, raw; some files begin it with a stray space.
    pub question: String,
    /// The reference answers, raw; in a prediction, the answer.
    pub generated: Vec<String>,
    /// One kind for all answers or one for each; none in the general part and in predictions.
    #[serde(rename = "type", default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub kind: Vec<Kind>,
}

/// Where the knowledge for an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The role's script.
    ScriptBased,
    /// What such a person knows anyway.
    ScriptAgnostic,
    /// Any other word.
    #[serde(other)]
    Other,
}

/// A line that is no row of RoleBench.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl Sample {
    /// Role and trimmed question: what joins a test row with its prediction.
    pub fn key(&self) -> (&str, &str) {
        (self.role.trim(), self.question.trim())
    }
}

/// Reads JSON Lines; blank lines and fields of other names are skipped.
///
/// # Errors
/// The first line that is not JSON, lacks a field, or has an empty role, an empty question or no answer.
pub fn parse_samples(text: &str) -> Result<Vec<Sample>, ParseError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rows = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    rows.map(|(index, line)| parse_row(line).map_err(|message| ParseError { line: index + 1, message })).collect()
}

fn parse_row(line: &str) -> Result<Sample, String> {
    let sample: Sample = serde_json::from_str(line).map_err(|error| {
        // The library counts lines inside the row: always 1.
        let message = error.to_string();
        let message = message.split(" at line 1 column ").next().unwrap_or_default().to_string();
        format!(
            "{message} (column {}); a row is {{\"role\": …, \"question\": …, \"generated\": [\"…\"]}}",
            error.column()
        )
    })?;
    let empty = [("role", sample.key().0.is_empty()), ("question", sample.key().1.is_empty())];
    if let Some((field, _)) = empty.into_iter().find(|(_, empty)| *empty) {
        return Err(format!("the field \"{field}\" is empty; give it a value"));
    }
    if sample.generated.is_empty() {
        return Err("the field \"generated\" is an empty list; give it at least one answer".to_string());
    }
    Ok(sample)
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Kind>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "\"type\" is neither a word nor a list of words")]
    enum OneOrMany {
        One(Kind),
        Many(Vec<Kind>),
    }
    Ok(match Option::deserialize(deserializer)? {
        None => Vec::new(),
        Some(OneOrMany::One(kind)) => vec![kind],
        Some(OneOrMany::Many(kinds)) => kinds,
    })
}
