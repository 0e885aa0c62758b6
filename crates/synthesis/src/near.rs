//! Near-duplicates: all pairs of texts whose ROUGE-L F, over words and Han characters, reaches a threshold.
//!
//! MinHash would miss some of them. This misses none: a common subsequence of length L shares L tokens, so two texts that
//! are near share some of their rarest few (prefix filtering, Chaudhuri 2006; several of them, Wang 2012), and only such
//! pairs are compared.

use crate::text::tokens;
use rayon::prelude::*;
use std::collections::HashMap;

/// How many of the rarest tokens two near texts are asked to share: more are slower to look up, fewer leave more pairs.
const MATCHES: usize = 4;

/// A text that is near, and how near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// Its place.
    pub place: usize,
    /// ROUGE-L F.
    pub f1: f64,
}

/// For each text the nearest of `against` that reaches the threshold (above 0, at most 1); of equals the first.
pub fn nearest(texts: &[&str], against: &[&str], threshold: f64) -> Vec<Option<Near>> {
    let join = Join::new(texts.iter().chain(against), threshold);
    let index = join.index(texts.len()..texts.len() + against.len());
    let probe = |hits: &mut Hits, at: usize| {
        let mut best: Option<Near> = None;
        join.probe(at, &index, u32::MAX, hits, &mut |other, f1| {
            let place = other - texts.len();
            let is_better = best.is_none_or(|best| f1 > best.f1 || f1 == best.f1 && place < best.place);
            if is_better {
                best = Some(Near { place, f1 });
            }
        });
        best
    };
    (0..texts.len()).into_par_iter().map_init(|| Hits::new(join.texts.len()), probe).collect()
}

/// For each text the earlier one that it repeats, where that one repeats none itself.
pub fn duplicates(texts: &[&str], threshold: f64) -> Vec<Option<Near>> {
    let join = Join::new(texts.iter(), threshold);
    let index = join.index(0..texts.len());
    let probe = |hits: &mut Hits, at: usize| {
        let mut earlier = Vec::new();
        join.probe(at, &index, at as u32, hits, &mut |place, f1| earlier.push(Near { place, f1 }));
        earlier.sort_by_key(|near| near.place);
        earlier
    };
    let near: Vec<Vec<Near>> = (0..texts.len()).into_par_iter().map_init(|| Hits::new(texts.len()), probe).collect();
    let mut repeated: Vec<Option<Near>> = Vec::with_capacity(texts.len());
    for earlier in near {
        let of = earlier.into_iter().find(|near| repeated[near.place].is_none());
        repeated.push(of);
    }
    repeated
}

/// ROUGE-L F of two texts over words and Han characters.
pub fn rouge_l(a: &str, b: &str) -> f64 {
    let mut ids = HashMap::new();
    let mut numbered =
        |text: &str| -> Vec<u32> { tokens(text).into_iter().map(|token| next_id(&mut ids, token)).collect() };
    let (a, b) = (numbered(a), numbered(b));
    f1(common(&a, &b), a.len(), b.len())
}

struct Join {
    threshold: f64,
    texts: Vec<Text>,
}

#[derive(Default)]
struct Text {
    /// In the order of the text.
    tokens: Vec<u32>,
    /// The same, each occurrence of a token a thing of its own, the rarest first.
    by_rarity: Vec<u32>,
}

impl Join {
    fn new<'a>(texts: impl Iterator<Item = &'a &'a str>, threshold: f64) -> Join {
        let threshold = threshold.clamp(0.01, 1.0);
        let (mut words, mut things) = (HashMap::new(), HashMap::new());
        let mut holders: Vec<u32> = Vec::new();
        let mut all: Vec<Text> = texts
            .map(|text| {
                let mut counts: HashMap<u32, u32> = HashMap::new();
                let mut text = Text {
                    tokens: tokens(text).into_iter().map(|token| next_id(&mut words, token)).collect(),
                    by_rarity: Vec::new(),
                };
                for &token in &text.tokens {
                    let nth = counts.entry(token).or_default();
                    *nth += 1;
                    let thing = next_id(&mut things, (token, *nth));
                    holders.resize(things.len(), 0);
                    holders[thing as usize] += 1;
                    text.by_rarity.push(thing);
                }
                text
            })
            .collect();
        let mut order: Vec<u32> = (0..holders.len() as u32).collect();
        order.sort_by_key(|&thing| (holders[thing as usize], thing));
        let mut rank = vec![0; holders.len()];
        (0..).zip(&order).for_each(|(place, &thing)| rank[thing as usize] = place);
        for text in &mut all {
            text.by_rarity.iter_mut().for_each(|thing| *thing = rank[*thing as usize]);
            text.by_rarity.sort_unstable();
        }
        Join { threshold, texts: all }
    }

    /// How many tokens any near text shares at least: F = 2L / (n + m), and L ≤ m.
    fn least_shared(&self, length: usize) -> usize {
        ((self.threshold * length as f64 / (2.0 - self.threshold) - 1e-9).ceil() as usize).max(1)
    }

    /// How many of a text's rarest tokens any near text shares [`MATCHES`] of, or all that they share.
    fn prefix(&self, text: &Text) -> usize {
        let length = text.tokens.len();
        (length + MATCHES).saturating_sub(self.least_shared(length)).min(length)
    }

    fn index(&self, places: std::ops::Range<usize>) -> HashMap<u32, Vec<u32>> {
        let mut index: HashMap<u32, Vec<u32>> = HashMap::new();
        for place in places {
            let text = &self.texts[place];
            for &thing in &text.by_rarity[..self.prefix(text)] {
                index.entry(thing).or_default().push(place as u32);
            }
        }
        index
    }

    /// Tells `found` of each indexed text before `end` that is near.
    fn probe(
        &self,
        at: usize,
        index: &HashMap<u32, Vec<u32>>,
        end: u32,
        hits: &mut Hits,
        found: &mut dyn FnMut(usize, f64),
    ) {
        let text = &self.texts[at];
        let n = text.tokens.len();
        for thing in &text.by_rarity[..self.prefix(text)] {
            let places = index.get(thing).into_iter().flatten();
            places.take_while(|&&place| place < end).for_each(|&place| hits.count(place));
        }
        let fewest = MATCHES.min(self.least_shared(n));
        hits.drain(|place, count| {
            if count < fewest || place == at {
                return;
            }
            let candidate = &self.texts[place];
            let m = candidate.tokens.len();
            let needed = (self.threshold * (n + m) as f64 / 2.0 - 1e-9).ceil() as usize;
            let may_be = needed <= n.min(m) && count >= MATCHES.min(needed);
            if !may_be || shared(&text.by_rarity, &candidate.by_rarity) < needed {
                return;
            }
            let common = common(&text.tokens, &candidate.tokens);
            if common >= needed {
                found(place, f1(common, n, m));
            }
        });
    }
}

/// How often each text was met.
struct Hits {
    counts: Vec<u8>,
    met: Vec<u32>,
}

impl Hits {
    fn new(texts: usize) -> Hits {
        Hits { counts: vec![0; texts], met: Vec::new() }
    }

    fn count(&mut self, place: u32) {
        let count = &mut self.counts[place as usize];
        if *count == 0 {
            self.met.push(place);
        }
        *count = count.saturating_add(1);
    }

    /// Tells of each text that was met, and forgets it.
    fn drain(&mut self, mut each: impl FnMut(usize, usize)) {
        for place in self.met.drain(..) {
            let count = std::mem::take(&mut self.counts[place as usize]);
            each(place as usize, usize::from(count));
        }
    }
}

fn next_id<K: std::hash::Hash + Eq>(ids: &mut HashMap<K, u32>, key: K) -> u32 {
    let next = ids.len() as u32;
    *ids.entry(key).or_insert(next)
}

fn f1(common: usize, n: usize, m: usize) -> f64 {
    if n + m == 0 { 0.0 } else { 2.0 * common as f64 / (n + m) as f64 }
}

/// How many things two sorted lists share.
fn shared(a: &[u32], b: &[u32]) -> usize {
    let (mut at, mut to, mut count) = (0, 0, 0);
    while at < a.len() && to < b.len() {
        match a[at].cmp(&b[to]) {
            std::cmp::Ordering::Less => at += 1,
            std::cmp::Ordering::Greater => to += 1,
            std::cmp::Ordering::Equal => (at, to, count) = (at + 1, to + 1, count + 1),
        }
    }
    count
}

/// The length of the longest common subsequence.
fn common(a: &[u32], b: &[u32]) -> usize {
    let mut row = vec![0u32; b.len() + 1];
    for &left in a {
        let mut diagonal = 0;
        for (at, &right) in b.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if left == right { diagonal + 1 } else { above.max(row[at]) };
            diagonal = above;
        }
    }
    row[b.len()] as usize
}
