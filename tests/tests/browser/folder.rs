//! Folders of `export web` in the page: opened by address and by hand, verified, and their adapters changed between messages.

use crate::engine::{give, load, load_shipped};
use crate::exported::{self, Exported};
use crate::server::{Manner, Server};
use anyhow::{Context, Result, ensure};
use browser::Browser;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A word, since the programs' arguments are split at spaces.
const PROMPT: &str = "Hello";

async fn text(browser: &Browser, request: Value) -> Result<String> {
    let mut whole = json!({"prompt": PROMPT, "temperature": 0, "maxTokens": 40});
    for (key, value) in request.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    let outcome = browser.generate(whole).await?;
    Ok(outcome["text"].as_str().with_context(|| format!("no text: {outcome}"))?.to_owned())
}

/// Every adapter, and none, writes what `chat` writes; a role takes its own by itself.
async fn assert_native(browser: &Browser, exported: &Exported, what: &str) -> Result<()> {
    let bare = exported.native(None, "alice", PROMPT)?;
    let alice = exported.native(Some("alice"), "alice", PROMPT)?;
    let nemo = exported.native(Some("nemo"), "alice", PROMPT)?;
    ensure!(bare != alice && alice != nemo, "the adapters change nothing: {bare:?} {alice:?} {nemo:?}");
    let of_alice = |adapter: Value| json!({"role": "alice", "adapter": adapter});
    for (request, wanted) in [
        (json!({"role": "alice"}), &alice),
        (of_alice(Value::Null), &bare),
        (of_alice(json!("nemo")), &nemo),
        (of_alice(json!("alice")), &alice),
        (json!({"role": "sherlock-holmes"}), &exported.native(None, "sherlock-holmes", PROMPT)?),
        (json!({"role": "captain-nemo"}), &exported.native(Some("nemo"), "captain-nemo", PROMPT)?),
    ] {
        let found = text(browser, request.clone()).await?;
        ensure!(found == *wanted, "{what}, {request}: the page wrote {found:?}, chat {wanted:?}");
    }
    let refused = browser.generate(json!({"prompt": PROMPT, "adapter": "nobody"})).await?;
    ensure!(refused["error"].to_string().contains("alice, nemo"), "the known adapters are not named: {refused}");
    Ok(())
}

/// A folder with adapters, which no GPU takes, goes to the CPU although the reader chose the GPU, and the page says why.
pub async fn on_gpu(browser: &Browser) -> Result<()> {
    let exported = exported::folder()?;
    let server = Server::start(Manner::Ranges, |path| exported.file(path))?;
    browser.ready().await?;
    browser.click("[data-testid=nav-models]").await?;
    browser.click("[data-testid=device-gpu]").await?;
    browser.text_when("model-info", |text| text.contains("webgpu")).await?;
    let model = load(browser, &format!("'{}'", server.address), json!({})).await?;
    ensure!(model["backend"].as_str().is_some_and(|backend| backend.starts_with("cpu")), "{model}");
    ensure!(model["adapters"] == json!(["alice", "nemo"]), "{model}");
    browser.text_when("gpu-refused", |text| text.contains("LoRA adapter")).await?;
    let refused = load(browser, &format!("'{}'", server.address), json!({"device": "gpu"})).await?;
    ensure!(refused["kind"] == "gpu", "who asks for the GPU itself is told: {refused}");
    Ok(())
}

/// The page's address names a folder: its model is loaded, its card and roles are shown, its adapters write as natively.
pub async fn by_address(browser: &Browser) -> Result<()> {
    let exported = exported::folder()?;
    let server = Server::start(Manner::Ranges, |path| exported.file(path))?;
    browser.goto("about:blank").await?;
    browser.goto(&format!("{}#/models?model={}", browser.page(), server.address)).await?;
    browser.ready().await?;
    browser.text_when("model-status", |text| text.contains("tiny")).await?;
    let shown = browser.text_when("model-info", |text| text.contains("MIT")).await?;
    ensure!(shown.contains("alice, nemo") && shown.contains("Sherlock Holmes"), "not shown: {shown}");
    browser.click("[data-testid=model-card] summary").await?;
    browser.text_when("model-card", |text| text.contains("llama-cli")).await?;
    for workers in [1, 2] {
        let model = load(browser, &format!("'{}'", server.address), json!({ "workers": workers })).await?;
        ensure!(model["workers"] == workers && model["adapters"] == json!(["alice", "nemo"]), "{model}");
        assert_native(browser, exported, &format!("{workers} workers")).await?;
    }
    // Also by its manifest, and by the name of the folder without a slash.
    for address in [format!("{}manifest.json", server.address), server.address.trim_end_matches('/').to_owned()] {
        let model = load(browser, &format!("'{address}'"), json!({})).await?;
        ensure!(model["name"] == "tiny", "{address}: {model}");
    }
    let before = server.asked().len();
    load(browser, &format!("'{}'", server.address), json!({})).await?;
    let again = server.asked().split_off(before);
    let bodies = again.iter().filter(|asked| asked.path.ends_with(".gguf")).count();
    ensure!(bodies == exported.manifest.weights().count(), "stored files were fetched again: {again:?}");
    Ok(())
}

/// A folder that is picked as a whole, files that are dropped with their places in it, and parts without a manifest.
pub async fn by_hand(browser: &Browser) -> Result<()> {
    let exported = exported::folder()?;
    browser.ready().await?;
    browser.click("[data-testid=nav-models]").await?;
    browser.find("model-folder").await?.send_keys(&exported.folder.to_string_lossy()).await?;
    browser.text_when("model-status", |text| text.contains("tiny")).await?;
    browser.text_when("model-adapters", |text| text == "alice, nemo").await?;
    assert_native(browser, exported, "a picked folder").await?;

    // A select beside the character changes the adapter from the next message on.
    browser.click("[data-testid=nav-chat]").await?;
    browser.click("[data-testid=character-card][data-role=alice]").await?;
    ensure!(chosen(browser, "alice").await? == "alice", "the role's own adapter is not chosen");
    let choose = "const select = document.querySelector('[data-testid=adapter-select]');
        select.value = args[0]; select.dispatchEvent(new Event('change', {bubbles: true}))";
    for (name, adapter) in [("nemo", Some("nemo")), ("", None), ("alice", Some("alice"))] {
        browser.script(choose, vec![json!(name)]).await?;
        let found = text(browser, json!({"role": "alice"})).await?;
        let wanted = exported.native(adapter, "alice", PROMPT)?;
        ensure!(found == wanted, "chosen {name:?}: the page wrote {found:?}, chat {wanted:?}");
    }

    // Parts alone, dropped anywhere, are a model without adapters.
    load_shipped(browser, json!({})).await?;
    let parts: Vec<PathBuf> = exported.manifest.model.iter().rev().map(|name| exported.folder.join(name)).collect();
    give(browser, &parts).await?;
    drop_given(browser).await?;
    browser.text_when("model-status", |text| text.contains("tiny")).await?;
    ensure!(browser.count("adapter-select").await? == 0, "a model without adapters has none to choose");
    ensure!(text(browser, json!({"role": "alice"})).await? == exported.native(None, "alice", PROMPT)?, "other words");
    Ok(())
}

/// Drops `given.files` on the page.
async fn drop_given(browser: &Browser) -> Result<()> {
    let body = "const data = new DataTransfer();
        for (const file of given.files) data.items.add(file);
        given.remove();
        document.querySelector('main').dispatchEvent(
            new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}))";
    browser.script(body, vec![]).await?;
    Ok(())
}

/// An adapter's file is dropped on a loaded model; one for another model is refused in the reader's language.
pub async fn adapter_file(browser: &Browser) -> Result<()> {
    let exported = exported::folder()?;
    browser.ready().await?;
    let adapter = exported.folder.join("adapters/nemo.gguf");
    for workers in [1, 2] {
        let parts: Vec<PathBuf> = exported.manifest.model.iter().map(|name| exported.folder.join(name)).collect();
        give(browser, &parts).await?;
        load(browser, "[...given.files]", json!({ "workers": workers })).await?;
        browser.script("given.remove(); location.hash = '#/chat/alice'", vec![]).await?;
        browser.find("chat-input").await?;
        let before = text(browser, json!({"role": "alice"})).await?;
        give(browser, std::slice::from_ref(&adapter)).await?;
        drop_given(browser).await?;
        ensure!(chosen(browser, "nemo").await? == "nemo", "the dropped adapter is not in use");
        let with = text(browser, json!({"role": "alice"})).await?;
        let without = text(browser, json!({"role": "alice", "adapter": null})).await?;
        ensure!(with == exported.native(Some("nemo"), "alice", PROMPT)?, "{workers} workers: {with}");
        ensure!(without == before && before == exported.native(None, "alice", PROMPT)?, "{workers} workers: {without}");
    }
    // On another model it is refused, and that one goes on.
    let model = load_shipped(browser, json!({"workers": 2})).await?;
    give(browser, std::slice::from_ref(&adapter)).await?;
    let refused = browser.script("return await rolellm.addAdapter(given.files[0])", vec![]).await?;
    ensure!(refused["kind"] == "wrong_adapter", "{refused}");
    drop_given(browser).await?;
    browser.text_when("model-error", |text| text.contains("made for another model")).await?;
    browser.click("[data-testid=language-switch]").await?;
    browser.text_when("model-error", |text| text.contains("另一个模型")).await?;
    browser.click("[data-testid=language-switch]").await?;
    let outcome = browser.generate(json!({"prompt": "Hello", "maxTokens": 4})).await?;
    ensure!(outcome["workers"] == model["workers"], "the model does not go on: {outcome}");
    Ok(())
}

/// A damaged chunk is named; one that was damaged on the way is fetched again, and nothing else is.
pub async fn damaged(browser: &Browser) -> Result<()> {
    let exported = exported::folder()?;
    browser.ready().await?;
    let part = exported.manifest.model[1].clone();
    let spoilt = move |path: &str| {
        let mut bytes = exported.file(path)?;
        if path.ends_with(&part) {
            bytes[5000] ^= 1;
        }
        Some(bytes)
    };
    let part = exported.manifest.model[1].as_str();
    let server = Server::start(Manner::Ranges, spoilt)?;
    let refused = load(browser, &format!("'{}'", server.address), json!({})).await?;
    let words = refused["error"].as_str().unwrap_or_default();
    ensure!(refused["kind"] == "damaged" && words.contains("chunk 2 of") && words.contains(part), "{refused}");
    let ranges: Vec<_> = server.asked().into_iter().filter_map(|asked| asked.range).collect();
    ensure!(ranges.len() == 1 && ranges[0] == (4096..8192), "more than the one chunk was fetched again: {ranges:?}");

    // The first two answers are spoilt, then none.
    let asked = AtomicUsize::new(0);
    let part_name = part.to_owned();
    let mending = Server::start(Manner::Ranges, move |path| {
        let mut bytes = exported.file(path)?;
        if path.ends_with(&part_name) && asked.fetch_add(1, Ordering::SeqCst) < 2 {
            bytes[5000] ^= 1;
        }
        Some(bytes)
    })?;
    let model = load(browser, &format!("'{}'", mending.address), json!({})).await?;
    ensure!(model["name"] == "tiny", "{model}");
    let ranges: Vec<_> = mending.asked().into_iter().filter(|asked| asked.range.is_some()).collect();
    ensure!(ranges.len() == 1 && ranges[0].path.ends_with(part), "{ranges:?}");
    ensure!(text(browser, json!({"role": "alice"})).await? == exported.native(Some("alice"), "alice", PROMPT)?, "text");

    // The same of a folder that is picked: the model is not loaded, and the one at hand goes on.
    let copy = tempfile::tempdir()?;
    for file in exported.manifest.files.iter().map(|file| file.name.as_str()).chain(["manifest.json"]) {
        let to = copy.path().join(file);
        std::fs::create_dir_all(to.parent().context("a folder")?)?;
        let mut bytes = exported.file(file).context("an exported file")?;
        if file == "adapters/alice.gguf" {
            bytes[100] ^= 1;
        }
        std::fs::write(to, bytes)?;
    }
    browser.click("[data-testid=nav-models]").await?;
    browser.find("model-folder").await?.send_keys(&copy.path().to_string_lossy()).await?;
    browser.text_when("model-error", |text| text.contains("chunk 1 of") && text.contains("alice.gguf")).await?;
    std::fs::remove_file(copy.path().join("adapters/alice.gguf"))?;
    browser.find("model-folder").await?.send_keys(&copy.path().to_string_lossy()).await?;
    browser.text_when("model-error", |text| text.contains("lacks adapters/alice.gguf")).await?;
    browser.generate(json!({"prompt": "Hello", "maxTokens": 4})).await?;
    Ok(())
}

/// A download that broke off goes on where it broke, and is verified as a whole.
pub async fn broken_off(browser: &Browser) -> Result<()> {
    let exported = exported::folder()?;
    let server = Server::start(Manner::BreaksOff, |path| exported.file(path))?;
    browser.ready().await?;
    let url = format!("'{}'", server.address);
    let broken = load(browser, &url, json!({})).await?;
    ensure!(broken["kind"] == "download", "the server broke off: {broken}");
    let model = load(browser, &url, json!({})).await?;
    ensure!(model["name"] == "tiny", "{model}");
    let resumed = server.asked().into_iter().filter_map(|asked| asked.range).any(|range| range.start > 0);
    ensure!(resumed, "the download began anew: {:?}", server.asked());
    Ok(())
}

/// The adapter that the page shows as chosen, `wanted` as soon as it is.
async fn chosen(browser: &Browser, wanted: &str) -> Result<Value> {
    browser.find("adapter-select").await?;
    let wait = "const value = () => document.querySelector('[data-testid=adapter-select]').value;
        for (let i = 0; i < 100 && value() !== args[0]; i++) await new Promise(resolve => setTimeout(resolve, 50));
        return value()";
    browser.script(wait, vec![json!(wanted)]).await
}
