//! Rows too near to test files are dropped; and how well such rows are found is measured each time.

use crate::{Reject, Row, near};
use rolebench::Sample;
use serde::{Deserialize, Serialize};

/// Paraphrases that are planted for the measurement, at most, of each strength.
const MOST_PLANTED: usize = 200;
/// Strengths: one word in so many is changed.
const STRENGTHS: [usize; 4] = [10, 5, 3, 2];

/// What decontamination did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Decontamination {
    /// ROUGE-L F, over words and Han characters, from which on a question is too near.
    pub threshold: f64,
    /// Test questions that were compared with.
    pub test_questions: usize,
    /// Rows dropped, with the test question and how near it is.
    pub dropped: Vec<(String, String, f64)>,
    /// How well planted paraphrases are found.
    pub planted: Vec<Planting>,
}

/// Paraphrases of test questions of one strength.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Planting {
    /// One word in so many is changed, dropped or moved.
    pub one_in: usize,
    /// Paraphrases.
    pub planted: usize,
    /// Of these, at or above the threshold.
    pub above: usize,
    /// Found, of those above the threshold.
    pub found_above: usize,
    /// Found, of those below it: false alarms by the threshold's own measure.
    pub found_below: usize,
}

impl Planting {
    /// The share of those above the threshold that is found.
    pub fn recall(&self) -> f64 {
        share(self.found_above, self.above)
    }

    /// The share of those found that is above the threshold.
    pub fn precision(&self) -> f64 {
        share(self.found_above, self.found_above + self.found_below)
    }

    /// The share of all paraphrases that is found.
    pub fn found(&self) -> f64 {
        share(self.found_above + self.found_below, self.planted)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// Takes the rows out whose question is too near to a test question; `dropped` is told of each.
pub fn decontaminate(
    rows: &mut Vec<Row>,
    test: &[Sample],
    threshold: f64,
    report: &mut Decontamination,
    dropped: &mut dyn FnMut(&Row, Reject),
) {
    let questions: Vec<&str> = rows.iter().map(|row| row.question.as_str()).collect();
    let tested: Vec<&str> = test.iter().map(|sample| sample.key().1).collect();
    let mut nearest = near::nearest(&questions, &tested, threshold).into_iter();
    rows.retain(|row| {
        let Some(near) = nearest.next().flatten() else { return true };
        report.dropped.push((row.question.clone(), tested[near.place].to_string(), near.f1));
        dropped(row, Reject::Contaminated);
        false
    });
}

/// Plants paraphrases of test questions and looks for them.
pub fn measure(test: &[Sample], threshold: f64) -> Vec<Planting> {
    let mut questions: Vec<&str> = test.iter().map(|sample| sample.key().1).collect();
    questions.sort_unstable();
    questions.dedup();
    let step = questions.len().div_ceil(MOST_PLANTED).max(1);
    let chosen: Vec<&str> = questions.iter().step_by(step).copied().collect();
    STRENGTHS
        .into_iter()
        .map(|one_in| {
            let paraphrases: Vec<String> = chosen.iter().map(|question| paraphrase(question, one_in)).collect();
            let texts: Vec<&str> = paraphrases.iter().map(String::as_str).collect();
            let found = near::nearest(&texts, &questions, threshold);
            let mut planting = Planting { one_in, planted: texts.len(), ..Planting::default() };
            for ((paraphrase, question), found) in texts.iter().zip(&chosen).zip(found) {
                // The comparison is made anew, without the index.
                let is_above = near::rouge_l(paraphrase, question) >= threshold - 1e-9;
                planting.above += usize::from(is_above);
                match (is_above, found.is_some()) {
                    (true, true) => planting.found_above += 1,
                    (false, true) => planting.found_below += 1,
                    _ => {}
                }
            }
            planting
        })
        .collect()
}

/// A question in which one word (in Chinese, one character) in so many is replaced, dropped or moved, in turn.
fn paraphrase(question: &str, one_in: usize) -> String {
    let is_chinese = question.chars().any(crate::text::is_han);
    let (mut words, gap): (Vec<String>, &str) = match is_chinese {
        true => (question.chars().map(String::from).collect(), ""),
        false => (question.split_whitespace().map(str::to_string).collect(), " "),
    };
    let other = if is_chinese { "某" } else { "something" };
    let mut at = one_in / 2;
    for edit in 0.. {
        if at + 1 >= words.len() {
            break;
        }
        match edit % 3 {
            0 => words[at] = other.to_string(),
            1 => drop(words.remove(at)),
            _ => words.swap(at, at + 1),
        }
        at += one_in;
    }
    words.join(gap)
}
