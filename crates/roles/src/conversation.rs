//! A conversation is a tree: editing or regenerating adds a sibling, nothing is overwritten.

use crate::{Message, Speaker};
use serde::{Deserialize, Serialize};

/// A message's place in the tree of its [`Conversation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(usize);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    parent: Option<NodeId>,
    /// The child that the shown path goes through.
    chosen: Option<NodeId>,
    message: Message,
    /// Was the answer cut off by the person?
    #[serde(default)]
    stopped: bool,
}

/// A tree of messages and the path through it that is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    nodes: Vec<Node>,
    root: Option<NodeId>,
}

/// One message of the shown path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its place in the tree.
    pub id: NodeId,
    /// The message.
    pub message: Message,
    /// Was it cut off?
    pub stopped: bool,
    /// Which of its siblings it is, from 0.
    pub variant: usize,
    /// How many siblings there are, itself included.
    pub variants: usize,
}

impl Conversation {
    /// Adds a message after `parent` (`None`: a first message) and shows it.
    ///
    /// # Panics
    /// When `parent` belongs to another conversation.
    pub fn add(&mut self, parent: Option<NodeId>, message: Message) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node { parent, chosen: None, message, stopped: false });
        *self.choice(parent) = Some(id);
        id
    }

    /// Replaces the text of a message that is still being written.
    pub fn set_content(&mut self, id: NodeId, content: impl Into<String>) {
        self.nodes[id.0].message.content = content.into();
    }

    /// Marks an answer as cut off by the person.
    pub fn mark_stopped(&mut self, id: NodeId) {
        self.nodes[id.0].stopped = true;
    }

    /// Shows `id` instead of its siblings.
    pub fn choose(&mut self, id: NodeId) {
        let parent = self.nodes[id.0].parent;
        *self.choice(parent) = Some(id);
    }

    /// The sibling `steps` away from `id`, if there is one.
    pub fn sibling(&self, id: NodeId, steps: isize) -> Option<NodeId> {
        let siblings = self.siblings(id);
        let at = siblings.iter().position(|&sibling| sibling == id)?;
        siblings.get(at.checked_add_signed(steps)?).copied()
    }

    /// What `id` answers to.
    pub fn parent(&self, id: NodeId) -> Option<NodeId> {
        self.nodes[id.0].parent
    }

    /// The last message shown.
    pub fn last(&self) -> Option<NodeId> {
        self.path().last().copied()
    }

    /// The shown messages, from the first on.
    pub fn turns(&self) -> Vec<Turn> {
        self.path()
            .into_iter()
            .map(|id| {
                let node = &self.nodes[id.0];
                let siblings = self.siblings(id);
                Turn {
                    id,
                    message: node.message.clone(),
                    stopped: node.stopped,
                    variant: siblings.iter().position(|&sibling| sibling == id).unwrap_or(0),
                    variants: siblings.len(),
                }
            })
            .collect()
    }

    /// The messages from the first up to and with `id`: what a prompt for an answer to `id` holds.
    pub fn messages_up_to(&self, id: NodeId) -> Vec<Message> {
        let mut messages: Vec<Message> = std::iter::successors(Some(id), |&id| self.nodes[id.0].parent)
            .map(|id| self.nodes[id.0].message.clone())
            .filter(|message| message.speaker != Speaker::System)
            .collect();
        messages.reverse();
        messages
    }

    fn path(&self) -> Vec<NodeId> {
        std::iter::successors(self.root, |&id| self.nodes[id.0].chosen).collect()
    }

    fn siblings(&self, id: NodeId) -> Vec<NodeId> {
        let parent = self.nodes[id.0].parent;
        (0..self.nodes.len()).map(NodeId).filter(|other| self.nodes[other.0].parent == parent).collect()
    }

    fn choice(&mut self, parent: Option<NodeId>) -> &mut Option<NodeId> {
        match parent {
            Some(parent) => &mut self.nodes[parent.0].chosen,
            None => &mut self.root,
        }
    }
}
