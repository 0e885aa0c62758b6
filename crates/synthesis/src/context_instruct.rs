//! Context-Instruct: questions and answers on what a role knows (paper, section 2).

use crate::{
    Answer, Counts, Dispatcher, Failure, Reject, Request, Row, Sampling, Stage, check, clean, near, profile::Profile,
    prompts, row::Provenance, segment::Segment, triplet::parse_triplets,
};
use futures_util::{StreamExt, stream};
use rolebench::Kind;
use roles::{Message, Speaker};
use serde::{Deserialize, Serialize};

/// How many are asked for, and which are kept.
#[derive(Clone, Copy, Debug)]
pub struct ContextInstruct {
    /// Rounds end when so many candidates were found; the paper has 400 for a role.
    pub candidates: usize,
    /// Triplets asked for at once.
    pub per_request: usize,
    /// Most rounds; in each, every segment is asked about once with its text and once without.
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
    /// Rounds that were asked.
    pub rounds: u32,
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
        while specific.rounds < self.most_rounds && specific.counts.found < self.candidates {
            let asked = self.requests(profile, segments, specific.rounds);
            let asking = asked.iter().map(|(request, _)| dispatcher.ask(request));
            let answers: Vec<Result<Answer, Failure>> =
                stream::iter(asking).buffered(dispatcher.concurrency()).collect().await;
            for ((request, segment), answer) in asked.iter().zip(answers) {
                specific.counts.requests += 1;
                match answer {
                    Ok(answer) => read(profile, request, *segment, &answer, &mut specific),
                    Err(failure) if failure.ends_the_run() => return Err(failure),
                    Err(_) => specific.counts.reject(Reject::NoAnswer),
                }
            }
            specific.rounds += 1;
        }
        self.drop_duplicates(&mut specific);
        specific.counts.kept = specific.rows.len();
        Ok(specific)
    }

    fn requests<'a>(
        &self,
        profile: &Profile,
        segments: &'a [Segment],
        round: u32,
    ) -> Vec<(Request, Option<&'a Segment>)> {
        let role = &profile.role;
        let request = |stage, prompt: String, sample| Request {
            stage,
            messages: vec![Message::new(Speaker::User, prompt)],
            sampling: Sampling::paper(self.max_tokens),
            json: true,
            sample,
        };
        let agnostic = prompts::script_agnostic(role, self.per_request);
        // As many without a script as with: each of them is another sample of one prompt.
        let at_once = segments.len().max(1) as u32;
        let without =
            (0..at_once).map(|nth| (request(Stage::ScriptAgnostic, agnostic.clone(), round * at_once + nth), None));
        let with = segments.iter().map(|segment| {
            let prompt = prompts::script_based(role, &segment.source, &segment.text, self.per_request);
            (request(Stage::ScriptBased, prompt, round), Some(segment))
        });
        without.chain(with).collect()
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
