use rolebench::{ParseError, Sample, parse_samples};
use roles::{Role, RoleError};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The files that a folder's splits are in, as RoleBench names them.
const TEST_FILE: &str = "test.jsonl";
const TRAIN_FILE: &str = "train.jsonl";

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// What the system says.
        reason: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// It is text in another encoding, or no text.
    #[error("line {line} is not UTF-8; save the file as UTF-8: {}", path.display())]
    Encoding {
        /// The first line that is not, counted from 1.
        line: usize,
        /// The file.
        path: PathBuf,
    },
    /// A line is no row.
    #[error("{reason}: {}", path.display())]
    Row {
        /// The line and what is wrong with it.
        reason: ParseError,
        /// The file.
        path: PathBuf,
    },
    /// There are no rows.
    #[error("no rows in {}", path.display())]
    NoRows {
        /// The file or folder.
        path: PathBuf,
    },
    /// A role's file is wrong.
    #[error("{reason}: {}", path.display())]
    Role {
        /// What is wrong with it.
        reason: RoleError,
        /// The file.
        path: PathBuf,
    },
    /// The folder is not a folder of roles.
    #[error("no ROLE/role.json in {}; give the folder that holds the roles' folders", path.display())]
    NoRoles {
        /// The folder.
        path: PathBuf,
    },
}

/// Test rows of a file, or of a folder: of its `test.jsonl` if it has one, else of all its `*.jsonl` files by name.
///
/// # Errors
/// The first file or line that cannot be read; a file or folder without rows.
pub fn read_test(path: &Path) -> Result<Vec<Sample>, FileError> {
    read_split(path, TEST_FILE)
}

/// Training rows: as [`read_test`], with `train.jsonl`.
///
/// # Errors
/// As [`read_test`].
pub fn read_train(path: &Path) -> Result<Vec<Sample>, FileError> {
    read_split(path, TRAIN_FILE)
}

/// Rows of a file, or of all `*.jsonl` files of a folder, by name.
///
/// # Errors
/// As [`read_test`].
pub fn read_rows(path: &Path) -> Result<Vec<Sample>, FileError> {
    let mut rows = Vec::new();
    if path.is_dir() {
        for file in entries(path)?.iter().filter(|file| file.extension().is_some_and(|found| found == "jsonl")) {
            rows.extend(read_file(file)?);
        }
    } else {
        rows = read_file(path)?;
    }
    if rows.is_empty() { Err(FileError::NoRows { path: path.into() }) } else { Ok(rows) }
}

/// Every role of a folder that holds `ROLE/role.json`.
///
/// # Errors
/// A role's file that cannot be read; a folder without roles.
pub fn read_roles(folder: &Path) -> Result<Vec<Role>, FileError> {
    let files = entries(folder)?.into_iter().map(|entry| entry.join("role.json")).filter(|file| file.is_file());
    let role = |path: PathBuf| Role::from_json(&read_text(&path)?).map_err(|reason| FileError::Role { reason, path });
    let roles: Vec<Role> = files.map(role).collect::<Result<_, _>>()?;
    if roles.is_empty() { Err(FileError::NoRoles { path: folder.into() }) } else { Ok(roles) }
}

fn read_split(path: &Path, file: &str) -> Result<Vec<Sample>, FileError> {
    let split = path.join(file);
    if split.is_file() { read_rows(&split) } else { read_rows(path) }
}

fn read_file(path: &Path) -> Result<Vec<Sample>, FileError> {
    parse_samples(&read_text(path)?).map_err(|reason| FileError::Row { reason, path: path.into() })
}

fn read_text(path: &Path) -> Result<String, FileError> {
    let bytes = fs::read(path).map_err(|reason| FileError::Read { reason, path: path.into() })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        FileError::Encoding { line, path: path.into() }
    })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let failed = |reason| FileError::Read { reason, path: folder.into() };
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}
