//! A few held-out questions that the adapter of the moment answers: what a loss does not show.

use super::LoraTrainer;
use crate::corpus::Source;
use crate::device::Device;
use crate::model::IGNORE;
use generate::Tokenizer;
use rouge::{MissingDictionary, Rule, Scorer, Unit};
use serde::Serialize;

/// Longest answer, in tokens: samples are to cost little beside the loss of the held-out documents.
const MOST_TOKENS: usize = 64;

/// The questions, always the same ones.
pub struct Samples {
    tokenizer: Tokenizer,
    samples: Vec<Sample>,
}

struct Sample {
    source: String,
    prompt: Vec<u32>,
    question: String,
    reference: String,
    scorer: Scorer,
}

/// An answer, as `samples.jsonl` has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer<'a> {
    /// The step after which it was given.
    pub step: u64,
    /// The data that the question is from.
    pub source: &'a str,
    /// What the user asks.
    pub question: &'a str,
    /// What the model said.
    pub answer: String,
    /// What it should have said.
    pub reference: &'a str,
    /// The score.
    pub rouge_l: f64,
    /// The name of the rule that made it.
    pub rule: &'static str,
}

impl Samples {
    /// The first answers of up to `count` held-out chats, spread over all sources.
    pub fn choose(sources: &[Source], tokenizer: Tokenizer, count: usize) -> Result<Samples, MissingDictionary> {
        let mut chats: Vec<Vec<_>> = Vec::new();
        for source in sources {
            let asked = source.held_out.iter().filter_map(|chat| Some((chat, chat.question.as_deref()?)));
            chats.push(asked.collect());
        }
        let with_chats = chats.iter().filter(|chats| !chats.is_empty()).count();
        let mut samples = Vec::new();
        for (source, chats) in sources.iter().zip(&chats) {
            let share = count.div_ceil(with_chats.max(1)).min(chats.len()).min(count - samples.len());
            for number in 0..share {
                let (chat, question) = chats[number * chats.len() / share];
                let (tokens, targets) = source.read(chat, 0..chat.positions());
                let (tokens, targets): (Vec<u32>, Vec<u32>) = (tokens.collect(), targets.collect());
                let Some(last) = targets.iter().position(|&target| target != IGNORE) else { continue };
                let said = targets[last..].iter().copied();
                let said = said.take_while(|&t| t != IGNORE && !tokenizer.is_end_of_generation(t));
                let reference = tokenizer.decode(&said.collect::<Vec<u32>>()).trim().to_owned();
                let rule = if Unit::of(&reference) == Unit::Character { Rule::CharF1 } else { Rule::F1 };
                samples.push(Sample {
                    source: source.name.clone(),
                    question: question.to_owned(),
                    prompt: tokens[..=last].to_vec(),
                    reference,
                    scorer: Scorer::new(rule, None)?,
                });
            }
        }
        Ok(Samples { tokenizer, samples })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Lets the adapter answer all of them.
    pub fn answers<D: Device>(&self, trainer: &mut LoraTrainer<D>) -> Vec<Answer<'_>> {
        let prompts: Vec<&[u32]> = self.samples.iter().map(|sample| sample.prompt.as_slice()).collect();
        let said = trainer.answers(&prompts, MOST_TOKENS, |token| self.tokenizer.is_end_of_generation(token));
        let answers = self.samples.iter().zip(said).map(|(sample, said)| {
            let answer = self.tokenizer.decode(&said).trim().to_owned();
            Answer {
                step: trainer.step,
                source: &sample.source,
                question: &sample.question,
                rouge_l: sample.scorer.score(&answer, &sample.reference).value,
                rule: sample.scorer.rule().name(),
                reference: &sample.reference,
                answer,
            }
        });
        answers.collect()
    }
}

/// A line for the terminal.
pub fn line(answer: &Answer<'_>) -> String {
    let short = |text: &str, most: usize| {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(most) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    };
    format!("  {:.2}  {}  →  {}", answer.rouge_l, short(answer.question, 60), short(&answer.answer, 80))
}
