//! The rows of train.jsonl and eval.jsonl: each source has its share by weight, as in `train rocit`.

use super::Trainer;
use crate::base::ChatEncoder;
use crate::corpus::{Example, ROLES, RoleFolder, SourceSpec, is_held_out, read_examples};
use crate::document::{Document, Encoder};
use crate::rocit::RocitOptions;
use crate::{Error, Result};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use roles::{Message, Speaker};
use serde_json::{Value, json};

/// The chats of a source, a line each.
pub struct Rows {
    pub name: String,
    pub training: Vec<String>,
    pub held_out: Vec<String>,
    pub left_out: usize,
    weight: f64,
    /// Positions to train on.
    tokens: usize,
}

impl Rows {
    pub fn read(
        spec: &SourceSpec,
        trainer: Trainer,
        options: &RocitOptions,
        encoder: &ChatEncoder,
        roles: &RoleFolder,
    ) -> Result<Rows> {
        let (examples, unknown) = match spec.path.to_str() {
            Some(ROLES) => (roles.examples(options.held_out), 0),
            _ => {
                let found = read_examples(&spec.path, roles)?;
                (found.examples, found.unknown_roles.len())
            }
        };
        let name = spec.path.display().to_string();
        let (training, held_out) = (Vec::new(), Vec::new());
        let mut rows = Rows { training, held_out, left_out: unknown, weight: spec.weight, tokens: 0, name };
        for example in examples {
            let Example::Chat(messages) = &example else {
                return Err(Error::Argument(format!("plain text is for pretraining: {}", rows.name)));
            };
            let document = encoder.chat(messages)?;
            if document.tokens.len() > options.max_length {
                rows.left_out += 1;
                continue;
            }
            let line = line(trainer, messages, &document).to_string();
            if is_held_out(example.key(), options.held_out) {
                rows.held_out.push(line);
            } else {
                rows.tokens += document.tokens.len() - 1;
                rows.training.push(line);
            }
        }
        if rows.training.is_empty() {
            let most = options.max_length;
            return Err(Error::Argument(format!("no chat of at most --max-length {most} tokens: {}", rows.name)));
        }
        Ok(rows)
    }
}

fn line(trainer: Trainer, messages: &[Message], document: &Document) -> Value {
    match trainer {
        Trainer::Torchrun => {
            let labels = document.tokens.iter().zip(&document.trained);
            let labels: Vec<i64> = labels.map(|(&token, &said)| if said { token.into() } else { -100 }).collect();
            json!({ "input_ids": document.tokens, "labels": labels })
        }
        _ => json!({ "messages": messages.iter().map(chat_message).collect::<Vec<_>>() }),
    }
}

fn chat_message(message: &Message) -> Value {
    let role = match message.speaker {
        Speaker::System => "system",
        Speaker::User => "user",
        Speaker::Assistant => "assistant",
    };
    json!({ "role": role, "content": message.content })
}

/// A source in train.jsonl.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixed {
    /// Its path, or [`ROLES`].
    pub name: String,
    /// Its share of the tokens, by its weight.
    pub share: f64,
    /// Its chats to train on.
    pub chats: usize,
    /// Its rows: more than chats where they are repeated, fewer where some are drawn.
    pub rows: usize,
}

/// Repeats or draws the rows of each source until it has its share of the tokens; all of them together keep their
/// number of tokens, so that an epoch is as long as that of `train rocit`.
pub fn mix(sources: &[Rows], seed: u64) -> (String, Vec<Mixed>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let tokens: usize = sources.iter().map(|source| source.tokens).sum();
    let weights: f64 = sources.iter().map(|source| source.weight).sum();
    let (mut text, mut mixed) = (String::new(), Vec::new());
    for source in sources {
        let (share, chats) = (source.weight / weights, source.training.len());
        let times = share * tokens as f64 / source.tokens as f64;
        let rows = ((times * chats as f64).round() as usize).max(1);
        let mut order: Vec<&String> = source.training.iter().collect();
        order.shuffle(&mut random);
        order.iter().cycle().take(rows).for_each(|line| text.extend([line, "\n"]));
        mixed.push(Mixed { name: source.name.clone(), share, chats, rows });
    }
    (text, mixed)
}
