//! Conversations: what was said, what is being said, and what is kept.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use leptos::prelude::*;
use leptos::task::spawn_local;
use protocol::{Failure, Outcome, Prompt, StopReason};
use roles::{Conversation, Message, NodeId, Role, Speaker, Turn};
use serde::{Deserialize, Serialize};

use crate::{engine::Engine, models::Models, settings::Settings, store};

/// How many earlier conversations with a role are kept.
const EARLIER: usize = 20;

/// The conversations with one role; all copies mean the same ones.
#[derive(Clone, Copy)]
pub struct Chat {
    engine: Engine,
    models: Models,
    settings: RwSignal<Settings>,
    role: StoredValue<Role>,
    conversation: RwSignal<Conversation>,
    /// Conversations that are not shown, the latest first.
    pub earlier: RwSignal<Vec<Conversation>>,
    /// The message that is being answered.
    pub answering: RwSignal<Option<NodeId>>,
    /// What there is of the answer.
    pub partial: RwSignal<String>,
    /// What went wrong with the last answer.
    pub problem: RwSignal<Option<Problem>>,
    /// What the answers of this visit cost.
    pub outcomes: RwSignal<HashMap<NodeId, Outcome>>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// The engine refused or broke down.
    Failed(Failure),
    /// The model ended its answer before it began.
    Empty,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Saved {
    current: Conversation,
    earlier: Vec<Conversation>,
}

impl Chat {
    fn open(engine: Engine, models: Models, settings: RwSignal<Settings>, role: Role) -> Chat {
        let saved: Saved = store::get(&store_key(&role.id)).unwrap_or_default();
        Chat {
            engine,
            models,
            settings,
            role: StoredValue::new(role),
            conversation: RwSignal::new(saved.current),
            earlier: RwSignal::new(saved.earlier),
            answering: RwSignal::new(None),
            partial: RwSignal::new(String::new()),
            problem: RwSignal::new(None),
            outcomes: RwSignal::new(HashMap::new()),
        }
    }

    /// The messages to show: up to the one being answered, where one is.
    pub fn turns(self) -> Vec<Turn> {
        let mut turns = self.conversation.with(Conversation::turns);
        if let Some(asked) = self.answering.get()
            && let Some(at) = turns.iter().position(|turn| turn.id == asked)
        {
            turns.truncate(at + 1);
        }
        turns
    }

    /// Has nothing been said yet?
    pub fn is_empty(self) -> bool {
        self.conversation.with(|conversation| conversation.last().is_none())
    }

    /// Says something and has it answered.
    pub fn ask(self, text: &str) {
        let parent = self.conversation.with_untracked(Conversation::last);
        self.say(parent, text);
    }

    /// Says something else in the place of the person's message `id`, which stays as a sibling.
    pub fn edit(self, id: NodeId, text: &str) {
        let parent = self.conversation.with_untracked(|conversation| conversation.parent(id));
        self.say(parent, text);
    }

    fn say(self, parent: Option<NodeId>, text: &str) {
        if self.answering.get_untracked().is_some() || text.trim().is_empty() {
            return;
        }
        let message = Message::new(Speaker::User, text.trim());
        let asked = self.conversation.try_update(|conversation| conversation.add(parent, message));
        self.save();
        if let Some(asked) = asked {
            self.answer(asked);
        }
    }

    /// Has the question of answer `id` answered once more; the old answer stays as a sibling.
    pub fn regenerate(self, id: NodeId) {
        if let Some(asked) = self.conversation.with_untracked(|conversation| conversation.parent(id)) {
            self.answer(asked);
        }
    }

    /// Answers the last message, where that is the person's: after a failure.
    pub fn retry(self) {
        let last = self.conversation.with_untracked(|conversation| conversation.turns().pop());
        if let Some(turn) = last.filter(|turn| turn.message.speaker == Speaker::User) {
            self.answer(turn.id);
        }
    }

    fn answer(self, asked: NodeId) {
        if self.answering.get_untracked().is_some() {
            return;
        }
        let turns = self.conversation.with_untracked(|conversation| conversation.messages_up_to(asked));
        let messages = self.role.with_value(|role| roles::messages(role, answered(turns)));
        self.problem.set(None);
        self.partial.set(String::new());
        self.answering.set(Some(asked));
        let options = self.settings.get_untracked().options();
        let adapter = untrack(|| self.models.adapter_for(&self.role.with_value(|role| role.id.clone())));
        let painter = Painter::new(self.partial);
        spawn_local(async move {
            let sink = painter.clone();
            let result = self.engine.generate(prompt(messages), options, adapter, move |text| sink.push(text)).await;
            let written = painter.finish();
            self.finish(asked, &written, result);
        });
    }

    fn finish(self, asked: NodeId, written: &str, result: Result<Outcome, Failure>) {
        let (text, stopped) = match &result {
            Ok(outcome) => (outcome.text.trim(), outcome.stop == StopReason::Cancelled),
            // What was written before the engine broke down is kept.
            Err(_) => (written.trim(), true),
        };
        // One that was stopped before its first word can still be asked for again.
        if !text.is_empty() || (stopped && result.is_ok()) {
            let added = self.conversation.try_update(|conversation| {
                let id = conversation.add(Some(asked), Message::new(Speaker::Assistant, text));
                if stopped {
                    conversation.mark_stopped(id);
                }
                id
            });
            if let (Some(id), Ok(outcome)) = (added, &result) {
                self.outcomes.update(|outcomes| drop(outcomes.insert(id, outcome.clone())));
            }
        }
        let is_empty = text.is_empty() && !stopped;
        self.problem.set(match result {
            Err(failure) => Some(Problem::Failed(failure)),
            Ok(_) if is_empty => Some(Problem::Empty),
            Ok(_) => None,
        });
        self.answering.set(None);
        self.save();
    }

    /// Ends the answer that is being written; what there is of it is kept.
    pub fn stop(self) {
        if self.answering.get_untracked().is_some() {
            self.engine.stop();
        }
    }

    /// Shows the sibling `steps` away from message `id`.
    pub fn step(self, id: NodeId, steps: isize) {
        self.conversation.update(|conversation| {
            if let Some(sibling) = conversation.sibling(id, steps) {
                conversation.choose(sibling);
            }
        });
        self.save();
    }

    /// Begins another conversation; the one that was shown is kept.
    pub fn renew(self) {
        self.show(Conversation::default());
    }

    /// Goes back to an earlier conversation.
    pub fn restore(self, index: usize) {
        let chosen = self.earlier.try_update(|earlier| (index < earlier.len()).then(|| earlier.remove(index)));
        if let Some(chosen) = chosen.flatten() {
            self.show(chosen);
        }
    }

    /// Forgets an earlier conversation and gives it back, so that it can be put back.
    pub fn forget(self, index: usize) -> Option<Conversation> {
        let gone = self.earlier.try_update(|earlier| (index < earlier.len()).then(|| earlier.remove(index))).flatten();
        self.save();
        gone
    }

    /// Puts back what [`Chat::forget`] took.
    pub fn put_back(self, index: usize, conversation: Conversation) {
        self.earlier.update(|earlier| earlier.insert(index.min(earlier.len()), conversation));
        self.save();
    }

    fn show(self, conversation: Conversation) {
        if self.answering.get_untracked().is_some() {
            return;
        }
        let previous = self.conversation.get_untracked();
        self.conversation.set(conversation);
        if previous.last().is_some() {
            self.earlier.update(|earlier| {
                earlier.insert(0, previous);
                earlier.truncate(EARLIER);
            });
        }
        self.outcomes.set(HashMap::new());
        self.problem.set(None);
        self.save();
    }

    fn save(self) {
        let saved = Saved { current: self.conversation.get_untracked(), earlier: self.earlier.get_untracked() };
        store::set(&store_key(&self.role.with_value(|role| role.id.clone())), &saved);
    }
}

/// The messages without questions whose answer was stopped before its first word.
fn answered(turns: Vec<Message>) -> Vec<Message> {
    let mut kept: Vec<Message> = Vec::with_capacity(turns.len());
    for message in turns {
        if message.speaker == Speaker::Assistant && message.content.is_empty() {
            kept.pop();
        } else {
            kept.push(message);
        }
    }
    kept
}

fn store_key(role: &str) -> String {
    format!("chat.{role}")
}

/// The messages as the engine takes them.
pub fn prompt(messages: Vec<Message>) -> Prompt {
    let messages = messages.into_iter().map(|message| {
        let role = match message.speaker {
            Speaker::System => "system",
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
        };
        protocol::Message { role: role.to_string(), content: message.content }
    });
    Prompt::Messages(messages.collect())
}

/// All conversations, each opened when it is first shown and then kept: answers go on while other views are shown.
#[derive(Clone, Copy)]
pub struct Chats {
    engine: Engine,
    models: Models,
    settings: RwSignal<Settings>,
    open: StoredValue<HashMap<String, Chat>>,
    owner: StoredValue<Owner>,
}

impl Chats {
    /// No conversation is open yet.
    pub fn start(engine: Engine, models: Models, settings: RwSignal<Settings>) -> Chats {
        let owner = Owner::current().unwrap_or_default();
        Chats { engine, models, settings, open: StoredValue::default(), owner: StoredValue::new(owner) }
    }

    /// The conversations with `role`.
    pub fn with(self, role: &Role) -> Chat {
        if let Some(chat) = self.open.with_value(|open| open.get(&role.id).copied()) {
            // A model's folder may have brought another role of the same id.
            chat.role.set_value(role.clone());
            return chat;
        }
        // The signals live as long as the page, not as long as the view that asks first.
        let open = || Chat::open(self.engine, self.models, self.settings, role.clone());
        let chat = self.owner.with_value(|owner| owner.with(open));
        self.open.update_value(|open| {
            open.insert(role.id.clone(), chat);
        });
        chat
    }

    /// Forgets everything said with a role.
    pub fn forget(self, role: &str) {
        self.open.update_value(|open| {
            open.remove(role);
        });
        store::remove(&store_key(role));
    }
}

/// Collects text and shows it once per animation frame.
#[derive(Clone)]
struct Painter {
    text: Rc<RefCell<String>>,
    scheduled: Rc<Cell<bool>>,
    shown: RwSignal<String>,
}

impl Painter {
    fn new(shown: RwSignal<String>) -> Painter {
        Painter { text: Rc::default(), scheduled: Rc::default(), shown }
    }

    fn push(&self, text: &str) {
        self.text.borrow_mut().push_str(text);
        if self.scheduled.replace(true) {
            return;
        }
        let painter = self.clone();
        request_animation_frame(move || {
            painter.scheduled.set(false);
            painter.shown.set(painter.text.borrow().clone());
        });
    }

    fn finish(&self) -> String {
        self.text.take()
    }
}
