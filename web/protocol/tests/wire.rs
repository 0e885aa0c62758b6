//! The shape of messages, which callers of `window.rolellm` and saved reports rely on.

use protocol::{Cache, Device, ErrorKind, Event, Failure, Options, Prompt, Request, Source, StopReason, TokenLimit};
use serde_json::{Value, json};

#[test]
fn kinds_of_errors_are_snake_case() {
    let kinds = [
        (ErrorKind::NotGguf, "not_gguf"),
        (ErrorKind::Truncated, "truncated"),
        (ErrorKind::UnsupportedArchitecture, "unsupported_architecture"),
        (ErrorKind::Download, "download"),
        (ErrorKind::BadFolder, "bad_folder"),
        (ErrorKind::Damaged, "damaged"),
        (ErrorKind::WrongAdapter, "wrong_adapter"),
        (ErrorKind::NoRoom, "no_room"),
        (ErrorKind::PromptTooLong, "prompt_too_long"),
        (ErrorKind::Busy, "busy"),
        (ErrorKind::NoModel, "no_model"),
    ];
    for (kind, name) in kinds {
        assert_eq!(serde_json::to_value(kind).unwrap(), name);
    }
}

#[test]
fn reasons_are_camel_case() {
    assert_eq!(serde_json::to_value(StopReason::EndOfText).unwrap(), "endOfText");
    assert_eq!(serde_json::to_value(StopReason::MaxTokens).unwrap(), "maxTokens");
}

#[test]
fn a_request_comes_back_as_it_went() {
    let request = Request::Generate {
        id: 7,
        prompt: Prompt::Text("Once".into()),
        options: Options { temperature: Some(0.0), seed: Some(1 << 53), ..Options::default() },
        adapter: None,
    };
    let wire = serde_json::to_value(&request).unwrap();
    assert_eq!(
        wire,
        json!({"type": "generate", "id": 7, "prompt": {"text": "Once"},
               "options": {"temperature": 0.0, "seed": 9_007_199_254_740_992_u64}})
    );
    assert_eq!(serde_json::from_value::<Request>(wire).unwrap(), request);

    let source = Source::Url { url: "http://localhost/m.gguf".into(), stream: false };
    let load = Request::Load { id: 1, source, workers: Some(2), cache: Some(Cache::Q8), device: Some(Device::Gpu) };
    let wire = serde_json::to_value(&load).unwrap();
    assert_eq!(wire["source"], json!({"type": "url", "url": "http://localhost/m.gguf", "stream": false}));
    assert_eq!((&wire["workers"], &wire["cache"], &wire["device"]), (&json!(2), &json!("q8"), &json!("gpu")));
    assert_eq!(serde_json::from_value::<Request>(wire).unwrap(), load);
    let short = json!({"type": "load", "id": 1, "source": {"type": "files"}});
    let load = Request::Load { id: 1, source: Source::Files, workers: None, cache: None, device: None };
    assert_eq!(serde_json::from_value::<Request>(short.clone()).unwrap(), load);
    assert_eq!(serde_json::to_value(load).unwrap(), short);
}

#[test]
fn options_have_the_names_of_the_programming_interface() {
    let options =
        json!({"topK": 5, "topP": 0.5, "minP": 0.25, "maxTokens": 9, "repetitionPenalty": 1.5, "stop": ["###"]});
    let parsed: Options = serde_json::from_value(options.clone()).unwrap();
    assert_eq!((parsed.top_k, parsed.max_tokens, parsed.temperature), (Some(5), Some(9), None));
    assert_eq!(serde_json::to_value(parsed).unwrap(), options);
}

#[test]
fn a_prompt_that_is_too_long_carries_both_numbers() {
    let tokens = Some(TokenLimit { needed: 600, context: 512 });
    let failure = Failure { tokens, ..Failure::new(ErrorKind::PromptTooLong, "too long") };
    let event = serde_json::to_value(Event::Failed { id: Some(3), failure }).unwrap();
    assert_eq!(event["failure"]["tokens"], json!({"needed": 600, "context": 512}));
    let event =
        serde_json::to_value(Event::Failed { id: None, failure: Failure::new(ErrorKind::Crashed, "x") }).unwrap();
    assert_eq!(event["id"], Value::Null);
    assert!(event["failure"].get("tokens").is_none());
}
