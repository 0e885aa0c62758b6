//! Which view the address names, by its hash: the page works on any static host, under any path.

use leptos::prelude::*;

/// A view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The gallery of characters.
    Gallery,
    /// The conversation with the role of this id.
    Chat(String),
    /// Scores of the loaded model.
    Evaluate,
    /// Blind comparison by the reader.
    Arena,
    /// Models to load.
    Models,
    /// What this is.
    About,
}

impl Route {
    /// The view that a hash names; the gallery where it names none.
    pub fn from_hash(hash: &str) -> Route {
        let path = hash.trim_start_matches('#').split('?').next().unwrap_or_default();
        let mut parts = path.trim_matches('/').splitn(2, '/');
        match (parts.next(), parts.next()) {
            (Some("chat"), Some(id)) => Route::Chat(decoded(id)),
            (Some("evaluate"), None) => Route::Evaluate,
            (Some("arena"), None) => Route::Arena,
            (Some("models"), None) => Route::Models,
            (Some("about"), None) => Route::About,
            _ => Route::Gallery,
        }
    }

    /// The hash that names this view.
    pub fn hash(&self) -> String {
        match self {
            Route::Gallery => "#/chat".into(),
            Route::Chat(id) => format!("#/chat/{}", String::from(js_sys::encode_uri_component(id))),
            Route::Evaluate => "#/evaluate".into(),
            Route::Arena => "#/arena".into(),
            Route::Models => "#/models".into(),
            Route::About => "#/about".into(),
        }
    }

    /// Goes there.
    pub fn open(&self) {
        let _ = window().location().set_hash(&self.hash());
    }
}

/// The model that the address names, as in `#/chat?model=https://…`: its file, or its folder.
pub fn model_in_address() -> Option<String> {
    let hash = window().location().hash().unwrap_or_default();
    let (_, query) = hash.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix("model="))?;
    Some(decoded(value)).filter(|value| !value.trim().is_empty())
}

/// The view of the address, now and whenever it changes.
pub fn current() -> RwSignal<Route> {
    let read = || Route::from_hash(&window().location().hash().unwrap_or_default());
    let route = RwSignal::new(read());
    // Listens as long as the page is there.
    let _ = window_event_listener(leptos::ev::hashchange, move |_| route.set(read()));
    route
}

fn decoded(part: &str) -> String {
    js_sys::decode_uri_component(part).map_or_else(|_| part.to_string(), String::from)
}
