use crate::{Error, Message};

/// Knows how many tokens a conversation becomes. [`crate::Model`] does.
pub trait PromptSize {
    /// Tokens of the rendered prompt, ready for the model's reply.
    ///
    /// # Errors
    /// The conversation cannot be rendered.
    fn prompt_tokens(&self, messages: &[Message]) -> Result<usize, Error>;
}

/// What of a conversation fits the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// The messages to give to the model.
    pub messages: Vec<Message>,
    /// The messages that were left out, oldest first.
    pub dropped: Vec<Message>,
    /// Tokens of the rendered `messages`.
    pub prompt_tokens: usize,
}

/// Drops the oldest turns until the prompt and `max_tokens` of reply fit `context` tokens.
///
/// A turn is a user message with the replies to it, so that roles still alternate. System messages at the start and the last
/// turn always stay.
///
/// # Errors
/// [`Error::PromptTooLong`] if what must stay does not fit.
pub fn fit(size: &impl PromptSize, messages: &[Message], context: usize, max_tokens: usize) -> Result<Fit, Error> {
    let pinned = messages.iter().take_while(|message| message.role == "system").count();
    let (system, turns) = messages.split_at(pinned);
    // Every user message but the first starts a turn at which the conversation may be cut.
    let later_turns = (1..turns.len()).filter(|&index| turns[index].role == "user");
    let mut needed = 0;
    for cut in std::iter::once(0).chain(later_turns) {
        let kept = [system, &turns[cut..]].concat();
        let prompt_tokens = size.prompt_tokens(&kept)?;
        needed = prompt_tokens.saturating_add(max_tokens);
        if needed <= context {
            return Ok(Fit { messages: kept, dropped: turns[..cut].to_vec(), prompt_tokens });
        }
    }
    Err(Error::PromptTooLong { needed, context })
}
