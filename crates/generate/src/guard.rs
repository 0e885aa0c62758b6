//! Which parts of a rendered prompt are the template's own, and which were written by somebody who may have spelled out a control
//! token.

use std::ops::RangeInclusive;

use crate::{ChatTemplate, Error, Message, Segment, Tokenizer};

/// Private use: two that no text of the conversation has mark where contents begin and end.
const MARKS: RangeInclusive<char> = '\u{f0000}'..='\u{ffffd}';

impl ChatTemplate {
    /// The ids of a rendered conversation. Control tokens count where the template writes them; spelled out in a message they
    /// are plain text.
    ///
    /// A template that cuts a content apart, or that asks how it begins or ends, hides where it stands. Then the prompt is read
    /// as one text, control tokens and all.
    ///
    /// # Errors
    /// The template refuses the messages, or the tokenizer fails.
    pub fn tokenize(&self, messages: &[Message], tokenizer: &Tokenizer) -> Result<Vec<u32>, Error> {
        self.tokenize_up_to(messages, tokenizer, true)
    }

    /// As [`Self::tokenize`], without the beginning of a reply where `add_generation_prompt` is false: a whole conversation.
    ///
    /// # Errors
    /// As [`Self::tokenize`].
    pub fn tokenize_up_to(
        &self,
        messages: &[Message],
        tokenizer: &Tokenizer,
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, Error> {
        let whole = self.render(messages, add_generation_prompt)?;
        let suspicious = |message: &Message| tokenizer.spells_control(&message.content);
        if !messages.iter().any(suspicious) {
            return tokenizer.encode(&whole, true);
        }
        let mut unused =
            MARKS.filter(|&mark| !whole.contains(mark) && !messages.iter().any(|m| m.content.contains(mark)));
        let (Some(open), Some(close)) = (unused.next(), unused.next()) else { return tokenizer.encode(&whole, true) };
        let mark = |message: &Message| match suspicious(message) {
            true => Message::new(&message.role, between(&message.content, open, close)),
            false => message.clone(),
        };
        let marked = self.render(&messages.iter().map(mark).collect::<Vec<_>>(), add_generation_prompt);
        match marked.ok().and_then(|marked| segments(&whole, &marked, open, close)) {
            Some(segments) => tokenizer.encode_segments(&segments),
            None => tokenizer.encode(&whole, true),
        }
    }
}

/// Marks a content inside its outer white space, which templates trim.
fn between(content: &str, open: char, close: char) -> String {
    let core = content.trim();
    let start = core.as_ptr() as usize - content.as_ptr() as usize;
    let (before, after) = (&content[..start], &content[start + core.len()..]);
    format!("{before}{open}{core}{close}{after}")
}

/// Cuts `whole` where `marked` has its marks; `None` if the marks are not in pairs, or the texts differ beyond them.
fn segments<'a>(whole: &'a str, marked: &str, open: char, close: char) -> Option<Vec<Segment<'a>>> {
    let mut segments = Vec::new();
    let (mut rest, mut marked, mut parse_special) = (whole, marked, true);
    loop {
        let mark = marked.find([open, close]);
        let len = mark.unwrap_or(marked.len());
        let text = rest.get(..len).filter(|&text| text == &marked[..len])?;
        segments.push(Segment { text, parse_special });
        rest = &rest[len..];
        let Some(mark) = mark else { break };
        let expected = if parse_special { open } else { close };
        marked = marked[mark..].strip_prefix(expected)?;
        parse_special = !parse_special;
    }
    (rest.is_empty() && parse_special).then_some(segments)
}
