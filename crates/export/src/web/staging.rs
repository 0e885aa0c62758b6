//! A folder that appears under its name when it is complete.

use super::WebError;
use crate::ExportError;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder that is being made, beside the one that it will be; dropped half-way, it is removed.
pub struct Staging {
    folder: PathBuf,
    finished: bool,
}

impl Staging {
    /// Begins a folder that will be `out`, which must not exist or be empty.
    pub fn begin(out: &Path) -> Result<Staging, ExportError> {
        if let Ok(mut entries) = fs::read_dir(out)
            && entries.next().is_some()
        {
            return Err(WebError::NotEmpty { path: out.to_owned() }.into());
        }
        let mut name = out.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".part-{}", std::process::id()));
        let folder = out.with_file_name(name);
        fs::create_dir(&folder).map_err(ExportError::io(&folder))?;
        Ok(Staging { folder, finished: false })
    }

    /// Where a file of this name is to be put; the folders above it are made.
    pub fn path(&self, name: &str) -> Result<PathBuf, ExportError> {
        let path = self.folder.join(name);
        let parent = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).map_err(ExportError::io(parent))?;
        Ok(path)
    }

    /// Writes a small file.
    pub fn write(&self, name: &str, text: &str) -> Result<(), ExportError> {
        let path = self.path(name)?;
        fs::write(&path, text).map_err(ExportError::io(&path))
    }

    /// The name of a file in this folder, with `/` between segments.
    pub fn name(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.folder).unwrap_or(path);
        inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
    }

    /// The names of all files, in order.
    pub fn names(&self) -> Result<Vec<String>, ExportError> {
        let (mut names, mut folders) = (Vec::new(), vec![self.folder.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(ExportError::io(&folder))? {
                let path = entry.map_err(ExportError::io(&folder))?.path();
                if path.is_dir() { folders.push(path) } else { names.push(self.name(&path)) }
            }
        }
        names.sort();
        Ok(names)
    }

    /// Gives the folder its name.
    pub fn finish(mut self, out: &Path) -> Result<(), ExportError> {
        // An empty folder is in the way on some systems.
        let _ = fs::remove_dir(out);
        fs::rename(&self.folder, out).map_err(ExportError::io(out))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.finished {
            // The error that brought us here is the one to report.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
