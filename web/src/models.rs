//! The models that come with the page, and which one is in use, with which adapters.

use std::collections::HashMap;

use leptos::prelude::*;
use protocol::{ErrorKind, Failure, ModelInfo, Source};
use roles::Language;
use serde::{Deserialize, Serialize};

use crate::{
    dropped::Dropped,
    engine::{Engine, Wish},
    folder::Folder,
    library::Library,
    net, route,
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
    library: Library,
    /// The catalog, once it is there.
    pub catalog: RwSignal<Catalog>,
    /// Why it is not.
    pub failure: RwSignal<Option<String>>,
    /// What was chosen last.
    pub chosen: RwSignal<Option<Chosen>>,
    /// The folder that the model in use came with, if it did.
    pub folder: RwSignal<Option<Folder>, LocalStorage>,
    /// The reader's choice of an adapter for a role, by the role's id; `None` is the bare model.
    adapters: RwSignal<HashMap<String, Option<String>>>,
}

impl Models {
    /// No models yet.
    pub fn start(engine: Engine, library: Library) -> Models {
        Models {
            engine,
            library,
            folder: RwSignal::new_local(None),
            adapters: RwSignal::new(HashMap::new()),
            catalog: RwSignal::new(Catalog::default()),
            failure: RwSignal::new(None),
            chosen: RwSignal::new(None),
        }
    }

    /// Fetches the catalog and loads the model to start with: the one that the page's address names, if it does.
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
        let first = route::model_in_address().map(Chosen::Url).or(default.map(Chosen::Shipped));
        // The reader may have opened a model of their own meanwhile.
        match first.filter(|_| self.chosen.get_untracked().is_none()) {
            Some(first) => drop(self.load(first, Wish::default()).await),
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
        let is_shipped = matches!(chosen, Chosen::Shipped(_));
        self.chosen.set(Some(chosen));
        let stream = wish.or(Wish::of_address()).stream;
        let url = absolute(&url);
        let folder = match is_shipped {
            true => Ok(None),
            false => self.looked_through(Folder::at(&url)).await,
        };
        Some(match folder {
            Ok(Some(folder)) => self.load_folder(folder, stream, wish).await,
            Ok(None) => {
                let loaded = self.engine.load(Source::Url { url, stream }, &[], wish).await;
                self.settle_on(None, loaded)
            }
            Err(failure) => Err(failure),
        })
    }

    /// A folder that is being looked through counts as loading.
    async fn looked_through(
        self,
        folder: impl Future<Output = Result<Option<Folder>, Failure>>,
    ) -> Result<Option<Folder>, Failure> {
        let folder = folder.await;
        if let Err(failure) = &folder {
            self.engine.failure.set(Some(failure.clone()));
            self.engine.settle();
        }
        folder
    }

    async fn load_folder(self, folder: Folder, stream: bool, wish: Wish) -> Result<ModelInfo, Failure> {
        let loaded = self.engine.load(folder.source(stream), &folder.files, wish).await;
        self.settle_on(Some(folder), loaded)
    }

    /// Keeps what goes with a model, once that is loaded.
    fn settle_on(self, folder: Option<Folder>, loaded: Result<ModelInfo, Failure>) -> Result<ModelInfo, Failure> {
        if loaded.is_ok() {
            self.adapters.set(HashMap::new());
            if let Some(folder) = &folder {
                self.library.set_model_roles(folder.roles.clone());
            }
            self.folder.set(folder);
        }
        loaded
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

    /// Opens what the reader gave: a folder with a manifest, a GGUF, all parts of a split one, or an adapter for the model in
    /// use, which then is named in the second place.
    ///
    /// # Errors
    /// As [`Engine::load`]; there is no such file among them.
    pub async fn open(self, files: &[Dropped], wish: Wish) -> Result<(ModelInfo, Option<String>), Failure> {
        if let Some(folder) = self.looked_through(Folder::among(files)).await? {
            self.chosen.set(Some(Chosen::Files));
            return Ok((self.load_folder(folder, false, wish).await?, None));
        }
        let is_one = files.len() == 1;
        let ggufs: Vec<_> = files.iter().filter(|file| is_one || file.name().ends_with(".gguf")).collect();
        if ggufs.is_empty() {
            let words = "there is neither a manifest.json nor a .gguf file in it";
            let failure = Failure::new(ErrorKind::BadFolder, words);
            self.engine.failure.set(Some(failure.clone()));
            self.engine.settle();
            return Err(failure);
        }
        let parts: Vec<_> = ggufs.iter().map(|file| file.file.clone()).collect();
        let before = self.chosen.get_untracked();
        self.chosen.set(Some(Chosen::Files));
        match self.engine.load(Source::Files, &parts, wish).await {
            Err(failure)
                if failure.kind == ErrorKind::AdapterAlone && self.engine.model.with_untracked(Option::is_some) =>
            {
                self.chosen.set(before);
                let name = self.new_name(ggufs[0].name());
                let model = self.engine.add_adapter(name.clone(), &parts[0]).await?;
                Ok((model, Some(name)))
            }
            loaded => Ok((self.settle_on(None, loaded)?, None)),
        }
    }

    /// A name for an adapter that no other has, after its file.
    fn new_name(self, file: &str) -> String {
        let stem = file.trim_end_matches(".gguf");
        let known = self.engine.model.with_untracked(|model| model.as_ref().map(|model| model.adapters.clone()));
        let known = known.unwrap_or_default();
        let mut names = std::iter::once(stem.to_owned()).chain((2..).map(|number| format!("{stem} {number}")));
        names.find(|name| !known.contains(name)).unwrap_or_default()
    }

    /// The adapter with which a role's messages are written: the reader's choice, else the one that the model's folder names
    /// for it.
    pub fn adapter_for(self, role: &str) -> Option<String> {
        let chosen = self.adapters.with(|adapters| adapters.get(role).cloned());
        let named = || {
            let of = |folder: &Folder| folder.manifest.adapter_for(role).map(|adapter| adapter.name.clone());
            self.folder.with(|folder| folder.as_ref().and_then(of))
        };
        let adapter = chosen.unwrap_or_else(named);
        adapter.filter(|name| self.engine.model.with(|model| model.as_ref().is_some_and(|m| m.adapters.contains(name))))
    }

    /// Takes the reader's choice, from the next message on.
    pub fn choose_adapter(self, role: &str, adapter: Option<String>) {
        self.adapters.update(|adapters| drop(adapters.insert(role.to_owned(), adapter)));
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
