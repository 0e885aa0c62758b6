//! Writes the random models of the tests for llama.cpp to read: `cargo run -p decoder --example tiny_models -- FOLDER`; with `seeds`
//! behind it, the small ones that fuzzing starts from.

#[path = "../tests/common/mod.rs"]
mod common;

use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(env::args().nth(1).ok_or("name a folder")?);
    fs::create_dir_all(&folder)?;
    if env::args().nth(2).as_deref() == Some("seeds") {
        for (name, model) in common::families::seeds() {
            fs::write(folder.join(format!("{name}.gguf")), model.write())?;
        }
        return Ok(());
    }
    for (name, model) in common::families::models() {
        fs::write(folder.join(format!("{name}.gguf")), model.write())?;
        fs::write(folder.join(format!("{name}.json")), format!("{{\"prompt\": {:?}}}", common::families::prompt()))?;
    }
    Ok(())
}
