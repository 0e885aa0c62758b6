//! The models that come with the page, and which one is in use.

use leptos::prelude::*;
use protocol::{ErrorKind, Failure, ModelInfo, Source};
use roles::Language;
use serde::{Deserialize, Serialize};
use web_sys::File;

use crate::{
    engine::{Engine, Wish},
    net,
};

/// `models/catalog.json`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Catalog {
    /// The models, best first.
    pub models: Vec<Entry>,
    /// Which of them the page starts with.
    pub default: Option<String>,
}

/// A model of the catalog.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Entry {
    /// Short name.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The GGUF, relative to the catalog.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// What it speaks.
    #[serde(default)]
    pub languages: Vec<Language>,
    /// Its terms.
    #[serde(default)]
    pub licence: String,
    /// Its model card, relative to the catalog.
    #[serde(default)]
    pub card: String,
}

/// What was loaded last, to load it again or to say what it is good for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// A model of the catalog, by id.
    Shipped(String),
    /// One from elsewhere, by address.
    Url(String),
    /// Files of the reader.
    Files,
}

/// The models; all copies mean the same ones.
#[derive(Clone, Copy)]
pub struct Models {
    engine: Engine,
    /// The catalog, once it is there.
    pub catalog: RwSignal<Catalog>,
    /// Why it is not.
    pub failure: RwSignal<Option<String>>,
    /// What was chosen last.
    pub chosen: RwSignal<Option<Chosen>>,
}

impl Models {
    /// No models yet.
    pub fn start(engine: Engine) -> Models {
        Models {
            engine,
            catalog: RwSignal::new(Catalog::default()),
            failure: RwSignal::new(None),
            chosen: RwSignal::new(None),
        }
    }

    /// Fetches the catalog and loads the model to start with.
    pub async fn fetch(self) {
        let default = match net::json::<Catalog>("models/catalog.json").await {
            Ok(catalog) => {
                let default = catalog.default.clone().or(catalog.models.first().map(|entry| entry.id.clone()));
                self.catalog.set(catalog);
                default
            }
            Err(error) => {
                self.failure.set(Some(error));
                None
            }
        };
        // The reader may have opened a model of their own meanwhile.
        match default.filter(|_| self.chosen.get_untracked().is_none()) {
            Some(id) => drop(self.load(Chosen::Shipped(id), Wish::default()).await),
            None if self.chosen.get_untracked().is_none() => self.engine.settle(),
            None => {}
        }
    }

    /// Loads a model of the catalog or from an address.
    pub async fn load(self, chosen: Chosen, wish: Wish) -> Option<Result<ModelInfo, Failure>> {
        let url = match &chosen {
            Chosen::Shipped(id) => format!("models/{}", self.entry(id)?.file),
            Chosen::Url(url) => url.clone(),
            Chosen::Files => return None,
        };
        self.chosen.set(Some(chosen));
        let source = Source::Url { url: absolute(&url), stream: wish.or(Wish::of_address()).stream };
        Some(self.engine.load(source, &[], wish).await)
    }

    /// The model that is wanted, loaded unless it is in use; without a wish, the one in use.
    ///
    /// # Errors
    /// As [`Engine::load`]; there is none, or only the reader can open it.
    pub async fn ensure(self, wanted: Option<&Chosen>) -> Result<ModelInfo, Failure> {
        let none = || Failure::new(ErrorKind::NoModel, "no model is loaded");
        self.engine.idle().await;
        let used = self.engine.model.get_untracked();
        match wanted {
            Some(wanted) if used.is_none() || self.chosen.get_untracked().as_ref() != Some(wanted) => {
                self.load(wanted.clone(), Wish::default()).await.ok_or_else(none)?
            }
            _ => used.ok_or_else(none),
        }
    }

    /// Loads again what was in use, or what the page starts with.
    pub async fn reload(self) {
        let default = self.catalog.with_untracked(|catalog| catalog.default.clone());
        let chosen = self.chosen.get_untracked().filter(|chosen| *chosen != Chosen::Files);
        if let Some(chosen) = chosen.or(default.map(Chosen::Shipped)) {
            drop(self.load(chosen, Wish::default()).await);
        }
    }

    /// Opens a file of the reader, or all parts of a split model.
    pub async fn open(self, files: &[File], wish: Wish) -> Result<ModelInfo, Failure> {
        self.chosen.set(Some(Chosen::Files));
        self.engine.load(Source::Files, files, wish).await
    }

    /// The catalog's entry of that id.
    pub fn entry(self, id: &str) -> Option<Entry> {
        self.catalog.with_untracked(|catalog| catalog.models.iter().find(|entry| entry.id == id).cloned())
    }

    /// The catalog's entry that is in use; nothing for models from elsewhere.
    pub fn in_use(self) -> Option<Entry> {
        let Some(Chosen::Shipped(id)) = self.chosen.get() else { return None };
        self.engine.model.with(Option::is_some).then(|| self.entry(&id)).flatten()
    }

    /// A model of the catalog that speaks `language`, where the one in use is known not to.
    pub fn better_for(self, language: Language) -> Option<Entry> {
        let used = self.in_use()?;
        if used.languages.is_empty() || used.languages.contains(&language) {
            return None;
        }
        self.catalog.with(|catalog| catalog.models.iter().find(|entry| entry.languages.contains(&language)).cloned())
    }
}

/// The address that the page means, for a worker that may lie elsewhere.
fn absolute(url: &str) -> String {
    let base = document().base_uri().ok().flatten().unwrap_or_default();
    web_sys::Url::new_with_base(url.trim(), &base).map_or_else(|_| url.to_string(), |url| url.href())
}
