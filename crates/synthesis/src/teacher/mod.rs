//! Who is asked: an endpoint, a local model, or a script for tests.

mod local;
mod openai;
mod scripted;
mod spec;

pub use local::Local;
pub use openai::{OpenAi, Secret};
pub use scripted::Scripted;
pub use spec::{SpecError, TeacherSpec};

use crate::Request;
use std::{future::Future, pin::Pin, time::Duration};

/// What a teacher wrote, and what it counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The text.
    pub text: String,
    /// Tokens of the prompt, as the teacher counts them.
    pub prompt_tokens: u64,
    /// Tokens of the reply.
    pub reply_tokens: u64,
    /// Did the teacher end the text itself, or was it cut off at the most tokens?
    pub complete: bool,
}

/// Why a teacher did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TeacherError {
    /// Ask again, not before `after` where the teacher said so: too many requests, an overloaded or failing server.
    #[error("{reason}")]
    Busy {
        /// What happened.
        reason: String,
        /// The teacher's own word on when to come back.
        after: Option<Duration>,
        /// Is it the asker that is too fast (429) rather than the teacher that is ill?
        throttled: bool,
    },
    /// This request will never be answered: too long, refused by the server's rules.
    #[error("{reason}")]
    Refused {
        /// What the teacher said.
        reason: String,
    },
    /// No request will be answered: a wrong key, an unknown model, no money left.
    #[error("{reason}")]
    Unusable {
        /// What the teacher said, and the remedy.
        reason: String,
    },
}

/// The future of a reply.
pub type Replying<'a> = Pin<Box<dyn Future<Output = Result<Reply, TeacherError>> + Send + 'a>>;

/// Someone who answers requests.
pub trait Teacher: Send + Sync {
    /// The model's name, as it goes into the journal: the same request to another model is another request.
    fn model(&self) -> &str;

    /// Asks once; retries are the dispatcher's.
    fn ask<'a>(&'a self, request: &'a Request) -> Replying<'a>;

    /// Tokens that prompt and reply may have together, where the teacher knows it.
    fn context(&self) -> Option<usize> {
        None
    }
}
