//! ROUGE-L over tokens given by the caller. Knows strings; never models or files.
//!
//! "ROUGE-L" alone names no number: packages differ in tokens, in what they divide by, and in what they publish.
//! So every score here is made by a named [`Rule`], each equal to one Python package:
//!
//! | rule | equals | value |
//! |---|---|---|
//! | `rouge-l/f1` | `rouge_score` 0.1.2, `rougeL` | F |
//! | `rouge-l/porter-f1` | the same with `use_stemmer=True` | F |
//! | `rouge-lsum/f1`, `rouge-lsum/porter-f1` | the same, `rougeLsum` | F |
//! | `rouge-l/paper` | `rouge` 1.0.1, `rouge-l`; Chinese as characters joined by spaces | recall |
//! | `rouge-l/char-f1` | `rouge_chinese` 1.0.3, `rouge-l`, characters joined by spaces | F |
//! | `rouge-l/jieba-f1` | the same over the words of `jieba` 0.42.1 | F |
//!
//! Those of `rouge_score` keep only the letters a to z and digits: Chinese text has no tokens under them and scores 0.
//!
//! ```
//! let scorer = rouge::Scorer::new("rouge-l/f1".parse().unwrap(), None).unwrap();
//! let score = scorer.score_all("the cat sat", &["a cat sat down", "the dog sat"]);
//! assert_eq!(score.value, 2.0 / 3.0);
//! ```

mod dictionary;
mod lcs;
mod porter;
mod rule;
mod scorer;
mod tokens;

pub use dictionary::{Dictionary, DictionaryError};
pub use rule::{References, Rule, UnknownName};
pub use scorer::{MissingDictionary, Score, Scorer};
pub use tokens::Unit;
