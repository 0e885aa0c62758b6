//! Chinese words, as Python's `jieba` 0.42.1 cuts them.

use jieba_rs::Jieba;
use std::{fmt, io::BufRead, ops::Range};

/// A word of the Python package's dictionary that the other port's lacks.
const ADDED: (&str, usize) = ("B超", 3);

/// The words of Chinese and how common they are: what [`Rule::JiebaF1`](crate::Rule::JiebaF1) cuts texts by.
pub struct Dictionary {
    jieba: Jieba,
}

/// A file that is no dictionary of `jieba`.
#[derive(Debug, thiserror::Error)]
#[error("not a dictionary of jieba (a word, its count and its part of speech in each line): {reason}")]
pub struct DictionaryError {
    reason: String,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Dictionary")
    }
}

impl Dictionary {
    /// Reads `dict.txt` of `jieba`.
    ///
    /// # Errors
    /// It cannot be read, or a line is not a word with its count.
    pub fn read(text: &mut impl BufRead) -> Result<Dictionary, DictionaryError> {
        let jieba = Jieba::with_dict(text).map_err(|error| DictionaryError { reason: error.to_string() })?;
        if !jieba.has_word("中国") {
            return Err(DictionaryError { reason: "it lacks 中国".to_string() });
        }
        Ok(Dictionary::of(jieba))
    }

    /// The dictionary that is part of the program.
    #[cfg(feature = "dictionary")]
    pub fn embedded() -> Dictionary {
        Dictionary::of(Jieba::new())
    }

    fn of(mut jieba: Jieba) -> Dictionary {
        jieba.add_word(ADDED.0, Some(ADDED.1), None);
        Dictionary { jieba }
    }

    /// Where each word stands, white space and marks among them, end to end.
    pub(crate) fn cut(&self, text: &str) -> Vec<Range<usize>> {
        let mut words = Vec::with_capacity(text.len() / 3);
        let mut start = 0;
        while let Some(first) = text[start..].chars().next() {
            let block = text[start..].find(|letter| !is_of_block(letter)).unwrap_or(text.len() - start);
            if block > 0 {
                self.cut_block(text, start..start + block, &mut words);
                start += block;
            } else {
                let length = if text[start..].starts_with("\r\n") { 2 } else { first.len_utf8() };
                words.push(start..start + length);
                start += length;
            }
        }
        words
    }

    /// The port keeps `25-64` and `a.b` whole; here what holds no Chinese and is no word is cut by the package's rule.
    fn cut_block(&self, text: &str, block: Range<usize>, words: &mut Vec<Range<usize>>) {
        let mut foreign = block.start..block.start;
        for token in self.jieba.cut(&text[block.clone()], true) {
            let range = block.start + token.byte_start..block.start + token.byte_end;
            let single = token.end - token.start == 1;
            if token.word.is_ascii() && (single || !self.jieba.has_word(token.word)) {
                foreign.end = range.end;
                continue;
            }
            cut_foreign(text, foreign, words);
            foreign = range.end..range.end;
            words.push(range);
        }
        cut_foreign(text, foreign, words);
    }
}

/// What the package looks up as a whole: the Chinese characters of Unicode 1, letters, digits and some marks.
fn is_of_block(letter: char) -> bool {
    matches!(letter, '\u{4e00}'..='\u{9fd5}' | 'a'..='z' | 'A'..='Z' | '0'..='9' | '+' | '#' | '&' | '.' | '_' | '%' | '-')
}

/// Letters and digits with one decimal part and a per cent sign are a word, and so is all that stands between two such.
fn cut_foreign(text: &str, range: Range<usize>, words: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let count = |from: usize, of: fn(&u8) -> bool| bytes[from..range.end].iter().take_while(|byte| of(byte)).count();
    let mut start = range.start;
    while start < range.end {
        let mut end = start + count(start, u8::is_ascii_alphanumeric);
        if end == start {
            end += count(start, |byte| !byte.is_ascii_alphanumeric());
        } else {
            let decimals = if bytes[end..range.end].starts_with(b".") { count(end + 1, u8::is_ascii_digit) } else { 0 };
            end += if decimals > 0 { 1 + decimals } else { 0 };
            end += usize::from(bytes[end..range.end].starts_with(b"%"));
        }
        words.push(start..end);
        start = end;
    }
}
