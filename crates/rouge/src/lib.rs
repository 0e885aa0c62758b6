//! ROUGE-L over tokens given by the caller. Knows strings; never models or files.
//!
//! "ROUGE-L" alone names no number: packages differ in tokens, in what they divide by, and in what they publish.
//! So every score here is made by a named [`Rule`], each equal to one Python package:
//!
//! | rule | equals | value |
//! |---|---|---|
//! | `rouge-l/f1` | `rouge_score` 0.1.2, `rougeL` | F |
//! | `rouge-l/porter-f1` | the same with `use_stemmer=True` | F |
//! | `rouge-l/paper` | `rouge` 1.0.1, `rouge-l`; Chinese as characters joined by spaces | recall |
//! | `rouge-l/char-f1` | `rouge_chinese` 1.0.3, `rouge-l`, characters joined by spaces | F |
//!
//! The first two keep only the letters a to z and digits: Chinese text has no tokens under them and scores 0.
//!
//! ```
//! let rule = rouge::Rule::from_name("rouge-l/f1").unwrap();
//! let score = rule.best("the cat sat", &["a cat sat down", "the dog sat"]);
//! assert_eq!(score.value, 2.0 / 3.0);
//! ```

mod lcs;
mod porter;
mod rule;
mod tokens;

pub use rule::{Rule, Score, UnknownRule};
pub use tokens::Unit;
