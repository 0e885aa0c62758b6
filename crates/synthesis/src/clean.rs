//! The paper's four rules by which an answer is dropped (section 5.3), and two that any data needs.

use crate::{Answer, text};
use roles::Language;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Why an answer is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reject {
    /// Completeness: the text is empty, was cut off, or breaks off.
    Incomplete,
    /// AI-identity concealment: the role says that it is a model.
    AiIdentity,
    /// Role-identity concealment: the role says that it plays a role.
    RoleIdentity,
    /// Non-rejection: the role refuses to answer.
    Rejection,
    /// The answer is in another language than the role's.
    WrongLanguage,
    /// The answer cannot be read in the shape that was asked for.
    Unreadable,
    /// The teacher rated the question Low.
    LowConfidence,
    /// Near another row of the same role.
    NearDuplicate,
    /// Near a row of a test file.
    Contaminated,
    /// It shares next to no words with what it was made from.
    Ungrounded,
    /// No answer came.
    NoAnswer,
}

impl Reject {
    /// One line for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Reject::Incomplete => "empty, cut off or broken off",
            Reject::AiIdentity => "says that it is an AI",
            Reject::RoleIdentity => "says that it plays a role",
            Reject::Rejection => "refuses to answer",
            Reject::WrongLanguage => "in the wrong language",
            Reject::Unreadable => "not in the shape that was asked for",
            Reject::LowConfidence => "rated Low by the teacher",
            Reject::NearDuplicate => "near-duplicate of another row",
            Reject::Contaminated => "too near to a test row",
            Reject::Ungrounded => "shares next to no words with its source",
            Reject::NoAnswer => "no answer from the teacher",
        }
    }
}

const AI: [&str; 17] = [
    "as an ai",
    "as a language model",
    "as an artificial intelligence",
    "i am an ai",
    "i'm an ai",
    "i am a language model",
    "i'm a language model",
    "ai assistant",
    "ai language model",
    "chatgpt",
    "openai",
    "作为一个ai",
    "作为ai",
    "作为人工智能",
    "作为一个人工智能",
    "语言模型",
    "我是人工智能",
];
const ACTING: [&str; 16] = [
    "as the character",
    "in the role of",
    "i am role-playing",
    "i'm role-playing",
    "i am roleplaying",
    "i'm roleplaying",
    "playing the role",
    "stay in character",
    "staying in character",
    "out of character",
    "fictional character",
    "扮演",
    "角色设定",
    "我的角色是",
    "虚构角色",
    "虚构人物",
];
const REFUSING: [&str; 22] = [
    "i cannot answer",
    "i can't answer",
    "i cannot help with",
    "i can't help with",
    "i cannot assist",
    "i can't assist",
    "i am unable to answer",
    "i'm unable to answer",
    "i am unable to provide",
    "i'm unable to provide",
    "i cannot provide",
    "i can't provide",
    "i'm sorry, but i can",
    "i am sorry, but i can",
    "i cannot fulfill",
    "i can't fulfill",
    "我无法回答",
    "我不能回答",
    "无法提供",
    "我无法帮助",
    "无法满足您",
    "很抱歉，我",
];

/// Checks an answer of a role; the text that is kept is trimmed and freed of the role's name before it.
///
/// # Errors
/// The first rule that it breaks. The rules look for phrases, so a talk about models or stages may fall to them too.
pub fn clean(answer: &Answer, name: &str, language: Language) -> Result<String, Reject> {
    let text = answer.text.trim();
    let text = text::after_label(text, name).unwrap_or(text).trim();
    let text = unquoted(text);
    check(text, language)?;
    if !answer.complete || !is_whole(text) {
        return Err(Reject::Incomplete);
    }
    Ok(text.to_string())
}

/// The rules that look at words alone.
///
/// # Errors
/// The first rule that the text breaks.
pub fn check(text: &str, language: Language) -> Result<(), Reject> {
    if text.chars().filter(|letter| letter.is_alphanumeric()).count() == 0 {
        return Err(Reject::Incomplete);
    }
    let lower = text.to_lowercase().replace('’', "'");
    let compact: String = lower.split_whitespace().collect::<Vec<_>>().join(" ");
    let holds = |phrases: &[&str]| phrases.iter().any(|phrase| compact.contains(phrase));
    if holds(&AI) {
        return Err(Reject::AiIdentity);
    }
    if holds(&ACTING) {
        return Err(Reject::RoleIdentity);
    }
    if holds(&REFUSING) {
        return Err(Reject::Rejection);
    }
    if text.chars().filter(|letter| letter.is_alphabetic()).count() >= 8 && text::language_of(text) != language {
        return Err(Reject::WrongLanguage);
    }
    Ok(())
}

/// Does a text hold on to what it was made from? One in six of its words, or of its pairs of Han characters, must.
///
/// # Errors
/// [`Reject::Ungrounded`].
pub fn grounded(text: &str, source: &str) -> Result<(), Reject> {
    let source: HashSet<String> = terms(source).collect();
    let (mut all, mut known) = (0, 0);
    for term in terms(text) {
        all += 1;
        known += usize::from(source.contains(&term));
    }
    if known * 6 >= all { Ok(()) } else { Err(Reject::Ungrounded) }
}

/// Words of four letters and more, and pairs of neighbouring Han characters.
fn terms(text: &str) -> impl Iterator<Item = String> {
    let tokens = text::tokens(text);
    let is_han = |token: &String| token.chars().all(text::is_han);
    let words: Vec<String> = tokens.iter().filter(|token| !is_han(token) && token.len() > 3).cloned().collect();
    let pairs: Vec<String> = tokens.windows(2).filter(|pair| pair.iter().all(is_han)).map(<[String]>::concat).collect();
    words.into_iter().chain(pairs)
}

/// Does a text end, or break off? Short answers (a number, a name) need no full stop.
fn is_whole(text: &str) -> bool {
    let is_short = text.split_whitespace().count() <= 6 && text.chars().count() <= 30;
    let last = text.chars().last().unwrap_or(' ');
    let ends = text::is_sentence_end(last)
        || matches!(last, '"' | '”' | '’' | '\'' | '）' | ')' | '」' | '』' | '*' | '~' | '～' | '—' | '`' | '}' | ']');
    is_short || ends
}

/// A text without the pair of quotes around all of it.
fn unquoted(text: &str) -> &str {
    for (open, close) in [('"', '"'), ('“', '”'), ('「', '」')] {
        if let Some(inner) = text.strip_prefix(open).and_then(|text| text.strip_suffix(close))
            && !inner.contains(open)
            && !inner.contains(close)
        {
            return inner.trim();
        }
    }
    text
}
