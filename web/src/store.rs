//! What outlives a visit, in the browser's local storage. Where that is switched off or full, nothing is kept and nothing breaks.

use leptos::prelude::window;
use serde::{Serialize, de::DeserializeOwned};

const PREFIX: &str = "rolellm.";

/// The value under `key`, if there is one that still has this shape.
pub fn get<T: DeserializeOwned>(key: &str) -> Option<T> {
    let text = storage()?.get_item(&format!("{PREFIX}{key}")).ok().flatten()?;
    serde_json::from_str(&text).ok()
}

/// Keeps `value` under `key`.
pub fn set<T: Serialize>(key: &str, value: &T) {
    if let (Some(storage), Ok(text)) = (storage(), serde_json::to_string(value)) {
        // A full store must not stop the conversation.
        let _ = storage.set_item(&format!("{PREFIX}{key}"), &text);
    }
}

/// Forgets what is under `key`.
pub fn remove(key: &str) {
    if let Some(storage) = storage() {
        let _ = storage.remove_item(&format!("{PREFIX}{key}"));
    }
}

fn storage() -> Option<web_sys::Storage> {
    window().local_storage().ok().flatten()
}
