use std::sync::Arc;

use leptos::prelude::*;
use protocol::{ErrorKind, Failure};
use rolebench::{Sample, draw};

use super::{Activity, Answer, Asker, Evaluation, MAX_TOKENS, Run, Sheet};
use crate::models::Chosen;

/// Where runs, their test rows and their answers are kept: `run.ID`, `test.ID`, `answer.ID.NUMBER`.
const RUN: &str = "run.";
const TEST: &str = "test.";
const ANSWER: &str = "answer.";

impl Evaluation {
    /// Lets a model answer as chosen: the one that is loaded, or another.
    pub fn run(self, model: Option<Chosen>) {
        self.work(Activity::Reading, async move |turn| {
            self.bad.set(Vec::new());
            let choice = self.choice.get_untracked();
            let test = self.test(&choice).await?;
            let places = draw(test.rows.len(), choice.count, choice.seed);
            self.activity.set(Activity::Loading);
            let model = self.models.ensure(model.as_ref()).await?;
            let run = Run {
                id: format!("{:013}", js_sys::Date::now()),
                choice,
                source: test.name.clone(),
                chosen: self.models.chosen.get_untracked(),
                model,
                max_tokens: MAX_TOKENS,
                places,
                asked: 0,
                mean: None,
                prompt_tokens: 0.0,
            };
            self.database.put(&format!("{TEST}{}", run.id), &*test.rows).await;
            self.database.put(&format!("{RUN}{}", run.id), &run).await;
            self.list_runs().await;
            self.ask(turn, Sheet::of_run(run, test.rows.clone(), Vec::new())).await
        });
    }

    /// Goes on with a run where it ended.
    pub fn resume(self, run: Run) {
        self.work(Activity::Loading, async move |turn| {
            let loaded = self.engine.model.get_untracked();
            let same =
                loaded.is_some_and(|model| (model.name, model.bytes) == (run.model.name.clone(), run.model.bytes));
            if !same {
                let model = self.models.ensure(run.chosen.as_ref()).await?;
                if (&model.name, model.bytes) != (&run.model.name, run.model.bytes) {
                    let message = format!("the run was made with {}; load that model first", run.model.name);
                    return Err(Failure::new(ErrorKind::InvalidRequest, message));
                }
            }
            let sheet = self.stored(run).await?;
            self.choice.set(sheet.run.as_ref().map(|run| run.choice.clone()).unwrap_or_default());
            self.ask(turn, sheet).await
        });
    }

    /// Shows a run.
    pub fn open(self, run: Run) {
        self.work(Activity::Reading, async move |turn| {
            let sheet = self.stored(run).await?;
            if self.is_current(turn) {
                self.choice.set(sheet.run.as_ref().map(|run| run.choice.clone()).unwrap_or_default());
                self.show(Arc::new(sheet));
                self.mark(turn).await?;
            }
            Ok(())
        });
    }

    /// Forgets a run.
    pub async fn forget(self, id: String) {
        if self.sheet.with_untracked(|sheet| sheet.as_ref().is_some_and(|sheet| sheet.id == id)) {
            self.pause();
            self.sheet.set(None);
            self.rows.set(Vec::new());
            self.report.set(None);
        }
        for start in [format!("{RUN}{id}"), format!("{TEST}{id}"), format!("{ANSWER}{id}.")] {
            self.database.forget(&start).await;
        }
        self.list_runs().await;
    }

    /// Reads which runs are kept.
    pub async fn list_runs(self) {
        let mut runs = self.database.all::<Run>(RUN).await;
        runs.reverse();
        self.runs.set(runs);
    }

    /// A run's test rows and answers.
    pub(super) async fn stored(self, run: Run) -> Result<Sheet, Failure> {
        let gone = || Failure::new(ErrorKind::Other, "the browser has lost this run's test rows");
        let test = self.database.get::<Vec<Sample>>(&format!("{TEST}{}", run.id)).await.ok_or_else(gone)?;
        let answers = self.database.all::<Answer>(&format!("{ANSWER}{}.", run.id)).await;
        Ok(Sheet::of_run(run, Arc::new(test), answers))
    }

    /// Asks what has not been asked yet, and keeps every answer before the next question.
    async fn ask(self, turn: u32, mut sheet: Sheet) -> Result<(), Failure> {
        if !self.is_current(turn) {
            return Ok(());
        }
        let Some(run) = sheet.run.clone() else { return Ok(()) };
        self.show(Arc::new(sheet.clone()));
        self.activity.set(Activity::Asking);
        self.mark(turn).await?;
        let asker = Asker::new(self.engine, self.library, self.models);
        for (number, &place) in run.places.iter().enumerate() {
            let Some(sample) = sheet.test.get(place).cloned() else { continue };
            if sheet.costs.contains_key(&place) {
                continue;
            }
            let answer = asker.ask(run.choice.strategy, place, &sample).await?;
            let Some(answer) = answer.filter(|_| self.is_current(turn)) else { break };
            self.database.put(&format!("{ANSWER}{}.{number:06}", run.id), &answer).await;
            sheet.add(answer);
            self.sheet.set(Some(Arc::new(sheet.clone())));
            self.mark(turn).await?;
            self.keep(&sheet).await;
        }
        Ok(())
    }

    /// Keeps how far a run has come.
    async fn keep(self, sheet: &Sheet) {
        let Some(mut run) = sheet.run.clone() else { return };
        run.mean = self.report.with_untracked(|report| report.as_ref().map(|report| report.mean));
        (run.choice.rule, run.choice.references) =
            self.choice.with_untracked(|choice| (choice.rule, choice.references));
        self.database.put(&format!("{RUN}{}", run.id), &run).await;
        self.runs
            .update(|runs| runs.iter_mut().filter(|known| known.id == run.id).for_each(|known| *known = run.clone()));
    }
}
