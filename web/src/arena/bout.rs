use rolebench::{Bootstrap, Sample, draw};
use roles::Strategy;
use serde::{Deserialize, Serialize};

use crate::{
    evaluation::{Answer, named},
    models::Chosen,
};

/// Who answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contestant {
    /// How its model is loaded.
    pub chosen: Chosen,
    /// The model's name.
    pub model: String,
    /// How it is made to play a role.
    #[serde(with = "named")]
    pub strategy: Strategy,
}

/// What the reader says of two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    /// The one on the left is better.
    Left,
    /// The one on the right is.
    Right,
    /// Both are equally good.
    Tie,
    /// Neither is any good.
    BothBad,
}

/// Two contestants over some questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bout {
    /// Who.
    pub contestants: [Contestant; 2],
    /// The questions.
    pub samples: Vec<Sample>,
    /// Whether the second contestant's answer stands on the left; of half the questions.
    pub swapped: Vec<bool>,
    /// Each contestant's answers so far.
    pub answers: [Vec<Answer>; 2],
    /// What the reader said, question by question.
    pub votes: Vec<Vote>,
    /// Did the reader end it early?
    pub ended: bool,
}

/// What the votes come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tally {
    /// Votes.
    pub votes: usize,
    /// For the first contestant.
    pub first: usize,
    /// For the second.
    pub second: usize,
    /// Equally good.
    pub ties: usize,
    /// Equally bad.
    pub both_bad: usize,
    /// Share of the first's wins, where ties and both bad count half.
    pub win_rate: f64,
    /// Its 95 % interval: percentiles of 1,000 bootstrap resamples of the votes.
    pub ci95: [f64; 2],
}

impl Bout {
    /// A bout before its first answer; the seed shuffles the sides.
    pub fn new(contestants: [Contestant; 2], samples: Vec<Sample>, seed: u64) -> Bout {
        let mut swapped = vec![false; samples.len()];
        // Other draws than those of the questions.
        let places = draw(samples.len(), samples.len() / 2, seed.wrapping_add(0x5eed));
        places.into_iter().for_each(|place| swapped[place] = true);
        Bout { contestants, samples, swapped, answers: Default::default(), votes: Vec::new(), ended: false }
    }

    /// Answers that there are, and that there will be.
    pub fn progress(&self) -> (usize, usize) {
        (self.answers.iter().map(Vec::len).sum(), 2 * self.samples.len())
    }

    /// Are all answers there?
    pub fn is_answered(&self) -> bool {
        let (done, total) = self.progress();
        done == total
    }

    /// The question to judge next; none at the end.
    pub fn next(&self) -> Option<usize> {
        let place = self.votes.len();
        (self.is_answered() && !self.ended && place < self.samples.len()).then_some(place)
    }

    /// Is it over?
    pub fn is_over(&self) -> bool {
        self.is_answered() && self.next().is_none()
    }

    /// The answers to a question, left and right.
    pub fn shown(&self, place: usize) -> [Option<String>; 2] {
        let text = |side: usize| self.answers[side].get(place).and_then(|answer| answer.text.clone());
        let [left, right] = self.sides(place);
        [text(left), text(right)]
    }

    /// Which contestant stands left and right.
    fn sides(&self, place: usize) -> [usize; 2] {
        if self.swapped.get(place) == Some(&true) { [1, 0] } else { [0, 1] }
    }

    /// Who won a question.
    fn winner(&self, place: usize, vote: Vote) -> Option<usize> {
        let [left, right] = self.sides(place);
        match vote {
            Vote::Left => Some(left),
            Vote::Right => Some(right),
            Vote::Tie | Vote::BothBad => None,
        }
    }

    /// What the votes come to.
    pub fn tally(&self) -> Tally {
        let winners: Vec<Option<usize>> =
            self.votes.iter().enumerate().map(|(place, vote)| self.winner(place, *vote)).collect();
        let values: Vec<f64> = winners.iter().map(|winner| winner.map_or(0.5, |side| 1.0 - side as f64)).collect();
        let of = |side: usize| winners.iter().filter(|winner| **winner == Some(side)).count();
        let both_bad = self.votes.iter().filter(|vote| **vote == Vote::BothBad).count();
        Tally {
            votes: values.len(),
            first: of(0),
            second: of(1),
            ties: values.len() - of(0) - of(1) - both_bad,
            both_bad,
            win_rate: values.iter().sum::<f64>() / values.len().max(1) as f64,
            ci95: if values.is_empty() { [0.0, 1.0] } else { Bootstrap::new(values).interval() },
        }
    }

    /// All that was asked, answered and said, as JSON.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Row<'a> {
            role: &'a str,
            question: &'a str,
            first: Option<&'a str>,
            second: Option<&'a str>,
            first_stood: &'static str,
            vote: Vote,
            winner: &'static str,
        }
        #[derive(Serialize)]
        struct Whole<'a> {
            contestants: &'a [Contestant; 2],
            tally: Tally,
            rows: Vec<Row<'a>>,
        }
        let text = |side: usize, place: usize| self.answers[side].get(place).and_then(|answer| answer.text.as_deref());
        let rows = self.votes.iter().enumerate().map(|(place, &vote)| Row {
            role: self.samples[place].key().0,
            question: self.samples[place].key().1,
            first: text(0, place),
            second: text(1, place),
            first_stood: if self.swapped[place] { "right" } else { "left" },
            vote,
            winner: match (self.winner(place, vote), vote) {
                (Some(0), _) => "first",
                (Some(_), _) => "second",
                (None, Vote::BothBad) => "both_bad",
                (None, _) => "tie",
            },
        });
        let whole = Whole { contestants: &self.contestants, tally: self.tally(), rows: rows.collect() };
        serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
    }
}
