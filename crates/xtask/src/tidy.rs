//! The repository's own rules, checked by code.

use crate::process::{command, output};
use crate::tools::WASM_BINDGEN;
use anyhow::{Result, bail};
use std::path::Path;

/// Files longer than this are asked to be cut at a seam.
const MOST_LINES: usize = 500;
const DOCUMENTS: [&str; 7] =
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LOG.md", "LICENSE-MIT", "LICENSE-APACHE", "data/README.md"];

/// Checks every rule and lists all that is wrong.
pub fn run(root: &Path) -> Result<()> {
    let mut wrong = Vec::new();
    for name in DOCUMENTS {
        if !root.join(name).exists() {
            wrong.push(format!("{name} is missing"));
        }
    }
    purposes(root, &mut wrong)?;
    files(root, &mut wrong)?;
    versions(root, &mut wrong)?;
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{}", wrong.join("\n"))
}

/// A crate's purpose stands in Cargo.toml, in its first line of code and in ARCHITECTURE.md, in the same words.
fn purposes(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    for manifest in tracked(root, "Cargo.toml")?.iter().filter(|path| path.contains('/')) {
        let folder = Path::new(manifest).parent().expect("the root's manifest is left out");
        let text = std::fs::read_to_string(root.join(manifest))?;
        let Some(purpose) = text.lines().find_map(|line| line.strip_prefix("description = \"")?.strip_suffix('"'))
        else {
            wrong.push(format!("{manifest} has no description"));
            continue;
        };
        let source = ["src/lib.rs", "src/main.rs"]
            .map(|name| root.join(folder).join(name))
            .into_iter()
            .find(|path| path.exists());
        let code = source.map(std::fs::read_to_string).transpose()?.unwrap_or_default();
        if code.lines().next() != Some(&format!("//! {purpose}")) {
            wrong.push(format!(
                "{}: the first line of code differs from the description in Cargo.toml",
                folder.display()
            ));
        }
        if !architecture.contains(purpose) {
            wrong.push(format!("ARCHITECTURE.md does not say of {}: {purpose}", folder.display()));
        }
        if !text.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{manifest} does not take the workspace's lints"));
        }
    }
    Ok(())
}

fn files(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    for name in tracked(root, "")? {
        let text_like = [".rs", ".toml", ".md", ".css", ".html", ".js", ".json", ".jsonl", ".svg"];
        if !text_like.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(root.join(&name)) else { continue };
        if !text.is_empty() && !text.ends_with('\n') {
            wrong.push(format!("{name} does not end with a newline"));
        }
        let is_code = name.ends_with(".rs");
        for (at, line) in text.lines().enumerate() {
            if line.trim_end() != line && !name.ends_with(".md") {
                wrong.push(format!("{name}:{}: space at the end of the line", at + 1));
            }
            if is_code && line.contains('\t') {
                wrong.push(format!("{name}:{}: a tab", at + 1));
            }
        }
        if is_code && text.lines().count() > MOST_LINES {
            wrong.push(format!("{name} has {} lines; cut it below {MOST_LINES}", text.lines().count()));
        }
    }
    Ok(())
}

/// The command line tool and the crate of wasm-bindgen must be of one version.
fn versions(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock"))?;
    let entry = format!("name = \"wasm-bindgen\"\nversion = \"{WASM_BINDGEN}\"");
    if !lock.contains(&entry) {
        wrong.push(format!(
            "Cargo.lock does not hold wasm-bindgen {WASM_BINDGEN}, the version of the tool in crates/xtask"
        ));
    }
    Ok(())
}

/// The files that git tracks and whose name ends so.
fn tracked(root: &Path, end: &str) -> Result<Vec<String>> {
    let mut list = command("git", "-c core.quotePath=false ls-files");
    let Some(names) = output(list.current_dir(root)) else { bail!("`git ls-files` failed; is this a git checkout?") };
    Ok(names.lines().filter(|name| name.ends_with(end) && root.join(name).exists()).map(str::to_string).collect())
}
