//! Folders that `export web` wrote: their manifest, and the small files that the page shows.

use gloo::net::http::Request;
use manifest::{FILE_NAME, Manifest};
use protocol::{ErrorKind, Failure, Source};
use roles::Role;
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, RequestCache};

use crate::dropped::Dropped;

/// A folder whose manifest is read.
#[derive(Clone, Debug)]
pub struct Folder {
    /// What it holds.
    pub manifest: Manifest,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Its model card, in Markdown.
    pub card: String,
    /// The files of its weights, unless they are on a server.
    pub files: Vec<File>,
    url: Option<String>,
}

/// Where the files of a folder are.
enum Place<'a> {
    /// Its address, with a slash at the end.
    Url(String),
    /// On this computer, under paths that begin so.
    Files(&'a [Dropped], &'a str),
}

impl Folder {
    /// Opens the folder at an address, or says that the address is none: it names neither a folder nor a manifest.
    ///
    /// # Errors
    /// A manifest that is missing where there must be one, or cannot be used; a small file that is damaged.
    pub async fn at(url: &str) -> Result<Option<Folder>, Failure> {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let last = path.rsplit('/').next().unwrap_or_default();
        let folder = match last {
            "" => path.to_owned(),
            FILE_NAME => path.trim_end_matches(FILE_NAME).to_owned(),
            _ if !last.contains('.') => format!("{path}/"),
            _ => return Ok(None),
        };
        let manifest = match fetch(&format!("{folder}{FILE_NAME}")).await {
            Ok(text) => read_manifest(&text)?,
            // It may still be the address of a file.
            Err(_) if !last.is_empty() && last != FILE_NAME => return Ok(None),
            Err(words) => return Err(Failure::new(ErrorKind::BadFolder, words)),
        };
        Folder::open(manifest, Place::Url(folder)).await.map(Some)
    }

    /// Opens the folder among files that the reader gave, if there is one.
    ///
    /// # Errors
    /// As [`Folder::at`], and a file that is missing.
    pub async fn among(files: &[Dropped]) -> Result<Option<Folder>, Failure> {
        let manifests = files.iter().filter(|file| file.name() == FILE_NAME);
        let Some(found) = manifests.min_by_key(|file| file.path.len()) else { return Ok(None) };
        let start = found.path.trim_end_matches(FILE_NAME);
        let manifest = read_manifest(&bytes_of(&found.file).await?)?;
        Folder::open(manifest, Place::Files(files, start)).await.map(Some)
    }

    async fn open(manifest: Manifest, place: Place<'_>) -> Result<Folder, Failure> {
        let mut files = Vec::new();
        if let Place::Files(given, start) = &place {
            let missing: Vec<&str> = manifest
                .files
                .iter()
                .map(|file| file.name.as_str())
                .filter(|name| find(given, start, name).is_none())
                .collect();
            if !missing.is_empty() {
                let words = format!("the folder lacks {}; give the whole folder", missing.join(", "));
                return Err(Failure::new(ErrorKind::BadFolder, words));
            }
            files.extend(manifest.weights().filter_map(|file| find(given, start, &file.name)).cloned());
        }
        let mut roles = Vec::new();
        for name in &manifest.roles {
            let text = place.text(&manifest, name).await?;
            let refuse = |reason| Failure::new(ErrorKind::BadFolder, format!("{name}: {reason}"));
            roles.push(Role::from_json(&text).map_err(refuse)?);
        }
        let card = place.text(&manifest, &manifest.card).await?;
        let url = match place {
            Place::Url(url) => Some(url),
            Place::Files(..) => None,
        };
        Ok(Folder { manifest, roles, card, files, url })
    }

    /// What the engine is told of it.
    pub fn source(&self, stream: bool) -> Source {
        Source::Folder { manifest: Box::new(self.manifest.clone()), url: self.url.clone(), stream }
    }
}

impl Place<'_> {
    /// The text of a small file, which must be what the manifest says.
    async fn text(&self, manifest: &Manifest, name: &str) -> Result<String, Failure> {
        let unlisted = || Failure::new(ErrorKind::BadFolder, format!("the manifest does not list {name}"));
        let entry = manifest.file(name).ok_or_else(unlisted)?;
        let bytes = match self {
            Place::Url(folder) => {
                let path: Vec<String> =
                    name.split('/').map(|segment| js_sys::encode_uri_component(segment).into()).collect();
                let fetched = fetch(&format!("{folder}{}", path.join("/"))).await;
                fetched.map_err(|words| Failure::new(ErrorKind::Download, words))?
            }
            Place::Files(files, start) => bytes_of(find(files, start, name).ok_or_else(unlisted)?).await?,
        };
        let damaged = |mismatch| Failure::new(ErrorKind::Damaged, format!("{mismatch}; export or copy it again"));
        entry.check(&bytes, manifest.chunk_bytes).map_err(damaged)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn find<'a>(files: &'a [Dropped], start: &str, name: &str) -> Option<&'a File> {
    files.iter().find(|file| file.path.strip_prefix(start) == Some(name)).map(|file| &file.file)
}

fn read_manifest(text: &[u8]) -> Result<Manifest, Failure> {
    Manifest::read(text).map_err(|error| Failure::new(ErrorKind::BadFolder, format!("{FILE_NAME}: {error}")))
}

async fn fetch(url: &str) -> Result<Vec<u8>, String> {
    let unreachable = |error: gloo::net::Error| {
        format!("{url} cannot be fetched ({error}): no connection, or that server does not allow other sites (CORS)")
    };
    let response = Request::get(url).cache(RequestCache::NoCache).send().await.map_err(unreachable)?;
    if !response.ok() {
        return Err(format!("{url} answered {} {}", response.status(), response.status_text()).trim_end().to_owned());
    }
    response.binary().await.map_err(unreachable)
}

async fn bytes_of(file: &File) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| Failure::new(ErrorKind::Other, format!("{} cannot be read ({error:?})", file.name()));
    let buffer = JsFuture::from(file.array_buffer()).await.map_err(unreadable)?;
    Ok(js_sys::Uint8Array::new(&buffer).to_vec())
}
