//! Prompts of an exact number of tokens, other ones in each repetition.

use super::chat::ask;
use super::models::Model;
use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// Models whose words are tokens are recognized by a prompt of this many words.
const PROBE: usize = 8;
/// As many positions as one step of our own prefill takes.
const WARM_UP: usize = 64;
const MOST_TRIES: usize = 12;

/// A text for each wanted number of tokens.
pub struct Prompts {
    /// The texts.
    pub texts: [String; 2],
}

impl Prompts {
    /// Texts that the model reads as so many tokens, or as few less as can be.
    pub fn fit(chat: &Path, model: &Model, wanted: [usize; 2], repetition: usize) -> Result<Prompts> {
        let count = |text: &str| Ok(ask(chat, &model.path, text, 1, None)?.prompt_tokens);
        let probed = count(&words(repetition, 0, PROBE))?;
        let mut texts = [String::new(), String::new()];
        for (at, (text, wanted)) in texts.iter_mut().zip(wanted).enumerate() {
            *text = match probed.checked_sub(PROBE) {
                // In random models a word is a token; counting would cost a whole prefill of a large file.
                Some(begin @ 0..=1) => words(repetition, at, wanted.saturating_sub(begin).max(1)),
                _ => search(|number| words(repetition, at, number), wanted, count)?,
            };
        }
        Ok(Prompts { texts })
    }
}

/// A prompt to run before anything is timed: a browser compiles a module's functions anew, and better, once they have been called
/// for a while. No other prompt begins with its letter.
pub fn warm_up() -> String {
    format!("zz {}", words(0, 0, WARM_UP))
}

/// Two-letter words; the first differs from text to text, so that no cache of an earlier prompt helps.
fn words(repetition: usize, at: usize, number: usize) -> String {
    let mut random = ChaCha8Rng::seed_from_u64((repetition * 2 + at) as u64);
    let mut letter = || char::from(random.random_range(b'a'..=b'y'));
    let first = [b'a' + (repetition % 12) as u8 * 2 + at as u8, b'a' + (repetition / 12 % 26) as u8].map(char::from);
    let mut text: String = first.iter().collect();
    for _ in 1..number {
        text.extend([' ', letter(), letter()]);
    }
    text
}

/// The longest text of at most `wanted` tokens that a few tries find, filled up with single letters.
fn search(text: impl Fn(usize) -> String, wanted: usize, count: impl Fn(&str) -> Result<usize>) -> Result<String> {
    let (mut low, mut high) = (1, wanted + 1);
    let mut best = (text(1), 1);
    for _ in 0..MOST_TRIES {
        if high - low <= 1 {
            break;
        }
        let middle = (low + high) / 2;
        let tried = text(middle);
        let tokens = count(&tried)?;
        if tokens <= wanted {
            (low, best) = (middle, (tried, tokens));
        } else {
            high = middle;
        }
    }
    let filled = format!("{}{}", best.0, " a".repeat(wanted - best.1.min(wanted)));
    Ok(if count(&filled)? <= wanted { filled } else { best.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_its_number_of_words_and_begins_differently_each_time() {
        assert_eq!(words(3, 1, 20).split(' ').count(), 20);
        let mut firsts: Vec<String> = (0..6).flat_map(|turn| [words(turn, 0, 1), words(turn, 1, 1)]).collect();
        firsts.sort();
        firsts.dedup();
        assert_eq!(firsts.len(), 12);
    }

    #[test]
    fn the_search_meets_the_number_where_words_are_several_tokens() {
        // As if a word were two tokens and a letter one.
        let count = |text: &str| Ok(text.split(' ').map(str::len).sum());
        let text = search(|number| words(0, 0, number), 101, count).expect("counting cannot fail");
        assert_eq!(count(&text).expect("counting cannot fail"), 101);
    }
}
