use crate::{Character, files::FileError, gather::gather};
use rolebench::Sample;
use roles::Strategy;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};
use synthesis::{Answer, Dispatcher, Failure, Request, Sampling, Stage};

/// Answers between two writings of the file of predictions.
const WRITTEN_EVERY: usize = 50;

/// What a run is about. A folder holds the answers of one such.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The model's name.
    pub model: String,
    /// How it is made to play the roles.
    pub strategy: String,
    /// Most tokens of an answer.
    pub max_tokens: u32,
    /// The rows: how many there are, how many of them are asked, by which seed and which part.
    pub rows: usize,
    /// Rows asked.
    pub asked: usize,
    /// The seed that drew them.
    pub seed: u64,
    /// The part, as in `1/4`.
    pub shard: String,
}

/// Why a run ends before its last row.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Rows name roles of which nothing is known.
    #[error("no role.json for {}; there are {}", unknown.join(", "), known.join(", "))]
    UnknownRoles {
        /// The names without a description.
        unknown: Vec<String>,
        /// The names that have one.
        known: Vec<String>,
    },
    /// Roles without examples, under a strategy that shows some.
    #[error("the strategy {strategy} shows examples, but there is no dialogue.jsonl beside the role.json of {}", roles.join(", "))]
    NoExamples {
        /// The strategy.
        strategy: Strategy,
        /// The roles.
        roles: Vec<String>,
    },
    /// The folder holds another run.
    #[error("{} holds another run, its {field} is {found} and not {expected}; choose another folder", path.display())]
    OtherRun {
        /// What is different.
        field: &'static str,
        /// There.
        found: String,
        /// Here.
        expected: String,
        /// The folder.
        path: PathBuf,
    },
    /// The folder cannot be used.
    #[error("cannot use {}: {reason}", path.display())]
    Folder {
        /// What the system says.
        reason: io::Error,
        /// The folder or a file in it.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nobody answers any more.
    #[error("{reason}; asked of {role}: {question}")]
    Ask {
        /// Why.
        reason: Failure,
        /// Who was asked.
        role: String,
        /// What was asked.
        question: String,
    },
}

/// Rows, and the roles that answer them.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The rows to ask, each once, in this order.
    pub samples: Vec<&'a Sample>,
    roles: HashMap<&'a str, &'a Character>,
    strategy: Strategy,
    max_tokens: u32,
}

/// An answer, or why there is none.
#[derive(Debug)]
pub struct Told<'a> {
    /// The row.
    pub sample: &'a Sample,
    /// The answer; a failure of this row alone.
    pub outcome: Result<Answer, Failure>,
}

impl<'a> Plan<'a> {
    /// A plan to ask these rows.
    ///
    /// # Errors
    /// Rows name roles that are unknown, or that lack the examples that the strategy shows.
    pub fn new(
        samples: Vec<&'a Sample>,
        characters: &'a [Character],
        strategy: Strategy,
        max_tokens: u32,
    ) -> Result<Plan<'a>, RunError> {
        let roles: HashMap<&str, &Character> =
            characters.iter().map(|character| (character.role.name.trim(), character)).collect();
        let named: BTreeSet<&str> = samples.iter().map(|sample| sample.key().0).collect();
        let unknown: Vec<String> =
            named.iter().filter(|name| !roles.contains_key(**name)).map(ToString::to_string).collect();
        if !unknown.is_empty() {
            let known = characters.iter().map(|character| character.role.name.clone()).collect();
            return Err(RunError::UnknownRoles { unknown, known });
        }
        let silent = named.iter().filter(|name| strategy.needs_examples() && roles[**name].examples.is_empty());
        let silent: Vec<String> = silent.map(ToString::to_string).collect();
        if !silent.is_empty() {
            return Err(RunError::NoExamples { strategy, roles: silent });
        }
        Ok(Plan { samples, roles, strategy, max_tokens })
    }

    /// What is asked for a row: always the most probable token, so that the same model gives the same answer.
    pub fn request(&self, sample: &Sample) -> Request {
        let (role, question) = sample.key();
        let character = self.roles[role];
        Request {
            stage: Stage::Answer,
            messages: self.strategy.messages(&character.role, &character.examples, question),
            sampling: Sampling { temperature: 0.0, top_p: 1.0, max_tokens: self.max_tokens },
            json: false,
            sample: 0,
        }
    }

    /// Asks every row and writes the predictions, in the order of the rows, to `out`; tells `progress` of each answer.
    ///
    /// What was answered is in the dispatcher's journal: a run that is killed and started again asks only the rest, and
    /// the file is the same.
    ///
    /// # Errors
    /// No teacher can be used, the budget is used up, or a file cannot be written.
    pub async fn run(
        &self,
        dispatcher: &Dispatcher,
        out: &Path,
        progress: &mut dyn FnMut(&Told),
    ) -> Result<usize, RunError> {
        let mut answers: Vec<Option<String>> = vec![None; self.samples.len()];
        let mut told = 0;
        let asked = gather(
            self.samples.iter().copied().enumerate(),
            dispatcher.concurrency(),
            async |(_, sample)| dispatcher.ask(&self.request(sample)).await,
            |(_, sample), reason| {
                let (role, question) = sample.key();
                RunError::Ask { reason, role: role.into(), question: question.into() }
            },
            |(at, sample), outcome| {
                answers[at] = outcome.as_ref().ok().map(|answer: &Answer| answer.text.trim().to_string());
                told += 1;
                progress(&Told { sample, outcome });
                if told % WRITTEN_EVERY == 0 { self.write(&answers, out) } else { Ok(()) }
            },
        );
        let asked = asked.await;
        self.write(&answers, out)?;
        asked?;
        Ok(answers.iter().filter(|answer| answer.is_none()).count())
    }

    /// Writes beside and renames: the file is whole at any moment.
    fn write(&self, answers: &[Option<String>], out: &Path) -> Result<(), RunError> {
        let failed = |reason| RunError::Folder { reason, path: out.into() };
        let beside = out.with_extension("part");
        let mut file = BufWriter::new(File::create(&beside).map_err(failed)?);
        for (sample, answer) in self.samples.iter().zip(answers) {
            let Some(answer) = answer else { continue };
            let generated = vec![answer.clone()];
            let row =
                Sample { role: sample.role.clone(), question: sample.question.clone(), generated, kind: Vec::new() };
            serde_json::to_writer(&mut file, &row).map_err(|error| failed(error.into()))?;
            file.write_all(b"\n").map_err(failed)?;
        }
        file.into_inner().map_err(|error| failed(error.into_error()))?.sync_data().map_err(failed)?;
        fs::rename(&beside, out).map_err(failed)
    }
}

impl Settings {
    /// Marks a folder as holding this run.
    ///
    /// # Errors
    /// The folder cannot be made, or it holds another run.
    pub fn claim(&self, folder: &Path) -> Result<(), RunError> {
        let failed = |reason| RunError::Folder { reason, path: folder.into() };
        fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join("run.json");
        match fs::read(&path) {
            Ok(bytes) => {
                let found: Settings = serde_json::from_slice(&bytes)
                    .map_err(|error| RunError::Folder { reason: error.into(), path: path.clone() })?;
                self.compare(&found, folder)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
                let beside = folder.join("run.json.part");
                fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path)).map_err(failed)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn compare(&self, found: &Settings, folder: &Path) -> Result<(), RunError> {
        let fields: [(&'static str, String, String); 7] = [
            ("model", found.model.clone(), self.model.clone()),
            ("strategy", found.strategy.clone(), self.strategy.clone()),
            ("limit of tokens", found.max_tokens.to_string(), self.max_tokens.to_string()),
            ("number of rows", found.rows.to_string(), self.rows.to_string()),
            ("limit of rows", found.asked.to_string(), self.asked.to_string()),
            ("seed", found.seed.to_string(), self.seed.to_string()),
            ("shard", found.shard.clone(), self.shard.clone()),
        ];
        match fields.into_iter().find(|(_, found, expected)| found != expected) {
            Some((field, found, expected)) => Err(RunError::OtherRun { field, found, expected, path: folder.into() }),
            None => Ok(()),
        }
    }
}
