//! Scripts and prose as scenes of narration and lines that someone says.

mod epub;
mod markup;
mod prose;
mod screenplay;
mod subtitles;

use crate::text;
use roles::{Card, CardError, Exchange, Language};
use serde::{Deserialize, Serialize};

/// A scene is over for a pair of lines when so much narration stands between them.
const NARRATION_BETWEEN: usize = 2;

/// A work in reading order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The file's name.
    pub title: String,
    /// The language of its text.
    pub language: Language,
    /// Its scenes or chapters.
    pub scenes: Vec<Scene>,
}

/// A scene or a chapter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scene {
    /// Its heading; empty where it has none.
    pub heading: String,
    /// What happens, in order.
    pub beats: Vec<Beat>,
}

/// One paragraph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Beat {
    /// What nobody says: narration, background, action.
    Narration(String),
    /// What someone says.
    Line {
        /// Who, as the text names them; empty where it does not say.
        speaker: String,
        /// The words.
        words: String,
    },
}

/// A file that a profile can be made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A work.
    Script(Script),
    /// A character card.
    Card(Box<Card>),
}

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Bytes that are no text.
    #[error("not UTF-8 from byte {at} on; convert it first, for example with iconv")]
    Encoding {
        /// The first bad byte.
        at: usize,
    },
    /// No character card.
    #[error(transparent)]
    Card(#[from] CardError),
    /// No EPUB.
    #[error("not an EPUB: {reason}")]
    Epub {
        /// What is wrong.
        reason: String,
    },
    /// Text without text.
    #[error("there is no text in it")]
    Empty,
}

impl Source {
    /// Reads a file; its name tells the format: `.epub`, `.srt`, `.vtt`, `.fountain`, `.json` or `.png` (a character
    /// card), else text, of which screenplays are told from prose by their layout. `narrator` is who says "I".
    ///
    /// # Errors
    /// The bytes are not what the name says.
    pub fn read(name: &str, bytes: &[u8], narrator: &str) -> Result<Source, SourceError> {
        let extension = name.rsplit_once('.').map(|(_, end)| end.to_lowercase()).unwrap_or_default();
        if matches!(extension.as_str(), "json" | "png") {
            return Ok(Source::Card(Box::new(Card::read(bytes)?)));
        }
        let scenes = match extension.as_str() {
            "epub" => prose::scenes(&epub::chapters(bytes)?, narrator),
            "srt" | "vtt" => subtitles::scenes(utf8(bytes)?),
            "fountain" => screenplay::scenes(utf8(bytes)?),
            _ => {
                let text = utf8(bytes)?;
                match screenplay::is_screenplay(text) {
                    true => screenplay::scenes(text),
                    false => prose::scenes(&prose::chapters(text), narrator),
                }
            }
        };
        if scenes.iter().all(|scene| scene.beats.is_empty()) {
            return Err(SourceError::Empty);
        }
        let mut script = Script { title: name.to_string(), language: Language::En, scenes };
        script.language = text::language_of(&script.text());
        Ok(Source::Script(script))
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, SourceError> {
    let text = std::str::from_utf8(bytes).map_err(|error| SourceError::Encoding { at: error.valid_up_to() })?;
    Ok(text.trim_start_matches('\u{feff}'))
}

impl Beat {
    /// The beat as a script writes it.
    pub fn text(&self) -> String {
        match self {
            Beat::Narration(text) => text.clone(),
            Beat::Line { speaker, words } if speaker.is_empty() => words.clone(),
            Beat::Line { speaker, words } => format!("{speaker}: {words}"),
        }
    }
}

impl Script {
    /// The whole text.
    pub fn text(&self) -> String {
        let scene = |scene: &Scene| {
            let beats: Vec<String> = scene.beats.iter().map(Beat::text).collect();
            format!("{}\n\n{}", scene.heading, beats.join("\n"))
        };
        self.scenes.iter().map(scene).collect::<Vec<_>>().join("\n\n").trim().to_string()
    }

    /// How often each speaker speaks, the most talkative first.
    pub fn speakers(&self) -> Vec<(String, usize)> {
        let mut speakers: Vec<(String, usize)> = Vec::new();
        for beat in self.scenes.iter().flat_map(|scene| &scene.beats) {
            let Beat::Line { speaker, .. } = beat else { continue };
            match speakers.iter_mut().find(|(known, _)| known == speaker) {
                Some((_, count)) => *count += 1,
                None => speakers.push((speaker.clone(), 1)),
            }
        }
        speakers.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        speakers
    }

    /// What is said to a role, and what it answers: a line of another speaker and the role's next words in that scene.
    pub fn dialogue(&self, names: &Names) -> Vec<Exchange> {
        let mut exchanges: Vec<Exchange> = Vec::new();
        for scene in &self.scenes {
            let mut said: Option<String> = None;
            let mut answering = false;
            let mut narration = 0;
            for beat in &scene.beats {
                match beat {
                    Beat::Narration(_) => {
                        narration += 1;
                        if narration > NARRATION_BETWEEN {
                            (said, answering) = (None, false);
                        }
                    }
                    Beat::Line { speaker, words } if names.mean(speaker) => {
                        narration = 0;
                        if let Some(user) = said.take() {
                            exchanges.push(Exchange { user, reply: words.clone() });
                            answering = true;
                        } else if let Some(last) = exchanges.last_mut().filter(|_| answering) {
                            last.reply.push_str(if self.language == Language::Zh { "" } else { " " });
                            last.reply.push_str(words);
                        }
                    }
                    Beat::Line { words, .. } => {
                        (narration, answering) = (0, false);
                        said = Some(words.clone());
                    }
                }
            }
        }
        exchanges
    }

    /// Everything that a role says.
    pub fn words_of<'a>(&'a self, names: &'a Names) -> impl Iterator<Item = &'a str> {
        let beats = self.scenes.iter().flat_map(|scene| &scene.beats);
        beats.filter_map(|beat| match beat {
            Beat::Line { speaker, words } if names.mean(speaker) => Some(words.as_str()),
            _ => None,
        })
    }
}

/// The names by which a text calls one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    names: Vec<String>,
}

const TITLES: [&str; 18] = [
    "the",
    "mr",
    "mrs",
    "miss",
    "ms",
    "dr",
    "sir",
    "lady",
    "lord",
    "king",
    "queen",
    "prince",
    "princess",
    "captain",
    "professor",
    "doctor",
    "president",
    "uncle",
];

impl Names {
    /// A role's name, other names of it, and of an English name of several words its first and its last.
    pub fn new(name: &str, others: &[String]) -> Names {
        let mut names = vec![normal(name)];
        let words: Vec<String> = normal(name).split(' ').map(str::to_string).collect();
        if words.len() > 1 {
            let ends = [words.first(), words.last()].into_iter().flatten();
            names.extend(ends.filter(|word| word.len() > 2 && !TITLES.contains(&word.as_str())).cloned());
        }
        names.extend(others.iter().map(|name| normal(name)));
        names.retain(|name| !name.is_empty());
        names.dedup();
        Names { names }
    }

    /// Is this speaker the role? "Mr. Sherlock Holmes" is Holmes, "Mrs. Holmes" is, alas, too.
    pub fn mean(&self, speaker: &str) -> bool {
        let speaker = normal(speaker);
        let padded = format!(" {speaker} ");
        self.names.iter().any(|name| match name.chars().any(text::is_han) {
            true => speaker.contains(name.as_str()),
            false => padded.contains(&format!(" {name} ")),
        })
    }

    /// Does a text speak of the role?
    pub fn are_in(&self, text: &str) -> usize {
        let text = format!(" {} ", normal(text));
        let count = |name: &String| match name.chars().any(text::is_han) {
            true => text.matches(name.as_str()).count(),
            false => text.matches(&format!(" {name} ")).count(),
        };
        self.names.iter().map(count).max().unwrap_or(0)
    }
}

fn normal(name: &str) -> String {
    let spaced: String = name.chars().map(|letter| if letter.is_alphanumeric() { letter } else { ' ' }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
