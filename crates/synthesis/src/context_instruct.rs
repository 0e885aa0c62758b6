//! Context-Instruct: questions and answers on what a role knows (paper, section 2).

use crate::{
    Answer, Counts, Dispatcher, Failure, Reject, Request, Row, Sampling, Stage, check, clean, instructions::shuffled,
    near, profile::Profile, prompts, row::Provenance, segment::Segment, triplet::parse_triplets,
};
use rolebench::Kind;
use roles::{Message, Speaker};
use serde::{Deserialize, Serialize};

/// Batches of requests in a row without a readable triplet after which no more are sent.
const FRUITLESS: u32 = 2;

/// How many are asked for, and which are kept.
#[derive(Clone, Copy, Debug)]
pub struct ContextInstruct {
    /// Asking ends when so many candidates were found; the paper has 400 for a role.
    pub candidates: usize,
    /// Triplets asked for at once.
    pub per_request: usize,
    /// Most rounds; a round is over when every segment was asked about, and as often without a script.
    pub most_rounds: u32,
    /// ROUGE-L F of two questions of one role from which on the later falls; the paper names none.
    pub duplicate: f64,
    /// Most tokens of an answer; the paper has 2000.
    pub max_tokens: u32,
}

impl Default for ContextInstruct {
    fn default() -> ContextInstruct {
        ContextInstruct { candidates: 400, per_request: 10, most_rounds: 20, duplicate: 0.7, max_tokens: 2000 }
    }
}

/// What was made of a role.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Specific {
    /// The rows, High and different from each other.
    pub rows: Vec<Row>,
    /// What became of the triplets.
    pub counts: Counts,
}

impl ContextInstruct {
    /// Asks about a role, with each of these segments of its scripts and without any.
    ///
    /// # Errors
    /// The run has to end: no teacher, no money, no journal. A single request without an answer is counted.
    pub async fn ask(
        &self,
        dispatcher: &Dispatcher,
        profile: &Profile,
        segments: &[Segment],
    ) -> Result<Specific, Failure> {
        let mut specific = Specific::default();
        let mut prompts = self.prompts(profile, segments);
        let mut fruitless = 0;
        // A teacher that gives nothing readable twice running is not paid a third time.
        while specific.counts.found < self.candidates && fruitless < FRUITLESS {
            let before = specific.counts.found;
            // As few as may do; what they lack is asked for again.
            let needed = (self.candidates - specific.counts.found).div_ceil(self.per_request.max(1));
            let asked: Vec<(Request, Option<&Segment>)> = prompts.by_ref().take(needed).collect();
            if asked.is_empty() {
                break;
            }
            let requests: Vec<Request> = asked.iter().map(|(request, _)| request.clone()).collect();
            let answers = dispatcher.ask_all(&requests).await;
            for ((request, segment), answer) in asked.iter().zip(answers) {
                specific.counts.requests += 1;
                match answer {
                    Ok(answer) => read(profile, request, *segment, &answer, &mut specific),
                    Err(failure) if failure.ends_the_run() => return Err(failure),
                    Err(_) => specific.counts.reject(Reject::NoAnswer),
                }
            }
            fruitless = if specific.counts.found == before { fruitless + 1 } else { 0 };
        }
        self.drop_duplicates(&mut specific);
        specific.counts.kept = specific.rows.len();
        Ok(specific)
    }

    /// What is asked, in turn without a script and with a segment; segments in a random order that is always the same, so
    /// that few requests see all of a script.
    fn prompts<'a>(
        &'a self,
        profile: &'a Profile,
        segments: &'a [Segment],
    ) -> impl Iterator<Item = (Request, Option<&'a Segment>)> + use<'a> {
        let role = &profile.role;
        let request = |stage, prompt: String, sample| Request {
            stage,
            messages: vec![Message::new(Speaker::User, prompt)],
            sampling: Sampling::paper(self.max_tokens),
            json: true,
            sample,
        };
        let order = match segments.len() {
            0 => vec![None],
            count => shuffled(count, 0).into_iter().map(|place| Some(&segments[place])).collect(),
        };
        let at_once = order.len() as u32;
        (0..self.most_rounds).flat_map(move |round| {
            (0..).zip(order.clone()).flat_map(move |(nth, segment)| {
                let agnostic = prompts::script_agnostic(role, self.per_request);
                let without = (request(Stage::ScriptAgnostic, agnostic, round * at_once + nth), None);
                let with = segment.map(|segment| {
                    let prompt = prompts::script_based(role, &segment.source, &segment.text, self.per_request);
                    (request(Stage::ScriptBased, prompt, round), Some(segment))
                });
                [Some(without), with].into_iter().flatten()
            })
        })
    }

    fn drop_duplicates(&self, specific: &mut Specific) {
        let questions: Vec<&str> = specific.rows.iter().map(|row| row.question.as_str()).collect();
        let repeated = near::duplicates(&questions, self.duplicate);
        let mut repeated = repeated.iter();
        let counts = &mut specific.counts;
        specific.rows.retain(|_| {
            let is_new = repeated.next().is_none_or(Option::is_none);
            if !is_new {
                counts.reject(Reject::NearDuplicate);
            }
            is_new
        });
    }
}

fn read(profile: &Profile, request: &Request, segment: Option<&Segment>, answer: &Answer, specific: &mut Specific) {
    let triplets = parse_triplets(&answer.text);
    if triplets.is_empty() {
        let refuses = check(&answer.text, profile.role.language) == Err(Reject::Rejection);
        specific.counts.reject(if refuses { Reject::Rejection } else { Reject::Unreadable });
        return;
    }
    let language = profile.role.language;
    for triplet in triplets {
        specific.counts.found += 1;
        let whole = Answer { text: triplet.answer, complete: true, ..answer.clone() };
        let checked = match triplet.high {
            false => Err(Reject::LowConfidence),
            true => check(&triplet.question, language).and_then(|()| clean(&whole, &profile.role.name, language)),
        };
        match checked {
            Err(reason) => specific.counts.reject(reason),
            Ok(text) => specific.rows.push(Row {
                role: profile.role.name.clone(),
                question: triplet.question,
                generated: vec![text],
                kind: Some(if segment.is_some() { Kind::ScriptBased } else { Kind::ScriptAgnostic }),
                provenance: Provenance {
                    stage: request.stage,
                    model: answer.model.clone(),
                    segment: segment.map(|segment| (segment.source.clone(), segment.index)),
                    sample: request.sample,
                    reason: triplet.reason,
                },
            }),
        }
    }
}
