use crate::{Message, Role, Speaker};
use serde::{Deserialize, Serialize};

/// A line of a role's dialogue: what the person says and how the role answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The person's words.
    pub user: String,
    /// The role's answer.
    pub reply: String,
}

/// The messages that ask `role` for its next answer: the system instruction, then `turns` in order.
pub fn messages(role: &Role, turns: impl IntoIterator<Item = Message>) -> Vec<Message> {
    std::iter::once(Message::new(Speaker::System, role.system_instruction())).chain(turns).collect()
}
