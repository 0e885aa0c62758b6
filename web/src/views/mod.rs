//! What is on the page. Views show state and call it; they keep none that matters.

mod about;
mod arena;
mod chat;
mod composer;
mod evaluate;
mod file_drop;
mod gallery;
mod header;
mod history;
mod icon;
mod message;
mod models;
mod portrait;

pub use about::About;
pub use arena::ArenaView;
pub use chat::ChatView;
pub use evaluate::EvaluateView;
pub use gallery::Gallery;
pub use header::Header;
pub use models::ModelsView;
