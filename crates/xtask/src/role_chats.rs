//! Our own role data as training chats: a role's train answers and small talk, a few under one system instruction.
//!
//! Single exchanges are how most talks begin; several under one instruction teach to keep the role over a conversation.

use anyhow::{Context, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use roles::{Exchange, Message, Role, Speaker, messages};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

/// How often a pass holds an answer to a question that the page suggests, and one of small talk: visitors ask these first.
const SUGGESTED: usize = 4;
const SMALL_TALK: usize = 2;

/// Writes `copies` differently shuffled passes over the data of every role in `data` to `out`, cut into chats of at most
/// `most` exchanges.
pub fn write(data: &Path, out: &Path, copies: u64, most: usize, seed: u64) -> Result<()> {
    let lessons = lessons(data)?;
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = BufWriter::new(File::create(out).with_context(|| format!("cannot write {}", out.display()))?);
    let mut written = 0;
    for copy in 0..copies {
        let mut random = ChaCha8Rng::seed_from_u64(seed.wrapping_add(copy));
        for (role, exchanges) in &lessons {
            let mut exchanges = exchanges.clone();
            exchanges.shuffle(&mut random);
            let mut rest = exchanges.as_slice();
            while !rest.is_empty() {
                let size = rand::Rng::random_range(&mut random, 1..=most.max(1)).min(rest.len());
                let (chat, after) = rest.split_at(size);
                let turns = chat.iter().flat_map(|exchange| {
                    [Message::new(Speaker::User, &exchange.user), Message::new(Speaker::Assistant, &exchange.reply)]
                });
                writeln!(file, "{}", json!({ "messages": messages(role, turns) }))?;
                (rest, written) = (after, written + 1);
            }
        }
    }
    file.flush()?;
    let exchanges: usize = lessons.iter().map(|(_, exchanges)| exchanges.len()).sum();
    eprintln!("{}: {} roles, {exchanges} exchanges, {written} chats in {copies} passes", out.display(), lessons.len());
    Ok(())
}

/// Every role with its small talk and its train answers, each answer an exchange.
fn lessons(data: &Path) -> Result<Vec<(Role, Vec<Exchange>)>> {
    let mut answers: BTreeMap<String, Vec<Exchange>> = BTreeMap::new();
    for language in ["eng", "zh"] {
        for part in ["general", "role_specific"] {
            let path = data.join(format!("rolebench-{language}/{part}/train.jsonl"));
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            for sample in rolebench::parse_samples(&text).with_context(|| path.display().to_string())? {
                let of_role = answers.entry(sample.role).or_default();
                of_role.extend(
                    sample.generated.into_iter().map(|reply| Exchange { user: sample.question.trim().into(), reply }),
                );
            }
        }
    }
    let index = data.join("roles/index.json");
    let ids: Vec<String> =
        serde_json::from_str(&fs::read_to_string(&index).with_context(|| index.display().to_string())?)?;
    let mut lessons = Vec::new();
    for id in ids {
        let folder = data.join("roles").join(id);
        let role = Role::from_json(&fs::read_to_string(folder.join("role.json"))?)
            .with_context(|| folder.display().to_string())?;
        let mut exchanges = Vec::new();
        for exchange in answers.remove(&role.name).unwrap_or_default() {
            let often = if role.suggested_questions.contains(&exchange.user) { SUGGESTED } else { 1 };
            exchanges.extend(std::iter::repeat_n(exchange, often));
        }
        for line in fs::read_to_string(folder.join("dialogue.jsonl"))?.lines() {
            let exchange: Exchange = serde_json::from_str(line).with_context(|| folder.display().to_string())?;
            exchanges.extend(std::iter::repeat_n(exchange, SMALL_TALK));
        }
        lessons.push((role, exchanges));
    }
    Ok(lessons)
}
