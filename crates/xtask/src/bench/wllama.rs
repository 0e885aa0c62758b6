//! wllama, llama.cpp compiled to WebAssembly: the npm package in a page of our own.

use super::chromium::{Chromium, WLLAMA, count, model_path, number, script};
use super::engine::{Engine, Reading, Sample, Task};
use super::load::Mark;
use super::prompt;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::rc::Rc;

const READY: &str = "for (let i = 0; i < 1200 && !window.peer; i++) await new Promise(r => setTimeout(r, 50));
    if (!window.peer) throw new Error('the page of wllama did not start');
    return await window.peer.load(...args)";
const RUN: &str = "return await window.peer.run(...args)";

/// A package in a folder.
#[derive(Clone)]
pub struct Package {
    at: usize,
    version: String,
}

/// A package with so many threads.
pub struct Wllama {
    chromium: Rc<Chromium>,
    package: Package,
    threads: usize,
}

impl Package {
    /// The packages in these folders.
    pub fn read_all(folders: &[PathBuf]) -> Result<Vec<Package>> {
        let version = |(at, folder): (usize, &PathBuf)| {
            let file = folder.join("package.json");
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let about: Value = serde_json::from_str(&text)?;
            let Some(version) = about["version"].as_str() else { bail!("no version in {}", file.display()) };
            Ok(Package { at, version: version.to_string() })
        };
        folders.iter().enumerate().map(version).collect()
    }
}

impl Wllama {
    /// The package and its number of threads.
    pub fn new(chromium: Rc<Chromium>, package: Package, threads: usize) -> Wllama {
        Wllama { chromium, package, threads }
    }
}

impl Engine for Wllama {
    fn name(&self) -> String {
        format!("wllama {}, Chromium", self.package.version)
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn measure(&self, task: &Task) -> Result<Sample> {
        let Package { at, version } = &self.package;
        let context = task.prefill.max(task.prompt + task.decode) + 64;
        self.chromium.visit(&format!("{WLLAMA}?package={at}&version={version}"), async |browser| {
            let empty = browser.renderer_memory();
            let arguments = vec![json!(model_path(task.at)), json!(self.threads), json!(context)];
            let loaded = script(browser, READY, arguments).await?;
            let used = count(&loaded, "threads")?;
            ensure!(used == self.threads, "wllama works with {used} threads instead of {}", self.threads);
            script(browser, RUN, vec![json!(prompt::warm_up()), json!(16)]).await?;
            let mark = Mark::now();
            let read = script(browser, RUN, vec![json!(task.prefill_prompt), json!(1)]).await?;
            let prefill = Reading::end(&mark, count(&read, "promptTokens")?, number(&read, "prefillMs")?)?;
            let mark = Mark::now();
            let wrote = script(browser, RUN, vec![json!(task.decode_prompt), json!(task.decode)]).await?;
            let decode = Reading::end(&mark, count(&wrote, "tokens")?.saturating_sub(1), number(&wrote, "decodeMs")?)?;
            let about = loaded["about"].as_str().unwrap_or_default().to_string();
            let memory = Some(browser.peak_renderer_memory().saturating_sub(empty));
            Ok(Sample { prefill, decode, load_ms: Some(number(&loaded, "loadMs")?), memory, about })
        })
    }
}
