use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};
use decoder::Gguf;
use generate::Tokenizer;

/// What of a text is not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Control tokens spelled out in the text, and those that the model wants around it.
    Parsed,
    /// Nothing.
    Text,
}

/// Prints the ids of the text on stdin as one JSON array. Of the model, only the metadata are read.
pub fn run(model: &Path, special: Special) -> Result<()> {
    let tokenizer = load(model).with_context(|| format!("cannot load {}", model.display()))?;
    let text = read_text()?;
    let ids = match special {
        Special::Text => tokenizer.encode(&text, false)?,
        Special::Parsed => {
            let begin = tokenizer.bos().filter(|_| tokenizer.add_bos());
            let end = tokenizer.eos().filter(|_| tokenizer.add_eos());
            begin.into_iter().chain(tokenizer.encode(&text, true)?).chain(end).collect()
        }
    };
    writeln!(io::stdout().lock(), "{}", serde_json::to_string(&ids)?)?;
    Ok(())
}

fn load(model: &Path) -> Result<Tokenizer> {
    let gguf = Gguf::read(&mut File::open(model)?)?;
    Ok(Tokenizer::from_gguf(&gguf)?)
}

fn read_text() -> Result<String> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => bail!("stdin is not UTF-8: its byte {} begins no character", error.utf8_error().valid_up_to()),
    }
}
