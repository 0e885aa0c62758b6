//! The characters: those of the project, and cards that the reader brought.

use futures_channel::oneshot;
use leptos::prelude::*;
use leptos::task::spawn_local;
use roles::{Card, CardError, Role};
use serde::{Deserialize, Serialize};

use crate::{net, store};

const FOLDER: &str = "data/roles";
const STORE: &str = "cards";

/// A role, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Character {
    /// The role.
    pub role: Role,
    /// Did the reader bring it?
    pub imported: bool,
}

impl Character {
    /// Where its picture is; imported ones have none.
    pub fn portrait(&self) -> Option<String> {
        (!self.imported).then(|| format!("{FOLDER}/{}/portrait.svg", self.role.id))
    }
}

/// All characters; all copies mean the same ones.
#[derive(Clone, Copy)]
pub struct Library {
    /// In the order of the project's index, then imported ones.
    pub characters: RwSignal<Vec<Character>>,
    /// Have those of the project arrived?
    pub complete: RwSignal<bool>,
    /// Why some of them did not.
    pub failure: RwSignal<Option<String>>,
}

impl Library {
    /// A library that knows the imported characters only.
    pub fn start() -> Library {
        let imported: Vec<Role> = store::get(STORE).unwrap_or_default();
        let imported = imported.into_iter().map(|role| Character { role, imported: true }).collect();
        Library { characters: RwSignal::new(imported), complete: RwSignal::new(false), failure: RwSignal::new(None) }
    }

    /// Fetches the project's characters, all at once.
    pub async fn fetch(self) {
        match net::json::<Vec<String>>(&format!("{FOLDER}/index.json")).await {
            Ok(ids) => {
                let coming: Vec<_> = ids.into_iter().map(fetch_role).collect();
                let mut shipped = Vec::new();
                for role in coming {
                    match role.await {
                        Ok(Ok(role)) => shipped.push(Character { role, imported: false }),
                        Ok(Err(error)) => self.failure.set(Some(error)),
                        Err(_) => {}
                    }
                }
                self.characters.update(|characters| {
                    characters.retain(|character| character.imported);
                    characters.splice(0..0, shipped);
                });
            }
            Err(error) => self.failure.set(Some(error)),
        }
        self.complete.set(true);
    }

    /// The role of that id or name.
    pub fn find(self, id_or_name: &str) -> Option<Character> {
        self.characters.with_untracked(|characters| {
            let is = |character: &&Character| character.role.id == id_or_name || character.role.name == id_or_name;
            characters.iter().find(is).cloned()
        })
    }

    /// Takes in a character card; a card of the same name that was imported before is replaced.
    pub fn import(self, bytes: &[u8], user: &str) -> Result<Role, CardError> {
        let mut role = Card::read(bytes)?.role(user);
        // A name of its own, so that no card takes the place of a role of the project.
        role.id = format!("card-{}", role.id);
        self.characters.update(|characters| {
            characters.retain(|character| character.role.id != role.id);
            characters.push(Character { role: role.clone(), imported: true });
        });
        self.save();
        Ok(role)
    }

    /// Takes an imported character out again.
    pub fn remove(self, id: &str) {
        self.characters
            .update(|characters| characters.retain(|character| !character.imported || character.role.id != id));
        self.save();
    }

    fn save(self) {
        let imported: Vec<Role> = self.characters.with_untracked(|characters| {
            characters.iter().filter(|character| character.imported).map(|character| character.role.clone()).collect()
        });
        store::set(STORE, &imported);
    }
}

fn fetch_role(id: String) -> oneshot::Receiver<Result<Role, String>> {
    let (sender, receiver) = oneshot::channel();
    spawn_local(async move {
        let path = format!("{FOLDER}/{id}/role.json");
        let role = match net::text(&path).await {
            Ok(text) => Role::from_json(&text).map_err(|error| format!("{path}: {error}")),
            Err(error) => Err(error),
        };
        let _ = sender.send(role);
    });
    receiver
}
