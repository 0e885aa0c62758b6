use crate::{
    Dictionary,
    lcs::{Lcs, Tie},
    rule::{References, Rule},
    tokens::{Tokens, Unit, Vocabulary},
};
use std::{ops::Range, sync::Arc};

/// What the packages `rouge` and `rouge_chinese` add to the denominator of F.
const PACKAGE_EPSILON: f64 = 1e-8;

/// Compares texts under one rule.
#[derive(Clone, Debug)]
pub struct Scorer {
    rule: Rule,
    references: References,
    unit: Option<Unit>,
    dictionary: Option<Arc<Dictionary>>,
}

/// One comparison, every figure between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Share of the prediction's tokens that are common.
    pub precision: f64,
    /// Share of the reference's tokens that are common.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// The figure that the rule publishes: the recall for [`Rule::Paper`], else F.
    pub value: f64,
}

/// A rule over words, without the dictionary that says what a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} needs a dictionary of Chinese words", .0.name())]
pub struct MissingDictionary(pub Rule);

impl Scorer {
    /// A scorer that keeps, of several references, the one with the best F.
    ///
    /// # Errors
    /// The rule [needs a dictionary](Rule::needs_dictionary) and there is none.
    pub fn new(rule: Rule, dictionary: Option<Arc<Dictionary>>) -> Result<Scorer, MissingDictionary> {
        if rule.needs_dictionary() && dictionary.is_none() {
            return Err(MissingDictionary(rule));
        }
        Ok(Scorer { rule, references: References::default(), unit: None, dictionary })
    }

    /// Counts in `unit`; without this, each reference decides. Only [`Rule::Paper`] knows two units.
    pub fn in_unit(self, unit: Unit) -> Scorer {
        Scorer { unit: Some(unit), ..self }
    }

    /// Treats several references in another way.
    pub fn with_references(self, references: References) -> Scorer {
        Scorer { references, ..self }
    }

    /// The rule.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// What is done with several references.
    pub fn references(&self) -> References {
        self.references
    }

    /// Compares a prediction with one reference.
    pub fn score(&self, prediction: &str, reference: &str) -> Score {
        let unit = self.unit.unwrap_or_else(|| Unit::of(reference));
        let tokens = [self.tokens(unit, reference), self.tokens(unit, prediction)];
        let mut vocabulary = Vocabulary::default();
        let [reference_ids, prediction_ids] = tokens.each_ref().map(|tokens| vocabulary.ids(tokens));
        if reference_ids.is_empty() || prediction_ids.is_empty() {
            return Score::default();
        }
        let sentences = || [tokens[0].sentences(&reference_ids), tokens[1].sentences(&prediction_ids)];
        match self.rule {
            Rule::Paper => {
                let [reference, prediction] = sentences();
                union_score(&reference, &prediction, vocabulary.len())
            }
            Rule::SumF1 | Rule::SumPorterF1 => {
                let [reference, prediction] = sentences();
                let common = summary_hits(&reference, &prediction, vocabulary.len());
                Score::new(common, prediction_ids.len(), reference_ids.len(), 0.0).valued_by_f()
            }
            Rule::F1 | Rule::PorterF1 | Rule::CharF1 | Rule::JiebaF1 => {
                let common = Lcs::new(&reference_ids).length(&prediction_ids);
                let of_google = matches!(self.rule, Rule::F1 | Rule::PorterF1);
                let epsilon = if of_google { 0.0 } else { PACKAGE_EPSILON };
                Score::new(common, prediction_ids.len(), reference_ids.len(), epsilon).valued_by_f()
            }
        }
    }

    /// Compares a prediction with several references. Zeros where there are none.
    pub fn score_all<R: AsRef<str>>(&self, prediction: &str, references: &[R]) -> Score {
        let mut scores = references.iter().map(|reference| self.score(prediction, reference.as_ref()));
        let best =
            |by: fn(&Score) -> f64| move |best: Score, score: Score| if by(&score) > by(&best) { score } else { best };
        let chosen = match self.references {
            References::First => scores.next(),
            References::BestF => scores.reduce(best(|score| score.f1)),
            References::Max => scores.reduce(best(|score| score.value)),
            References::Mean => scores.reduce(Score::plus).map(|sum| sum.over(references.len() as f64)),
        };
        chosen.unwrap_or_default()
    }

    /// The place of the reference that [`Scorer::score_all`] takes its score from, the best F where that is a mean.
    pub fn nearest<R: AsRef<str>>(&self, prediction: &str, references: &[R]) -> Option<usize> {
        if self.references == References::First {
            return (!references.is_empty()).then_some(0);
        }
        let figure = |score: Score| if self.references == References::Max { score.value } else { score.f1 };
        let figures = references.iter().map(|reference| figure(self.score(prediction, reference.as_ref())));
        let best = figures.enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map(|(place, _)| place)
    }

    /// The byte ranges, in the prediction and in the reference, of the tokens of one longest common subsequence.
    ///
    /// [`Rule::Paper`] and `rougeLsum` score sentence by sentence; here both texts are taken whole.
    pub fn align(&self, prediction: &str, reference: &str) -> Vec<(Range<usize>, Range<usize>)> {
        let unit = self.unit.unwrap_or_else(|| Unit::of(reference));
        let [of_reference, of_prediction] = [reference, prediction].map(|text| self.tokens(unit, text));
        let mut vocabulary = Vocabulary::default();
        let reference_ids = vocabulary.ids(&of_reference);
        let prediction_ids = vocabulary.ids(&of_prediction);
        Lcs::new(&reference_ids)
            .matches(&prediction_ids, Tie::Prediction)
            .into_iter()
            .map(|(row, column)| (of_prediction.range(column), of_reference.range(row)))
            .filter(|(range, _)| !range.is_empty())
            .collect()
    }

    fn tokens(&self, unit: Unit, text: &str) -> Tokens {
        match self.rule {
            Rule::F1 => Tokens::alphanumeric(text, false),
            Rule::PorterF1 => Tokens::alphanumeric(text, true),
            Rule::SumF1 => Tokens::alphanumeric_lines(text, false),
            Rule::SumPorterF1 => Tokens::alphanumeric_lines(text, true),
            Rule::Paper => Tokens::dotted_sentences(text, unit),
            Rule::CharF1 => Tokens::characters(text),
            Rule::JiebaF1 => match &self.dictionary {
                Some(dictionary) => Tokens::words(text, &dictionary.cut(text)),
                None => unreachable!("Scorer::new asks for the dictionary"),
            },
        }
    }
}

impl Score {
    fn new(common: usize, of_prediction: usize, of_reference: usize, epsilon: f64) -> Score {
        let precision = common as f64 / of_prediction as f64;
        let recall = common as f64 / of_reference as f64;
        let f1 = if common == 0 { 0.0 } else { 2.0 * precision * recall / (precision + recall + epsilon) };
        Score { precision, recall, f1, value: recall }
    }

    fn valued_by_f(self) -> Score {
        Score { value: self.f1, ..self }
    }

    fn plus(self, other: Score) -> Score {
        Score {
            precision: self.precision + other.precision,
            recall: self.recall + other.recall,
            f1: self.f1 + other.f1,
            value: self.value + other.value,
        }
    }

    fn over(self, count: f64) -> Score {
        Score {
            precision: self.precision / count,
            recall: self.recall / count,
            f1: self.f1 / count,
            value: self.value / count,
        }
    }
}

/// The package `rouge`: one set of tokens gathers the common subsequences of all pairs of sentences, and is divided
/// by the numbers of distinct tokens.
fn union_score(reference: &[&[u32]], prediction: &[&[u32]], vocabulary: usize) -> Score {
    let mut common = vec![false; vocabulary];
    for sentence in reference {
        let lcs = Lcs::new(sentence);
        for candidate in prediction {
            for (row, _) in lcs.matches(candidate, Tie::Prediction) {
                common[sentence[row] as usize] = true;
            }
        }
    }
    let common = common.iter().filter(|&&found| found).count();
    Score::new(common, distinct(prediction, vocabulary), distinct(reference, vocabulary), PACKAGE_EPSILON)
}

/// Google's `rougeLsum`: the places of a line that any line of the prediction has in common with it, where no token
/// is counted more often than either text holds it.
fn summary_hits(reference: &[&[u32]], prediction: &[&[u32]], vocabulary: usize) -> usize {
    let counts = |lines: &[&[u32]]| {
        let mut counts = vec![0_usize; vocabulary];
        lines.iter().flat_map(|line| line.iter()).for_each(|&id| counts[id as usize] += 1);
        counts
    };
    let (mut left_in_reference, mut left_in_prediction) = (counts(reference), counts(prediction));
    let mut hits = 0;
    for line in reference {
        let lcs = Lcs::new(line);
        let mut common = vec![false; line.len()];
        for candidate in prediction {
            lcs.matches(candidate, Tie::Reference).into_iter().for_each(|(row, _)| common[row] = true);
        }
        for (&id, _) in line.iter().zip(common).filter(|(_, common)| *common) {
            let left = [&mut left_in_reference[id as usize], &mut left_in_prediction[id as usize]];
            if left.iter().all(|left| **left > 0) {
                left.into_iter().for_each(|left| *left -= 1);
                hits += 1;
            }
        }
    }
    hits
}

fn distinct(sentences: &[&[u32]], vocabulary: usize) -> usize {
    let mut seen = vec![false; vocabulary];
    sentences.iter().flat_map(|sentence| sentence.iter()).for_each(|&id| seen[id as usize] = true);
    seen.iter().filter(|&&seen| seen).count()
}
