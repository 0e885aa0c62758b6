use std::sync::Arc;

use leptos::prelude::*;
use protocol::{ErrorKind, Failure};
use rolebench::Kind;
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
        let rule = self.report.with_untracked(|report| report.as_ref().map(|report| report.rule))?;
        let sheet = self.sheet.get_untracked()?;
        let head =
            "row,role,question,type,rule,value,precision,recall,f1,prediction,references,prompt_tokens,tokens\r\n";
        let record = |row: &Row| {
            let sample = &sheet.test[row.place];
            let cost = sheet.costs.get(&row.place);
            let count = |of: fn(&Answer) -> usize| cost.map(|cost| of(cost).to_string()).unwrap_or_default();
            let fields = [
                (row.place + 1).to_string(),
                sample.role.clone(),
                sample.question.clone(),
                sample.kind.first().map_or("", |kind| Kind::name(*kind)).to_string(),
                rule.to_string(),
                row.score.value.to_string(),
                row.score.precision.to_string(),
                row.score.recall.to_string(),
                row.score.f1.to_string(),
                row.prediction.clone(),
                serde_json::to_string(&sample.generated).unwrap_or_default(),
                count(|cost| cost.prompt_tokens),
                count(|cost| cost.tokens),
            ];
            fields.map(|field| quoted(&field)).join(",") + "\r\n"
        };
        Some(self.rows.with_untracked(|rows| head.to_string() + &rows.iter().map(record).collect::<String>()))
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

/// A field of RFC 4180.
fn quoted(field: &str) -> String {
    match field.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_string(),
    }
}
