use leptos::{ev, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::{File, HtmlInputElement};

use crate::{app::app, i18n::Text};

/// A place for one file: to choose it, or to drop it there.
#[component]
pub fn FileDrop(
    label: Text,
    hint: Text,
    testid: &'static str,
    accept: &'static str,
    take: Callback<File>,
) -> impl IntoView {
    let i18n = app().i18n;
    let over = RwSignal::new(false);
    let choose = move |event: ev::Event| {
        let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok()) else { return };
        if let Some(file) = input.files().and_then(|files| files.get(0)) {
            take.run(file);
        }
        // The same file may be chosen again after it was mended.
        input.set_value("");
    };
    let dropped = move |event: ev::DragEvent| {
        event.prevent_default();
        // It is no model for the page.
        event.stop_propagation();
        over.set(false);
        if let Some(file) = event.data_transfer().and_then(|data| data.files()).and_then(|files| files.get(0)) {
            take.run(file);
        }
    };
    view! {
        <div
            class="drop"
            class:over=move || over.get()
            on:dragover=move |event| {
                event.prevent_default();
                over.set(true);
            }
            on:dragleave=move |_| over.set(false)
            on:drop=dropped
        >
            <label class="button small">
                {i18n.t(label)} <input type="file" accept=accept data-testid=testid on:change=choose />
            </label>
            <span class="hint">{i18n.t(hint)}</span>
        </div>
    }
}
