use std::sync::Arc;

use leptos::prelude::*;
use protocol::{ErrorKind, Failure};
use rolebench::{CSV_HEAD, ScoredRow};
use rouge::Scorer;
use serde::Serialize;

use super::{Answer, Evaluation, Row, Run, files, sheet};

/// What can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// The figures: the line that `evaluate score --json` prints.
    Report,
    /// The rows with their scores.
    Csv,
    /// The answers, in RoleBench's shape.
    Predictions,
    /// A run with its settings and costs.
    Run,
}

impl Evaluation {
    /// Saves what is shown.
    pub fn export(self, what: Export) {
        let text = match what {
            Export::Report => self.report.with_untracked(|report| report.as_ref().and_then(line)),
            Export::Csv => self.csv(),
            Export::Predictions => self
                .sheet
                .with_untracked(|sheet| Some(sheet.as_ref()?.predictions.iter().filter_map(line).collect::<String>())),
            Export::Run => self.run_json(),
        };
        let (name, kind) = match what {
            Export::Report => ("rolellm-report.json", "application/json"),
            Export::Csv => ("rolellm-rows.csv", "text/csv"),
            Export::Predictions => ("rolellm-predictions.jsonl", "application/jsonl"),
            Export::Run => ("rolellm-run.json", "application/json"),
        };
        if let Some(text) = text {
            files::save(name, kind, &text);
        }
    }

    fn csv(self) -> Option<String> {
        let rule = self.report.with_untracked(|report| report.as_ref().map(|report| report.rule))?.parse().ok()?;
        let sheet = self.sheet.get_untracked()?;
        let record = |row: &Row| {
            let tokens = sheet.costs.get(&row.place).map(|cost| [cost.prompt_tokens, cost.tokens]);
            let Row { place, prediction, score } = row;
            ScoredRow { sample: &sheet.test[*place], place: *place, prediction, score: *score, tokens }.csv(rule)
        };
        Some(self.rows.with_untracked(|rows| CSV_HEAD.to_string() + &rows.iter().map(record).collect::<String>()))
    }

    fn run_json(self) -> Option<String> {
        #[derive(Serialize)]
        struct Whole<'a> {
            run: &'a Run,
            answers: Vec<&'a Answer>,
        }
        let sheet = self.sheet.get_untracked()?;
        let run = sheet.run.as_ref()?;
        let answers = run.places.iter().filter_map(|place| sheet.costs.get(place)).collect();
        serde_json::to_string_pretty(&Whole { run, answers }).ok().map(|text| text + "\n")
    }
}

/// Scores JSON Lines against JSON Lines, in slices: the object that `evaluate score --json` prints.
///
/// # Errors
/// A line that is no row, or no row in common.
pub async fn score_predictions(scorer: &Scorer, test: &str, predictions: &str) -> Result<String, Failure> {
    let invalid = |message: String| Failure::new(ErrorKind::InvalidRequest, message);
    let rows = async |name: &str, text: &str| {
        let found = files::parse(name.to_string(), text.as_bytes()).await;
        match found.bad.first() {
            Some(error) => Err(invalid(format!("{name}, {error}"))),
            None => Ok(found.rows),
        }
    };
    let test = rows("test", test).await?;
    let predictions = Arc::unwrap_or_clone(rows("predictions", predictions).await?);
    let sheet = sheet::Sheet { test, predictions, ..sheet::Sheet::default() };
    let (marked, report) = sheet::mark(&sheet, scorer, &[], |_| {}).await;
    if marked.is_empty() {
        return Err(invalid("no prediction has the role and the question of a test row".to_string()));
    }
    serde_json::to_string(&report).map_err(|error| invalid(error.to_string()))
}

fn line(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok().map(|text| text + "\n")
}
