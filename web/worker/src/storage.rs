//! The browser's own storage of files (OPFS), where downloaded models stay from visit to visit.

use std::ops::Range;

use js_sys::{AsyncIterator, Function, Object, Promise, Reflect, Uint8Array};
use sha2::{Digest, Sha256};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DedicatedWorkerGlobalScope, File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemSyncAccessHandle, StorageEstimate, StorageManager,
};

use crate::part::Remote;

const FOLDER: &str = "models";
/// Ends the name of a file that is not complete.
const UNFINISHED: &str = ".part";
/// How several workers open one file.
const READ_ONLY: &str = "read-only";

/// The folder of models.
pub struct Storage {
    folder: FileSystemDirectoryHandle,
    room: u64,
}

impl Storage {
    /// `None` where the browser has no storage, or none here: as in some private windows.
    pub async fn open(scope: &DedicatedWorkerGlobalScope) -> Option<Self> {
        let storage: StorageManager = scope.navigator().storage();
        let has_folders = storage.is_object() && has(&storage, "getDirectory");
        if !has_folders {
            return None;
        }
        let root: FileSystemDirectoryHandle = JsFuture::from(storage.get_directory()).await.ok()?.unchecked_into();
        let create = FileSystemGetDirectoryOptions::new();
        create.set_create(true);
        let folder = JsFuture::from(root.get_directory_handle_with_options(FOLDER, &create)).await.ok()?;
        let estimate: StorageEstimate = JsFuture::from(storage.estimate().ok()?).await.ok()?.unchecked_into();
        let room = (estimate.get_quota()? - estimate.get_usage()?).max(0.0) as u64;
        Some(Self { folder: folder.unchecked_into(), room })
    }

    /// Bytes that the browser would still take, when this was opened.
    pub fn room(&self) -> u64 {
        self.room
    }

    /// The complete file, if it is here.
    pub async fn find(&self, remote: &Remote) -> Option<Stored> {
        let handle = self.handle(&name(remote)?, false).await.ok()?;
        let stored = Stored::new(handle).await.ok()?;
        (stored.bytes() == remote.bytes).then_some(stored)
    }

    /// Opens the file for writing behind what an earlier attempt left; what other states of the same address left, goes.
    ///
    /// # Errors
    /// The browser refuses, or another page writes the same file.
    pub async fn write(&self, remote: &Remote) -> Result<Unfinished, JsValue> {
        let name = name(remote).ok_or("the server names no state of the file")?;
        self.forget_others(&name).await;
        let handle = self.handle(&format!("{name}{UNFINISHED}"), true).await?;
        if !has(&handle, "createSyncAccessHandle") || !has(&handle, "move") {
            return Err("this browser cannot write such files from a worker".into());
        }
        let access: FileSystemSyncAccessHandle =
            JsFuture::from(handle.create_sync_access_handle()).await?.unchecked_into();
        let mut unfinished = Unfinished { handle, access, name, written: 0 };
        unfinished.written = unfinished.access.get_size()? as u64;
        // A complete one that cannot be verified is not trusted.
        let most = if remote.sha256.is_some() { remote.bytes } else { remote.bytes.saturating_sub(1) };
        if unfinished.written > most {
            unfinished.restart()?;
        }
        Ok(unfinished)
    }

    async fn handle(&self, name: &str, create: bool) -> Result<FileSystemFileHandle, JsValue> {
        let options = FileSystemGetFileOptions::new();
        options.set_create(create);
        Ok(JsFuture::from(self.folder.get_file_handle_with_options(name, &options)).await?.unchecked_into())
    }

    async fn forget_others(&self, name: &str) {
        let same_address = &name[..name.find('-').unwrap_or(name.len())];
        for other in self.names().await.unwrap_or_default() {
            if other.starts_with(same_address) && !other.starts_with(name) {
                // One that another page has open stays.
                let _ = JsFuture::from(self.folder.remove_entry(&other)).await;
            }
        }
    }

    async fn names(&self) -> Result<Vec<String>, JsValue> {
        let keys: AsyncIterator = self.folder.keys();
        let mut names = Vec::new();
        loop {
            let next = JsFuture::from(keys.next()?).await?;
            match Reflect::get(&next, &"value".into())?.as_string() {
                Some(name) => names.push(name),
                None => return Ok(names),
            }
        }
    }
}

/// A file that is being written; it gets its name when it is complete.
pub struct Unfinished {
    handle: FileSystemFileHandle,
    access: FileSystemSyncAccessHandle,
    name: String,
    written: u64,
}

impl Unfinished {
    /// Bytes that are there.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Begins anew.
    ///
    /// # Errors
    /// The browser refuses.
    pub fn restart(&mut self) -> Result<(), JsValue> {
        self.written = 0;
        self.access.truncate_with_u32(0)
    }

    /// Writes what comes next.
    ///
    /// # Errors
    /// The browser has no more room.
    pub fn push(&mut self, chunk: &Uint8Array) -> Result<(), JsValue> {
        self.write_at(self.written, chunk)?;
        self.written += u64::from(chunk.length());
        Ok(())
    }

    /// Writes in the place of what was written.
    ///
    /// # Errors
    /// The browser has no more room.
    pub fn write_at(&self, at: u64, chunk: &Uint8Array) -> Result<(), JsValue> {
        let options = FileSystemReadWriteOptions::new();
        options.set_at(at as f64);
        let written = self.access.write_with_js_u8_array_and_options(chunk, &options)?;
        match written as u32 == chunk.length() {
            true => Ok(()),
            false => Err("the browser's storage took a part of it only".into()),
        }
    }

    /// Makes `bytes` what was written from here to there.
    ///
    /// # Errors
    /// The browser refuses.
    pub fn read(&self, range: Range<u64>, bytes: &mut Vec<u8>) -> Result<(), JsValue> {
        let options = FileSystemReadWriteOptions::new();
        options.set_at(range.start as f64);
        bytes.resize((range.end - range.start) as usize, 0);
        let read = self.access.read_with_u8_array_and_options(bytes, &options)?;
        bytes.truncate(read as usize);
        Ok(())
    }

    /// The file, complete and under its name.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn finish(self) -> Result<Stored, JsValue> {
        self.access.flush()?;
        self.access.close();
        let rename = Reflect::get(&self.handle, &"move".into())?.dyn_into::<Function>()?;
        JsFuture::from(Promise::resolve(&rename.call1(&self.handle, &self.name.as_str().into())?)).await?;
        Stored::new(self.handle.clone()).await
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Else nobody could write the file as long as this worker lives; closing twice does no harm.
        self.access.close();
    }
}

/// A file that is complete.
#[derive(Clone)]
pub struct Stored {
    /// What another worker needs to find it.
    pub handle: FileSystemFileHandle,
    /// For browsers that let only one worker at a time look into a file by [`Access`].
    pub file: File,
}

impl Stored {
    /// The file that `handle` finds.
    ///
    /// # Errors
    /// It is gone.
    pub async fn new(handle: FileSystemFileHandle) -> Result<Self, JsValue> {
        let file = JsFuture::from(handle.get_file()).await?.unchecked_into();
        Ok(Self { handle, file })
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.file.size() as u64
    }

    /// Opens it for reading beside others who read it; `None` where the browser cannot, or somebody writes it.
    pub async fn open(&self) -> Option<Access> {
        let open = Reflect::get(&self.handle, &"createSyncAccessHandle".into()).ok()?.dyn_into::<Function>().ok()?;
        let options = Object::new();
        Reflect::set(&options, &"mode".into(), &READ_ONLY.into()).ok()?;
        let opening: Promise = open.call1(&self.handle, &options).ok()?.dyn_into().ok()?;
        let access = Access(JsFuture::from(opening).await.ok()?.unchecked_into());
        // A browser that knows no modes has opened it for one worker alone.
        let mode = Reflect::get(&access.0, &"mode".into()).ok()?;
        (mode.as_string().as_deref() == Some(READ_ONLY)).then_some(access)
    }
}

/// Reads a file of the storage into the module's own memory, without garbage in JavaScript's.
pub struct Access(FileSystemSyncAccessHandle);

impl Access {
    /// Fills `out` from here on, as far as the file goes; says how far.
    ///
    /// # Errors
    /// The browser refuses.
    pub fn read_at(&self, at: u64, out: &mut [u8]) -> Result<usize, JsValue> {
        let options = FileSystemReadWriteOptions::new();
        options.set_at(at as f64);
        Ok(self.0.read_with_u8_array_and_options(out, &options)? as usize)
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        // Nobody can write or remove a file that somebody has open.
        self.0.close();
    }
}

/// The name of this very state of the file: by its hash where a manifest says it, else by what the server calls it. A file
/// whose state has no name might change unseen, and is not kept.
fn name(remote: &Remote) -> Option<String> {
    let short = |text: &str| {
        let digest = Sha256::digest(text.as_bytes());
        digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let state = match remote.sha256 {
        Some(hash) => hash.to_string(),
        None => format!("{} {}", remote.bytes, remote.validator.as_ref()?),
    };
    Some(format!("{}-{}.gguf", short(&remote.url), short(&state)))
}

fn has(object: &JsValue, name: &str) -> bool {
    Reflect::has(object, &name.into()).unwrap_or_default()
}
