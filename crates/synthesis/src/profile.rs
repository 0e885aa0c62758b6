//! Role profiles: description in two steps, catchphrases, dialogue (paper, section 1).

use crate::{
    Counts, Dispatcher, Failure, Reject, Request, Sampling, Stage, clean, estimate_tokens, prompts,
    segment::{Segment, segments},
    source::{Names, Script},
    text::{self, is_sentence_end},
};
use roles::{Exchange, Language, Message, Role, Speaker};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Most letters of a catchphrase.
const LONGEST_CATCHPHRASE: usize = 80;
const MOST_CATCHPHRASES: usize = 5;

/// A role and how it speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Name, description, catchphrases.
    pub role: Role,
    /// What is said to it, and its answers.
    pub dialogue: Vec<Exchange>,
}

/// What a profile is made of.
#[derive(Clone, Debug)]
pub struct Material {
    /// What is known already: at least name, id and language; of a card its description and more.
    pub role: Role,
    /// Lines that are known already.
    pub dialogue: Vec<Exchange>,
    /// How scripts call the role.
    pub names: Names,
    /// Where it appears.
    pub scripts: Vec<Script>,
}

/// How much is read and written.
#[derive(Clone, Copy, Debug)]
pub struct Profiler {
    /// Most tokens of a piece of a script.
    pub segment_tokens: u64,
    /// Most pieces that notes are taken of, those that speak of the role, spread evenly.
    pub most_notes: usize,
    /// Most tokens of an answer.
    pub max_tokens: u32,
}

impl Default for Profiler {
    fn default() -> Profiler {
        Profiler { segment_tokens: 2000, most_notes: 12, max_tokens: 500 }
    }
}

impl Profiler {
    /// Makes a profile. Where the teacher's text is rejected, the material's own stands in: a card's description, notes,
    /// the lines that the role repeats.
    ///
    /// # Errors
    /// The run has to end: no teacher, no money, no journal.
    pub async fn make(&self, dispatcher: &Dispatcher, material: &Material) -> Result<(Profile, Counts), Failure> {
        let mut counts = Counts::default();
        let mut role = material.role.clone();
        let dialogue: Vec<Exchange> = material
            .dialogue
            .iter()
            .cloned()
            .chain(material.scripts.iter().flat_map(|script| script.dialogue(&material.names)))
            .collect();
        let notes = self.notes(dispatcher, material, &mut counts).await?;
        let known = [role.description.as_str()].into_iter().chain(notes.iter().map(String::as_str));
        let known = within(known.filter(|text| !text.is_empty()), 2 * self.segment_tokens);
        if let Some(description) = self.description(dispatcher, &role, &known, &mut counts).await? {
            role.description = description;
        } else if role.description.trim().is_empty() {
            role.description = plain_description(&role, &notes);
        }
        let lines: Vec<&str> = material.scripts.iter().flat_map(|script| script.words_of(&material.names)).collect();
        if role.catchphrases.is_empty() {
            role.catchphrases = self.catchphrases(dispatcher, &role, &lines, &mut counts).await?;
        }
        Ok((Profile { role, dialogue }, counts))
    }

    async fn notes(
        &self,
        dispatcher: &Dispatcher,
        material: &Material,
        counts: &mut Counts,
    ) -> Result<Vec<String>, Failure> {
        let role = &material.role;
        let all: Vec<Segment> =
            material.scripts.iter().flat_map(|script| segments(script, self.segment_tokens)).collect();
        let about: Vec<&Segment> = all.iter().filter(|segment| material.names.are_in(&segment.text) > 0).collect();
        let count = about.len().min(self.most_notes);
        let chosen: Vec<&Segment> = (0..count).map(|at| about[at * about.len() / count]).collect();
        let requests: Vec<Request> = chosen
            .iter()
            .map(|segment| self.request(Stage::Notes, prompts::notes(&role.name, role.language, &segment.text)))
            .collect();
        let answers = dispatcher.ask_all(&requests).await;
        let mut notes = Vec::new();
        for (segment, answer) in chosen.iter().zip(answers) {
            let is_nothing = |text: &str| matches!(text.trim_matches(['.', '。', '"']), "NOTHING" | "无");
            let check = |text: &str| match is_nothing(text) {
                true => Ok(()),
                false => clean::check(text, role.language).and_then(|()| clean::grounded(text, &segment.text)),
            };
            notes.extend(accept(answer, counts, check)?.filter(|text| !is_nothing(text)));
        }
        Ok(notes)
    }

    /// Third person, then second person.
    async fn description(
        &self,
        dispatcher: &Dispatcher,
        role: &Role,
        known: &str,
        counts: &mut Counts,
    ) -> Result<Option<String>, Failure> {
        if known.is_empty() {
            return Ok(None);
        }
        let is_description = |text: &str| {
            clean::check(text, role.language)?;
            let (least, most) = if role.language == Language::Zh { (20, 800) } else { (80, 2500) };
            if (least..=most).contains(&text.chars().count()) { Ok(()) } else { Err(Reject::Incomplete) }
        };
        let third = self.request(Stage::Description, prompts::description(&role.name, role.language, known));
        let is_of = |text: &str, source: &str| is_description(text).and_then(|()| clean::grounded(text, source));
        let third = accept(dispatcher.ask(&third).await, counts, |text| is_of(text, known))?;
        let Some(third) = third else { return Ok(None) };
        let second = self.request(Stage::SecondPerson, prompts::second_person(role.language, &third));
        let third = third.as_str();
        let is_second_person = |text: &str| {
            is_of(text, third)?;
            let lower = format!(" {}", text.to_lowercase());
            let speaks_to = if role.language == Language::Zh { text.contains('你') } else { lower.contains(" you") };
            if speaks_to { Ok(()) } else { Err(Reject::Unreadable) }
        };
        accept(dispatcher.ask(&second).await, counts, is_second_person)
    }

    async fn catchphrases(
        &self,
        dispatcher: &Dispatcher,
        role: &Role,
        lines: &[&str],
        counts: &mut Counts,
    ) -> Result<Vec<String>, Failure> {
        let step = lines.len().div_ceil(30).max(1);
        let some = within(lines.iter().step_by(step).copied(), self.segment_tokens / 2);
        let prompt = prompts::catchphrases(&role.name, role.language, &role.description, &some);
        let answer = dispatcher.ask(&self.request(Stage::Catchphrases, prompt)).await;
        let read = |text: &str| match parse_catchphrases(text, role.language).is_empty() {
            true => Err(Reject::Unreadable),
            false => Ok(()),
        };
        Ok(match accept(answer, counts, read)? {
            Some(text) => parse_catchphrases(&text, role.language),
            None => repeated(lines),
        })
    }

    fn request(&self, stage: Stage, prompt: String) -> Request {
        let messages = vec![Message::new(Speaker::User, prompt)];
        Request { stage, messages, sampling: Sampling::paper(self.max_tokens), json: false, sample: 0 }
    }
}

/// The text of an answer that passes; what does not is counted.
fn accept(
    answer: Result<crate::Answer, Failure>,
    counts: &mut Counts,
    check: impl Fn(&str) -> Result<(), Reject>,
) -> Result<Option<String>, Failure> {
    counts.requests += 1;
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) if failure.ends_the_run() => return Err(failure),
        Err(_) => {
            counts.reject(Reject::NoAnswer);
            return Ok(None);
        }
    };
    counts.found += 1;
    let text = answer.text.trim();
    match check(text) {
        Ok(()) => {
            counts.kept += 1;
            Ok(Some(text.to_string()))
        }
        Err(reason) => {
            counts.reject(reason);
            Ok(None)
        }
    }
}

/// What can be said of a role without a teacher.
fn plain_description(role: &Role, notes: &[String]) -> String {
    let lead = match role.language {
        Language::En => format!("You are {}.", role.name),
        Language::Zh => format!("你是{}。", role.name),
    };
    let notes = within(notes.iter().map(String::as_str), 300);
    if notes.is_empty() { lead } else { format!("{lead}\n{notes}") }
}

fn parse_catchphrases(text: &str, language: Language) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        let line =
            line.trim().trim_start_matches(|letter: char| letter.is_ascii_digit() || "-*•.、) ".contains(letter));
        let line = line.trim().trim_matches(['"', '“', '”', '「', '」']).trim();
        let is_short =
            (2..=LONGEST_CATCHPHRASE).contains(&line.chars().count()) && line.split_whitespace().count() <= 14;
        let is_lead = line.ends_with([':', '：']);
        if is_short && !is_lead && clean::check(line, language).is_ok() && !found.iter().any(|known| known == line) {
            found.push(line.to_string());
        }
    }
    found.truncate(MOST_CATCHPHRASES);
    found
}

/// Short sentences that a role says three times and more, the most frequent first.
fn repeated(lines: &[&str]) -> Vec<String> {
    let mut counts: HashMap<String, (usize, &str)> = HashMap::new();
    for sentence in lines.iter().flat_map(|line| line.split_inclusive(is_sentence_end)) {
        let key = text::tokens(sentence).join(" ");
        if (2..=10).contains(&text::tokens(sentence).len()) {
            counts.entry(key).or_insert((0, sentence.trim())).0 += 1;
        }
    }
    let mut often: Vec<(usize, &str)> = counts.into_values().filter(|(count, _)| *count >= 3).collect();
    often.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    often.into_iter().take(MOST_CATCHPHRASES).map(|(_, sentence)| sentence.to_string()).collect()
}

/// The first texts that fit together into so many tokens, one on a line.
fn within<'a>(texts: impl Iterator<Item = &'a str>, tokens: u64) -> String {
    let mut all = String::new();
    let mut used = 0;
    for text in texts {
        used += estimate_tokens(text);
        if used > tokens && !all.is_empty() {
            break;
        }
        all.push_str(text);
        all.push('\n');
    }
    all.trim().to_string()
}
