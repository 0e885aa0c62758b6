//! The GPT evaluator: a model says which system answers better, once in each order (paper, section 4.1).

mod prompt;
mod summary;
mod verdict;

pub use summary::{PairSummary, RankSummary, summarize_pairs, summarize_ranks};
pub use verdict::{Better, read_pair, read_ranks};

use crate::gather::gather;
use rolebench::Sample;
use roles::{Message, Role};
use serde::Serialize;
use synthesis::{Dispatcher, Failure, Request, Sampling, Stage};

/// Askings of one question until its verdict can be read.
const TRIES: u32 = 3;
/// Most tokens of a verdict on two answers, and more for each answer of a ranking.
const PAIR_TOKENS: u32 = 150;
const TOKENS_PER_RANK: u32 = 80;

/// A question, and what the systems answered.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The role that was asked.
    pub role: &'a Role,
    /// The question with its references.
    pub sample: &'a Sample,
    /// The systems' answers.
    pub answers: &'a [&'a str],
}

/// How a system did beside the other on one question, in both orders.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairVerdict {
    /// Who was asked.
    pub role: String,
    /// What was asked.
    pub question: String,
    /// 1 where the system is better, -1 where the other is, 0 for neither; first where the system's answer came first,
    /// then where it came second. Nothing where no verdict could be read.
    pub orders: [Option<i8>; 2],
    /// The judge's words for each order.
    pub reasons: [String; 2],
    /// How many characters longer the system's answer is.
    pub longer: i64,
}

/// The ranks on one question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankVerdict {
    /// Who was asked.
    pub role: String,
    /// What was asked.
    pub question: String,
    /// Each system's rank from 1, where the answers were shown in order, and where they were shown in reverse.
    pub orders: [Option<Vec<usize>>; 2],
}

/// Judges the first answer of each case against the second.
///
/// # Errors
/// No judge can be used any more or the budget is used up. A question that gets no verdict is not an error.
pub async fn judge_pairs(
    dispatcher: &Dispatcher,
    cases: &[Case<'_>],
    progress: &mut dyn FnMut(),
) -> Result<Vec<PairVerdict>, Failure> {
    judge_all(dispatcher, cases, async |case| judge_pair(dispatcher, case).await, progress).await
}

/// Ranks the answers of each case.
///
/// # Errors
/// As [`judge_pairs`].
pub async fn judge_ranks(
    dispatcher: &Dispatcher,
    cases: &[Case<'_>],
    progress: &mut dyn FnMut(),
) -> Result<Vec<RankVerdict>, Failure> {
    judge_all(dispatcher, cases, async |case| judge_rank(dispatcher, case).await, progress).await
}

/// The verdicts in the order of the cases.
async fn judge_all<'a, V>(
    dispatcher: &Dispatcher,
    cases: &[Case<'a>],
    judge: impl AsyncFn(Case<'a>) -> Result<V, Failure>,
    progress: &mut dyn FnMut(),
) -> Result<Vec<V>, Failure> {
    let mut verdicts: Vec<Option<V>> = cases.iter().map(|_| None).collect();
    let items = cases.iter().copied().enumerate();
    let judge_one = async |(_, case)| judge(case).await;
    let keep = |(at, _): (usize, Case<'a>), verdict: Result<V, Failure>| {
        verdicts[at] = Some(verdict?);
        progress();
        Ok(())
    };
    gather(items, dispatcher.concurrency(), judge_one, |_, failure| failure, keep).await?;
    Ok(verdicts.into_iter().flatten().collect())
}

async fn judge_pair(dispatcher: &Dispatcher, case: Case<'_>) -> Result<PairVerdict, Failure> {
    let [system, other] = [case.answers[0], case.answers[1]];
    let mut orders = [None; 2];
    let mut reasons = [String::new(), String::new()];
    for (at, shown) in [[system, other], [other, system]].into_iter().enumerate() {
        let messages = prompt::pair(case.role, case.sample, shown);
        if let Some((better, reason)) = ask(dispatcher, messages, PAIR_TOKENS, read_pair).await? {
            let of_first = match better {
                Better::First => 1,
                Better::Second => -1,
                Better::Neither => 0,
            };
            orders[at] = Some(if at == 0 { of_first } else { -of_first });
            reasons[at] = reason;
        }
    }
    let (role, question) = case.sample.key();
    let length = |text: &str| text.trim().chars().count() as i64;
    let longer = length(system) - length(other);
    Ok(PairVerdict { role: role.into(), question: question.into(), orders, reasons, longer })
}

async fn judge_rank(dispatcher: &Dispatcher, case: Case<'_>) -> Result<RankVerdict, Failure> {
    let count = case.answers.len();
    let tokens = PAIR_TOKENS + TOKENS_PER_RANK * count as u32;
    let reversed: Vec<&str> = case.answers.iter().rev().copied().collect();
    let mut orders = [None, None];
    for (at, shown) in [case.answers, &reversed].into_iter().enumerate() {
        let messages = prompt::ranking(case.role, case.sample, shown);
        let mut ranks = ask(dispatcher, messages, tokens, |text| read_ranks(text, count)).await?;
        if let (1, Some(ranks)) = (at, &mut ranks) {
            ranks.reverse();
        }
        orders[at] = ranks;
    }
    let (role, question) = case.sample.key();
    Ok(RankVerdict { role: role.into(), question: question.into(), orders })
}

/// Asks until the answer can be read, a few times; each asking has a name of its own in the journal.
async fn ask<T>(
    dispatcher: &Dispatcher,
    messages: Vec<Message>,
    max_tokens: u32,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Failure> {
    for sample in 0..TRIES {
        // The second asking of a judge that is always sure must differ.
        let temperature = if sample == 0 { 0.0 } else { 0.7 };
        let sampling = Sampling { temperature, top_p: 0.95, max_tokens };
        let request = Request { stage: Stage::Judge, messages: messages.clone(), sampling, json: false, sample };
        match dispatcher.ask(&request).await {
            Ok(answer) => {
                if let Some(verdict) = read(&answer.text) {
                    return Ok(Some(verdict));
                }
            }
            Err(failure) if failure.ends_the_run() => return Err(failure),
            Err(_) => {}
        }
    }
    Ok(None)
}
