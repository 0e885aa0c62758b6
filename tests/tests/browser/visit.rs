//! What visitors do, and what the page must show them.

use anyhow::{Context, Result, bail, ensure};
use browser::Browser;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A visitor picks a character, takes a suggested question, and reads the streamed answer.
pub async fn talk(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    browser.click("[data-testid=character-card][data-role=sherlock-holmes]").await?;
    browser.click("[data-testid=suggested-question]").await?;
    browser.text_when("tokens-per-second", |text| text.chars().any(|c| c.is_ascii_digit())).await?;
    let answer = browser.text_when("message-assistant", |text| text.split_whitespace().count() >= 5).await?;
    ensure!(!answer.contains("###"), "the prompt's markup leaked into the answer: {answer}");
    // A second question of one's own goes through the composer.
    browser.find("chat-input").await?.send_keys("Who is your best friend?").await?;
    browser.click("[data-testid=chat-send]").await?;
    browser.text_when("message-assistant", |text| text.split_whitespace().count() >= 3 && text != answer).await?;
    Ok(())
}

/// Stop ends the answer at once and keeps the words that were there.
pub async fn stop(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    // Stopped from within the page, at the first piece of text: a test that clicks would race a fast model.
    let body = "let seen = 0;
        const outcome = await window.rolellm.generate({prompt: 'Once upon a time', temperature: 1, seed: 1, maxTokens: 400,
            onToken: () => { if (++seen === 1) window.rolellm.stop(); }});
        return {seen, stop: outcome.stop, text: outcome.text}";
    let outcome = browser.script(body, vec![]).await?;
    ensure!(outcome["stop"] == "cancelled", "the reply was not stopped: {outcome}");
    ensure!(!outcome["text"].as_str().unwrap_or_default().is_empty(), "the stopped text is lost: {outcome}");

    // And by the button: whatever was said stays, and the composer is back.
    browser.click("[data-testid=character-card][data-role=sherlock-holmes]").await?;
    browser.find("chat-input").await?.send_keys("Tell me a very long story about your cases.").await?;
    browser.click("[data-testid=chat-send]").await?;
    let _ = browser.click_now("chat-stop").await;
    browser.find("chat-send").await?;
    let said = browser.text_when("message-assistant", |_| true).await?;
    browser.generate(json!({"prompt": "Hello", "maxTokens": 4})).await?;
    ensure!(
        browser.text_when("message-assistant", |_| true).await?.starts_with(said.trim_end()),
        "the stopped answer is gone"
    );
    Ok(())
}

/// Three rows are asked, shown and averaged.
pub async fn evaluate(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    browser.click("[data-testid=nav-evaluate]").await?;
    let count = browser.find("evaluate-count").await?;
    count.clear().await?;
    count.send_keys("3").await?;
    browser.click("[data-testid=evaluate-run]").await?;
    browser.text_when("evaluate-mean", |text| text.contains("3") && text.contains("0.")).await?;
    for _ in 0..600 {
        if browser.count("evaluate-row").await? == 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let rows = browser.count("evaluate-row").await?;
    ensure!(rows == 3, "{rows} rows instead of 3");
    let score = browser
        .script(
            "return window.rolellm.scoreRougeL('the cat sat', ['the cat sat'], {rule: 'rouge-l/f1', language: 'en'})",
            vec![],
        )
        .await?;
    ensure!(score["f1"].as_f64() == Some(1.0), "identical texts score {score}");
    let score = browser.script("return window.rolellm.scoreRougeL('举杯邀明月', ['举杯邀明月'], {rule: 'rouge-l/char-f1', language: 'zh'})", vec![]).await?;
    ensure!(score["f1"].as_f64() > Some(0.99999), "identical Chinese texts score {score}");
    Ok(())
}

/// Each bad file gives its own kind of error, and the model at hand goes on answering.
pub async fn bad_models(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    let page = browser.page().to_string();
    let body = "
        const shipped = (await (await fetch('models/catalog.json')).json());
        const entry = shipped.models.find(model => model.id === shipped.default);
        const whole = await (await fetch('models/' + entry.file)).arrayBuffer();
        const alien = new Uint8Array(whole.slice(0));
        const text = new TextDecoder('latin1').decode(alien.slice(0, 4096));
        const at = text.indexOf('general.architecture') + 'general.architecture'.length + 4 + 8;
        alien.set(new TextEncoder().encode('alien').slice(0, 5), at);
        const bad = [
            new File([whole.slice(0, whole.byteLength >> 1)], 'truncated.gguf'),
            new File([alien], 'alien.gguf'),
            new File(['Dear diary, this is not a model.'], 'diary.gguf'),
            args[0] + 'no-such-file.gguf',
            args[0] + 'index.html',
        ];
        const found = [];
        for (const source of bad) {
            try { await window.rolellm.loadModel(source); found.push({kind: 'loaded'}); }
            catch (error) { found.push({kind: error.kind, message: error.message}); }
        }
        return found";
    let found = browser.script(body, vec![json!(page)]).await?;
    let found = found.as_array().with_context(|| format!("no list: {found}"))?;
    let wanted = ["truncated", "unsupported_architecture", "not_gguf", "download", "download"];
    for (outcome, wanted) in found.iter().zip(wanted) {
        ensure!(outcome["kind"] == wanted, "wanted {wanted}, found {outcome}");
        ensure!(outcome["message"].as_str().is_some_and(|text| text.len() > 20), "no clear message: {outcome}");
    }
    ensure!(found[1]["message"].to_string().contains("alien"), "the architecture is not named: {}", found[1]);
    ensure!(found[3]["message"].to_string().contains("404"), "the status is not named: {}", found[3]);

    // The same by hand: the message stands beside the control.
    browser.click("[data-testid=nav-models]").await?;
    let folder = tempfile::tempdir()?;
    let diary = folder.path().join("diary.gguf");
    std::fs::write(&diary, "Dear diary, this is not a model either.")?;
    browser.find("model-file").await?.send_keys(&diary.to_string_lossy()).await?;
    browser.text_when("model-error", |text| text.len() > 20).await?;

    browser
        .script(
            "const shipped = await (await fetch('models/catalog.json')).json();
        await window.rolellm.loadModel('models/' + shipped.models.find(model => model.id === shipped.default).file)",
            vec![],
        )
        .await?;
    let outcome = browser
        .generate(json!({"role": "sherlock-holmes", "prompt": "Who are you?", "temperature": 0, "maxTokens": 20}))
        .await?;
    ensure!(outcome["tokens"].as_u64().is_some_and(|tokens| tokens > 3), "the page does not go on: {outcome}");
    Ok(())
}

/// Character cards: one without a name is refused in words, a good one can be talked to.
pub async fn cards(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| -> Result<PathBuf> {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    };
    let nameless = write("nameless.json", r#"{"spec":"chara_card_v2","data":{"description":"nobody"}}"#)?;
    browser.find("card-file").await?.send_keys(&nameless.to_string_lossy()).await?;
    browser.text_when("card-error", |text| text.contains("name")).await?;
    let tom = r#"{"spec":"chara_card_v2","spec_version":"2.0","data":{"name":"Tom Sailor","description":"You are Tom Sailor, a cheerful sailor.","first_mes":"Ahoy, {{user}}!"}}"#;
    let tom = write("tom.json", tom)?;
    browser.find("card-file").await?.send_keys(&tom.to_string_lossy()).await?;
    browser.select("[data-testid=chat-input]").await?;
    let shown = browser.script("return document.body.innerText", vec![]).await?;
    ensure!(shown.as_str().is_some_and(|text| text.contains("Ahoy")), "the card's greeting is not shown: {shown}");
    Ok(())
}

/// A prompt that cannot fit is refused; the message has what it needs and what there is.
pub async fn long_prompt(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    let outcome =
        browser.generate(json!({"prompt": "the long and winding road ".repeat(3000), "maxTokens": 4})).await?;
    ensure!(outcome["kind"] == "prompt_too_long", "wanted prompt_too_long, found {outcome}");
    let message = outcome["error"].as_str().unwrap_or_default();
    let numbers = message.split(|c: char| !c.is_ascii_digit()).filter(|digits| digits.len() >= 3).count();
    ensure!(numbers >= 2, "the message has not both numbers: {message}");
    browser.generate(json!({"prompt": "Hello", "maxTokens": 4})).await?;
    Ok(())
}

/// The published text of stories260K, token for token as the native decoder gives it.
pub async fn golden(browser: &Browser) -> Result<()> {
    let Some(gguf) = tests::stories260k::gguf() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("stories260K.gguf");
    std::fs::write(&file, gguf)?;
    browser.ready().await?;
    browser.click("[data-testid=nav-models]").await?;
    browser.find("model-file").await?.send_keys(&file.to_string_lossy()).await?;
    browser.text_when("model-status", |text| text.contains("stories260K")).await?;
    let outcome = browser.generate(json!({"prompt": "", "temperature": 0, "maxTokens": 256})).await?;
    let text = outcome["text"].as_str().with_context(|| format!("no text: {outcome}"))?;
    let published = tests::stories260k::GREEDY_TEXT;
    ensure!(text == published, "the page wrote:\n{text}\nthe published text is:\n{published}");
    ensure!(outcome["tokens"] == 256, "token for token: {outcome}");
    Ok(())
}

/// The shipped model answers the same in the page as in the `chat` program, at temperature 0.
pub async fn same_as_native(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ lies in the repository")?;
    let catalog: Value = serde_json::from_str(&std::fs::read_to_string(root.join("models/catalog.json"))?)?;
    let entry = catalog["models"].as_array().into_iter().flatten().find(|model| model["id"] == catalog["default"]);
    let file = entry.and_then(|model| model["file"].as_str()).context("the catalog's default model has no file")?;
    for (role, question) in [("sherlock-holmes", "Where do you live?"), ("sun-wukong", "你是谁？")] {
        let request = json!({"role": role, "prompt": question, "temperature": 0, "maxTokens": 60});
        let page = browser.generate(request).await?;
        let chat = tests::program("chat")?;
        let output = std::process::Command::new(chat)
            .current_dir(root)
            .args([
                "--json",
                "--temperature",
                "0",
                "--max-tokens",
                "60",
                "--role",
                role,
                "--prompt",
                question,
                "--model",
            ])
            .arg(root.join("models").join(file))
            .output()?;
        if !output.status.success() {
            bail!("chat failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let native: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(native["text"] == page["text"], "natively {}\nin the page {}", native["text"], page["text"]);
        ensure!(native["prompt_tokens"] == page["promptTokens"], "the prompts differ: {native} {page}");
    }
    Ok(())
}

/// At the width of a phone nothing sticks out, on any page, in either language.
pub async fn narrow(browser: &Browser) -> Result<()> {
    browser.ready().await?;
    for language in 0..2 {
        for nav in ["nav-chat", "nav-evaluate", "nav-arena", "nav-models"] {
            browser.click(&format!("[data-testid={nav}]")).await?;
            browser.find(nav).await?;
            let width =
                browser.script("return [document.documentElement.scrollWidth, window.innerWidth]", vec![]).await?;
            ensure!(width[0].as_u64() <= width[1].as_u64(), "language {language}, {nav}: {width} (content, window)");
        }
        browser.click("[data-testid=nav-chat]").await?;
        browser.click("[data-testid=character-card]").await?;
        let width = browser.script("return [document.documentElement.scrollWidth, window.innerWidth]", vec![]).await?;
        ensure!(width[0].as_u64() <= width[1].as_u64(), "language {language}, a conversation: {width}");
        browser.click("[data-testid=nav-chat]").await?;
        browser.click("[data-testid=language-switch]").await?;
    }
    Ok(())
}
