use std::{fmt, str::FromStr};

/// A way to compute ROUGE-L that has a name, so that a number can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Google's `rouge_score`: lower-case words of a-z and 0-9, F. Chinese has no tokens under it.
    F1,
    /// The same with Porter's stemmer. Chinese has no tokens under it.
    PorterF1,
    /// Google's `rougeLsum`: each line of the reference against all lines of the prediction. Chinese has no tokens under it.
    SumF1,
    /// The same with Porter's stemmer. Chinese has no tokens under it.
    SumPorterF1,
    /// What RoleBench's published numbers are, as far as they can be recovered: the recall of the package `rouge`,
    /// which counts the distinct tokens in the common subsequences of all pairs of sentences.
    Paper,
    /// `rouge_chinese` over characters, F. A perfect match is 1/(1 + 5e-9), as in the package.
    CharF1,
    /// `rouge_chinese` over the words of `jieba`, F. A perfect match is 1/(1 + 5e-9), as in the package.
    JiebaF1,
}

/// Which of several references counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum References {
    /// The one with the best F, the first of equals; its precision, recall and value count.
    #[default]
    BestF,
    /// The one with the best value, the first of equals: another than [`References::BestF`] where a rule publishes no F.
    Max,
    /// The mean over all of them, of each figure.
    Mean,
    /// The first.
    First,
}

/// A name that nothing has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// What should have been named.
    pub kind: &'static str,
    /// The name found.
    pub found: String,
    /// The names that there are.
    pub known: Vec<&'static str>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "unknown {} \"{}\"; choose one of {}", self.kind, self.found, self.known.join(", "))
    }
}

impl std::error::Error for UnknownName {}

impl Rule {
    /// Every rule.
    pub const ALL: [Rule; 7] =
        [Rule::F1, Rule::PorterF1, Rule::SumF1, Rule::SumPorterF1, Rule::Paper, Rule::CharF1, Rule::JiebaF1];

    /// The name that is printed with each score.
    pub fn name(self) -> &'static str {
        match self {
            Rule::F1 => "rouge-l/f1",
            Rule::PorterF1 => "rouge-l/porter-f1",
            Rule::SumF1 => "rouge-lsum/f1",
            Rule::SumPorterF1 => "rouge-lsum/porter-f1",
            Rule::Paper => "rouge-l/paper",
            Rule::CharF1 => "rouge-l/char-f1",
            Rule::JiebaF1 => "rouge-l/jieba-f1",
        }
    }

    /// Does Chinese text have tokens under this rule? Where it has none, every score is 0.
    pub fn reads_chinese(self) -> bool {
        matches!(self, Rule::Paper | Rule::CharF1 | Rule::JiebaF1)
    }

    /// Does this rule cut texts by a [`Dictionary`](crate::Dictionary)?
    pub fn needs_dictionary(self) -> bool {
        self == Rule::JiebaF1
    }
}

impl References {
    /// Every way.
    pub const ALL: [References; 4] = [References::BestF, References::Max, References::Mean, References::First];

    /// The name that is printed with each score.
    pub fn name(self) -> &'static str {
        match self {
            References::BestF => "best-f",
            References::Max => "max",
            References::Mean => "mean",
            References::First => "first",
        }
    }
}

macro_rules! named {
    ($type:ident, $kind:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<$type, UnknownName> {
                let known = || $type::ALL.into_iter();
                known().find(|one| one.name() == name).ok_or_else(|| UnknownName {
                    kind: $kind,
                    found: name.to_string(),
                    known: known().map($type::name).collect(),
                })
            }
        }
    };
}

named!(Rule, "rule");
named!(References, "rule for several references");
