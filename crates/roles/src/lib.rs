//! Role, character cards, conversations, prompts: what a character is and what the model is asked. Knows text; never tokens, models or IO.

mod card;
mod conversation;
mod examples;
mod png;
mod prompt;
mod role;
mod strategy;

pub use card::{Card, CardError};
pub use conversation::{Conversation, NodeId, Turn};
pub use examples::{DialogueError, Examples};
pub use prompt::{Exchange, messages};
pub use role::{Language, Role, RoleError};
pub use strategy::{Strategy, UnknownStrategy};

use serde::{Deserialize, Serialize};

/// Who says a message. The names are those that chat templates expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The instruction that makes the model the role.
    System,
    /// The person.
    User,
    /// The role.
    Assistant,
}

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    #[serde(rename = "role")]
    pub speaker: Speaker,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message of `speaker`.
    pub fn new(speaker: Speaker, content: impl Into<String>) -> Message {
        Message { speaker, content: content.into() }
    }

    /// The instruction that makes the model a role.
    pub fn system(content: impl Into<String>) -> Message {
        Message::new(Speaker::System, content)
    }

    /// Words of the person.
    pub fn user(content: impl Into<String>) -> Message {
        Message::new(Speaker::User, content)
    }

    /// Words of the role.
    pub fn assistant(content: impl Into<String>) -> Message {
        Message::new(Speaker::Assistant, content)
    }
}
