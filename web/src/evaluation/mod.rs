//! RoleBench in the page: answers of the loaded model or of a file, scored as on the command line.

mod asking;
mod compare;
mod export;
mod files;
mod plan;
mod run;
mod scorers;
mod sheet;

pub use asking::{Asker, MAX_TOKENS};
pub use compare::Compared;
pub use export::{Export, score_predictions};
pub use files::{Rows, save};
pub use plan::{Answer, Choice, Data, Run, default_rule, named};
pub use scorers::Scorers;
pub use sheet::{Row, Sheet};

use std::sync::Arc;

use leptos::prelude::*;
use leptos::task::spawn_local;
use protocol::{ErrorKind, Failure};
use rolebench::{ParseError, Report, Sample, parse_instructions, raw_rows};
use roles::Language;
use rouge::{References, Rule, Scorer};
use web_sys::File;

use crate::{database::Database, engine::Engine, library::Library, models::Models, net, slices::Slices, store};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nothing.
    Idle,
    /// Reading files.
    Reading,
    /// Loading the model.
    Loading,
    /// The model answers.
    Asking,
    /// Rows are scored.
    Scoring {
        /// So far.
        done: usize,
        /// Altogether.
        total: usize,
    },
    /// Two systems are compared.
    Comparing,
}

/// The evaluation; all copies mean the same one.
#[derive(Clone, Copy)]
pub struct Evaluation {
    engine: Engine,
    library: Library,
    models: Models,
    database: Database,
    /// Scorers, and their dictionary.
    pub scorers: Scorers,
    /// What the reader has chosen.
    pub choice: RwSignal<Choice>,
    /// Test rows that the reader brought.
    pub brought: RwSignal<Option<Arc<Rows>>>,
    /// What is shown: its answers.
    pub sheet: RwSignal<Option<Arc<Sheet>>>,
    /// Its rows with their scores, in the order of the test.
    pub rows: RwSignal<Vec<Row>>,
    /// Its figures.
    pub report: RwSignal<Option<Report>>,
    /// Files with lines that are no rows.
    pub bad: RwSignal<Vec<(String, Vec<ParseError>)>>,
    /// What is being done.
    pub activity: RwSignal<Activity>,
    /// What ended it early.
    pub failure: RwSignal<Option<Failure>>,
    /// Runs that are kept, the latest first.
    pub runs: RwSignal<Vec<Run>>,
    /// Files that were scored in this visit.
    pub files: RwSignal<Vec<Arc<Sheet>>>,
    /// Two systems beside each other.
    pub compared: RwSignal<Option<Compared>>,
    /// Under what [`Evaluation::rows`] are scored.
    marked: StoredValue<Option<(Rule, References, Language)>>,
    /// Counts what the reader asked for, so that what was overtaken ends.
    turn: StoredValue<u32>,
}

impl Evaluation {
    /// Nothing has been run in this visit; earlier runs are looked up.
    pub fn start(
        engine: Engine,
        library: Library,
        models: Models,
        database: Database,
        language: Language,
    ) -> Evaluation {
        let choice = RwSignal::new(store::get("evaluate").unwrap_or_else(|| Choice::of(language)));
        Effect::new(move || store::set("evaluate", &choice.get()));
        let evaluation = Evaluation {
            engine,
            library,
            models,
            database,
            scorers: Scorers::new(),
            choice,
            brought: RwSignal::new(None),
            sheet: RwSignal::new(None),
            rows: RwSignal::new(Vec::new()),
            report: RwSignal::new(None),
            bad: RwSignal::new(Vec::new()),
            activity: RwSignal::new(Activity::Idle),
            failure: RwSignal::new(None),
            runs: RwSignal::new(Vec::new()),
            files: RwSignal::new(Vec::new()),
            compared: RwSignal::new(None),
            marked: StoredValue::new(None),
            turn: StoredValue::new(0),
        };
        spawn_local(evaluation.list_runs());
        evaluation
    }

    /// Takes test rows of the reader.
    pub fn bring(self, file: File) {
        self.work(Activity::Reading, async move |turn| {
            let rows = Arc::new(files::read(&file).await?);
            if self.is_current(turn) {
                self.note_bad(&rows);
                self.brought.set(Some(rows));
                self.choice.update(|choice| choice.data = Data::File);
            }
            Ok(())
        });
    }

    /// Scores answers of a file against the chosen test rows.
    pub fn score_file(self, file: File) {
        self.work(Activity::Reading, async move |turn| {
            self.bad.set(Vec::new());
            let test = self.test(&self.choice.get_untracked()).await?;
            let predictions = files::read(&file).await?;
            if !self.is_current(turn) {
                return Ok(());
            }
            self.note_bad(&predictions);
            let sheet = Arc::new(Sheet::of_file(test.rows.clone(), predictions));
            self.show(sheet.clone());
            self.files.update(|files| files.insert(0, sheet.clone()));
            self.mark(turn).await?;
            if self.is_current(turn) && self.rows.with_untracked(Vec::is_empty) {
                self.files.update(|files| files.retain(|file| file.id != sheet.id));
                let message = format!("{}: no row has the role and the question of a row of {}", sheet.name, test.name);
                return Err(Failure::new(ErrorKind::InvalidRequest, message));
            }
            Ok(())
        });
    }

    /// Scores what is shown again, after another rule was chosen.
    pub fn rescore(self) {
        // A run that is going on takes the new rule with its next row.
        if self.activity.get_untracked() != Activity::Asking && self.sheet.with_untracked(Option::is_some) {
            self.work(Activity::Reading, async move |turn| self.mark(turn).await);
        }
    }

    /// Shows a file's answers again.
    pub fn open_file(self, sheet: Arc<Sheet>) {
        self.work(Activity::Reading, async move |turn| {
            self.show(sheet);
            self.mark(turn).await
        });
    }

    /// Ends what is going on; a run can be continued.
    pub fn pause(self) {
        self.turn.update_value(|turn| *turn += 1);
        if self.activity.get_untracked() == Activity::Asking {
            self.engine.stop();
        }
        self.activity.set(Activity::Idle);
    }

    /// Begins something; what was going on is overtaken.
    fn work(self, activity: Activity, work: impl AsyncFnOnce(u32) -> Result<(), Failure> + 'static) {
        self.pause();
        let turn = self.turn.get_value();
        self.failure.set(None);
        self.activity.set(activity);
        spawn_local(async move {
            let outcome = work(turn).await;
            if self.is_current(turn) {
                self.failure.set(outcome.err());
                self.activity.set(Activity::Idle);
            }
        });
    }

    fn is_current(self, turn: u32) -> bool {
        self.turn.get_value() == turn
    }

    fn show(self, sheet: Arc<Sheet>) {
        self.rows.set(Vec::new());
        self.report.set(None);
        self.marked.set_value(None);
        self.sheet.set(Some(sheet));
    }

    /// Scores what is shown.
    async fn mark(self, turn: u32) -> Result<(), Failure> {
        let Some(sheet) = self.sheet.get_untracked() else { return Ok(()) };
        let key = self.choice.with_untracked(|choice| (choice.rule, choice.references, choice.language));
        let scorer = self.scorer().await?;
        let asking = self.activity.get_untracked() == Activity::Asking;
        let known = match self.marked.get_value() == Some(key) {
            true => self.rows.get_untracked(),
            false => Vec::new(),
        };
        let total = sheet.predictions.len();
        let progress = move |done| {
            if !asking && self.is_current(turn) {
                self.activity.set(Activity::Scoring { done, total });
            }
        };
        let (rows, report) = sheet::mark(&sheet, &scorer, &known, progress).await;
        if self.is_current(turn) {
            self.marked.set_value(Some(key));
            self.report.set(Some(report));
            Slices::start().rest().await;
        }
        if self.is_current(turn) {
            self.rows.set(rows);
        }
        Ok(())
    }

    async fn scorer(self) -> Result<Scorer, Failure> {
        let (rule, references, language) =
            self.choice.with_untracked(|choice| (choice.rule, choice.references, choice.language));
        self.scorers.scorer(rule, references, Some(language)).await
    }

    /// The chosen test rows.
    async fn test(self, choice: &Choice) -> Result<Arc<Rows>, Failure> {
        if choice.data == Data::File {
            let missing = || Failure::new(ErrorKind::InvalidRequest, "no test file was chosen");
            let brought = self.brought.get_untracked().ok_or_else(missing)?;
            self.note_bad(&brought);
            return Ok(brought);
        }
        let path = choice.data.path(choice.language).unwrap_or_else(|| choice.url.trim().to_string());
        let text = download(&path).await?;
        let mut rows = files::some_rows(files::parse(path, text.as_bytes()).await)?;
        if choice.data == Data::Raw {
            rows = with_plain_answers(rows, &Data::instructions(choice.language)).await?;
        }
        self.note_bad(&rows);
        Ok(Arc::new(rows))
    }

    fn note_bad(self, rows: &Rows) {
        if !rows.bad.is_empty() {
            self.bad.update(|bad| {
                bad.retain(|(name, _)| *name != rows.name);
                bad.push((rows.name.clone(), rows.bad.clone()));
            });
        }
    }

    /// The test row of that place, of what is shown.
    pub fn sample(self, place: usize) -> Option<Sample> {
        self.sheet.with_untracked(|sheet| sheet.as_ref()?.test.get(place).cloned())
    }
}

/// RAW's rows: the questions with plain answers.
async fn with_plain_answers(rows: Rows, path: &str) -> Result<Rows, Failure> {
    let text = download(path).await?;
    let refuse = |error: ParseError| Failure::new(ErrorKind::InvalidRequest, format!("{path}, {error}"));
    let instructions = parse_instructions(text.as_bytes()).map(|line| line.map(|line| line.row));
    let instructions = instructions.collect::<Result<Vec<_>, _>>().map_err(refuse)?;
    let (plain, _) = raw_rows(&rows.rows, &instructions);
    files::some_rows(Rows { name: format!("{} + {path}", rows.name), rows: Arc::new(plain), ..rows })
}

async fn download(path: &str) -> Result<String, Failure> {
    net::text(path).await.map_err(|error| Failure::new(ErrorKind::Download, error))
}
