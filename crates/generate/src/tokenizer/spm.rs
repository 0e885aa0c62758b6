use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashMap},
};

use decoder::{Array, Gguf};

use super::{Vocabulary, unusable, vocabulary::Kind};
use crate::Error;

/// How SentencePiece spells a space.
pub const SPACE: char = '\u{2581}';

/// SentencePiece BPE: the adjacent pair whose union has the best score is merged, again and again, leftmost first among equals;
/// characters outside the vocabulary fall back to their bytes.
#[derive(Debug)]
pub struct Spm {
    ids: HashMap<String, u32>,
    scores: Vec<f32>,
    /// Ids of the 256 byte tokens.
    bytes: Vec<Option<u32>>,
    unknown: Option<u32>,
}

/// A run of text; `len` 0 marks one that was merged into its left neighbour.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    len: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

/// Two adjacent symbols whose union is a token.
#[derive(Debug)]
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Length of the union when it was found: another one now means that either side has changed.
    len: usize,
}

impl Spm {
    pub fn from_gguf(gguf: &Gguf, vocabulary: &Vocabulary, unknown: Option<u32>) -> Result<Self, Error> {
        let count = vocabulary.texts.len();
        let scores = match gguf.get_array("tokenizer.ggml.scores")? {
            Some(Array::Floats(scores)) if scores.len() == count => scores.clone(),
            _ => return Err(unusable(format!("tokenizer.ggml.scores is no array of {count} floats"))),
        };
        let mut ids = HashMap::with_capacity(count);
        let mut bytes = vec![None; 256];
        for ((id, text), kind) in (0..).zip(&vocabulary.texts).zip(&vocabulary.kinds) {
            match (kind, byte_value(text)) {
                // SentencePiece never merges text to these, so that "</" and "s>" stay apart.
                (Kind::Control | Kind::Unknown, _) => {}
                (Kind::Byte, Some(byte)) => bytes[byte as usize] = Some(id),
                _ => drop(ids.insert(text.clone(), id)),
            }
        }
        Ok(Self { ids, scores, bytes, unknown })
    }

    /// Appends the ids of `text`.
    pub fn encode(&self, text: &str, space_prefix: bool, out: &mut Vec<u32>) {
        let prefix = if space_prefix { " " } else { "" };
        let text = format!("{prefix}{text}").replace(' ', &SPACE.to_string());
        for symbol in self.merge(&text) {
            let piece = &text[symbol.start..symbol.start + symbol.len];
            match self.ids.get(piece) {
                Some(&id) => out.push(id),
                None => out.extend(piece.bytes().filter_map(|byte| self.bytes[byte as usize].or(self.unknown))),
            }
        }
    }

    /// The symbols that remain when no adjacent pair is a token any more.
    fn merge(&self, text: &str) -> Vec<Symbol> {
        let mut symbols = characters(text);
        let mut pairs = BinaryHeap::new();
        for right in 1..symbols.len() {
            pairs.extend(self.pair(text, &symbols, right - 1, right));
        }
        while let Some(Pair { left, right, len, .. }) = pairs.pop() {
            let (l, r) = (symbols[left], symbols[right]);
            if l.len == 0 || r.len == 0 || l.len + r.len != len {
                continue;
            }
            symbols[left].len = len;
            symbols[left].next = r.next;
            symbols[right].len = 0;
            if let Some(next) = r.next {
                symbols[next].previous = Some(left);
                pairs.extend(self.pair(text, &symbols, left, next));
            }
            if let Some(previous) = l.previous {
                pairs.extend(self.pair(text, &symbols, previous, left));
            }
        }
        symbols.retain(|symbol| symbol.len > 0);
        symbols
    }

    fn pair(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Pair> {
        let start = symbols[left].start;
        let len = symbols[left].len + symbols[right].len;
        let id = *self.ids.get(&text[start..start + len])?;
        Some(Pair { score: self.scores[id as usize], left, right, len })
    }
}

fn characters(text: &str) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = text
        .char_indices()
        .enumerate()
        .map(|(index, (start, c))| Symbol {
            start,
            len: c.len_utf8(),
            previous: index.checked_sub(1),
            next: Some(index + 1),
        })
        .collect();
    if let Some(last) = symbols.last_mut() {
        last.next = None;
    }
    symbols
}

/// The byte that a token like `<0x0A>` stands for.
pub fn byte_value(text: &str) -> Option<u8> {
    u8::from_str_radix(text.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}
