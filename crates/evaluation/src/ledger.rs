use rolebench::{ParseError, Sample, parse_samples};
use std::{
    collections::HashSet,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// How every row of a ledger begins.
const ROW_START: &[u8] = b"{\"role\":";

/// A file of predictions that grows row by row and survives being killed between any two bytes.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    path: PathBuf,
    answered: HashSet<(String, String)>,
}

/// Why a file of predictions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be opened, read or written.
    #[error("cannot use {} for predictions: {reason}", path.display())]
    Io {
        /// What the system says.
        reason: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// Another run is writing to it.
    #[error("another run is writing to {}; wait for it or choose another file", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// It holds something else; it is left as it is.
    #[error("the file is there already and holds no predictions, {reason}; choose another: {}", path.display())]
    Foreign {
        /// The line that is no prediction.
        reason: ParseError,
        /// The file.
        path: PathBuf,
    },
}

impl Ledger {
    /// Opens or creates a file. Rows that are there count as answered; a last line without its end is cut off.
    ///
    /// # Errors
    /// The file cannot be used, another run holds it, or it holds anything but predictions.
    pub fn open(path: &Path) -> Result<Ledger, LedgerError> {
        let failed = |reason| LedgerError::Io { reason, path: path.into() };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LedgerError::Busy { path: path.into() },
            TryLockError::Error(reason) => failed(reason),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (whole, torn) = bytes.split_at(bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1));
        let rows = parse(whole, torn).map_err(|reason| LedgerError::Foreign { reason, path: path.into() })?;
        if !torn.is_empty() {
            file.set_len(whole.len() as u64).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(whole.len() as u64)).map_err(failed)?;
        let answered = rows.iter().map(owned_key).collect();
        Ok(Ledger { file, path: path.into(), answered })
    }

    /// Does the file hold an answer to this row's question already?
    pub fn has(&self, sample: &Sample) -> bool {
        self.answered.contains(&owned_key(sample))
    }

    /// How many questions it holds answers to.
    pub fn len(&self) -> usize {
        self.answered.len()
    }

    /// Is there no answer yet?
    pub fn is_empty(&self) -> bool {
        self.answered.is_empty()
    }

    /// Appends an answer to a row's question.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&mut self, sample: &Sample, answer: &str) -> Result<(), LedgerError> {
        let (role, question) = (sample.role.clone(), sample.question.clone());
        let row = Sample { role, question, generated: vec![answer.to_string()], kind: Vec::new() };
        let mut line = serde_json::to_vec(&row).expect("strings are always JSON");
        line.push(b'\n');
        self.file.write_all(&line).map_err(|reason| LedgerError::Io { reason, path: self.path.clone() })?;
        self.answered.insert(owned_key(sample));
        Ok(())
    }
}

/// The rows of the whole lines; refused if the torn line is not the beginning of a row either.
fn parse(whole: &[u8], torn: &[u8]) -> Result<Vec<Sample>, ParseError> {
    let text = String::from_utf8_lossy(whole);
    let rows = parse_samples(&text)?;
    if torn.starts_with(ROW_START) || ROW_START.starts_with(torn) {
        return Ok(rows);
    }
    let line = text.lines().count() + 1;
    Err(ParseError { line, message: "the last line is no row and has no end".to_string() })
}

fn owned_key(sample: &Sample) -> (String, String) {
    let (role, question) = sample.key();
    (role.to_string(), question.to_string())
}
