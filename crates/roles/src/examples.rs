use crate::Exchange;
use std::collections::HashMap;

/// How fast a term that a text repeats stops to count (Robertson and Zaragoza 2009).
const K1: f64 = 1.5;
/// How much a long text is held back.
const B: f64 = 0.75;

/// A role's dialogue, searched by BM25 (paper, section 3: the examples nearest to the question).
#[derive(Clone, Debug, Default)]
pub struct Examples {
    exchanges: Vec<Exchange>,
    /// For each term, the exchanges that hold it and how often.
    postings: HashMap<String, Vec<(usize, f64)>>,
    /// Terms of each exchange.
    lengths: Vec<f64>,
}

/// A line of a dialogue that is none.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}; a line is {{\"user\": …, \"reply\": …}}")]
pub struct DialogueError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: serde_json::Error,
}

impl Examples {
    /// Indexes exchanges, the person's words and the role's alike.
    pub fn new(exchanges: Vec<Exchange>) -> Examples {
        let mut postings: HashMap<String, Vec<(usize, f64)>> = HashMap::new();
        let mut lengths = Vec::with_capacity(exchanges.len());
        for (at, exchange) in exchanges.iter().enumerate() {
            let mut counts: HashMap<String, f64> = HashMap::new();
            for term in terms(&exchange.user).chain(terms(&exchange.reply)) {
                *counts.entry(term).or_default() += 1.0;
            }
            lengths.push(counts.values().sum());
            counts.into_iter().for_each(|(term, count)| postings.entry(term).or_default().push((at, count)));
        }
        Examples { exchanges, postings, lengths }
    }

    /// Reads the exchanges of JSON Lines.
    ///
    /// # Errors
    /// The first line that is no exchange.
    pub fn from_jsonl(text: &str) -> Result<Examples, DialogueError> {
        let full = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let exchanges =
            full.map(|(at, line)| serde_json::from_str(line).map_err(|reason| DialogueError { line: at + 1, reason }));
        Ok(Examples::new(exchanges.collect::<Result<_, _>>()?))
    }

    /// Is there no exchange?
    pub fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// At most `count` exchanges that share words with a text, the nearest last, where it stands beside the question.
    pub fn nearest(&self, text: &str, count: usize) -> Vec<&Exchange> {
        let total = self.exchanges.len() as f64;
        let mean_length = self.lengths.iter().sum::<f64>() / total.max(1.0);
        let mut scores = vec![0.0; self.exchanges.len()];
        for term in terms(text) {
            let Some(found) = self.postings.get(&term) else { continue };
            let holding = found.len() as f64;
            let rarity = (1.0 + (total - holding + 0.5) / (holding + 0.5)).ln();
            for &(at, count) in found {
                let held_back = K1 * (1.0 - B + B * self.lengths[at] / mean_length);
                scores[at] += rarity * count * (K1 + 1.0) / (count + held_back);
            }
        }
        let mut order: Vec<usize> = (0..scores.len()).filter(|&at| scores[at] > 0.0).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        order.truncate(count);
        order.into_iter().rev().map(|at| &self.exchanges[at]).collect()
    }
}

/// Words in lower case; of Chinese, every character and every two that stand together.
fn terms(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|letter: char| !letter.is_alphanumeric()).flat_map(|run| {
        let mut found = Vec::new();
        let mut word = String::new();
        let mut before = None;
        for letter in run.chars() {
            if is_ideograph(letter) {
                if !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                }
                found.push(letter.to_string());
                found.extend(before.map(|before| format!("{before}{letter}")));
                before = Some(letter);
            } else {
                word.extend(letter.to_lowercase());
                before = None;
            }
        }
        found.extend((!word.is_empty()).then_some(word));
        found
    })
}

fn is_ideograph(letter: char) -> bool {
    matches!(letter, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}
