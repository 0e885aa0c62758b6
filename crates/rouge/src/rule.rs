use crate::lcs::Lcs;
use crate::tokens::{Tokens, Unit, Vocabulary};
use std::{fmt, ops::Range, str::FromStr};

/// What the packages `rouge` and `rouge_chinese` add to the denominator of F.
const PACKAGE_EPSILON: f64 = 1e-8;

/// A way to compute ROUGE-L that has a name, so that a number can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Google's `rouge_score`: lower-case words of a-z and 0-9, F. Chinese has no tokens under it.
    F1,
    /// The same with Porter's stemmer. Chinese has no tokens under it.
    PorterF1,
    /// What RoleBench's published numbers are, as far as they can be recovered: the recall of the package `rouge`,
    /// which counts the distinct tokens in the common subsequences of all pairs of sentences.
    Paper,
    /// `rouge_chinese` over characters, F. A perfect match is 1/(1 + 5e-9), as in the package.
    CharF1,
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

/// A name that no rule has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRule {
    /// The name found.
    pub found: String,
}

impl fmt::Display for UnknownRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Rule::ALL.map(Rule::name).join(", ");
        write!(out, "unknown rule \"{}\"; choose one of {names}", self.found)
    }
}

impl std::error::Error for UnknownRule {}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(name: &str) -> Result<Rule, UnknownRule> {
        Rule::from_name(name)
    }
}

impl Rule {
    /// Every rule.
    pub const ALL: [Rule; 4] = [Rule::F1, Rule::PorterF1, Rule::Paper, Rule::CharF1];

    /// The name that is printed with each score.
    pub fn name(self) -> &'static str {
        match self {
            Rule::F1 => "rouge-l/f1",
            Rule::PorterF1 => "rouge-l/porter-f1",
            Rule::Paper => "rouge-l/paper",
            Rule::CharF1 => "rouge-l/char-f1",
        }
    }

    /// The rule of that name.
    ///
    /// # Errors
    /// No rule has it; the message lists those that there are.
    pub fn from_name(name: &str) -> Result<Rule, UnknownRule> {
        Rule::ALL.into_iter().find(|rule| rule.name() == name).ok_or_else(|| UnknownRule { found: name.to_string() })
    }

    /// Does Chinese text have tokens under this rule? Where it has none, every score is 0.
    pub fn reads_chinese(self) -> bool {
        matches!(self, Rule::Paper | Rule::CharF1)
    }

    /// Compares a prediction with one reference, in the [`Unit`] of the reference.
    pub fn score(self, prediction: &str, reference: &str) -> Score {
        self.score_in(Unit::of(reference), prediction, reference)
    }

    /// Compares a prediction with one reference. Only [`Rule::Paper`] knows two units; the others have one each.
    pub fn score_in(self, unit: Unit, prediction: &str, reference: &str) -> Score {
        let tokens = [self.tokens(unit, reference), self.tokens(unit, prediction)];
        let mut vocabulary = Vocabulary::default();
        let [reference_ids, prediction_ids] = tokens.each_ref().map(|tokens| vocabulary.ids(tokens));
        if reference_ids.is_empty() || prediction_ids.is_empty() {
            return Score::default();
        }
        if self == Rule::Paper {
            let [reference, prediction] = [&tokens[0].sentences(&reference_ids), &tokens[1].sentences(&prediction_ids)];
            return union_score(reference, prediction, vocabulary.len());
        }
        let common = Lcs::new(&reference_ids).length(&prediction_ids);
        let epsilon = if self == Rule::CharF1 { PACKAGE_EPSILON } else { 0.0 };
        let score = Score::new(common, prediction_ids.len(), reference_ids.len(), epsilon);
        Score { value: score.f1, ..score }
    }

    /// Compares a prediction with several references and keeps the best comparison: of the best F for
    /// [`Rule::Paper`], of the best value for the others, the first of equals. Zeros without references.
    pub fn best<R: AsRef<str>>(self, prediction: &str, references: &[R]) -> Score {
        self.best_of(references.iter().map(|reference| self.score(prediction, reference.as_ref())))
    }

    /// [`Rule::best`] in a given unit.
    pub fn best_in<R: AsRef<str>>(self, unit: Unit, prediction: &str, references: &[R]) -> Score {
        self.best_of(references.iter().map(|reference| self.score_in(unit, prediction, reference.as_ref())))
    }

    fn best_of(self, scores: impl Iterator<Item = Score>) -> Score {
        scores.reduce(|best, score| if score.f1 > best.f1 { score } else { best }).unwrap_or_default()
    }

    /// The byte ranges, in the prediction and in the reference, of the tokens of one longest common subsequence.
    ///
    /// [`Rule::Paper`] scores sentence by sentence; here both texts are taken whole.
    pub fn align(self, prediction: &str, reference: &str) -> Vec<(Range<usize>, Range<usize>)> {
        let unit = Unit::of(reference);
        let [of_reference, of_prediction] = [reference, prediction].map(|text| self.tokens(unit, text));
        let mut vocabulary = Vocabulary::default();
        let reference_ids = vocabulary.ids(&of_reference);
        let prediction_ids = vocabulary.ids(&of_prediction);
        Lcs::new(&reference_ids)
            .matches(&prediction_ids)
            .into_iter()
            .map(|(row, column)| (of_prediction.range(column), of_reference.range(row)))
            .filter(|(range, _)| !range.is_empty())
            .collect()
    }

    fn tokens(self, unit: Unit, text: &str) -> Tokens {
        match self {
            Rule::F1 => Tokens::alphanumeric(text, false),
            Rule::PorterF1 => Tokens::alphanumeric(text, true),
            Rule::Paper => Tokens::dotted_sentences(text, unit),
            Rule::CharF1 => Tokens::characters(text),
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
}

/// The package `rouge`: one set of tokens gathers the common subsequences of all pairs of sentences, and is divided
/// by the numbers of distinct tokens.
fn union_score(reference: &[&[u32]], prediction: &[&[u32]], vocabulary: usize) -> Score {
    let mut common = vec![false; vocabulary];
    for sentence in reference {
        let lcs = Lcs::new(sentence);
        for candidate in prediction {
            for (row, _) in lcs.matches(candidate) {
                common[sentence[row] as usize] = true;
            }
        }
    }
    let common = common.iter().filter(|&&found| found).count();
    Score::new(common, distinct(prediction, vocabulary), distinct(reference, vocabulary), PACKAGE_EPSILON)
}

fn distinct(sentences: &[&[u32]], vocabulary: usize) -> usize {
    let mut seen = vec![false; vocabulary];
    sentences.iter().flat_map(|sentence| sentence.iter()).for_each(|&id| seen[id as usize] = true);
    seen.iter().filter(|&&seen| seen).count()
}
