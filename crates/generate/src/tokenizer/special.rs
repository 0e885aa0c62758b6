use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use super::vocabulary::{Kind, Vocabulary};

/// Tokens that are found in a text before it is split into pieces.
#[derive(Debug)]
pub struct SpecialTokens {
    /// Longest first.
    tokens: Vec<Special>,
    /// Indices of `tokens`.
    by_first_byte: HashMap<u8, Vec<usize>>,
}

#[derive(Debug)]
struct Special {
    id: u32,
    text: String,
    /// User-defined tokens are part of any text; control tokens only where the caller allows them.
    in_any_text: bool,
    /// Whether white space after the token belongs to it.
    strips_right: bool,
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment<'a> {
    Special(u32),
    Text(&'a str),
}

impl SpecialTokens {
    pub fn new(vocabulary: &Vocabulary, strips_right: impl Fn(&str) -> bool) -> Self {
        let mut tokens = Vec::new();
        for ((id, text), kind) in (0..).zip(&vocabulary.texts).zip(&vocabulary.kinds) {
            if matches!(kind, Kind::Control | Kind::UserDefined | Kind::Unknown) && !text.is_empty() {
                let in_any_text = *kind == Kind::UserDefined;
                tokens.push(Special { id, text: text.clone(), in_any_text, strips_right: strips_right(text) });
            }
        }
        tokens.sort_by_key(|special| std::cmp::Reverse(special.text.len()));
        let mut by_first_byte: HashMap<u8, Vec<usize>> = HashMap::new();
        for (index, special) in tokens.iter().enumerate() {
            by_first_byte.entry(special.text.as_bytes()[0]).or_default().push(index);
        }
        Self { tokens, by_first_byte }
    }

    /// Whether a control token is spelled out in the text.
    pub fn spells_control(&self, text: &str) -> bool {
        (0..text.len()).flat_map(|start| self.starting(text, start)).any(|index| !self.tokens[index].in_any_text)
    }

    /// Cuts out the special tokens, the longest first wherever they are, as llama.cpp does. Control tokens are found only within
    /// one of the ranges of `trusted`. Empty texts are left out.
    pub fn split<'a>(&self, text: &'a str, trusted: &[Range<usize>]) -> Vec<Fragment<'a>> {
        let mut fragments = Vec::new();
        let mut start = 0;
        for (position, (end, id)) in self.occurrences(text, trusted) {
            if start < position {
                fragments.push(Fragment::Text(&text[start..position]));
            }
            fragments.push(Fragment::Special(id));
            start = end;
        }
        if start < text.len() {
            fragments.push(Fragment::Text(&text[start..]));
        }
        fragments
    }

    /// Ends and ids by starts; no two overlap.
    fn occurrences(&self, text: &str, trusted: &[Range<usize>]) -> BTreeMap<usize, (usize, u32)> {
        let mut candidates = Vec::new();
        for start in 0..text.len() {
            let allowed = |special: &Special| {
                let end = start + special.text.len();
                special.in_any_text || trusted.iter().any(|range| range.start <= start && end <= range.end)
            };
            let starting = self.starting(text, start).filter(|&index| allowed(&self.tokens[index]));
            candidates.extend(starting.map(|index| (index, start)));
        }
        candidates.sort_unstable();
        let mut taken: BTreeMap<usize, (usize, u32)> = BTreeMap::new();
        for (index, start) in candidates {
            let special = &self.tokens[index];
            let end = start + special.text.len();
            if taken.range(..end).next_back().is_some_and(|(_, &(taken_end, _))| taken_end > start) {
                continue;
            }
            let next = taken.range(end..).next().map_or(text.len(), |(&next, _)| next);
            let end = if special.strips_right { next - trim_start(&text[end..next]).len() } else { end };
            taken.insert(start, (end, special.id));
        }
        taken
    }

    /// Indices of the tokens spelled at `start`, longest first.
    fn starting(&self, text: &str, start: usize) -> impl Iterator<Item = usize> {
        let rest = &text.as_bytes()[start..];
        let indices = self.by_first_byte.get(&rest[0]).map_or(&[][..], Vec::as_slice);
        indices.iter().copied().filter(move |&index| rest.starts_with(self.tokens[index].text.as_bytes()))
    }
}

/// Leaves out what C's `isspace` holds for white space, as llama.cpp does.
fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r'])
}
