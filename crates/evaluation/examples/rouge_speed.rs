//! Pairs per second of each rule on one core, beside Python's `rouge_score` on the same pairs in the same run.
//!
//! ```text
//! cargo run --release -p evaluation --example rouge_speed -- TEST PREDICTIONS LANGUAGE [PYTHON]
//! ```
//!
//! `PYTHON` is an interpreter that has rouge-score 0.1.2.

use anyhow::{Context, Result, bail};
use evaluation::Reader;
use rolebench::{Language, join, unit};
use rouge::{Dictionary, Rule, Scorer};
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// Each rule scores all pairs as often as fits into this.
const TIME: Duration = Duration::from_secs(2);
const PYTHON: &str = include_str!("rouge_speed.py");

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [test, predictions, language, python @ ..] = &arguments[..] else {
        bail!("give TEST PREDICTIONS LANGUAGE [PYTHON]");
    };
    let language = if language == "zh" { Language::Zh } else { Language::En };
    let (test, predictions) =
        (Reader::default().test(Path::new(test))?, Reader::default().rows(Path::new(predictions))?);
    let joined = join(&test, &predictions);
    let pairs: Vec<(&str, &str)> = joined
        .pairs
        .iter()
        .filter_map(|pair| Some((pair.prediction, pair.sample.generated.first()?.as_str())))
        .collect();
    let dictionary = Arc::new(Dictionary::embedded());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} pairs", pairs.len())?;
    for rule in Rule::ALL.into_iter().filter(|rule| language == Language::En || rule.reads_chinese()) {
        let scorer = Scorer::new(rule, Some(Arc::clone(&dictionary)))?.in_unit(unit(language));
        let (start, mut scored, mut sum) = (Instant::now(), 0, 0.0);
        while start.elapsed() < TIME {
            sum += pairs.iter().map(|(prediction, reference)| scorer.score(prediction, reference).value).sum::<f64>();
            scored += pairs.len();
        }
        let speed = scored as f64 / start.elapsed().as_secs_f64();
        writeln!(out, "{:>9.0} pairs/s  {rule}  (mean {:.4})", speed, sum / scored as f64)?;
    }
    if let [python] = python {
        let mut child =
            Command::new(python).args(["-c", PYTHON]).stdin(Stdio::piped()).spawn().context(python.clone())?;
        let stdin = child.stdin.as_mut().context("Python has no input")?;
        serde_json::to_writer(stdin, &pairs)?;
        drop(child.stdin.take());
        child.wait()?;
    }
    Ok(())
}
