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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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

/// A general instruction with its plain answer, as in `instructions-*/instructions-general.jsonl`: RAW's reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// The question.
    pub instruction: String,
    /// The answer of nobody in particular.
    pub answer: String,
}

/// A line of a file and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<T> {
    /// The line, counted from 1.
    pub number: usize,
    /// The row.
    pub row: T,
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

impl Kind {
    /// The word in the file.
    pub fn name(self) -> &'static str {
        match self {
            Kind::ScriptBased => "script_based",
            Kind::ScriptAgnostic => "script_agnostic",
            Kind::Other => "other",
        }
    }
}

/// Reads JSON Lines, each line by itself; blank lines and fields of other names are skipped.
///
/// An error is a line that is not UTF-8 or not JSON, lacks a field, or has an empty role, an empty question or no answer.
pub fn parse_lines(bytes: &[u8]) -> impl Iterator<Item = Result<Line<Sample>, ParseError>> {
    lines(bytes, "{\"role\": …, \"question\": …, \"generated\": [\"…\"]}", |sample: &Sample| {
        non_empty([("role", sample.key().0), ("question", sample.key().1)])?;
        if sample.generated.is_empty() {
            return Err("the field \"generated\" is an empty list; give it at least one answer".to_string());
        }
        Ok(())
    })
}

/// Reads the instructions of JSON Lines, as [`parse_lines`] does.
pub fn parse_instructions(bytes: &[u8]) -> impl Iterator<Item = Result<Line<Instruction>, ParseError>> {
    lines(bytes, "{\"instruction\": …, \"answer\": …}", |row: &Instruction| {
        non_empty([("instruction", row.instruction.trim()), ("answer", row.answer.trim())])
    })
}

/// The rows of JSON Lines.
///
/// # Errors
/// The first line that [`parse_lines`] refuses.
pub fn parse_samples(text: &str) -> Result<Vec<Sample>, ParseError> {
    parse_lines(text.as_bytes()).map(|line| line.map(|line| line.row)).collect()
}

fn lines<'a, T: serde::de::DeserializeOwned + 'a>(
    bytes: &'a [u8],
    shape: &'static str,
    check: impl Fn(&T) -> Result<(), String> + 'a,
) -> impl Iterator<Item = Result<Line<T>, ParseError>> + 'a {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let full = bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    full.map(move |(index, line)| {
        let number = index + 1;
        let row = parse_row(line, shape).and_then(|row| check(&row).map(|()| row));
        row.map(|row| Line { number, row }).map_err(|message| ParseError { line: number, message })
    })
}

fn parse_row<T: serde::de::DeserializeOwned>(line: &[u8], shape: &str) -> Result<T, String> {
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8; save the file as UTF-8".to_string())?;
    serde_json::from_str(line).map_err(|error| {
        // The library counts lines inside the row: always 1.
        let message = error.to_string();
        let message = message.split(" at line 1 column ").next().unwrap_or_default().to_string();
        format!("{message} (column {}); a row is {shape}", error.column())
    })
}

fn non_empty<const N: usize>(fields: [(&str, &str); N]) -> Result<(), String> {
    match fields.iter().find(|(_, value)| value.is_empty()) {
        Some((field, _)) => Err(format!("the field \"{field}\" is empty; give it a value")),
        None => Ok(()),
    }
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
