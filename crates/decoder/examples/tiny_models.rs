//! Writes the random models of the tests for llama.cpp to read: `cargo run -p decoder --example tiny_models -- FOLDER`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(env::args().nth(1).ok_or("name a folder")?);
    fs::create_dir_all(&folder)?;
    for (name, model) in common::families::models() {
        fs::write(folder.join(format!("{name}.gguf")), model.write())?;
        fs::write(folder.join(format!("{name}.json")), format!("{{\"prompt\": {:?}}}", common::families::prompt()))?;
    }
    Ok(())
}
