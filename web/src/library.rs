//! The characters: those of the project, and cards that the reader brought.

use futures_channel::oneshot;
use leptos::prelude::*;
use leptos::task::spawn_local;
use roles::{Card, CardError, Role};

use crate::{net, store};

const FOLDER: &str = "data/roles";
const STORE: &str = "cards";

/// Who brought a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The project.
    Project,
    /// The folder of the model that is in use, or was.
    Model,
    /// The reader, as a card.
    Reader,
}

/// A role, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Character {
    /// The role.
    pub role: Role,
    /// From where.
    pub origin: Origin,
}

impl Character {
    /// Where its picture is; only those of the project have one.
    pub fn portrait(&self) -> Option<String> {
        (self.origin == Origin::Project).then(|| format!("{FOLDER}/{}/portrait.svg", self.role.id))
    }
}

/// All characters; all copies mean the same ones.
#[derive(Clone, Copy)]
pub struct Library {
    /// In the order of the project's index, then the model's, then imported ones.
    pub characters: RwSignal<Vec<Character>>,
    shipped: StoredValue<Vec<Role>>,
    of_model: StoredValue<Vec<Role>>,
    imported: StoredValue<Vec<Role>>,
    /// Have those of the project arrived?
    pub complete: RwSignal<bool>,
    /// Why some of them did not.
    pub failure: RwSignal<Option<String>>,
}

impl Library {
    /// A library that knows the imported characters only.
    pub fn start() -> Library {
        let library = Library {
            characters: RwSignal::new(Vec::new()),
            shipped: StoredValue::default(),
            of_model: StoredValue::default(),
            imported: StoredValue::new(store::get(STORE).unwrap_or_default()),
            complete: RwSignal::new(false),
            failure: RwSignal::new(None),
        };
        library.arrange();
        library
    }

    /// Takes in the roles of a model's folder, in the place of those of another.
    pub fn set_model_roles(self, roles: Vec<Role>) {
        self.of_model.set_value(roles);
        self.arrange();
    }

    /// A model's role takes the place of the project's of the same id, unless it is the same, which has a picture.
    fn arrange(self) {
        let (shipped, of_model) = (self.shipped.get_value(), self.of_model.get_value());
        let own: Vec<Role> = of_model.into_iter().filter(|role| !shipped.contains(role)).collect();
        let is_replaced = |role: &Role| own.iter().any(|other| other.id == role.id);
        let shipped: Vec<Role> = shipped.into_iter().filter(|role| !is_replaced(role)).collect();
        let all = [(shipped, Origin::Project), (own, Origin::Model), (self.imported.get_value(), Origin::Reader)];
        let characters =
            all.into_iter().flat_map(|(roles, origin)| roles.into_iter().map(move |role| Character { role, origin }));
        self.characters.set(characters.collect());
    }

    /// Fetches the project's characters, all at once.
    pub async fn fetch(self) {
        match net::json::<Vec<String>>(&format!("{FOLDER}/index.json")).await {
            Ok(ids) => {
                let coming: Vec<_> = ids.into_iter().map(fetch_role).collect();
                let mut shipped = Vec::new();
                for role in coming {
                    match role.await {
                        Ok(Ok(role)) => shipped.push(role),
                        Ok(Err(error)) => self.failure.set(Some(error)),
                        Err(_) => {}
                    }
                }
                self.shipped.set_value(shipped);
                self.arrange();
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
        self.imported.update_value(|imported| {
            imported.retain(|other| other.id != role.id);
            imported.push(role.clone());
        });
        self.save();
        Ok(role)
    }

    /// Takes an imported character out again.
    pub fn remove(self, id: &str) {
        self.imported.update_value(|imported| imported.retain(|role| role.id != id));
        self.save();
    }

    fn save(self) {
        self.imported.with_value(|imported| store::set(STORE, imported));
        self.arrange();
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
