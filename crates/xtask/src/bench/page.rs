//! Our decoder in the page, by `window.rolellm`.

use super::chromium::{Chromium, count, model_path, number, script};
use super::engine::{Engine, Reading, Sample, Task};
use super::load::Mark;
use super::prompt;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::rc::Rc;

const LOAD: &str = "
    const [path, options, warmUp] = args;
    const start = performance.now();
    await window.rolellm.loadModel(new URL(path, location.origin).href, options);
    const loadMs = performance.now() - start;
    await window.rolellm.generate({prompt: warmUp, temperature: 0, maxTokens: 16});
    return {loadMs}";

/// The page with so many workers, with relaxed SIMD where Chromium has it, or without.
pub struct Page {
    chromium: Rc<Chromium>,
    workers: usize,
    relaxed: bool,
}

impl Page {
    /// The page.
    pub fn new(chromium: Rc<Chromium>, workers: usize, relaxed: bool) -> Page {
        Page { chromium, workers, relaxed }
    }

    async fn generate(&self, browser: &browser::Browser, prompt: &str, tokens: usize) -> Result<Value> {
        let request = json!({ "prompt": prompt, "temperature": 0, "maxTokens": tokens });
        let reply = script(browser, "return await window.rolellm.generate(args[0])", vec![request]).await?;
        let used = count(&reply, "workers")?;
        ensure!(used == self.workers, "the page works with {used} workers instead of {}", self.workers);
        Ok(reply)
    }
}

impl Engine for Page {
    fn name(&self) -> String {
        format!("ours, Chromium, {} SIMD", if self.relaxed { "relaxed" } else { "plain" })
    }

    fn threads(&self) -> usize {
        self.workers
    }

    fn measure(&self, task: &Task) -> Result<Sample> {
        self.chromium.visit("", async |browser| {
            browser.ready().await?;
            let empty = browser.renderer_memory();
            let options = json!({ "workers": self.workers, "relaxedSimd": self.relaxed });
            let arguments = vec![json!(model_path(task.at)), options, json!(prompt::warm_up())];
            let loaded = script(browser, LOAD, arguments).await?;
            let mark = Mark::now();
            let read = self.generate(browser, task.prefill_prompt, 1).await?;
            let new = count(&read, "promptTokens")? - count(&read, "reusedTokens")?;
            let prefill = Reading::end(&mark, new, number(&read, "prefillMs")?)?;
            let mark = Mark::now();
            let wrote = self.generate(browser, task.decode_prompt, task.decode).await?;
            let decode = Reading::end(&mark, count(&wrote, "tokens")?.saturating_sub(1), number(&wrote, "decodeMs")?)?;
            let about = wrote["backend"].as_str().unwrap_or_default().to_string();
            let memory = Some(browser.peak_renderer_memory().saturating_sub(empty));
            Ok(Sample { prefill, decode, load_ms: Some(number(&loaded, "loadMs")?), memory, about })
        })
    }
}
