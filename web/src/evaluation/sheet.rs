use std::{collections::HashMap, sync::Arc};

use rolebench::{Bootstrap, Report, Sample, join, score_pair};
use rouge::{Score, Scorer};

use super::{Answer, Run, files::Rows, plan::prediction};
use crate::slices::Slices;

/// Draws of a bootstrap between two looks at the clock.
const DRAWS: usize = 50_000;

/// Test rows and a system's answers to them: what is scored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// Names it among others.
    pub id: String,
    /// The run that it comes from; none for files.
    pub run: Option<Run>,
    /// The answers' file or model, for people.
    pub name: String,
    /// The test rows.
    pub test: Arc<Vec<Sample>>,
    /// The answers, as rows of RoleBench.
    pub predictions: Vec<Sample>,
    /// What answers of a run cost, by the test row's place.
    pub costs: HashMap<usize, Answer>,
}

/// A test row's answer and what it is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The test row's place, from 0.
    pub place: usize,
    /// The answer.
    pub prediction: String,
    /// What it is worth.
    pub score: Score,
}

impl Sheet {
    /// The answers of a file.
    pub fn of_file(test: Arc<Vec<Sample>>, file: Rows) -> Sheet {
        let id = format!("file-{:013}", js_sys::Date::now());
        Sheet { id, name: file.name, test, predictions: Arc::unwrap_or_clone(file.rows), ..Sheet::default() }
    }

    /// The answers of a run.
    pub fn of_run(run: Run, test: Arc<Vec<Sample>>, answers: Vec<Answer>) -> Sheet {
        let (id, name) = (run.id.clone(), format!("{} · {}", run.model.name, run.choice.strategy));
        let mut sheet = Sheet { id, name, run: Some(run), test, ..Sheet::default() };
        answers.into_iter().for_each(|answer| sheet.add(answer));
        sheet
    }

    /// One more answer of the run.
    pub fn add(&mut self, answer: Answer) {
        self.predictions.extend(prediction(&self.test, &answer));
        self.costs.insert(answer.place, answer);
        let asked = self.costs.len();
        let tokens: usize = self.costs.values().map(|answer| answer.prompt_tokens).sum();
        if let Some(run) = &mut self.run {
            run.asked = asked;
            run.prompt_tokens = tokens as f64 / asked as f64;
        }
    }

    /// Questions whose prompt did not fit the context.
    pub fn too_long(&self) -> usize {
        self.costs.values().filter(|answer| answer.text.is_none()).count()
    }
}

/// Scores a sheet in slices; rows that are `known` under the same scorer are not scored again. `progress` hears how
/// many rows are done.
pub async fn mark(sheet: &Sheet, scorer: &Scorer, known: &[Row], progress: impl Fn(usize)) -> (Vec<Row>, Report) {
    let mut slices = Slices::start();
    let joined = join(&sheet.test, &sheet.predictions);
    slices.rest().await;
    let mut rows = Vec::with_capacity(joined.pairs.len());
    for pair in &joined.pairs {
        let before = known.binary_search_by_key(&pair.place, |row| row.place).ok().map(|at| &known[at]);
        rows.push(match before.filter(|row| row.prediction == pair.prediction) {
            Some(row) => row.clone(),
            None => {
                let score = score_pair(scorer, pair);
                Row { place: pair.place, prediction: pair.prediction.to_string(), score }
            }
        });
        if slices.breathe().await {
            progress(rows.len());
        }
    }
    let scores: Vec<Score> = rows.iter().map(|row| row.score).collect();
    let mut bootstrap = Bootstrap::new(scores.iter().map(|score| score.value).collect());
    while bootstrap.step(DRAWS) {
        slices.breathe().await;
    }
    slices.rest().await;
    let report = Report::new(scorer, &joined, &scores, bootstrap.interval());
    (rows, report)
}
