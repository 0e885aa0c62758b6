//! The packages' tokenizers, quirks included.

use crate::porter;
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    ops::Range,
};

/// Words of this length and shorter are not stemmed.
const UNSTEMMED: usize = 3;
/// An ellipsis as `rouge_chinese` knows it.
const ELLIPSIS: &str = "......";

/// What a token of [`Rule::Paper`](crate::Rule::Paper) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// What stands between white space: English.
    Word,
    /// Each character that is no white space: Chinese.
    Character,
}

impl Unit {
    /// Characters if the text holds a Han character, else words.
    pub fn of(text: &str) -> Unit {
        if text.chars().any(is_han) { Unit::Character } else { Unit::Word }
    }
}

fn is_han(character: char) -> bool {
    matches!(character, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// White space as Python's `str.split` sees it.
fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
}

/// A text's tokens, in sentences. A token may be empty: some packages count blank sentences as one.
#[derive(Debug, Default)]
pub struct Tokens {
    /// The tokens' texts, end to end.
    letters: String,
    /// Where each token ends in `letters`.
    ends: Vec<usize>,
    /// Where each token stands in the text that it comes from.
    ranges: Vec<Range<usize>>,
    /// How many tokens there are up to the end of each sentence.
    sentence_ends: Vec<usize>,
}

impl Tokens {
    /// Lower-case words of a-z and 0-9, as `rouge_score` sees them.
    pub fn alphanumeric(text: &str, stemmed: bool) -> Tokens {
        let mut tokens = Tokens::with_capacity(text.len());
        tokens.push_alphanumeric(text, 0, stemmed);
        tokens.end_sentence();
        tokens
    }

    /// The same, in lines.
    pub fn alphanumeric_lines(text: &str, stemmed: bool) -> Tokens {
        let mut tokens = Tokens::with_capacity(text.len());
        let mut start = 0;
        for line in text.split('\n') {
            tokens.push_alphanumeric(line, start, stemmed);
            tokens.end_sentence();
            start += line.len() + 1;
        }
        tokens
    }

    /// Sentences that end at a full stop, as the package `rouge` sees them, raw words or characters.
    ///
    /// A sentence of white space only is one empty token.
    pub fn dotted_sentences(text: &str, unit: Unit) -> Tokens {
        let mut tokens = Tokens::with_capacity(text.len());
        let mut start = 0;
        for sentence in text.split('.') {
            let end = start + sentence.len();
            // Joining characters by spaces puts a space beside each full stop that has a neighbour.
            let padded = unit == Unit::Character && start > 0 && end < text.len();
            if !sentence.is_empty() || padded {
                match unit {
                    Unit::Word => tokens.push_words(text, start..end),
                    Unit::Character => tokens.push_characters(text, start..end),
                }
                tokens.end_sentence();
            }
            start = end + 1;
        }
        tokens
    }

    /// Characters without white space, as `rouge_chinese` sees them once they are joined by spaces.
    pub fn characters(text: &str) -> Tokens {
        let characters = text.char_indices().map(|(at, character)| at..at + character.len_utf8());
        Tokens::joined_by_spaces(text, characters)
    }

    /// Words without white space, as `rouge_chinese` sees them once they are joined by spaces; `words` lie end to end.
    pub fn words(text: &str, words: &[Range<usize>]) -> Tokens {
        Tokens::joined_by_spaces(text, words.iter().cloned())
    }

    /// A blank line, also one between a mark that ends a sentence and the next line, is one empty token.
    fn joined_by_spaces(text: &str, pieces: impl Iterator<Item = Range<usize>>) -> Tokens {
        let mut tokens = Tokens::with_capacity(text.len());
        let end = text.trim_end_matches(is_space).len();
        let mut blank = text.starts_with(|first| is_space(first) && first != '\n');
        for range in pieces.take_while(|range| range.start < end) {
            let piece = &text[range.clone()];
            if piece.ends_with('\n') {
                if blank {
                    tokens.push("", range.start..range.start);
                }
                blank = true;
            } else if !piece.starts_with(is_space) {
                let ends_line = tokens.push_piece(text, range.clone(), range.end < end);
                blank = ends_line || matches!(piece, "。" | "！" | "？" | "?");
            }
        }
        tokens.end_sentence();
        tokens
    }

    /// Where a token stands in its text, in bytes.
    pub fn range(&self, index: usize) -> Range<usize> {
        self.ranges[index].clone()
    }

    /// Cuts one value per token into sentences.
    pub fn sentences<'a, T>(&self, values: &'a [T]) -> Vec<&'a [T]> {
        let mut start = 0;
        self.sentence_ends.iter().map(|&end| &values[std::mem::replace(&mut start, end)..end]).collect()
    }

    /// Room for the tokens of a text of so many bytes.
    fn with_capacity(bytes: usize) -> Tokens {
        let tokens = bytes / 4 + 1;
        let (ends, ranges) = (Vec::with_capacity(tokens), Vec::with_capacity(tokens));
        Tokens { letters: String::with_capacity(bytes), ends, ranges, sentence_ends: Vec::new() }
    }

    fn push(&mut self, token: &str, range: Range<usize>) {
        self.letters.push_str(token);
        self.ends.push(self.letters.len());
        self.ranges.push(range);
    }

    /// Says whether the piece ends a line: `rouge_chinese` begins one after six full stops that a character follows.
    fn push_piece(&mut self, text: &str, piece: Range<usize>, followed: bool) -> bool {
        let (mut start, mut unseen) = (piece.start, piece.start);
        let mut ends_line = false;
        while let Some(at) = text[unseen..piece.end].find(ELLIPSIS) {
            let cut = unseen + at + ELLIPSIS.len();
            let Some(next) = text[cut..piece.end].chars().next() else {
                ends_line = followed;
                break;
            };
            self.push(&text[start..cut], start..cut);
            start = cut;
            unseen = cut + next.len_utf8();
        }
        self.push(&text[start..piece.end], start..piece.end);
        ends_line
    }

    fn push_word(&mut self, word: &mut String, range: &Range<usize>, stemmed: bool) {
        if stemmed && word.len() > UNSTEMMED {
            porter::stem(word);
        }
        self.push(word, range.clone());
        word.clear();
    }

    /// The words of a text that begins at `start` of the whole.
    fn push_alphanumeric(&mut self, text: &str, start: usize, stemmed: bool) {
        let mut word = String::new();
        let mut range = 0..0;
        let mut read = |at: usize, length: usize, letter: char| {
            if letter.is_ascii_alphanumeric() {
                range.start = if word.is_empty() { at } else { range.start };
                range.end = at + length;
                word.push(letter);
            } else if !word.is_empty() {
                self.push_word(&mut word, &range, stemmed);
            }
        };
        for (at, letter) in text.char_indices() {
            if letter.is_ascii() {
                read(start + at, 1, letter.to_ascii_lowercase());
            } else {
                // The Kelvin sign becomes a k, the dotted capital I an i and a separator.
                letter.to_lowercase().for_each(|lower| read(start + at, letter.len_utf8(), lower));
            }
        }
        // What ends a text ends its last word.
        read(start + text.len(), 0, ' ');
    }

    fn push_words(&mut self, text: &str, sentence: Range<usize>) {
        let before = self.ends.len();
        let mut start = sentence.start;
        for word in text[sentence.clone()].split(is_space) {
            let end = start + word.len();
            if !word.is_empty() {
                self.push(word, start..end);
            }
            start = end + text[end..].chars().next().map_or(0, char::len_utf8);
        }
        self.push_if_blank(before, sentence.start);
    }

    fn push_characters(&mut self, text: &str, sentence: Range<usize>) {
        let before = self.ends.len();
        for (offset, character) in text[sentence.clone()].char_indices().filter(|&(_, character)| !is_space(character))
        {
            let at = sentence.start + offset;
            let range = at..at + character.len_utf8();
            self.push(&text[range.clone()], range);
        }
        self.push_if_blank(before, sentence.start);
    }

    fn push_if_blank(&mut self, before: usize, at: usize) {
        if self.ends.len() == before {
            self.push("", at..at);
        }
    }

    fn end_sentence(&mut self) {
        self.sentence_ends.push(self.ends.len());
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.letters[std::mem::replace(&mut start, end)..end])
    }
}

/// Numbers equal tokens alike, from 0 in the order of their first appearance.
#[derive(Debug, Default)]
pub struct Vocabulary<'a> {
    ids: HashMap<&'a str, u32, BuildHasherDefault<WordHasher>>,
}

impl<'a> Vocabulary<'a> {
    /// The numbers of a text's tokens.
    pub fn ids(&mut self, tokens: &'a Tokens) -> Vec<u32> {
        self.ids.reserve(tokens.ends.len());
        tokens
            .texts()
            .map(|token| {
                let next = self.ids.len() as u32;
                *self.ids.entry(token).or_insert(next)
            })
            .collect()
    }

    /// How many different tokens there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }
}

/// Multiplies and rotates eight bytes at a time: words are short, and a map lives as long as one pair of texts.
#[derive(Debug, Default)]
struct WordHasher(u64);

impl Hasher for WordHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut mix = |word: u64| self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
        mix(rest.iter().fold(rest.len() as u64, |word, &byte| word << 8 | u64::from(byte)));
    }

    fn write_u8(&mut self, _end_of_text: u8) {}

    fn finish(&self) -> u64 {
        // The map takes its buckets from the low bits; the product's good ones are high.
        self.0.rotate_left(32)
    }
}
