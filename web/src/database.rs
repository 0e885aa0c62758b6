//! What is too large for local storage and outlives a visit: JSON under text keys, in the browser's IndexedDB.

use leptos::prelude::{RwSignal, Set};
use rexie::{Error, KeyRange, ObjectStore, Rexie, Store, TransactionMode};
use serde::{Serialize, de::DeserializeOwned};

const NAME: &str = "rolellm";
const STORE: &str = "records";

/// The database; all copies mean the same one.
#[derive(Clone, Copy)]
pub struct Database {
    /// Why the browser keeps nothing, once it has refused to.
    pub refusal: RwSignal<Option<String>>,
}

impl Database {
    /// A database that has not been asked yet.
    pub fn new() -> Database {
        Database { refusal: RwSignal::new(None) }
    }

    /// Keeps `value` under `key`.
    pub async fn put<T: Serialize>(self, key: &str, value: &T) {
        let Ok(text) = serde_json::to_string(value) else { return };
        let put = write(async |store: Store| store.put(&text.as_str().into(), Some(&key.into())).await.map(drop));
        // A full or forbidden store must not stop the work; the page says that it is not kept.
        if let Err(error) = put.await {
            self.refusal.set(Some(error.to_string()));
        }
    }

    /// The value under `key`, if there is one that still has this shape.
    pub async fn get<T: DeserializeOwned>(self, key: &str) -> Option<T> {
        let found = read(async |store: Store| store.get(key.into()).await).await.ok()??;
        serde_json::from_str(&found.as_string()?).ok()
    }

    /// All values whose key begins so, in the order of their keys; those of another shape are left out.
    pub async fn all<T: DeserializeOwned>(self, start: &str) -> Vec<T> {
        let found = read(async |store: Store| store.get_all(Some(range(start)?), None).await).await;
        let texts = found.unwrap_or_default().into_iter().filter_map(|value| value.as_string());
        texts.filter_map(|text| serde_json::from_str(&text).ok()).collect()
    }

    /// Forgets all whose key begins so.
    pub async fn forget(self, start: &str) {
        let _ = write(async |store: Store| store.delete(range(start)?.into()).await).await;
    }
}

fn range(start: &str) -> Result<KeyRange, Error> {
    KeyRange::bound(&start.into(), &format!("{start}\u{ffff}").into(), None, None).map_err(Error::IdbError)
}

async fn open() -> Result<Rexie, Error> {
    Rexie::builder(NAME).version(1).add_object_store(ObjectStore::new(STORE)).build().await
}

async fn read<T>(work: impl AsyncFnOnce(Store) -> Result<T, Error>) -> Result<T, Error> {
    let transaction = open().await?.transaction(&[STORE], TransactionMode::ReadOnly)?;
    work(transaction.store(STORE)?).await
}

async fn write(work: impl AsyncFnOnce(Store) -> Result<(), Error>) -> Result<(), Error> {
    let transaction = open().await?.transaction(&[STORE], TransactionMode::ReadWrite)?;
    work(transaction.store(STORE)?).await?;
    transaction.done().await.map(drop)
}
