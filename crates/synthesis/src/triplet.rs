//! Question, confidence, answer: read from what a teacher wrote, be it JSON, fenced or cut JSON, or labelled lines.

use crate::text::after_label;
use serde_json::Value;

/// What a teacher made of one segment, one at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Triplet {
    /// The question.
    pub question: String,
    /// Did the teacher rate it High?
    pub high: bool,
    /// Why.
    pub reason: String,
    /// The answer, in the role's voice.
    pub answer: String,
}

const RATINGS: [&str; 6] = ["completeness", "factualness", "confidence", "rating", "完整性", "真实性"];
const QUESTIONS: [&str; 4] = ["question", "instruction", "问题", "q"];
const ANSWERS: [&str; 5] = ["answer", "response", "回答", "答案", "a"];
const REASONS: [&str; 3] = ["reason", "because", "理由"];

/// Reads what can be read; whole triplets only.
pub fn parse_triplets(text: &str) -> Vec<Triplet> {
    let from_json = json_triplets(text);
    match from_json.is_empty() {
        true => labelled_triplets(text),
        false => from_json,
    }
}

/// Every innermost object with a question and an answer, wherever it stands: in a list, in a fence, before a cut.
fn json_triplets(text: &str) -> Vec<Triplet> {
    let objects = innermost_objects(text).into_iter();
    objects.filter_map(|object| from_object(&serde_json::from_str(object).ok()?)).collect()
}

/// The texts from each `{` to its `}` that hold no other `{`, outside of strings.
fn innermost_objects(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut in_string, mut escaped) = (Vec::new(), None, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' if start.is_some() => in_string = !in_string,
            b'{' if !in_string => start = Some(at),
            b'}' if !in_string => found.extend(start.take().map(|start| &text[start..=at])),
            _ => {}
        }
    }
    found
}

fn from_object(value: &Value) -> Option<Triplet> {
    let object = value.as_object()?;
    let field = |names: &[&str]| {
        let found = object.iter().find(|(name, _)| names.contains(&name.trim().to_lowercase().as_str()));
        found.and_then(|(_, value)| match value {
            Value::String(text) => Some(text.trim().to_string()),
            Value::Bool(value) => Some(if *value { "high" } else { "low" }.to_string()),
            _ => None,
        })
    };
    let (question, answer) = (field(&QUESTIONS)?, field(&ANSWERS)?);
    let rating = field(&RATINGS).unwrap_or_default();
    let reason = field(&REASONS).unwrap_or_else(|| after_rating(&rating).to_string());
    whole(Triplet { question, high: is_high(&rating), reason, answer })
}

/// `Question 1: …`, `Completeness: High, because …`, `Response: …`, in any of the words above, numbered or not, and with
/// the marks of Markdown around them.
fn labelled_triplets(text: &str) -> Vec<Triplet> {
    #[derive(Clone, Copy)]
    enum Part {
        Question,
        Rating,
        Reason,
        Answer,
    }
    let mut triplets: Vec<Triplet> = Vec::new();
    let mut part = None;
    for line in text.lines() {
        let line = line.trim().trim_start_matches(['-', '*', '#', '>', ' ']).replace("**", "");
        let labelled = |labels: &[&str]| labels.iter().find_map(|label| labelled(&line, label));
        let (next, words) = if let Some(words) = labelled(&QUESTIONS) {
            triplets.push(Triplet::default());
            (Some(Part::Question), words)
        } else if let Some(words) = labelled(&RATINGS) {
            (Some(Part::Rating), words)
        } else if let Some(words) = labelled(&REASONS) {
            (Some(Part::Reason), words)
        } else if let Some(words) = labelled(&ANSWERS) {
            (Some(Part::Answer), words)
        } else {
            (part, line.trim())
        };
        part = next;
        let Some((triplet, part)) = triplets.last_mut().zip(part) else { continue };
        if matches!(part, Part::Rating) && !words.is_empty() {
            triplet.high = is_high(words);
            triplet.reason = after_rating(words).to_string();
            continue;
        }
        let field = match part {
            Part::Question => &mut triplet.question,
            Part::Answer => &mut triplet.answer,
            Part::Rating | Part::Reason => &mut triplet.reason,
        };
        if !field.is_empty() && !words.is_empty() {
            field.push(' ');
        }
        field.push_str(words);
    }
    triplets.into_iter().filter_map(whole).collect()
}

/// What follows a label and its number: `Question 3: …`, `3. Question: …`, `问题三：…`.
fn labelled<'a>(line: &'a str, label: &str) -> Option<&'a str> {
    let line =
        line.trim_start_matches(|letter: char| letter.is_ascii_digit() || matches!(letter, '.' | ')' | ' ' | '、'));
    let rest =
        line.get(..label.len()).filter(|start| start.eq_ignore_ascii_case(label)).map(|_| &line[label.len()..])?;
    let at = rest.find([':', '：'])?;
    let number = rest[..at].trim();
    let is_number = number.chars().all(|letter| letter.is_ascii_digit() || "一二三四五六七八九十".contains(letter));
    let label_end = &line[..label.len() + at];
    is_number.then(|| after_label(line, label_end)).flatten()
}

fn is_high(rating: &str) -> bool {
    let rating = rating.trim_start_matches(['"', '“', ' ', '*']).to_lowercase();
    rating.starts_with("high") || rating.starts_with('高')
}

/// "High, because it names the place" → "it names the place".
fn after_rating(rating: &str) -> &str {
    let rest = rating.trim_start_matches(|letter: char| letter.is_alphabetic());
    let rest = if rating.starts_with(['高', '低']) { &rating['高'.len_utf8()..] } else { rest };
    let rest = rest.trim_start_matches([',', '，', '.', '。', ';', '(', '（', ' ', '-', '—']);
    ["because", "Because", "因为"].iter().find_map(|word| rest.strip_prefix(word)).unwrap_or(rest).trim()
}

fn whole(mut triplet: Triplet) -> Option<Triplet> {
    let trim = |text: &str| text.trim().trim_matches(['"', '“', '”', '*']).trim().to_string();
    triplet.question = trim(&triplet.question);
    triplet.answer = trim(&triplet.answer);
    (!triplet.question.is_empty() && !triplet.answer.is_empty()).then_some(triplet)
}
