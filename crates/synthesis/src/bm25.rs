//! BM25 (Robertson and Zaragoza 2009) over texts in memory.

use crate::text::{is_han, tokens};
use std::collections::HashMap;

const K1: f64 = 1.2;
const B: f64 = 0.75;

/// An index of texts.
#[derive(Debug, Default)]
pub struct Bm25 {
    /// For each term, the documents that hold it and how often.
    postings: HashMap<String, Vec<(usize, u32)>>,
    lengths: Vec<u32>,
    total: u64,
}

impl Bm25 {
    /// Indexes texts; their places are their names.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Bm25 {
        let mut index = Bm25::default();
        texts.into_iter().for_each(|text| index.add(text));
        index
    }

    /// Adds one more text.
    pub fn add(&mut self, text: &str) {
        let document = self.lengths.len();
        let mut length = 0;
        for (term, count) in counted(text) {
            length += count;
            self.postings.entry(term).or_default().push((document, count));
        }
        self.lengths.push(length);
        self.total += u64::from(length);
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The best texts for a query, best first, with their scores; of equals the earlier. Texts that share no term are left out.
    pub fn best(&self, query: &str, count: usize) -> Vec<(usize, f64)> {
        let mut scores: HashMap<usize, f64> = HashMap::new();
        for (term, _) in counted(query) {
            let Some(postings) = self.postings.get(&term) else { continue };
            for &(document, frequency) in postings {
                *scores.entry(document).or_default() += self.weight(postings.len(), frequency, self.lengths[document]);
            }
        }
        let mut best: Vec<(usize, f64)> = scores.into_iter().collect();
        best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        best.truncate(count);
        best
    }

    /// How near the nearest text is, 1 being the query itself: its score over the score of the query as a text of the
    /// index.
    pub fn nearness(&self, query: &str) -> f64 {
        let terms = counted(query);
        let length = terms.iter().map(|(_, count)| count).sum();
        let in_it = |term: &str| self.postings.get(term).map_or(0, Vec::len);
        let itself: f64 = terms.iter().map(|(term, count)| self.weight(in_it(term).max(1), *count, length)).sum();
        match self.best(query, 1).first() {
            Some((_, score)) if itself > 0.0 => (score / itself).min(1.0),
            _ => 0.0,
        }
    }

    fn weight(&self, documents: usize, frequency: u32, length: u32) -> f64 {
        let (all, holding, frequency) = (self.lengths.len() as f64, documents as f64, f64::from(frequency));
        let rarity = ((all - holding + 0.5) / (holding + 0.5)).max(0.0).ln_1p();
        let average = (self.total as f64 / all.max(1.0)).max(1.0);
        rarity * frequency * (K1 + 1.0) / (frequency + K1 * (1.0 - B + B * f64::from(length) / average))
    }
}

/// Words, Han characters and pairs of neighbouring Han characters, each with its count, in a fixed order.
fn counted(text: &str) -> Vec<(String, u32)> {
    let mut terms = tokens(text);
    let is_one_han = |token: &String| token.chars().all(is_han);
    let pairs: Vec<String> =
        terms.windows(2).filter(|pair| pair.iter().all(is_one_han)).map(|pair| pair.concat()).collect();
    terms.extend(pairs);
    terms.sort_unstable();
    let mut counted: Vec<(String, u32)> = Vec::new();
    for term in terms {
        match counted.last_mut() {
            Some((last, count)) if *last == term => *count += 1,
            _ => counted.push((term, 1)),
        }
    }
    counted
}
