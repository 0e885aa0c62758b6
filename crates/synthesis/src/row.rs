use crate::{Reject, Stage};
use rolebench::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A row in RoleBench's shape, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Who is asked.
    pub role: String,
    /// The question.
    pub question: String,
    /// The answers.
    pub generated: Vec<String>,
    /// Whether the script is needed to know; none in the general part.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// How it was made.
    pub provenance: Provenance,
}

/// How a row was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The step that made it.
    pub stage: Stage,
    /// The model that wrote it.
    pub model: String,
    /// The script and the place of its segment, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<(String, usize)>,
    /// Which answer to the same prompt it comes from, counted from 0.
    pub sample: u32,
    /// Why the teacher rated the question High.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What became of the requests and of what was in the answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests.
    pub requests: usize,
    /// Things found in the answers: texts, or triplets of question, confidence and answer.
    pub found: usize,
    /// Things kept.
    pub kept: usize,
    /// Things dropped, by reason.
    pub rejects: BTreeMap<Reject, usize>,
}

impl Counts {
    /// Counts one thing that was dropped.
    pub fn reject(&mut self, reason: Reject) {
        *self.rejects.entry(reason).or_default() += 1;
    }

    /// Adds others.
    pub fn add(&mut self, other: &Counts) {
        self.requests += other.requests;
        self.found += other.found;
        self.kept += other.kept;
        for (&reason, count) in &other.rejects {
            *self.rejects.entry(reason).or_default() += count;
        }
    }
}
