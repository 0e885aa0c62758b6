//! Public text sets as training files: one JSONL a set, of plain documents (`text`) or chats (`messages`).
//!
//! Every set keeps a file of its own, so that a model card can name what a model read.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

type Rows = Vec<Value>;
type Convert = fn(&Path) -> Result<Rows>;

/// A set: the name of its file, where it lies, and what turns it into rows.
const SETS: [(&str, &str, Convert); 6] = [
    ("gpteacher", "corpus/gpteacher/Roleplay/roleplay-simple-deduped-roleplay-instruct.json", gpteacher),
    ("fairytaleqa", "corpus/fairytaleqa/split_for_training/train", fairytales),
    ("synthetic-persona-chat", "corpus/synthetic-persona-chat/data", persona_chat),
    ("self-dialogue", "corpus/self-dialogue/self_dialogue.jsonl", self_dialogue),
    ("chinese-classics", "corpus/chinese-classics", classics),
    ("rolebench-zh", "rolebench/rolebench-zh", rolebench_zh),
];

/// Converts every set found below `from`; those that are not there are named and left out.
pub fn convert(from: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out)?;
    let mut found = 0;
    for (name, place, rows_of) in SETS {
        let place = from.join(place);
        if !place.exists() {
            eprintln!("{name}: left out, there is no {}", place.display());
            continue;
        }
        let rows = rows_of(&place).with_context(|| format!("cannot convert {}", place.display()))?;
        let path = out.join(format!("{name}.jsonl"));
        let mut file = BufWriter::new(File::create(&path)?);
        for row in &rows {
            writeln!(file, "{row}")?;
        }
        file.flush()?;
        eprintln!("{name}: {} rows", rows.len());
        found += 1;
    }
    if found == 0 {
        bail!("none of the known sets lies in {}", from.display());
    }
    Ok(())
}

fn chat(turns: &[(&str, &str)]) -> Value {
    json!({ "messages": turns.iter().map(|(role, content)| json!({"role": role, "content": content})).collect::<Vec<_>>() })
}

fn gpteacher(file: &Path) -> Result<Rows> {
    #[derive(Deserialize)]
    struct Row {
        instruction: String,
        input: String,
        response: String,
    }
    let rows: Vec<Row> = serde_json::from_slice(&fs::read(file)?)?;
    let complete = rows.iter().filter(|row| !row.response.trim().is_empty());
    Ok(complete
        .map(|row| {
            let question = format!("{}\n{}", row.instruction.trim(), row.input.trim());
            chat(&[("user", question.trim()), ("assistant", row.response.trim())])
        })
        .collect())
}

/// Each story as a document.
fn fairytales(folder: &Path) -> Result<Rows> {
    #[derive(Deserialize)]
    struct Section {
        text: String,
    }
    let mut rows = Rows::new();
    for path in sorted(folder, "-story.csv")? {
        let sections: Vec<Section> = csv::Reader::from_path(&path)?.deserialize().collect::<Result<_, _>>()?;
        let story = sections.iter().map(|section| one_line(&section.text)).collect::<Vec<_>>().join("\n");
        rows.push(json!({ "text": story }));
    }
    Ok(rows)
}

fn persona_chat(folder: &Path) -> Result<Rows> {
    let mut rows = Rows::new();
    for path in sorted(folder, ".csv")? {
        for record in csv::Reader::from_path(&path)?.records() {
            let record = record?;
            let (persona, talk) = (record.get(1).unwrap_or_default(), record.get(2).unwrap_or_default());
            let persona = format!("You are a friendly person. {}", one_line(persona));
            let mut turns = vec![("system", persona.as_str())];
            for line in talk.lines() {
                let (speaker, words) = match (line.strip_prefix("User 1: "), line.strip_prefix("User 2: ")) {
                    (Some(words), _) => ("user", words),
                    (_, Some(words)) => ("assistant", words),
                    _ => continue,
                };
                // Chat templates want the speakers to alternate; a talk is kept up to where they do not.
                if turns.last().is_some_and(|last| last.0 == speaker) || (turns.len() == 1 && speaker != "user") {
                    break;
                }
                turns.push((speaker, words.trim()));
            }
            if turns.last().is_some_and(|last| last.0 == "user") {
                turns.pop();
            }
            if turns.len() > 2 {
                rows.push(chat(&turns));
            }
        }
    }
    Ok(rows)
}

fn self_dialogue(file: &Path) -> Result<Rows> {
    #[derive(Deserialize)]
    struct Row {
        turns: Vec<String>,
    }
    let mut rows = Rows::new();
    for line in fs::read_to_string(file)?.lines() {
        let row: Row = serde_json::from_str(line)?;
        // Most crowd-workers wrote without capitals; only the careful ones teach how sentences look.
        let careful = row.turns.iter().filter(|turn| turn.starts_with(char::is_uppercase)).count();
        if careful * 10 >= row.turns.len() * 9 {
            rows.push(json!({ "text": row.turns.iter().map(|turn| one_line(turn)).collect::<Vec<_>>().join("\n") }));
        }
    }
    Ok(rows)
}

/// The novels in pieces of about a thousand characters, cut between paragraphs, without the site's own lines.
fn classics(folder: &Path) -> Result<Rows> {
    let mut rows = Rows::new();
    for path in sorted(folder, ".txt")? {
        let book = fs::read_to_string(&path)?;
        let mut piece = String::new();
        for line in book.lines().map(|line| line.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')) {
            if line.is_empty()
                || line.contains("http")
                || line.contains("www.")
                || line.contains('《') && line.chars().count() < 12
            {
                continue;
            }
            piece.push_str(line);
            piece.push('\n');
            if piece.chars().count() > 1000 {
                rows.push(json!({ "text": std::mem::take(&mut piece).trim_end() }));
            }
        }
        if !piece.is_empty() {
            rows.push(json!({ "text": piece.trim_end() }));
        }
    }
    Ok(rows)
}

/// RoleBench's Chinese training rows, each answer a chat with the role's name as its instruction.
fn rolebench_zh(folder: &Path) -> Result<Rows> {
    #[derive(Deserialize)]
    struct Row {
        role: String,
        question: String,
        generated: Vec<String>,
    }
    let mut rows = Rows::new();
    for part in ["general/train.jsonl", "role_specific/train.jsonl"] {
        for line in fs::read_to_string(folder.join(part))?.lines() {
            let row: Row = serde_json::from_str(line)?;
            let system = format!("你是{}。", row.role);
            for answer in &row.generated {
                rows.push(chat(&[("system", &system), ("user", row.question.trim()), ("assistant", answer.trim())]));
            }
        }
    }
    Ok(rows)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The files of a folder whose name ends so, in the order of their names.
fn sorted(folder: &Path, end: &str) -> Result<Vec<std::path::PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(end) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
