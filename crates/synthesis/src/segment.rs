//! Pieces of a script that fit a teacher's context, cut at natural breaks: between scenes, then paragraphs, then sentences.

use crate::{
    estimate_tokens,
    source::{Beat, Script},
    text::is_sentence_end,
};
use serde::{Deserialize, Serialize};

/// A piece of a script and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The script.
    pub source: String,
    /// Its place among the script's segments, from 0.
    pub index: usize,
    /// The heading under which it begins.
    pub heading: String,
    /// The text.
    pub text: String,
}

/// Cuts a script into pieces of at most `most_tokens` (estimated), without overlap. A paragraph is cut only where it is
/// longer than that itself. The paper names no rule; this one is ours.
pub fn segments(script: &Script, most_tokens: u64) -> Vec<Segment> {
    let most_tokens = most_tokens.max(16);
    let mut segments = Vec::new();
    let mut current = Piece::default();
    for scene in &script.scenes {
        let whole: u64 = scene.beats.iter().map(|beat| estimate_tokens(&beat.text())).sum();
        // A scene that fits is not cut: it begins a piece where it would not fit in the rest of this one.
        if current.tokens + whole > most_tokens && whole <= most_tokens {
            current.end(script, &mut segments);
        }
        for (at, beat) in scene.beats.iter().enumerate() {
            if at == 0 && !scene.heading.is_empty() {
                current.add(&scene.heading, &scene.heading, most_tokens, script, &mut segments);
            }
            for part in parts(beat, most_tokens) {
                current.add(&part, &scene.heading, most_tokens, script, &mut segments);
            }
        }
    }
    current.end(script, &mut segments);
    segments
}

#[derive(Default)]
struct Piece {
    heading: String,
    text: String,
    tokens: u64,
}

impl Piece {
    fn add(&mut self, text: &str, heading: &str, most: u64, script: &Script, segments: &mut Vec<Segment>) {
        let tokens = estimate_tokens(text);
        if self.tokens + tokens > most {
            self.end(script, segments);
        }
        if self.text.is_empty() {
            self.heading = heading.to_string();
        } else {
            self.text.push('\n');
        }
        self.text.push_str(text);
        self.tokens += tokens;
    }

    fn end(&mut self, script: &Script, segments: &mut Vec<Segment>) {
        let Piece { heading, text, .. } = std::mem::take(self);
        if !text.is_empty() {
            segments.push(Segment { source: script.title.clone(), index: segments.len(), heading, text });
        }
    }
}

/// A beat, in sentences where it is too long, and in letters where a sentence is.
fn parts(beat: &Beat, most: u64) -> Vec<String> {
    let text = beat.text();
    if estimate_tokens(&text) <= most {
        return vec![text];
    }
    let mut parts = vec![String::new()];
    for sentence in text.split_inclusive(is_sentence_end) {
        let mut rest = sentence;
        while estimate_tokens(rest) > most {
            // A token is at least a letter.
            let at = rest.char_indices().nth(most as usize).map_or(rest.len(), |(at, _)| at);
            parts.push(rest[..at].to_string());
            rest = &rest[at..];
        }
        let last = parts.last_mut().expect("there is a first part");
        match estimate_tokens(last) + estimate_tokens(rest) < most {
            true => last.push_str(rest),
            false => parts.push(rest.to_string()),
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}
