//! How the engine loads models and shares them among workers, seen from the page.

use crate::server::{self, Manner, Server};
use anyhow::{Context, Result, bail, ensure};
use browser::Browser;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The published text of stories260K, with each number of workers and each build of the engine.
pub async fn golden(browser: &Browser) -> Result<()> {
    let Some(gguf) = tests::stories260k::gguf() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    browser.ready().await?;
    give(browser, &[write(folder.path(), "stories260K.gguf", &gguf)?]).await?;
    for relaxed in [false, true] {
        for workers in 1..=3 {
            let options = json!({"workers": workers, "relaxedSimd": relaxed});
            let model =
                browser.script("return await rolellm.loadModel(given.files[0], args[0])", vec![options]).await?;
            ensure!(model["workers"] == workers, "asked for {workers} workers: {model}");
            let backend = if relaxed { "cpu relaxed-simd" } else { "cpu simd128" };
            // Some machines have a dot product that is worth a word more.
            let chosen = model["backend"].as_str().unwrap_or_default();
            ensure!(chosen.starts_with(backend), "wanted {backend}: {model}");
            let outcome = browser.generate(json!({"prompt": "", "temperature": 0, "maxTokens": 256})).await?;
            let published = tests::stories260k::GREEDY_TEXT;
            ensure!(outcome["text"] == published, "{workers} workers, {backend}: {outcome}");
            ensure!(outcome["workers"] == workers && outcome["backend"] == chosen, "{outcome}");
        }
    }
    Ok(())
}

/// The beginning of the published text of stories260K, on a GPU: as much of it as a program that stands in for one writes in reasonable time.
pub async fn gpu(browser: &Browser) -> Result<()> {
    let Some(gguf) = tests::stories260k::gguf() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    browser.ready().await?;
    give(browser, &[write(folder.path(), "stories260K.gguf", &gguf)?]).await?;
    let load = "return await rolellm.loadModel(given.files[0], {device: 'gpu'})";
    let model = browser.script(load, vec![]).await?;
    ensure!(model["backend"].as_str().is_some_and(|backend| backend.starts_with("webgpu")), "{model}");
    let outcome = browser.generate(json!({"prompt": "", "temperature": 0, "maxTokens": 48})).await?;
    let text = outcome["text"].as_str().unwrap_or_default();
    ensure!(text.len() > 100 && tests::stories260k::GREEDY_TEXT.starts_with(text), "{outcome}");
    // A prompt of more than one batch, of which the beginning is known already.
    let prompt = format!("{text} {}", "Lily was happy. ".repeat(20));
    let again = json!({"prompt": prompt, "temperature": 0, "maxTokens": 8});
    let on_gpu = browser.generate(again.clone()).await?;
    ensure!(on_gpu["reusedTokens"].as_u64() > Some(40) && on_gpu["promptTokens"].as_u64() > Some(120), "{on_gpu}");
    browser.script("return await rolellm.loadModel(given.files[0], {device: 'cpu'})", vec![]).await?;
    let on_cpu = browser.generate(again).await?;
    ensure!(on_gpu["text"] == on_cpu["text"], "{on_gpu} and {on_cpu}");
    Ok(())
}

/// The choice on the Models page loads the model again, is kept, and a reply on the GPU can be stopped.
pub async fn choose_gpu(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    browser.click("[data-testid=nav-models]").await?;
    browser.text_when("model-info", |text| text.contains("cpu ")).await?;
    browser.click("[data-testid=device-gpu]").await?;
    browser.text_when("model-info", |text| text.contains("webgpu")).await?;
    browser.goto(browser.page()).await?;
    browser.ready().await?;
    let script = "const reply = rolellm.generate({prompt: 'Hello', maxTokens: 400, temperature: 0});
                  await new Promise(done => setTimeout(done, 1500));
                  const asked = performance.now(); rolellm.stop();
                  return {outcome: await reply, waited: performance.now() - asked}";
    let stopped = browser.script(script, vec![]).await?;
    let outcome = &stopped["outcome"];
    ensure!(outcome["stop"] == "cancelled", "{stopped}");
    ensure!(outcome["backend"].as_str().is_some_and(|backend| backend.starts_with("webgpu")), "{stopped}");
    ensure!(outcome["tokens"].as_u64() > Some(0), "{stopped}");
    Ok(())
}

/// A GPU that is taken away in the middle of a reply ends it in words, and the same model is loaded on the CPU.
pub async fn lost_gpu(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    browser.click("[data-testid=nav-models]").await?;
    browser.click("[data-testid=device-gpu]").await?;
    browser.text_when("model-info", |text| text.contains("webgpu")).await?;
    let begin = "window.reply = rolellm.generate({prompt: 'Hello', maxTokens: 400}).catch(error => error.kind);
                 await new Promise(done => setTimeout(done, 1500)); return true";
    browser.script(begin, vec![]).await?;
    browser.lose_gpu()?;
    let ended = browser.script("return await window.reply", vec![]).await?;
    ensure!(ended == "gpu", "{ended}");
    browser.text_when("gpu-refused", |text| text.contains("lost")).await?;
    let model = load_shipped(browser, json!({})).await?;
    ensure!(model["backend"].as_str().is_some_and(|backend| backend.starts_with("cpu")), "{model}");
    let outcome = browser.generate(json!({"prompt": "Hello", "maxTokens": 4})).await?;
    ensure!(outcome["tokens"] == 4, "{outcome}");
    Ok(())
}

/// Whoever asks for a GPU that is not there is told; the page's own choice goes back to the CPU.
pub async fn no_gpu(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    let refused = load(browser, "'models/x.gguf'", json!({"device": "gpu"})).await?;
    ensure!(refused["kind"] == "gpu", "{refused}");
    load_shipped(browser, json!({})).await?;
    browser.click("[data-testid=nav-models]").await?;
    browser.click("[data-testid=device-gpu]").await?;
    browser.text_when("gpu-refused", |text| text.contains("CPU does the work")).await?;
    browser.text_when("model-info", |text| text.contains("cpu ")).await?;
    let outcome = browser.generate(json!({"prompt": "Hello", "maxTokens": 4})).await?;
    ensure!(outcome["backend"].as_str().is_some_and(|backend| backend.starts_with("cpu")), "{outcome}");
    Ok(())
}

/// The Models page says how many workers share the model.
pub async fn worker_count(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    browser.click("[data-testid=nav-models]").await?;
    for workers in [2, 1, 3] {
        load_shipped(browser, json!({ "workers": workers })).await?;
        browser.text_when("model-workers", |text| text == workers.to_string()).await?;
    }
    let refused = load(browser, "'models/x.gguf'", json!({"workers": 0})).await?;
    ensure!(refused["kind"] == "invalid_request", "no workers at all: {refused}");
    Ok(())
}

/// Without the headers there is one worker, whatever was asked for, and the page says why.
pub async fn not_isolated(browser: &Browser) -> Result<()> {
    browser.goto(&server::without_isolation(browser.page())?).await?;
    browser.ready().await?;
    let model = load_shipped(browser, json!({"workers": 3})).await?;
    ensure!(model["workers"] == 1, "memory cannot be shared here: {model}");
    browser.click("[data-testid=nav-models]").await?;
    browser.text_when("one-worker", |text| text.contains("COOP")).await?;
    let outcome = browser.generate(json!({"prompt": "Hello", "maxTokens": 4})).await?;
    ensure!(outcome["workers"] == 1, "{outcome}");
    Ok(())
}

/// Who waits for a meeting outlives a call that was meant for the last one. A helper once took it for the end of its patience: one reply in a thousand
/// broke down.
pub async fn late_call(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    let body = "
        const glue = await (await fetch('engine.js')).text();
        const url = new URL(glue.match(/snippets\\/[^'\"]*meeting\\.js/)[0], document.baseURI).href;
        const { Meeting, sharedBytes } = await import(url);
        const buffer = new SharedArrayBuffer(sharedBytes(1));
        const code = `import { Meeting } from '${url}';
            onmessage = ({data}) => postMessage({ heard: new Meeting(data, 2, Infinity).meet(undefined, false) ?? null });`;
        const worker = new Worker(URL.createObjectURL(new Blob([code], {type: 'text/javascript'})), {type: 'module'});
        const answer = new Promise((resolve) => (worker.onmessage = ({data}) => resolve(data)));
        worker.postMessage(buffer);
        const state = new Int32Array(buffer);
        let calls = 0;
        for (let i = 0; i < 200 && calls < 3; i++) {
            await new Promise((resolve) => setTimeout(resolve, 50));
            for (let word = 0; word < state.length; word++) calls += Atomics.notify(state, word);
        }
        const meeting = new Meeting(buffer, 2, 1000).meet(7, false);
        return { calls, meeting: meeting ?? null, ...(await answer) }";
    let outcome = browser.script(body, vec![]).await?;
    ensure!(outcome["calls"] == 3, "nobody slept: {outcome}");
    ensure!(outcome["heard"] == 7 && outcome["meeting"] == 7, "the meeting broke up: {outcome}");
    Ok(())
}

/// A reply is stopped while its prompt is still being read.
pub async fn stop_in_prompt(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    let model = load_shipped(browser, json!({})).await?;
    let words = model["context"].as_u64().context("no context")? / 4;
    let body = "const reply = window.rolellm.generate({prompt: 'the sea '.repeat(args[0]), maxTokens: 4});
        await new Promise(resolve => setTimeout(resolve));
        const start = performance.now();
        window.rolellm.stop();
        const outcome = await reply;
        return {stop: outcome.stop, tokens: outcome.tokens, ms: performance.now() - start}";
    let outcome = browser.script(body, vec![json!(words)]).await?;
    eprintln!("a stop within a prompt was answered after {} ms", outcome["ms"]);
    ensure!(outcome["stop"] == "cancelled" && outcome["tokens"] == 0, "{outcome}");
    ensure!(outcome["ms"].as_f64().is_some_and(|ms| ms < 1000.0), "{outcome}");
    Ok(())
}

/// A download is stopped although its server is silent, and the next one goes on as if nothing had been.
pub async fn cancel_loading(browser: &Browser) -> Result<()> {
    let model = shipped()?;
    let server = Server::start(Manner::Stalls, move |_| Some(model.clone()))?;
    browser.ready().await?;
    let body = "const loading = window.rolellm.loadModel(args[0] + 'm.gguf').catch(error => error.kind);
        const progress = document.querySelector('[data-testid=model-status]');
        for (let i = 0; i < 600 && !/MB|kB/.test(progress.innerText); i++) await new Promise(r => setTimeout(r, 50));
        const start = performance.now();
        window.rolellm.stop();
        const kind = await loading;
        return {kind, ms: performance.now() - start}";
    let outcome = browser.script(body, vec![json!(server.address)]).await?;
    eprintln!("a stop within a download was answered after {} ms", outcome["ms"]);
    ensure!(outcome["kind"] == "cancelled", "{outcome}");
    load_shipped(browser, json!({})).await?;
    Ok(())
}

/// A model that was downloaded once is not downloaded again, and a broken download goes on where it broke.
pub async fn downloads(browser: &Browser) -> Result<()> {
    let model = shipped()?;
    let len = model.len();
    let server = Server::start(Manner::BreaksOff, move |_| Some(model.clone()))?;
    browser.ready().await?;
    let url = format!("'{}m.gguf'", server.address);
    let broken = load(browser, &url, json!({})).await?;
    ensure!(broken["kind"] == "download", "the server broke off: {broken}");
    let loaded = load(browser, &url, json!({})).await?;
    ensure!(loaded["bytes"] == len, "{loaded}");
    let resumed = server.asked().iter().filter_map(|asked| asked.range.clone()).any(|range| range.start > 0);
    ensure!(resumed, "the download began anew: {:?}", server.asked());
    let before = server.asked().len();
    load(browser, &url, json!({})).await?;
    let after = server.asked();
    ensure!(after.len() == before + 1, "a stored model was fetched again: {:?}", &after[before..]);
    browser.generate(json!({"prompt": "Hello", "maxTokens": 4})).await?;
    Ok(())
}

/// Keys and values are kept as was asked for, and all workers keep them alike.
pub async fn cache(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    let mut bytes = Vec::new();
    for cache in ["f32", "f16", "q8"] {
        let mut texts = Vec::new();
        for workers in [1, 2] {
            let model = load_shipped(browser, json!({"workers": workers, "cache": cache})).await?;
            ensure!(model["cache"] == cache, "{model}");
            bytes.push(model["cacheBytes"].as_u64().context("no cacheBytes")?);
            let request = json!({"prompt": "The sea ".repeat(40), "temperature": 0, "maxTokens": 24});
            texts.push(browser.generate(request).await?["text"].clone());
        }
        ensure!(texts[0].is_string() && texts[0] == texts[1], "{cache}: {texts:?}");
    }
    let [single, _, half, _, eighths, _] = bytes[..] else { bail!("{bytes:?}") };
    ensure!(single == 2 * half && eighths < half * 2 / 3, "bytes of keys and values: {bytes:?}");
    let refused = load(browser, "'models/x.gguf'", json!({"cache": "q4"})).await?;
    ensure!(refused["error"].as_str().is_some_and(|text| text.contains("q8")), "{refused}");
    Ok(())
}

/// Workers read a stored model side by side and leave it to others; while somebody else writes it, they read it by other means.
pub async fn stored(browser: &Browser) -> Result<()> {
    let model = shipped()?;
    let server = Server::start(Manner::Ranges, move |_| Some(model.clone()))?;
    browser.ready().await?;
    let url = format!("'{}m.gguf'", server.address);
    let request = json!({"prompt": "Hello", "temperature": 0, "maxTokens": 8});
    let mut texts = Vec::new();
    // Downloaded, read from the storage, and read while another worker has every file of it for itself.
    for is_locked in [false, false, true] {
        if is_locked {
            let body = "
                const code = `(async () => {
                    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('models');
                    const open = [];
                    for await (const file of folder.values()) open.push(await file.createSyncAccessHandle());
                    self.open = open;
                    postMessage(open.length);
                })().catch(error => postMessage(String(error)))`;
                window.locker = new Worker(URL.createObjectURL(new Blob([code])));
                return await new Promise(resolve => (locker.onmessage = ({data}) => resolve(data)))";
            let locked = browser.script(body, vec![]).await?;
            ensure!(locked.as_u64() > Some(0), "a loaded model is kept from others: {locked}");
        }
        let loaded = load(browser, &url, json!({"workers": 2})).await?;
        ensure!(loaded["workers"] == 2, "locked {is_locked}: {loaded}");
        texts.push(browser.generate(request.clone()).await?["text"].clone());
    }
    ensure!(server.asked().iter().all(|asked| asked.range.is_none()), "it was not stored: {:?}", server.asked());
    ensure!(texts[0].is_string() && texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    Ok(())
}

/// With `stream`, every worker fetches what it needs by ranges; a server without ranges is named.
pub async fn streaming(browser: &Browser) -> Result<()> {
    let model = shipped()?;
    let same = model.clone();
    let ranges = Server::start(Manner::Ranges, move |_| Some(model.clone()))?;
    let whole = Server::start(Manner::Whole, move |_| Some(same.clone()))?;
    browser.ready().await?;
    for workers in [1, 2] {
        let options = json!({"stream": true, "workers": workers});
        let loaded = load(browser, &format!("'{}m.gguf'", ranges.address), options).await?;
        ensure!(loaded["workers"] == workers, "{loaded}");
        let outcome = browser.generate(json!({"prompt": "Hello", "temperature": 0, "maxTokens": 8})).await?;
        ensure!(outcome["tokens"].as_u64().is_some(), "{outcome}");
    }
    let asked = ranges.asked();
    ensure!(asked.iter().filter(|asked| asked.range.is_none()).count() == 2, "more than the lengths: {asked:?}");
    let refused = load(browser, &format!("'{}m.gguf'", whole.address), json!({"stream": true})).await?;
    ensure!(refused["error"].as_str().is_some_and(|text| text.contains("ranges")), "{refused}");
    Ok(())
}

/// The parts of a split model: given together they are one model; missing ones are named; one address finds all.
pub async fn split(browser: &Browser) -> Result<()> {
    let Some(parts) = tests::stories260k::split_gguf(3) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let name = |part: usize| format!("stories-{:05}-of-00003.gguf", part + 1);
    let files = parts.iter().enumerate().map(|(part, bytes)| write(folder.path(), &name(part), bytes));
    let mut files = files.collect::<Result<Vec<PathBuf>>>()?;
    browser.ready().await?;
    files.reverse();
    give(browser, &files).await?;
    for workers in [1, 2] {
        let loaded = load(browser, "[...given.files]", json!({ "workers": workers })).await?;
        ensure!(loaded["name"] == "stories260K", "{loaded}");
        let outcome = browser.generate(json!({"prompt": "", "temperature": 0, "maxTokens": 64})).await?;
        let text = outcome["text"].as_str().unwrap_or_default();
        ensure!(text.len() > 100 && tests::stories260k::GREEDY_TEXT.starts_with(text), "{outcome}");
    }
    let refused = load(browser, "given.files[0]", json!({})).await?;
    let words = refused["error"].as_str().unwrap_or_default();
    ensure!(words.contains("-00001-of-00003") && words.contains("-00002-of-00003"), "missing parts: {refused}");

    let server = Server::start(Manner::Ranges, move |path| {
        let part = (0..3).find(|&part| path.trim_start_matches('/') == name(part))?;
        Some(parts[part].clone())
    })?;
    let url = format!("'{}stories-00002-of-00003.gguf'", server.address);
    for options in [json!({}), json!({"stream": true})] {
        let loaded = load(browser, &url, options).await?;
        ensure!(loaded["name"] == "stories260K", "{loaded}");
    }
    Ok(())
}

/// Unloading gives the memory back: after twenty models there is no more of it in use than after three.
pub async fn unload(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    browser.click("[data-testid=nav-models]").await?;
    let mut early = 0;
    for round in 0..20 {
        load_shipped(browser, json!({"workers": 2})).await?;
        browser.click("[data-testid=model-unload]").await?;
        if round == 2 {
            early = settled_memory(browser).await?;
        }
    }
    let late = settled_memory(browser).await?;
    eprintln!("the page's processes have {} MB after 3 models and {} MB after 20", early >> 20, late >> 20);
    // Seventeen models that stay would be far more.
    ensure!(late < early + (96 << 20), "memory grew from {early} to {late} bytes");
    Ok(())
}

/// Resident memory once no worker is left.
async fn settled_memory(browser: &Browser) -> Result<u64> {
    let until = Instant::now() + Duration::from_secs(60);
    while browser.threads("DedicatedWorker") > 0 {
        ensure!(Instant::now() < until, "{} workers outlive their models", browser.threads("DedicatedWorker"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(browser.renderer_memory())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, bytes)?;
    Ok(path)
}

/// The model that the page starts with.
fn shipped() -> Result<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ lies in the repository")?;
    let catalog: Value = serde_json::from_str(&std::fs::read_to_string(root.join("models/catalog.json"))?)?;
    let entry = catalog["models"].as_array().into_iter().flatten().find(|model| model["id"] == catalog["default"]);
    let file = entry.and_then(|model| model["file"].as_str()).context("the catalog's default model has no file")?;
    Ok(std::fs::read(root.join("models").join(file))?)
}

/// Puts files into `given.files` for the page's scripts.
pub async fn give(browser: &Browser, files: &[PathBuf]) -> Result<()> {
    let body = "const given = document.createElement('input');
        Object.assign(given, {type: 'file', multiple: true, id: 'given'}); document.body.append(given)";
    browser.script(body, vec![]).await?;
    let names: Vec<_> = files.iter().map(|path| path.to_string_lossy()).collect();
    browser.select("#given").await?.send_keys(&names.join("\n")).await?;
    Ok(())
}

/// Loads what a piece of script names.
pub async fn load(browser: &Browser, source: &str, options: Value) -> Result<Value> {
    browser.script(&format!("return await window.rolellm.loadModel({source}, args[0])"), vec![options]).await
}

/// Loads the model that the page starts with.
pub async fn load_shipped(browser: &Browser, options: Value) -> Result<Value> {
    let body = "const shipped = await (await fetch('models/catalog.json')).json();
        const file = shipped.models.find(model => model.id === shipped.default).file;
        return await window.rolellm.loadModel('models/' + file, args[0])";
    let model = browser.script(body, vec![options]).await?;
    ensure!(model["name"].is_string(), "the shipped model does not load: {model}");
    Ok(model)
}
