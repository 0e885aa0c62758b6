//! Files and whole folders that the reader drops or picks.

use std::{cell::Cell, rc::Rc};

use futures_channel::oneshot;
use js_sys::{Array, Function};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{DataTransfer, File, FileList, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry};

/// Folders with more files are no models.
const MOST: usize = 20_000;

/// A file, and where it lies in what was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropped {
    /// Segments with `/` between; of a single file its name.
    pub path: String,
    /// The file.
    pub file: File,
}

impl Dropped {
    /// A file that was picked, alone or with its folder.
    pub fn new(file: File) -> Dropped {
        let path = js_sys::Reflect::get(&file, &"webkitRelativePath".into()).ok().and_then(|path| path.as_string());
        Dropped { path: path.filter(|path| !path.is_empty()).unwrap_or_else(|| file.name()), file }
    }

    /// The last segment of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The files of an input's list.
pub fn of_list(list: Option<&FileList>) -> Vec<Dropped> {
    let list = list.into_iter().flat_map(|list| (0..list.length()).filter_map(|index| list.get(index)));
    list.map(Dropped::new).collect()
}

/// What a drop brought; to be looked through before the event is over.
pub struct DroppedItems {
    entries: Vec<FileSystemEntry>,
    files: Vec<Dropped>,
}

impl DroppedItems {
    /// Looks at a drop.
    pub fn new(data: &DataTransfer) -> DroppedItems {
        let items = data.items();
        let items = (0..items.length()).filter_map(|index| items.get(index));
        let entries = items.filter_map(|item| item.webkit_get_as_entry().ok().flatten()).collect();
        DroppedItems { entries, files: of_list(data.files().as_ref()) }
    }

    /// All files, those of folders included.
    pub async fn files(self) -> Vec<Dropped> {
        if !self.entries.iter().any(FileSystemEntry::is_directory) {
            return self.files;
        }
        let (mut found, mut entries) = (Vec::new(), self.entries);
        while let Some(entry) = entries.pop().filter(|_| found.len() < MOST) {
            if entry.is_directory() {
                entries.extend(children(&entry.unchecked_into()).await);
            } else if let Some(file) = file_of(entry.unchecked_ref()).await {
                found.push(Dropped { path: entry.full_path().trim_start_matches('/').to_owned(), file });
            }
        }
        found
    }
}

/// What lies in a folder; browsers give it in portions.
async fn children(folder: &FileSystemDirectoryEntry) -> Vec<FileSystemEntry> {
    let (reader, mut all) = (folder.create_reader(), Vec::new());
    loop {
        let portion =
            called_back(|take, give_up| drop(reader.read_entries_with_callback_and_callback(take, give_up))).await;
        let portion = portion.map(|entries| Array::from(&entries)).unwrap_or_default();
        if portion.length() == 0 || all.len() > MOST {
            return all;
        }
        all.extend(portion.iter().filter_map(|entry| entry.dyn_into().ok()));
    }
}

async fn file_of(entry: &FileSystemFileEntry) -> Option<File> {
    called_back(|take, give_up| entry.file_with_callback_and_callback(take, give_up)).await?.dyn_into().ok()
}

/// What `ask` gives to the first of two functions; nothing once it calls the second.
async fn called_back(ask: impl FnOnce(&Function, &Function)) -> Option<JsValue> {
    let (sender, receiver) = oneshot::channel();
    let sender = Rc::new(Cell::new(Some(sender)));
    let take = {
        let sender = Rc::clone(&sender);
        Closure::once_into_js(move |value: JsValue| {
            if let Some(sender) = sender.take() {
                let _ = sender.send(value);
            }
        })
    };
    let give_up = Closure::once_into_js(move || drop(sender.take()));
    ask(take.unchecked_ref(), give_up.unchecked_ref());
    receiver.await.ok()
}
