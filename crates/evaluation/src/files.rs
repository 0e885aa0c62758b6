use crate::parquet::{self, ParquetError};
use rolebench::{Instruction, Line, ParseError, Sample, parse_instructions, parse_lines};
use roles::{Examples, Role, RoleError};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The files that a folder's splits are in, as RoleBench names them.
const TEST_FILES: [&str; 2] = ["test.jsonl", "test.parquet"];
const TRAIN_FILES: [&str; 2] = ["train.jsonl", "train.parquet"];
/// How many bad rows an error lists.
const LISTED: usize = 10;

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
    /// It is no parquet file with RoleBench's columns.
    #[error("{reason}: {}", path.display())]
    Parquet {
        /// What is wrong with it.
        reason: ParquetError,
        /// The file.
        path: PathBuf,
    },
    /// Some lines are no rows.
    #[error("{}; mend them or skip them with --keep-going: {}", listed(bad), path.display())]
    Rows {
        /// The lines and what is wrong with each.
        bad: Vec<ParseError>,
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
    /// A role's dialogue is wrong.
    #[error("{reason}: {}", path.display())]
    Dialogue {
        /// What is wrong with it.
        reason: roles::DialogueError,
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

fn listed(bad: &[ParseError]) -> String {
    let mut text = bad.iter().take(LISTED).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if bad.len() > LISTED {
        text.push_str(&format!("; and {} more", bad.len() - LISTED));
    }
    text
}

/// How files are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader {
    /// Are bad rows told on stderr and left out, instead of ending the program?
    pub keep_going: bool,
}

impl Reader {
    /// Test rows of a file, or of a folder: of its test file if it has one, else of all its files by name.
    ///
    /// # Errors
    /// The first file that cannot be read or, without `keep_going`, holds a bad row; a file or folder without rows.
    pub fn test(self, path: &Path) -> Result<Vec<Sample>, FileError> {
        self.split(path, &TEST_FILES)
    }

    /// Training rows: as [`Reader::test`], with the training file.
    ///
    /// # Errors
    /// As [`Reader::test`].
    pub fn train(self, path: &Path) -> Result<Vec<Sample>, FileError> {
        self.split(path, &TRAIN_FILES)
    }

    /// Rows of a file, or of all `*.jsonl` and `*.parquet` files of a folder, by name.
    ///
    /// # Errors
    /// As [`Reader::test`].
    pub fn rows(self, path: &Path) -> Result<Vec<Sample>, FileError> {
        let rows = if path.is_dir() {
            let is_data = |file: &PathBuf| file.extension().is_some_and(|found| found == "jsonl" || found == "parquet");
            let files = entries(path)?.into_iter().filter(is_data);
            files.map(|file| self.file(&file)).collect::<Result<Vec<_>, _>>()?.concat()
        } else {
            self.file(path)?
        };
        if rows.is_empty() { Err(FileError::NoRows { path: path.into() }) } else { Ok(rows) }
    }

    /// General instructions with their plain answers.
    ///
    /// # Errors
    /// As [`Reader::test`].
    pub fn instructions(self, path: &Path) -> Result<Vec<Instruction>, FileError> {
        self.good(path, parse_instructions(&read(path)?))
    }

    fn split(self, path: &Path, names: &[&str]) -> Result<Vec<Sample>, FileError> {
        let split = names.iter().map(|name| path.join(name)).find(|file| file.is_file());
        self.rows(split.as_deref().unwrap_or(path))
    }

    fn file(self, path: &Path) -> Result<Vec<Sample>, FileError> {
        if path.extension().is_some_and(|found| found == "parquet") {
            return parquet::read(path).map_err(|reason| FileError::Parquet { reason, path: path.into() });
        }
        self.good(path, parse_lines(&read(path)?))
    }

    fn good<T>(
        self,
        path: &Path,
        lines: impl Iterator<Item = Result<Line<T>, ParseError>>,
    ) -> Result<Vec<T>, FileError> {
        let (mut rows, mut bad) = (Vec::new(), Vec::new());
        for line in lines {
            match line {
                Ok(line) => rows.push(line.row),
                Err(error) => bad.push(error),
            }
        }
        if bad.is_empty() {
            return Ok(rows);
        }
        if !self.keep_going {
            return Err(FileError::Rows { bad, path: path.into() });
        }
        for error in &bad {
            eprintln!("skipped: {error}: {}", path.display());
        }
        Ok(rows)
    }
}

/// The lines of a JSONL file and what cannot be read of it.
///
/// # Errors
/// The file cannot be read.
pub fn read_lines(path: &Path) -> Result<(Vec<Line<Sample>>, Vec<ParseError>), FileError> {
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for line in parse_lines(&read(path)?) {
        match line {
            Ok(line) => rows.push(line),
            Err(error) => bad.push(error),
        }
    }
    Ok((rows, bad))
}

/// A role and what it has said.
#[derive(Clone, Debug, Default)]
pub struct Character {
    /// The role.
    pub role: Role,
    /// Its dialogue; empty where there is no `dialogue.jsonl`.
    pub examples: Examples,
}

/// Every role of a folder that holds `ROLE/role.json`, with its `ROLE/dialogue.jsonl`.
///
/// # Errors
/// A role's file that cannot be read; a folder without roles.
pub fn read_characters(folder: &Path) -> Result<Vec<Character>, FileError> {
    let folders = entries(folder)?.into_iter().filter(|entry| entry.join("role.json").is_file());
    let characters: Vec<Character> = folders.map(|folder| read_character(&folder)).collect::<Result<_, _>>()?;
    if characters.is_empty() { Err(FileError::NoRoles { path: folder.into() }) } else { Ok(characters) }
}

fn read_character(folder: &Path) -> Result<Character, FileError> {
    let path = folder.join("role.json");
    let role = Role::from_json(&read_text(&path)?).map_err(|reason| FileError::Role { reason, path })?;
    let path = folder.join("dialogue.jsonl");
    let examples = match path.is_file() {
        true => Examples::from_jsonl(&read_text(&path)?).map_err(|reason| FileError::Dialogue { reason, path })?,
        false => Examples::default(),
    };
    Ok(Character { role, examples })
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|reason| FileError::Read { reason, path: path.into() })
}

fn read_text(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|reason| FileError::Read { reason, path: path.into() })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let failed = |reason| FileError::Read { reason, path: folder.into() };
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}
