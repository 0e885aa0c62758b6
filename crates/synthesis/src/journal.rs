//! Every request before it is sent, every answer before it counts: an append-only file of JSON lines.

use crate::{Key, Request, teacher::Reply};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use std::{
    collections::HashMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

/// When what was written is forced to the disk. A killed program loses nothing either way; a power cut may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At each answer.
    Answer,
    /// At an answer, when the last time was a second ago; and at the end.
    Second,
}

/// An answer that was paid for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub reply_tokens: u64,
    /// Did the teacher end it, or the limit of tokens?
    pub complete: bool,
    /// The model that wrote it.
    pub model: String,
    /// What it cost, in the unit of the prices.
    pub cost: f64,
}

impl Answer {
    pub(crate) fn new(reply: Reply, model: &str, cost: f64) -> Answer {
        let Reply { text, prompt_tokens, reply_tokens, complete } = reply;
        Answer { text, prompt_tokens, reply_tokens, complete, model: model.to_string(), cost }
    }
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be opened, read or written.
    #[error("cannot use the journal {}: {reason}", path.display())]
    Io {
        /// What the system says.
        reason: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// Another run is writing to it.
    #[error("another run is writing to the journal {}; wait for it or choose another folder", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// It holds something else; it is left as it is.
    #[error("line {line} is no entry of a journal, {reason}; move the file away: {}", path.display())]
    Foreign {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: serde_json::Error,
        /// The file.
        path: PathBuf,
    },
}

/// The file, and where in it each answer is. The answers themselves stay on the disk.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Is nothing to be written?
    reading_only: bool,
    durability: Durability,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    entries: HashMap<Key, Entry>,
    end: u64,
    synced: Instant,
    spent: f64,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Asked,
    Answered { at: u64, length: usize },
    Failed,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", bound(deserialize = "R: Deserialize<'de>, A: Deserialize<'de>"))]
enum Line<R, A> {
    Asked { key: Key, request: R },
    Answered { key: Key, answer: A },
    Failed { key: Key, attempts: u32, reason: String },
}

/// All that is needed of an answer when a journal is opened.
#[derive(Deserialize)]
struct Cost {
    cost: f64,
}

/// What a journal holds, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Requests with an answer.
    pub answered: usize,
    /// Requests that were given up.
    pub failed: usize,
    /// Requests that were sent when an earlier run was killed: whether they were paid is not known.
    pub in_doubt: usize,
    /// What the answers cost together.
    pub spent: f64,
}

impl Journal {
    /// Opens or creates a journal. A last line without its end is cut off.
    ///
    /// # Errors
    /// The file cannot be used, another run holds it, or it holds something else.
    pub fn open(path: &Path, durability: Durability) -> Result<Journal, JournalError> {
        let failed = |reason| JournalError::Io { reason, path: path.into() };
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::Busy { path: path.into() },
            TryLockError::Error(reason) => failed(reason),
        })?;
        let journal = Journal::read(path, file, durability, false)?;
        let end = journal.lock().end;
        journal.file.set_len(end).map_err(failed)?;
        Ok(journal)
    }

    /// Reads a journal for a rehearsal: nothing is locked and nothing is written. No file is an empty journal.
    ///
    /// # Errors
    /// The file cannot be read or holds something else.
    pub fn open_read_only(path: &Path) -> Result<Journal, JournalError> {
        let path_or_nothing = if path.exists() { path } else { Path::new("/dev/null") };
        let file = File::open(path_or_nothing).map_err(|reason| JournalError::Io { reason, path: path.into() })?;
        Journal::read(path, file, Durability::Second, true)
    }

    fn read(path: &Path, file: File, durability: Durability, reading_only: bool) -> Result<Journal, JournalError> {
        let failed = |reason| JournalError::Io { reason, path: path.into() };
        let mut state = State { entries: HashMap::new(), end: 0, synced: Instant::now(), spent: 0.0 };
        let mut reader = BufReader::new(&file);
        reader.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            reader.read_until(b'\n', &mut line).map_err(failed)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            let (at, length) = (state.end, line.len());
            let (key, entry) = match serde_json::from_slice::<Line<IgnoredAny, Cost>>(&line) {
                Ok(Line::Asked { key, .. }) => (key, Entry::Asked),
                Ok(Line::Failed { key, .. }) => (key, Entry::Failed),
                Ok(Line::Answered { key, answer }) => {
                    state.spent += answer.cost;
                    (key, Entry::Answered { at, length })
                }
                Err(reason) => return Err(JournalError::Foreign { line: number, reason, path: path.into() }),
            };
            state.entries.insert(key, entry);
            state.end += length as u64;
        }
        Ok(Journal { path: path.into(), file, reading_only, durability, state: Mutex::new(state) })
    }

    /// The answer to a request, if there is one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn answer(&self, key: Key) -> Result<Option<Answer>, JournalError> {
        let Some(&Entry::Answered { at, length }) = self.lock().entries.get(&key) else { return Ok(None) };
        let mut line = vec![0; length];
        self.file.read_exact_at(&mut line, at).map_err(|reason| self.failed(reason))?;
        match serde_json::from_slice::<Line<IgnoredAny, Answer>>(&line) {
            Ok(Line::Answered { answer, .. }) => Ok(Some(answer)),
            Ok(_) => Ok(None),
            Err(error) => Err(self.failed(error.into())),
        }
    }

    /// Writes that a request is about to be sent.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn asked(&self, key: Key, request: &Request) -> Result<(), JournalError> {
        self.append(key, &Line::<_, Answer>::Asked { key, request }, 0.0)
    }

    /// Writes an answer. Only then does it count.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn answered(&self, key: Key, answer: &Answer) -> Result<(), JournalError> {
        self.append(key, &Line::<&Request, _>::Answered { key, answer }, answer.cost)
    }

    /// Writes that a request was given up. A later run asks it again.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn gave_up(&self, key: Key, attempts: u32, reason: &str) -> Result<(), JournalError> {
        let reason = reason.to_string();
        self.append(key, &Line::<&Request, Answer>::Failed { key, attempts, reason }, 0.0)
    }

    /// What the journal holds.
    pub fn tally(&self) -> Tally {
        let state = self.lock();
        let mut tally = Tally { spent: state.spent, ..Tally::default() };
        for entry in state.entries.values() {
            match entry {
                Entry::Asked => tally.in_doubt += 1,
                Entry::Answered { .. } => tally.answered += 1,
                Entry::Failed => tally.failed += 1,
            }
        }
        tally
    }

    /// Forces everything to the disk.
    ///
    /// # Errors
    /// The system cannot.
    pub fn sync(&self) -> Result<(), JournalError> {
        if self.reading_only {
            return Ok(());
        }
        self.file.sync_data().map_err(|reason| self.failed(reason))
    }

    fn append<R: Serialize, A: Serialize>(&self, key: Key, line: &Line<R, A>, cost: f64) -> Result<(), JournalError> {
        let mut bytes = serde_json::to_vec(line).map_err(|error| self.failed(error.into()))?;
        bytes.push(b'\n');
        let mut state = self.lock();
        // One write for a line: a killed run leaves at most one line torn.
        if let Err(reason) = (&self.file).write_all(&bytes) {
            // Part of a line would spoil all that follow.
            let _ = self.file.set_len(state.end);
            return Err(self.failed(reason));
        }
        let entry = match line {
            Line::Asked { .. } => Entry::Asked,
            Line::Failed { .. } => Entry::Failed,
            Line::Answered { .. } => Entry::Answered { at: state.end, length: bytes.len() },
        };
        state.end += bytes.len() as u64;
        state.spent += cost;
        state.entries.insert(key, entry);
        let is_answer = matches!(entry, Entry::Answered { .. });
        let is_due = self.durability == Durability::Answer || state.synced.elapsed() >= Duration::from_secs(1);
        if is_answer && is_due {
            self.file.sync_data().map_err(|reason| self.failed(reason))?;
            state.synced = Instant::now();
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn failed(&self, reason: io::Error) -> JournalError {
        JournalError::Io { reason, path: self.path.clone() }
    }
}
