//! Reads a folder back: every chunk, the model's header, the adapters'.

use super::WebError;
use crate::ExportError;
use decoder::Gguf;
use manifest::{FILE_NAME, MOST_BYTES, Manifest};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSummary {
    /// The model's name.
    pub name: String,
    /// Number of weights.
    pub parameters: u64,
    /// Parts of the model.
    pub parts: usize,
    /// Names of the adapters.
    pub adapters: Vec<String>,
    /// Number of roles.
    pub roles: usize,
    /// Number of files.
    pub files: usize,
    /// Number of chunks.
    pub chunks: usize,
    /// Bytes of all files but the manifest.
    pub bytes: u64,
}

impl WebSummary {
    /// The numbers of a manifest.
    pub fn of(manifest: &Manifest) -> WebSummary {
        WebSummary {
            name: manifest.name.clone(),
            parameters: manifest.parameters,
            parts: manifest.model.len(),
            adapters: manifest.adapters.iter().map(|adapter| adapter.name.clone()).collect(),
            roles: manifest.roles.len(),
            files: manifest.files.len(),
            chunks: manifest.files.iter().map(|file| file.chunks.len()).sum(),
            bytes: manifest.files.iter().map(|file| file.bytes).sum(),
        }
    }
}

/// Compares every file of `folder` with the manifest, and the headers of model and adapters with one another.
pub fn check_web(folder: &Path) -> Result<WebSummary, ExportError> {
    let path = folder.join(FILE_NAME);
    let mut text = Vec::new();
    let file = File::open(&path).map_err(ExportError::io(&path))?;
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut text).map_err(ExportError::io(&path))?;
    let manifest = Manifest::read(&text).map_err(|reason| WebError::Manifest { reason, path })?;
    for entry in &manifest.files {
        check_file(&folder.join(&entry.name), entry, manifest.chunk_bytes)?;
    }
    let model: Vec<PathBuf> = manifest.model.iter().map(|name| folder.join(name)).collect();
    let wanted = architecture(&model)?;
    for adapter in &manifest.adapters {
        let path = folder.join(&adapter.file);
        let found = architecture(std::slice::from_ref(&path))?;
        if found != wanted {
            return Err(WebError::Architecture { found, wanted, path }.into());
        }
    }
    for name in &manifest.roles {
        let path = folder.join(name);
        let text = fs::read_to_string(&path).map_err(ExportError::io(&path))?;
        roles::Role::from_json(&text).map_err(|error| WebError::Role { reason: error.to_string(), path })?;
    }
    Ok(WebSummary::of(&manifest))
}

fn check_file(path: &Path, entry: &manifest::File, chunk_bytes: u64) -> Result<(), ExportError> {
    let mut file = File::open(path).map_err(ExportError::io(path))?;
    let found = file.metadata().map_err(ExportError::io(path))?.len();
    let mut chunk = Vec::new();
    for index in 0..entry.chunks.len() {
        let range = entry.chunk_range(index, chunk_bytes);
        chunk.clear();
        let wanted = range.end - range.start;
        let read = (&mut file).take(wanted).read_to_end(&mut chunk).map_err(ExportError::io(path))?;
        if (read as u64) < wanted {
            break;
        }
        entry.check_chunk(index, &chunk).map_err(|mismatch| WebError::Chunk { mismatch, path: path.to_owned() })?;
    }
    match found == entry.bytes {
        true => Ok(()),
        false => Err(WebError::Length { found, wanted: entry.bytes, path: path.to_owned() }.into()),
    }
}

fn architecture(paths: &[PathBuf]) -> Result<String, ExportError> {
    let path = paths.first().map_or(Path::new(""), PathBuf::as_path);
    let refuse = |error: decoder::LoadError| ExportError::Read { source: error.into(), path: path.to_owned() };
    let mut files = Vec::new();
    for path in paths {
        files.push(File::open(path).map_err(ExportError::io(path))?);
    }
    let gguf = Gguf::read_parts(&mut files).map_err(refuse)?;
    Ok(gguf.architecture().map_err(refuse)?.to_owned())
}
