use crate::CheckpointError;
use serde::Serialize;
use std::fs::{self, File};
use std::path::Path;

/// Replaces `path` in one go: whoever reads it, also after a crash, finds the old content or the new. What `write` made
/// is removed when it fails.
pub fn write_atomically<E: From<CheckpointError>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let temporary = path.with_file_name(name);
    let result = write(&temporary).and_then(|()| {
        let synced = File::open(&temporary).and_then(|file| file.sync_all());
        synced.map_err(CheckpointError::io(&temporary))?;
        fs::rename(&temporary, path).map_err(CheckpointError::io(path))?;
        Ok(())
    });
    if result.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Replaces `path` by `value` as indented JSON.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CheckpointError> {
    let text = serde_json::to_vec_pretty(value).map_err(CheckpointError::json(path))?;
    write_atomically(path, |to| fs::write(to, &text).map_err(CheckpointError::io(to)))
}
