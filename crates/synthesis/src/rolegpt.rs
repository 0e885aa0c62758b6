//! `RoleGPT`: general instructions answered as a role (paper, section 3).

use crate::{
    Answer, Counts, Dispatcher, Failure, Instruction, Reject, Request, Row, Sampling, Stage, bm25::Bm25, clean,
    dispatcher::in_order, profile::Profile, prompts, row::Provenance,
};
use roles::{Message, Speaker};
use serde::{Deserialize, Serialize};

/// How the role is put to the teacher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The role's description and how to answer.
    ZeroShot,
    /// The same, and lines of the role as examples in the text.
    FewShot,
    /// The same, and lines of the role as turns before the question: the paper's choice.
    Dialogue,
    /// The bare system instruction, for teachers that were trained on it (RoCIT).
    Rocit,
}

/// How many answers are asked for, and how.
#[derive(Clone, Copy, Debug)]
pub struct RoleGpt {
    /// How the role is put.
    pub strategy: Strategy,
    /// Reference answers to each instruction; the paper has 5.
    pub references: u32,
    /// Examples, the nearest by BM25; the paper has 5.
    pub examples: usize,
    /// Most tokens of an answer; the paper has 200.
    pub max_tokens: u32,
}

impl Default for RoleGpt {
    fn default() -> RoleGpt {
        RoleGpt { strategy: Strategy::Dialogue, references: 5, examples: 5, max_tokens: 200 }
    }
}

/// What was made of a role and instructions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct General {
    /// A row for each instruction with at least one answer left.
    pub rows: Vec<Row>,
    /// `RoleGPT`'s own answer to each instruction, as it came: what models are compared with.
    pub baseline: Vec<Row>,
    /// What became of the references.
    pub counts: Counts,
}

impl RoleGpt {
    /// Asks for answers to all instructions as one role.
    ///
    /// # Errors
    /// The run has to end: no teacher, no money, no journal. A single request without an answer is counted.
    pub async fn answer(
        &self,
        dispatcher: &Dispatcher,
        profile: &Profile,
        instructions: &[Instruction],
    ) -> Result<General, Failure> {
        let index = Bm25::new(profile.dialogue.iter().map(|exchange| exchange.user.as_str()));
        let asking = instructions.iter().map(|instruction| self.ask(dispatcher, profile, &index, instruction));
        // Each instruction asks several things itself; teachers' own limits say how many are under way.
        let at_once = dispatcher.concurrency();
        let mut general = General::default();
        for answered in in_order(asking, at_once).await {
            let (row, baseline, counts) = answered?;
            general.rows.extend(row);
            general.baseline.extend(baseline);
            general.counts.add(&counts);
        }
        Ok(general)
    }

    async fn ask(
        &self,
        dispatcher: &Dispatcher,
        profile: &Profile,
        index: &Bm25,
        instruction: &Instruction,
    ) -> Result<(Option<Row>, Option<Row>, Counts), Failure> {
        let messages = self.messages(profile, index, &instruction.instruction);
        let request = |stage, sample| Request {
            stage,
            messages: messages.clone(),
            sampling: Sampling::paper(self.max_tokens),
            json: false,
            sample,
        };
        let references = (0..self.references).map(|sample| request(Stage::Reference, sample));
        let requests: Vec<Request> = references.chain([request(Stage::Baseline, 0)]).collect();
        let mut counts = Counts { requests: requests.len(), ..Counts::default() };
        let answers = dispatcher.ask_all(&requests).await;
        let mut row: Option<Row> = None;
        let mut baseline = None;
        for (request, answer) in requests.iter().zip(answers) {
            let answer = match answer {
                Ok(answer) => answer,
                Err(failure) if failure.ends_the_run() => return Err(failure),
                Err(_) => {
                    counts.reject(Reject::NoAnswer);
                    continue;
                }
            };
            if request.stage == Stage::Baseline {
                baseline = Some(new_row(profile, instruction, request, &answer, answer.text.trim().to_string()));
                continue;
            }
            counts.found += 1;
            match clean(&answer, &profile.role.name, profile.role.language) {
                Err(reason) => counts.reject(reason),
                Ok(text) => {
                    counts.kept += 1;
                    match &mut row {
                        Some(row) => row.generated.push(text),
                        None => row = Some(new_row(profile, instruction, request, &answer, text)),
                    }
                }
            }
        }
        Ok((row, baseline, counts))
    }

    /// The prompt for one instruction.
    pub fn messages(&self, profile: &Profile, index: &Bm25, question: &str) -> Vec<Message> {
        let role = &profile.role;
        let mut system = match self.strategy {
            Strategy::Rocit => role.system_instruction(),
            _ => prompts::role_play(role),
        };
        let wants_examples = matches!(self.strategy, Strategy::FewShot | Strategy::Dialogue);
        let mut nearest = index.best(question, if wants_examples { self.examples } else { 0 });
        // The nearest stands beside the question.
        nearest.reverse();
        let examples = nearest.iter().map(|(place, _)| &profile.dialogue[*place]);
        let mut messages = Vec::new();
        if self.strategy == Strategy::FewShot && !nearest.is_empty() {
            let (lead, asked, answered) = prompts::examples(role.language);
            system.push_str(lead);
            for example in examples {
                system.push_str(&format!("\n{asked}{}\n{answered}{}", example.user, example.reply));
            }
        } else {
            for example in examples {
                messages.push(Message::new(Speaker::User, example.user.as_str()));
                messages.push(Message::new(Speaker::Assistant, example.reply.as_str()));
            }
        }
        messages.insert(0, Message::new(Speaker::System, system));
        messages.push(Message::new(Speaker::User, question));
        messages
    }
}

fn new_row(profile: &Profile, instruction: &Instruction, request: &Request, answer: &Answer, text: String) -> Row {
    Row {
        role: profile.role.name.clone(),
        question: instruction.instruction.clone(),
        generated: vec![text],
        kind: None,
        provenance: Provenance {
            stage: request.stage,
            model: answer.model.clone(),
            segment: None,
            sample: request.sample,
            reason: String::new(),
        },
    }
}
