use std::collections::HashMap;

use super::{Kind, Vocabulary};

/// Tokens that are found in a text before it is split into pieces.
#[derive(Debug)]
pub struct SpecialTokens {
    /// By first byte, longest first.
    by_first_byte: HashMap<u8, Vec<Special>>,
}

#[derive(Debug)]
struct Special {
    id: u32,
    text: String,
    /// User-defined tokens are part of any text; control tokens only where the caller allows them.
    always: bool,
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment<'a> {
    Special(u32),
    Text(&'a str),
}

impl SpecialTokens {
    pub fn new(vocabulary: &Vocabulary, control: impl Iterator<Item = u32>) -> Self {
        let control: Vec<u32> = control.collect();
        let mut by_first_byte: HashMap<u8, Vec<Special>> = HashMap::new();
        for ((id, text), kind) in (0..).zip(&vocabulary.texts).zip(&vocabulary.kinds) {
            let is_special = matches!(kind, Kind::Control | Kind::UserDefined | Kind::Unknown) || control.contains(&id);
            if let Some(&first) = text.as_bytes().first().filter(|_| is_special) {
                let special = Special { id, text: text.clone(), always: *kind == Kind::UserDefined };
                by_first_byte.entry(first).or_default().push(special);
            }
        }
        for specials in by_first_byte.values_mut() {
            specials.sort_by_key(|special| std::cmp::Reverse(special.text.len()));
        }
        Self { by_first_byte }
    }

    /// Cuts out the special tokens, leftmost and longest first. Empty texts are left out.
    pub fn split<'a>(&self, text: &'a str, parse_special: bool) -> Vec<Fragment<'a>> {
        let mut fragments = Vec::new();
        let (mut start, mut position) = (0, 0);
        while position < text.len() {
            let Some(special) = self.starting(&text.as_bytes()[position..], parse_special) else {
                position += 1;
                continue;
            };
            if start < position {
                fragments.push(Fragment::Text(&text[start..position]));
            }
            fragments.push(Fragment::Special(special.id));
            position += special.text.len();
            start = position;
        }
        if start < text.len() {
            fragments.push(Fragment::Text(&text[start..]));
        }
        fragments
    }

    fn starting(&self, rest: &[u8], parse_special: bool) -> Option<&Special> {
        let candidates = self.by_first_byte.get(&rest[0])?;
        candidates.iter().find(|special| (special.always || parse_special) && rest.starts_with(special.text.as_bytes()))
    }
}
