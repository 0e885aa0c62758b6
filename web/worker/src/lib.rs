//! The engine worker: loads a GGUF and generates in the background. Knows generate and messages; never the DOM.

mod adapters;
mod blobs;
mod body;
mod download;
mod engine;
mod failure;
mod garbage;
mod helper;
mod helpers;
mod http;
mod loading;
mod part;
mod shared_comm;
mod split;
mod stop;
mod storage;
mod turn;
mod verify;

use std::{panic, rc::Rc};

use js_sys::Array;
use protocol::{ErrorKind, Event, Failure, Request};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use engine::Engine;

/// Starts listening to the page. Called by `worker.js`.
///
/// # Errors
/// The browser lacks what the engine needs, or this is no worker.
#[wasm_bindgen]
pub fn listen() -> Result<(), JsValue> {
    report_panics();
    let engine = Rc::new(Engine::new(scope()?)?);
    let listener = Rc::clone(&engine);
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| receive(&listener, &event));
    scope()?.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    engine.send(&Event::Ready);
    Ok(())
}

/// Does what another worker asks for in `message`, to the end. Called by `worker.js` in a helper.
///
/// # Errors
/// The helper broke down.
#[wasm_bindgen]
pub async fn help(message: Array) -> Result<(), JsValue> {
    report_panics();
    helper::run(message).await
}

fn receive(engine: &Rc<Engine>, event: &MessageEvent) {
    let parts: Array = event.data().unchecked_into();
    match serde_wasm_bindgen::from_value::<Request>(parts.get(0)) {
        Ok(request) => {
            let files = parts.iter().skip(1).filter_map(|file| file.dyn_into().ok()).collect();
            Rc::clone(engine).handle(request, files);
        }
        Err(error) => {
            let failure = Failure::new(ErrorKind::InvalidRequest, format!("not a request: {error}"));
            engine.send(&Event::Failed { id: None, failure });
        }
    }
}

/// After a panic the module's memory cannot be trusted: the page is told, and starts another engine.
///
/// A helper tells the engine worker, which takes the same message.
fn report_panics() {
    panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        if let Ok(scope) = scope() {
            post(&scope, &Event::Failed { id: None, failure: Failure::new(ErrorKind::Crashed, info.to_string()) });
        }
    }));
}

fn scope() -> Result<DedicatedWorkerGlobalScope, JsValue> {
    Ok(js_sys::global().dyn_into::<DedicatedWorkerGlobalScope>()?)
}

/// Tells whoever started this worker.
fn post(scope: &DedicatedWorkerGlobalScope, message: &impl Serialize) {
    let sent = message
        .serialize(&serde_wasm_bindgen::Serializer::json_compatible())
        .map_err(JsValue::from)
        .and_then(|message| scope.post_message(&Array::of1(&message)));
    if let Err(error) = sent {
        web_sys::console::error_1(&error);
    }
}
