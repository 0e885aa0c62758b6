//! `window.rolellm`: the page's programming interface, for tests and for other pages' scripts.

use futures_channel::oneshot;
use js_sys::{Array, Error, Function, Object, Promise, Reflect};
use leptos::prelude::*;
use protocol::{ErrorKind, Failure, Options, Outcome};
use roles::{Language, Message, Speaker};
use rouge::{References, Rule, Scorer};
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::future_to_promise;
use web_sys::File;

use crate::{app::App, chat, dropped::Dropped, engine::Wish, evaluation, models::Chosen};

const NAME: &str = "rolellm";

/// Puts `window.rolellm` with its promise `ready` in place; the promise is kept when the sender is used.
pub fn announce() -> oneshot::Sender<()> {
    let (sender, receiver) = oneshot::channel();
    let ready = future_to_promise(async move {
        let _ = receiver.await;
        Ok(JsValue::UNDEFINED)
    });
    let api = Object::new();
    set(&api, "ready", &ready);
    set(&window(), NAME, &api);
    sender
}

/// Adds the functions.
pub fn install(app: App) {
    let Ok(api) = Reflect::get(&window(), &NAME.into()) else { return };
    add(&api, "loadModel", move |source, options| future_to_promise(load_model(app, source, options)).into());
    add(&api, "addAdapter", move |file, name| future_to_promise(add_adapter(app, file, name)).into());
    add(&api, "generate", move |request, _| future_to_promise(generate(app, request)).into());
    add(&api, "stop", move |_, _| {
        app.engine.stop();
        JsValue::UNDEFINED
    });
    let score = Closure::<dyn Fn(JsValue, JsValue, JsValue) -> Promise>::new(move |prediction, references, options| {
        future_to_promise(score_rouge_l(app, prediction, references, options))
    });
    set(&api, "scoreRougeL", score.into_js_value().as_ref());
    let score = Closure::<dyn Fn(JsValue, JsValue, JsValue) -> Promise>::new(move |test, predictions, options| {
        future_to_promise(score_predictions(app, test, predictions, options))
    });
    set(&api, "scorePredictions", score.into_js_value().as_ref());
}

async fn load_model(app: App, source: JsValue, options: JsValue) -> Result<JsValue, JsValue> {
    let refuse = |what: &str| thrown(&invalid(&format!("loadModel takes {what}")));
    let wish: Wish = match options.is_undefined() || options.is_null() {
        true => Wish::default(),
        false => serde_wasm_bindgen::from_value(options)
            .map_err(|error| refuse(&format!("{{workers?, relaxedSimd?, cache?, device?, stream?}}: {error}")))?,
    };
    let model = match source.as_string() {
        Some(url) => app.models.load(Chosen::Url(url), wish).await.unwrap_or_else(|| Err(invalid("no such model"))),
        None => {
            let files = files(&source).ok_or_else(|| refuse("a URL, a File or a list of Files"))?;
            app.models.open(&files, wish).await.map(|(model, _)| model)
        }
    };
    to_js(&model.map_err(|failure| thrown(&failure))?)
}

/// A `File`, an array of them, or a `FileList`; those of a folder say where in it they lie.
fn files(source: &JsValue) -> Option<Vec<Dropped>> {
    if let Some(file) = source.dyn_ref::<File>() {
        return Some(vec![Dropped::new(file.clone())]);
    }
    let list = source.is_object().then(|| Array::from(source)).filter(|list| list.length() > 0)?;
    list.iter().map(|file| file.dyn_into().ok().map(Dropped::new)).collect()
}

/// A LoRA adapter for the model in use, under its own name or another.
async fn add_adapter(app: App, file: JsValue, name: JsValue) -> Result<JsValue, JsValue> {
    let refuse = || thrown(&invalid("addAdapter takes a File and, if it shall have another name, that"));
    let file = file.dyn_into::<File>().map_err(|_| refuse())?;
    let name = name.as_string().unwrap_or_else(|| file.name().trim_end_matches(".gguf").to_owned());
    let model = app.engine.add_adapter(name, &file).await;
    to_js(&model.map_err(|failure| thrown(&failure))?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    messages: Option<Vec<Message>>,
    prompt: Option<String>,
    /// Id or name of a character.
    role: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    #[serde(flatten)]
    outcome: Outcome,
    backend: String,
    workers: u32,
}

async fn generate(app: App, given: JsValue) -> Result<JsValue, JsValue> {
    let on_token: Option<Function> =
        Reflect::get(&given, &"onToken".into()).ok().and_then(|value| value.dyn_into().ok());
    // Each reads its own fields; `flatten` would want to read the function too.
    let refuse = |error| thrown(&invalid(&format!("generate takes {{prompt | messages, …}}: {error}")));
    let options: Options = serde_wasm_bindgen::from_value(given.clone()).map_err(refuse)?;
    let request: Request = serde_wasm_bindgen::from_value(given.clone()).map_err(refuse)?;
    let character = request.role.as_ref().and_then(|role| app.library.find(role));
    // Not named is not the same as none.
    let named = Reflect::get(&given, &"adapter".into()).unwrap_or_default();
    let adapter = match named.is_undefined() {
        true => character.and_then(|character| untrack(|| app.models.adapter_for(&character.role.id))),
        false => named.as_string(),
    };
    let prompt = prompt(app, request).map_err(|failure| thrown(&failure))?;
    let result = app.engine.generate(prompt, options, adapter, move |text| {
        if let Some(on_token) = &on_token {
            let _ = on_token.call1(&JsValue::NULL, &text.into());
        }
    });
    let outcome = result.await.map_err(|failure| thrown(&failure))?;
    let (backend, workers) = app
        .engine
        .model
        .with_untracked(|model| model.as_ref().map(|model| (model.backend.clone(), model.workers)))
        .unwrap_or_default();
    to_js(&Reply { outcome, backend, workers })
}

/// A `prompt` without a role goes to the model as it is; with one, it is the person's question to that role.
fn prompt(app: App, request: Request) -> Result<protocol::Prompt, Failure> {
    let messages = match (request.messages, request.prompt, &request.role) {
        (Some(messages), None, _) => messages,
        (None, Some(prompt), Some(_)) => vec![Message::new(Speaker::User, prompt)],
        (None, Some(prompt), None) => return Ok(protocol::Prompt::Text(prompt)),
        _ => return Err(invalid("generate takes either `prompt` or `messages`")),
    };
    let Some(name) = request.role else { return Ok(chat::prompt(messages)) };
    let Some(character) = app.library.find(&name) else {
        let known = app
            .library
            .characters
            .with_untracked(|all| all.iter().map(|character| character.role.id.clone()).collect::<Vec<_>>().join(", "));
        return Err(invalid(&format!("no role \"{name}\"; known: {known}")));
    };
    let turns = messages.into_iter().filter(|message| message.speaker != Speaker::System);
    Ok(chat::prompt(roles::messages(&character.role, turns)))
}

#[derive(Default, Deserialize)]
struct ScoreOptions {
    rule: Option<String>,
    /// What counts of several references.
    references: Option<String>,
    language: Option<Language>,
}

/// The scorer that options name; without a language, `fallback` is taken, or each reference decides.
async fn scorer(app: App, options: JsValue, fallback: Option<Language>) -> Result<Scorer, Failure> {
    let options: ScoreOptions = match options.is_undefined() || options.is_null() {
        true => ScoreOptions::default(),
        false => serde_wasm_bindgen::from_value(options).map_err(|error| invalid(&format!("options: {error}")))?,
    };
    let language = options.language.or(fallback);
    let rule = match options.rule {
        Some(name) => name.parse::<Rule>().map_err(|error| invalid(&error.to_string()))?,
        None => evaluation::default_rule(language.unwrap_or_default()),
    };
    let references = match options.references {
        Some(name) => name.parse::<References>().map_err(|error| invalid(&error.to_string()))?,
        None => References::default(),
    };
    app.evaluation.scorers.scorer(rule, references, language).await
}

#[derive(Serialize)]
struct Scored {
    rule: &'static str,
    precision: f64,
    recall: f64,
    f1: f64,
    value: f64,
}

async fn score_rouge_l(
    app: App,
    prediction: JsValue,
    references: JsValue,
    options: JsValue,
) -> Result<JsValue, JsValue> {
    let refuse = |what: String| thrown(&invalid(&what));
    let prediction = prediction.as_string().ok_or_else(|| refuse("scoreRougeL takes a string to score".into()))?;
    let references: Vec<String> = match references.as_string() {
        Some(reference) => vec![reference],
        None => serde_wasm_bindgen::from_value(references).map_err(|error| refuse(format!("references: {error}")))?,
    };
    let scorer = scorer(app, options, None).await.map_err(|failure| thrown(&failure))?;
    let score = scorer.score_all(&prediction, &references);
    to_js(&Scored {
        rule: scorer.rule().name(),
        precision: score.precision,
        recall: score.recall,
        f1: score.f1,
        value: score.value,
    })
}

/// The text that `evaluate score --json` prints for the same test, predictions and options.
async fn score_predictions(
    app: App,
    test: JsValue,
    predictions: JsValue,
    options: JsValue,
) -> Result<JsValue, JsValue> {
    let texts = test.as_string().zip(predictions.as_string());
    let refuse = || thrown(&invalid("scorePredictions takes two strings of JSON Lines: the test and the predictions"));
    let (test, predictions) = texts.ok_or_else(refuse)?;
    let scorer = scorer(app, options, Some(Language::default())).await.map_err(|failure| thrown(&failure))?;
    let report = evaluation::score_predictions(&scorer, &test, &predictions).await;
    report.map(JsValue::from).map_err(|failure| thrown(&failure))
}

fn invalid(message: &str) -> Failure {
    Failure::new(ErrorKind::InvalidRequest, message)
}

/// An `Error` with the failure's kind.
fn thrown(failure: &Failure) -> JsValue {
    let error = Error::new(&failure.message);
    if let Ok(kind) = serde_wasm_bindgen::to_value(&failure.kind) {
        set(&error, "kind", &kind);
    }
    error.into()
}

fn to_js(value: &impl Serialize) -> Result<JsValue, JsValue> {
    Ok(value.serialize(&serde_wasm_bindgen::Serializer::json_compatible())?)
}

fn add(api: &JsValue, name: &str, function: impl Fn(JsValue, JsValue) -> JsValue + 'static) {
    let function = Closure::<dyn Fn(JsValue, JsValue) -> JsValue>::new(function);
    set(api, name, function.into_js_value().as_ref());
}

fn set(object: &JsValue, name: &str, value: &JsValue) {
    // Fails for frozen objects only, and these are our own.
    let _ = Reflect::set(object, &name.into(), value);
}
