//! Scored rows as a table, the same from the page and from the command line (RFC 4180).

use crate::{Kind, Sample};
use rouge::{Rule, Score};

/// The names of the columns.
pub const CSV_HEAD: &str =
    "row,role,question,type,rule,value,precision,recall,f1,prediction,references,prompt_tokens,tokens\r\n";

/// One scored row.
#[derive(Clone, Copy, Debug)]
pub struct ScoredRow<'a> {
    /// The test row.
    pub sample: &'a Sample,
    /// Its place in the test, from 0; the table counts from 1.
    pub place: usize,
    /// The answer.
    pub prediction: &'a str,
    /// What it is worth.
    pub score: Score,
    /// Tokens of the prompt and of the answer, where they were counted.
    pub tokens: Option<[usize; 2]>,
}

impl ScoredRow<'_> {
    /// The row's line.
    pub fn csv(&self, rule: Rule) -> String {
        let count = |of: usize| self.tokens.map(|tokens| tokens[of].to_string()).unwrap_or_default();
        // A list of strings is always JSON.
        let references = serde_json::to_string(&self.sample.generated).unwrap_or_default();
        let fields = [
            (self.place + 1).to_string(),
            self.sample.role.clone(),
            self.sample.question.clone(),
            self.sample.kind.first().map_or("", |kind| Kind::name(*kind)).to_string(),
            rule.name().to_string(),
            self.score.value.to_string(),
            self.score.precision.to_string(),
            self.score.recall.to_string(),
            self.score.f1.to_string(),
            self.prediction.to_string(),
            references,
            count(0),
            count(1),
        ];
        fields.map(|field| quoted(&field)).join(",") + "\r\n"
    }
}

fn quoted(field: &str) -> String {
    match field.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_string(),
    }
}
