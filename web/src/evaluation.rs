//! RoleBench on the model that is loaded: samples, predictions, scores, and their file.

use leptos::prelude::*;
use leptos::task::spawn_local;
use protocol::{ErrorKind, Failure, ModelInfo, Options, StopReason};
use rolebench::{Sample, parse_samples};
use roles::{Language, Message, Speaker};
use rouge::{Rule, Score, Scorer};
use serde::Serialize;

use crate::{chat, engine::Engine, library::Library, net};

/// Most tokens of a prediction.
const MAX_TOKENS: u32 = 128;

/// A part of RoleBench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Questions that every role is asked.
    General,
    /// Questions about a role's own life and knowledge.
    RoleSpecific,
}

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Which half of the test set.
    pub language: Language,
    /// Which part of it.
    pub part: Part,
    /// How many samples.
    pub count: usize,
    /// How to score.
    #[serde(serialize_with = "rule_name")]
    pub rule: Rule,
}

/// A question, the model's answer, and what it is worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The sample's place in the test file, from 0.
    pub index: usize,
    /// Who was asked.
    pub role: String,
    /// What was asked.
    pub question: String,
    /// What the model answered.
    pub prediction: String,
    /// What it could have answered.
    pub references: Vec<String>,
    /// ROUGE-L's precision of the best comparison.
    pub precision: f64,
    /// Its recall.
    pub recall: f64,
    /// Its F.
    pub f1: f64,
    /// What the rule publishes.
    pub value: f64,
    /// Was the model told who it is?
    pub instructed: bool,
    /// Tokens of the answer.
    pub tokens: usize,
}

/// The evaluation; all copies mean the same one.
#[derive(Clone, Copy)]
pub struct Evaluation {
    engine: Engine,
    library: Library,
    /// What is or was run.
    pub plan: RwSignal<Option<Plan>>,
    /// The rows so far.
    pub rows: RwSignal<Vec<Row>>,
    /// How many rows there will be.
    pub total: RwSignal<usize>,
    /// Is it going on?
    pub running: RwSignal<bool>,
    /// What ended it early.
    pub failure: RwSignal<Option<Failure>>,
}

impl Evaluation {
    /// Nothing has been run.
    pub fn start(engine: Engine, library: Library) -> Evaluation {
        Evaluation {
            engine,
            library,
            plan: RwSignal::new(None),
            rows: RwSignal::new(Vec::new()),
            total: RwSignal::new(0),
            running: RwSignal::new(false),
            failure: RwSignal::new(None),
        }
    }

    /// Runs a plan from its first sample on.
    pub fn run(self, plan: Plan) {
        if self.running.get_untracked() {
            return;
        }
        self.plan.set(Some(plan));
        self.rows.set(Vec::new());
        self.total.set(0);
        self.failure.set(None);
        self.running.set(true);
        spawn_local(async move {
            if let Err(failure) = self.work(plan).await {
                self.failure.set(Some(failure));
            }
            self.running.set(false);
        });
    }

    /// Ends after the samples that are complete.
    pub fn stop(self) {
        if self.running.get_untracked() {
            self.running.set(false);
            self.engine.stop();
        }
    }

    /// Mean of the rows' values, where there are rows.
    pub fn mean(self) -> Option<f64> {
        self.rows.with(|rows| mean(rows))
    }

    async fn work(self, plan: Plan) -> Result<(), Failure> {
        let scorer = Scorer::new(plan.rule, None).map_err(|error| Failure::new(ErrorKind::Other, error.to_string()))?;
        let samples = fetch(plan).await?;
        let chosen = spread(samples.len(), plan.count);
        self.total.set(chosen.len());
        for index in chosen {
            let sample = &samples[index];
            let question = sample.question.trim();
            let asked = Message::new(Speaker::User, question);
            let character = self.library.find(sample.role.trim());
            let messages = match &character {
                Some(character) => roles::messages(&character.role, [asked]),
                None => vec![asked],
            };
            let options =
                Options { temperature: Some(0.0), max_tokens: Some(MAX_TOKENS), seed: Some(0), ..Options::default() };
            let outcome = self.engine.generate(chat::prompt(messages), options, |_| {}).await?;
            if !self.running.get_untracked() || outcome.stop == StopReason::Cancelled {
                break;
            }
            let prediction = outcome.text.trim().to_string();
            let Score { precision, recall, f1, value } = scorer.score_all(&prediction, &sample.generated);
            let row = Row {
                index,
                role: sample.role.trim().to_string(),
                question: question.to_string(),
                prediction,
                references: sample.generated.clone(),
                precision,
                recall,
                f1,
                value,
                instructed: character.is_some(),
                tokens: outcome.tokens,
            };
            self.rows.update(|rows| rows.push(row));
        }
        Ok(())
    }

    /// The whole run as JSON; nothing before there is a row.
    pub fn report(self) -> Option<String> {
        #[derive(Serialize)]
        struct Report<'a> {
            benchmark: &'static str,
            plan: Plan,
            temperature: f32,
            max_tokens: u32,
            model: Option<ModelInfo>,
            samples: usize,
            mean: f64,
            rows: &'a [Row],
        }
        let plan = self.plan.get_untracked()?;
        self.rows.with_untracked(|rows| {
            let report = Report {
                benchmark: "rolebench-shaped sample set, test split",
                plan,
                temperature: 0.0,
                max_tokens: MAX_TOKENS,
                model: self.engine.model.get_untracked(),
                samples: rows.len(),
                mean: mean(rows)?,
                rows,
            };
            serde_json::to_string_pretty(&report).ok()
        })
    }
}

/// The rule that reads a language.
pub fn default_rule(language: Language) -> Rule {
    match language {
        Language::En => Rule::F1,
        Language::Zh => Rule::CharF1,
    }
}

async fn fetch(plan: Plan) -> Result<Vec<Sample>, Failure> {
    let half = match plan.language {
        Language::En => "eng",
        Language::Zh => "zh",
    };
    let part = match plan.part {
        Part::General => "general",
        Part::RoleSpecific => "role_specific",
    };
    let path = format!("data/rolebench-{half}/{part}/test.jsonl");
    let text = net::text(&path).await.map_err(|error| Failure::new(ErrorKind::Download, error))?;
    parse_samples(&text).map_err(|error| Failure::new(ErrorKind::Other, format!("{path}, {error}")))
}

/// `count` places among `len`, evenly spread, so that every role has its turn and each run takes the same.
fn spread(len: usize, count: usize) -> Vec<usize> {
    let count = count.clamp(1, len.max(1)).min(len);
    (0..count).map(|place| place * len / count).collect()
}

fn mean(rows: &[Row]) -> Option<f64> {
    (!rows.is_empty()).then(|| rows.iter().map(|row| row.value).sum::<f64>() / rows.len() as f64)
}

fn rule_name<S: serde::Serializer>(rule: &Rule, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(rule.name())
}
