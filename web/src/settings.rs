//! How answers are sampled: the reader's choice, kept from visit to visit.

use leptos::prelude::*;
use protocol::Options;
use serde::{Deserialize, Serialize};

use crate::store;

/// The reader's choice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// 0 always gives the same answer.
    pub temperature: f32,
    /// Most tokens of an answer.
    pub max_tokens: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { temperature: 0.3, max_tokens: 200 }
    }
}

impl Settings {
    /// The settings of the last visit, kept up to date.
    pub fn start() -> RwSignal<Settings> {
        let settings = RwSignal::new(store::get("settings").unwrap_or_default());
        Effect::new(move || store::set("settings", &settings.get()));
        settings
    }

    /// Options for one answer; each gets another seed.
    pub fn options(self) -> Options {
        Options {
            temperature: Some(self.temperature),
            max_tokens: Some(self.max_tokens),
            seed: Some((js_sys::Math::random() * f64::from(u32::MAX)) as u64),
            ..Options::default()
        }
    }
}
