//! Training data: JSON lines and role folders become tokenized documents, some of them held out.

use crate::document::{Document, Encoder};
use crate::{Error, Result};
use rayon::prelude::*;
use roles::{Exchange, Message, Role, Speaker};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The name of the source made of the role folders' dialogues.
pub const ROLES: &str = "roles";
/// Set in a stored token that the model is trained to say.
const TRAINED: u32 = 1 << 31;

/// What a training example says, before tokenization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Example {
    /// Plain text.
    Text(String),
    /// Messages in order.
    Chat(Vec<Message>),
}

impl Example {
    /// All its words.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Example::Text(text) => vec![text],
            Example::Chat(messages) => messages.iter().map(|m| m.content.as_str()).collect(),
        }
    }

    /// What decides whether it is held out: a question asked of several roles is held out for all of them.
    pub(crate) fn key(&self) -> &str {
        match self {
            Example::Text(text) => text,
            Example::Chat(messages) => {
                let question = messages.iter().find(|m| m.speaker == Speaker::User).or(messages.first());
                question.map_or("", |m| m.content.trim())
            }
        }
    }

    /// What a chat's first answer answers; none where it greets.
    fn question(&self) -> Option<&str> {
        let Example::Chat(messages) = self else { return None };
        let before = messages.iter().take_while(|message| message.speaker != Speaker::Assistant);
        Some(before.filter(|message| message.speaker == Speaker::User).last()?.content.trim())
    }

    fn encode(&self, encoder: &impl Encoder) -> Result<Document> {
        match self {
            Example::Text(text) => encoder.text(text),
            Example::Chat(messages) => encoder.chat(messages),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Text { text: String },
    Chat { messages: Vec<Message> },
    RoleBench { role: String, question: String, generated: Vec<String> },
    Instruction { instruction: String, answer: String },
}

/// The roles of a folder `DIR/<id>/{role.json, dialogue.jsonl}`.
#[derive(Clone, Debug, Default)]
pub struct RoleFolder {
    /// Each role with the exchanges of its dialogue.
    pub roles: Vec<(Role, Vec<Exchange>)>,
    /// SHA-256 of all files read.
    pub sha256: String,
}

impl RoleFolder {
    /// Reads every role of `folder`, in the order of their names. A role without dialogue is none the worse.
    pub fn read(folder: &Path) -> Result<RoleFolder> {
        let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
        let mut folders: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
        folders.retain(|f| f.join("role.json").is_file());
        folders.sort();
        let mut hash = Sha256::new();
        let mut roles = Vec::new();
        for folder in folders {
            let path = folder.join("role.json");
            let card = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
            hash.update(&card);
            let role = Role::from_json(&card).map_err(|source| Error::Role { source, path })?;
            let path = folder.join("dialogue.jsonl");
            let mut exchanges = Vec::new();
            if path.is_file() {
                let lines = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
                hash.update(&lines);
                for line in lines.lines().filter(|l| !l.trim().is_empty()) {
                    exchanges.push(serde_json::from_str(line).map_err(Error::json(&path))?);
                }
            }
            roles.push((role, exchanges));
        }
        Ok(RoleFolder { roles, sha256: hex(hash) })
    }

    /// Each role's dialogue as chats of one exchange and of two or three consecutive ones. Longer chats keep
    /// clear of the exchanges that `held_out` says are held out.
    pub(crate) fn examples(&self, held_out: f64) -> Vec<Example> {
        let mut examples = Vec::new();
        for (role, exchanges) in &self.roles {
            for length in 1..=3 {
                for window in exchanges.windows(length) {
                    let mut messages = vec![Message::new(Speaker::System, role.system_instruction())];
                    for exchange in window {
                        messages.push(Message::new(Speaker::User, &exchange.user));
                        messages.push(Message::new(Speaker::Assistant, &exchange.reply));
                    }
                    if length == 1 || !window.iter().any(|e| is_held_out(e.user.trim(), held_out)) {
                        examples.push(Example::Chat(messages));
                    }
                }
            }
        }
        examples
    }
}

/// Examples of one file, with what was found on the way.
pub struct Examples {
    /// The examples in the order of the file.
    pub examples: Vec<Example>,
    /// Names of RoleBench roles without a card; their rows are left out.
    pub unknown_roles: BTreeSet<String>,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// Reads a JSONL file of `{"text"}`, `{"messages"}`, `{"instruction", "answer"}` (a chat without system instruction)
/// or `{"role", "question", "generated"}` lines. The last are RoleBench's: each generated answer becomes a chat under
/// the system instruction of its role in `roles`.
pub fn read_examples(path: &Path, roles: &RoleFolder) -> Result<Examples> {
    let content = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let instructions: BTreeMap<&str, String> =
        roles.roles.iter().map(|(role, _)| (role.name.as_str(), role.system_instruction())).collect();
    let mut result = Examples {
        examples: Vec::new(),
        unknown_roles: BTreeSet::new(),
        sha256: hex(Sha256::new_with_prefix(&content)),
    };
    for (i, line) in content.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let parsed = serde_json::from_str::<Line>(line).map_err(|e| Error::Line {
            reason: e.to_string(),
            line: i + 1,
            path: path.to_owned(),
        })?;
        match parsed {
            Line::Text { text } => result.examples.push(Example::Text(text)),
            Line::Chat { messages } => result.examples.push(Example::Chat(messages)),
            Line::Instruction { instruction, answer } => result.examples.push(Example::Chat(vec![
                Message::new(Speaker::User, instruction),
                Message::new(Speaker::Assistant, answer),
            ])),
            Line::RoleBench { role, question, generated } => {
                let Some(instruction) = instructions.get(role.trim()) else {
                    result.unknown_roles.insert(role);
                    continue;
                };
                result.examples.extend(generated.into_iter().map(|answer| {
                    Example::Chat(vec![
                        Message::new(Speaker::System, instruction),
                        Message::new(Speaker::User, question.trim()),
                        Message::new(Speaker::Assistant, answer),
                    ])
                }));
            }
        }
    }
    Ok(result)
}

/// `FILE`, `FILE:WEIGHT`, `roles` or `roles:WEIGHT`. A source of twice the weight fills twice as many rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceSpec {
    /// The data file, or [`ROLES`].
    pub path: PathBuf,
    /// Relative share of the rows; 1 where not given.
    pub weight: f64,
}

impl std::str::FromStr for SourceSpec {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<SourceSpec, String> {
        let (path, weight) = match text.rsplit_once(':').map(|(path, weight)| (path, weight.parse::<f64>())) {
            Some((path, Ok(weight))) => (path, weight),
            _ => (text, 1.0),
        };
        if path.is_empty() || !weight.is_finite() || weight <= 0.0 {
            return Err(format!("\"{text}\" is not FILE or FILE:WEIGHT with a weight above 0"));
        }
        Ok(SourceSpec { path: path.into(), weight })
    }
}

/// A document within a [`Source`].
#[derive(Clone, Debug)]
pub struct StoredDocument {
    range: Range<usize>,
    /// See [`Document::splittable`].
    pub splittable: bool,
    /// See [`Document::prefix`].
    pub prefix: usize,
    /// The same number for documents of the source with the same prefix; none without a prefix.
    pub group: Option<u32>,
    /// What the first answer of a held-out chat answers.
    pub question: Option<String>,
}

impl StoredDocument {
    /// Positions to train on: one fewer than tokens.
    pub fn positions(&self) -> usize {
        self.range.len().saturating_sub(1)
    }
}

/// A tokenized data file.
pub struct Source {
    /// Its path, or [`ROLES`].
    pub name: String,
    /// Relative share of the rows.
    pub weight: f64,
    /// SHA-256 of what was read.
    pub sha256: String,
    /// Documents to train on.
    pub documents: Vec<StoredDocument>,
    /// Documents kept for evaluation.
    pub held_out: Vec<StoredDocument>,
    /// Chats that were cut to the context's length.
    pub cut: usize,
    /// Chats left out because all their answers lay beyond the context.
    pub dropped: usize,
    /// Names of RoleBench roles without a card.
    pub unknown_roles: BTreeSet<String>,
    tokens: Vec<u32>,
}

impl Source {
    /// Reads and tokenizes what `spec` names, on rayon's current thread pool. `held_out` is the share of documents
    /// kept for evaluation, chosen by a hash of the text or question. Chats lose what lies beyond `context`.
    pub fn load(
        spec: &SourceSpec,
        roles: &RoleFolder,
        encoder: &impl Encoder,
        held_out: f64,
        context: usize,
    ) -> Result<Source> {
        let found = match spec.path.to_str() {
            Some(ROLES) => Examples {
                examples: roles.examples(held_out),
                unknown_roles: BTreeSet::new(),
                sha256: roles.sha256.clone(),
            },
            _ => read_examples(&spec.path, roles)?,
        };
        let documents: Vec<Document> = found.examples.par_iter().map(|e| e.encode(encoder)).collect::<Result<_>>()?;
        let mut source = Source {
            name: spec.path.display().to_string(),
            weight: spec.weight,
            sha256: found.sha256,
            documents: Vec::new(),
            held_out: Vec::new(),
            cut: 0,
            dropped: 0,
            unknown_roles: found.unknown_roles,
            tokens: Vec::new(),
        };
        let mut groups: HashMap<&[u32], u32> = HashMap::new();
        for (example, document) in found.examples.iter().zip(&documents) {
            // A document of one token more than positions: the last is only predicted.
            let limit = if document.splittable { usize::MAX } else { context + 1 };
            let flagged = || document.tokens.iter().zip(&document.trained).take(limit);
            let cut = document.tokens.len() > limit;
            if !flagged().any(|(_, trained)| *trained) {
                source.dropped += usize::from(cut);
                continue;
            }
            source.cut += usize::from(cut);
            let start = source.tokens.len();
            source.tokens.extend(flagged().map(|(token, trained)| token | if *trained { TRAINED } else { 0 }));
            let is_held_out = is_held_out(example.key(), held_out);
            let stored = StoredDocument {
                question: example.question().filter(|_| is_held_out).map(str::to_owned),
                range: start..source.tokens.len(),
                splittable: document.splittable,
                prefix: document.prefix,
                group: (document.prefix > 0).then(|| {
                    let next = groups.len() as u32;
                    *groups.entry(&document.tokens[..document.prefix]).or_insert(next)
                }),
            };
            match is_held_out {
                true => source.held_out.push(stored),
                false => source.documents.push(stored),
            }
        }
        if source.documents.is_empty() {
            return Err(Error::Argument(format!("no document to train on within {context} tokens: {}", source.name)));
        }
        Ok(source)
    }

    /// Tokens to train on.
    pub fn token_count(&self) -> usize {
        self.documents.iter().map(StoredDocument::positions).sum()
    }

    /// What `positions` of `document` read and should say: tokens and targets ([`crate::model::IGNORE`] where
    /// nothing is trained).
    pub fn read(
        &self,
        document: &StoredDocument,
        positions: Range<usize>,
    ) -> (impl Iterator<Item = u32> + '_, impl Iterator<Item = u32> + '_) {
        let start = document.range.start + positions.start;
        let end = document.range.start + positions.end;
        let tokens = self.tokens[start..end].iter().map(|t| t & !TRAINED);
        let targets = self.tokens[start + 1..end + 1]
            .iter()
            .map(|&t| if t & TRAINED == 0 { crate::model::IGNORE } else { t & !TRAINED });
        (tokens, targets)
    }
}

pub(crate) fn is_held_out(key: &str, share: f64) -> bool {
    let digest = Sha256::digest(key.as_bytes());
    let head = u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
    (head as f64) < share * u64::MAX as f64
}

/// A digest as lower-case hexadecimal.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
