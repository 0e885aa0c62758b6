//! General instructions from the formats in which they are published, sampled without near-duplicates.

use crate::{bm25::Bm25, text};
use roles::Language;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An instruction and its plain answer (RAW), as RoleBench's `instructions-general.jsonl` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// What is asked.
    pub instruction: String,
    /// An answer out of role; empty where there is none.
    pub answer: String,
}

/// Why a file of instructions is refused.
#[derive(Debug, thiserror::Error)]
pub enum InstructionError {
    /// Neither JSON nor JSON Lines.
    #[error("line {line}: {reason}")]
    Json {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: serde_json::Error,
    },
    /// JSON of another shape.
    #[error("line {line}: no instruction; known shapes are {SHAPES}")]
    Shape {
        /// The line, or in a list of rows the row, counted from 1.
        line: usize,
    },
}

const SHAPES: &str = "instruction/input/output (Alpaca, BELLE, COIG), instruction/answer, conversations (COIG, BELLE), \
    data (UltraChat), Definition/Instances (Super-NaturalInstructions)";

/// Reads instructions from JSON or JSON Lines; the shape of each row is seen from its fields.
///
/// # Errors
/// The first row that is no JSON or has no known shape.
pub fn parse_instructions(text: &str) -> Result<Vec<Instruction>, InstructionError> {
    let text = text.trim_start_matches('\u{feff}');
    let mut found = Vec::new();
    let rows: Vec<(usize, Value)> = match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(rows)) => (1..).zip(rows).collect(),
        Ok(row) => vec![(1, row)],
        Err(_) => {
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let row = |(at, line): (usize, &str)| match serde_json::from_str(line) {
                Ok(row) => Ok((at + 1, row)),
                Err(reason) => Err(InstructionError::Json { line: at + 1, reason }),
            };
            lines.map(row).collect::<Result<_, _>>()?
        }
    };
    for (line, row) in rows {
        let before = found.len();
        read_row(&row, &mut found);
        if found.len() == before {
            return Err(InstructionError::Shape { line });
        }
    }
    Ok(found)
}

fn read_row(row: &Value, found: &mut Vec<Instruction>) {
    let field = |name: &str| row[name].as_str().map(str::trim).filter(|text| !text.is_empty());
    let mut add = |instruction: String, answer: &str| {
        found.push(Instruction { instruction, answer: answer.trim().to_string() });
    };
    if let Some(instances) = row["Instances"].as_array() {
        let definition = match &row["Definition"] {
            Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            other => other.as_str().unwrap_or_default().to_string(),
        };
        for instance in instances {
            let answer = instance["output"].as_str().or_else(|| instance["output"][0].as_str()).unwrap_or_default();
            let input = instance["input"].as_str().unwrap_or_default();
            add(format!("{}\n{}", definition.trim(), input.trim()).trim().to_string(), answer);
        }
        return;
    }
    // Before the instruction: in COIG it only names the kind of talk.
    for name in ["conversations", "messages"] {
        let Some(turns) = row[name].as_array() else { continue };
        let says = |turn: &Value| {
            ["question", "value", "content"].iter().find_map(|&name| turn[name].as_str().map(str::to_string))
        };
        let Some(question) = turns.iter().find(|turn| turn["from"] != "system" && turn["role"] != "system") else {
            continue;
        };
        let at = turns.iter().position(|turn| turn == question).unwrap_or(0);
        let answer = question["answer"].as_str().map(str::to_string).or_else(|| turns.get(at + 1).and_then(says));
        if let Some(asked) = says(question) {
            return add(asked.trim().to_string(), &answer.unwrap_or_default());
        }
    }
    if let Some(instruction) = field("instruction").or_else(|| field("textbox_q_instruction")) {
        // COIG's exams put the question beside the instruction.
        let input = field("input").or_else(|| field("textbox_question")).unwrap_or_default();
        let answer =
            field("output").or_else(|| field("answer")).or_else(|| field("textbox_answer")).unwrap_or_default();
        return add(format!("{instruction}\n{input}").trim().to_string(), answer);
    }
    if let Some(turns) = row["data"].as_array()
        && let Some(question) = turns.first().and_then(Value::as_str)
    {
        let answer = turns.get(1).and_then(Value::as_str).unwrap_or_default();
        add(question.trim().to_string(), answer);
    }
}

/// How instructions are sampled.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// How many.
    pub count: usize,
    /// Which.
    pub seed: u64,
    /// Nearest BM25 nearness to one taken before; the paper names none, 0.7 is ours.
    pub nearness: f64,
}

/// What was sampled, and why others were passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// The instructions.
    pub taken: Vec<Instruction>,
    /// Too long: over 100 words, or 100 Chinese characters (paper, section 5.2).
    pub too_long: usize,
    /// In another language.
    pub other_language: usize,
    /// Too near to one that was taken.
    pub near_duplicates: usize,
}

impl Sampler {
    /// Draws instructions of one language in a random order and takes those that are short and new.
    pub fn sample(&self, all: &[Instruction], language: Language) -> Sampled {
        let mut sampled = Sampled::default();
        let mut index = Bm25::default();
        for place in shuffled(all.len(), self.seed) {
            let instruction = &all[place];
            if sampled.taken.len() == self.count {
                break;
            }
            if text::language_of(&instruction.instruction) != language {
                sampled.other_language += 1;
            } else if length(&instruction.instruction, language) > 100 {
                sampled.too_long += 1;
            } else if index.nearness(&instruction.instruction) >= self.nearness {
                sampled.near_duplicates += 1;
            } else {
                index.add(&instruction.instruction);
                sampled.taken.push(instruction.clone());
            }
        }
        sampled
    }
}

fn length(text: &str, language: Language) -> usize {
    match language {
        Language::En => text.split_whitespace().count(),
        Language::Zh => text.chars().filter(|letter| !letter.is_whitespace()).count(),
    }
}

/// Places in a random order that is the seed's own.
pub(crate) fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    for at in (1..count).rev() {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        places.swap(at, ((u128::from(mixed ^ (mixed >> 31)) * (at as u128 + 1)) >> 64) as usize);
    }
    places
}
