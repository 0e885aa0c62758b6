//! The model files that are measured.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// A GGUF file.
pub struct Model {
    /// Its name, without the extension.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

/// The files that these paths name, and those in the folders that they name, by name.
pub fn find(paths: &[PathBuf]) -> Result<Vec<Model>> {
    let mut models = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
            let mut files: Vec<PathBuf> =
                entries.flatten().map(|entry| entry.path()).filter(|path| is_gguf(path)).collect();
            if files.is_empty() {
                bail!("there is no .gguf in {}", path.display());
            }
            files.sort();
            models.extend(files.iter().map(|file| model(file)).collect::<Result<Vec<_>>>()?);
        } else {
            models.push(model(path)?);
        }
    }
    Ok(models)
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gguf")
}

fn model(path: &Path) -> Result<Model> {
    // Programs are started in folders of their own.
    let path = std::path::absolute(path)?;
    let about = std::fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Model { name, path, bytes: about.len() })
}
