use leptos::prelude::*;
use leptos::task::spawn_local;
use protocol::{Device, ErrorKind, ModelInfo};
use roles::{Language, Role};
use wasm_bindgen::JsCast;
use web_sys::HtmlInputElement;

use super::header::progress_words;
use crate::{
    app::{App, app},
    dropped,
    engine::{self, Loading, Wish},
    i18n::{self, Text, html_lang},
    markdown,
    models::{Chosen, Entry},
    route::Route,
};

/// The model in use, those that come with the page, and the reader's own.
#[component]
pub fn ModelsView() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let over = RwSignal::new(false);
    let catalog = move || app.models.catalog.get().models;
    view! {
        <div
            class="page models"
            class:over=move || over.get()
            on:dragover=move |event| {
                event.prevent_default();
                over.set(true);
            }
            on:dragleave=move |_| over.set(false)
            on:drop=move |_| over.set(false)
        >
            <h1>{i18n.t(Text::ModelsTitle)}</h1>
            <p class="lead">{i18n.t(Text::ModelsLead)}</p>
            <LoadingBar />
            <Failed />
            {move || app.engine.model.get().map(|model| view! { <InUse model /> })}
            <section>
                <h2>{i18n.t(Text::ShippedModels)}</h2>
                <p class="problem" hidden=move || app.models.failure.with(Option::is_none)>
                    {i18n.t(Text::CatalogFailed)} " " {move || app.models.failure.get()}
                </p>
                <div class="entries">
                    <For each=catalog key=|entry| entry.id.clone() let:entry>
                        <Shipped entry />
                    </For>
                </div>
            </section>
            <OwnModel />
            <RunOn />
        </div>
    }
}

fn load(app: App, chosen: Chosen) {
    spawn_local(async move { drop(app.models.load(chosen, Wish::default()).await) });
}

#[component]
fn LoadingBar() -> impl IntoView {
    let app = app();
    let loading = app.engine.loading;
    let words = move || loading.get().map(|loading| progress_words(app.i18n, loading));
    let share = move || match loading.get() {
        Some(Loading::Bytes { done, total: Some(total), .. }) if total > 0 => {
            Some((done as f64 / total as f64).to_string())
        }
        _ => None,
    };
    view! {
        <div class="progress" hidden=move || loading.get().is_none() data-testid="model-progress">
            <progress max="1" value=share></progress>
            <span>{words}</span>
            <button class="quiet small" on:click=move |_| app.engine.stop()>{app.i18n.t(Text::CancelLoading)}</button>
        </div>
    }
}

/// Why the last model did not come.
#[component]
fn Failed() -> impl IntoView {
    let app = app();
    let shown = move || app.engine.failure.get().filter(|failure| failure.kind != ErrorKind::Cancelled);
    let words = move || shown().map(|failure| i18n::failure(app.i18n.language.get(), &failure));
    let retry = move |_| {
        if let Some(chosen) = app.models.chosen.get_untracked() {
            load(app, chosen);
        }
    };
    let can_retry = move || app.models.chosen.with(|chosen| !matches!(chosen, None | Some(Chosen::Files)));
    view! {
        <div class="problem" role="alert" data-testid="model-error" hidden=move || shown().is_none()>
            <p>{words}</p>
            <button class="button small" hidden=move || !can_retry() on:click=retry>{app.i18n.t(Text::Retry)}</button>
        </div>
    }
}

#[component]
fn InUse(model: ModelInfo) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let ModelInfo { context, weight_bytes, cache_bytes, load_ms, .. } = model;
    let folder = app.models.folder.get();
    let (licence, card, roles) =
        folder.map(|folder| (folder.manifest.licence, folder.card, folder.roles)).unwrap_or_else(|| {
            (app.models.in_use().map(|entry| entry.licence).unwrap_or_default(), String::new(), Vec::new())
        });
    let fact = move |text: Text, value: String| view! { <dt>{i18n.t(text)}</dt><dd>{value}</dd> };
    view! {
        <section class="in-use" data-testid="model-info">
            <h2>{i18n.t(Text::LoadedModel)} ": " {model.name.clone()}</h2>
            <dl>
                {fact(Text::Architecture, model.architecture.clone())}
                {fact(Text::Parameters, i18n::parameters(model.parameters))}
                {fact(Text::Quantization, model.quantization.clone())}
                <dt>{i18n.t(Text::Context)}</dt>
                <dd>{i18n.format(move |language| i18n::tokens(language, context))}</dd>
                {fact(Text::FileSize, i18n::bytes(model.bytes))}
                <dt>{i18n.t(Text::Memory)}</dt>
                <dd>{i18n.format(move |language| i18n::memory(language, weight_bytes, cache_bytes))}</dd>
                {fact(Text::Backend, model.backend.clone())}
                <dt>{i18n.t(Text::Workers)}</dt>
                <dd data-testid="model-workers">{model.workers}</dd>
                {fact(Text::LoadTime, format!("{load_ms:.0} ms"))}
                {(!licence.is_empty()).then(|| fact(Text::Licence, licence))}
                {(!model.adapters.is_empty())
                    .then(|| {
                        view! {
                            <dt>{i18n.t(Text::Adapters)}</dt>
                            <dd data-testid="model-adapters">{model.adapters.join(", ")}</dd>
                        }
                    })}
            </dl>
            {(!roles.is_empty())
                .then(|| {
                    let link = |role: Role| {
                        view! { <a class="chip" href=Route::Chat(role.id).hash() lang=html_lang(role.language)>{role.name}</a> }
                    };
                    view! {
                        <p class="label">{i18n.t(Text::FromTheModel)}</p>
                        <div class="row own-roles" data-testid="model-roles">{roles.into_iter().map(link).collect_view()}</div>
                    }
                })}
            {(!card.is_empty())
                .then(|| {
                    view! {
                        <details class="model-card" data-testid="model-card">
                            <summary>{i18n.t(Text::ModelCard)}</summary>
                            <div class="words">{markdown::render(&card)}</div>
                        </details>
                    }
                })}
            <p class="hint">{i18n.t(Text::AdapterHint)}</p>
            <p class="hint" data-testid="one-worker" hidden=engine::can_share_memory()>{i18n.t(Text::OneWorker)}</p>
            <button class="button small" data-testid="model-unload" on:click=move |_| app.engine.unload()>
                {i18n.t(Text::Unload)}
            </button>
        </section>
    }
}

#[component]
fn Shipped(entry: Entry) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let id = StoredValue::new(entry.id.clone());
    let in_use = Memo::new(move |_| app.models.in_use().is_some_and(|entry| entry.id == id.get_value()));
    let languages = entry.languages.clone();
    let languages = move || {
        let names = languages.iter().map(|language| match language {
            Language::En => i18n.t(Text::English)(),
            Language::Zh => i18n.t(Text::Chinese)(),
        });
        names.collect::<Vec<_>>().join(", ")
    };
    view! {
        <article class="entry">
            <h3>{entry.name.clone()}</h3>
            <p>{i18n::bytes(entry.bytes)} " · " {languages} " · " {entry.licence.clone()}</p>
            <div class="row">
                <button
                    class="button small"
                    disabled=move || in_use.get()
                    on:click=move |_| load(app, Chosen::Shipped(id.get_value()))
                >
                    {move || i18n.t(if in_use.get() { Text::LoadedModel } else { Text::Load })()}
                </button>
                {(!entry.card.is_empty())
                    .then(|| view! { <a href=format!("models/{}", entry.card) target="_blank">{i18n.t(Text::ModelCard)}</a> })}
            </div>
        </article>
    }
}

/// The reader's choice of what computes; the model in use is loaded again there, where that is possible.
#[component]
fn RunOn() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let engine = app.engine;
    let choose = move |device| {
        engine.gpu_failure.set(None);
        engine.device.set(device);
        if let Some(chosen) = app.models.chosen.get_untracked().filter(|chosen| *chosen != Chosen::Files) {
            load(app, chosen);
        }
    };
    let option = move |device: Device, text: Text, testid: &'static str| {
        view! {
            <label class="choice">
                <input
                    type="radio"
                    name="device"
                    data-testid=testid
                    prop:checked=move || engine.device.get() == device
                    on:change=move |_| choose(device)
                />
                {i18n.t(text)}
            </label>
        }
    };
    let refused = move || {
        engine
            .gpu_failure
            .get()
            .map(|failure| format!("{} {}", i18n::failure(i18n.language.get(), &failure), i18n.t(Text::GpuRefused)()))
    };
    view! {
        <section>
            <h2>{i18n.t(Text::RunOn)}</h2>
            <div class="row" role="radiogroup" aria-label=i18n.t(Text::RunOn)>
                {option(Device::Cpu, Text::OnCpu, "device-cpu")} {option(Device::Gpu, Text::OnGpu, "device-gpu")}
            </div>
            <p class="hint">{i18n.t(Text::GpuHint)}</p>
            <p class="problem" role="alert" data-testid="gpu-refused" hidden=move || refused().is_none()>{refused}</p>
        </section>
    }
}

/// Opens a GGUF by file or address.
#[component]
fn OwnModel() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let url = RwSignal::new(String::new());
    let take = move |event: leptos::ev::Event| {
        let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok()) else { return };
        let files = dropped::of_list(input.files().as_ref());
        spawn_local(async move { app.take(&files).await });
        // The same file may be chosen again after it was mended.
        input.set_value("");
    };
    let fetch = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let url = url.get_untracked();
        if !url.trim().is_empty() {
            load(app, Chosen::Url(url.trim().to_string()));
        }
    };
    view! {
        <section>
            <h2>{i18n.t(Text::OwnModel)}</h2>
            <div class="drop">
                <label class="button">
                    {i18n.t(Text::OpenFile)} <input type="file" accept=".gguf" multiple data-testid="model-file" on:change=take />
                </label>
                <label class="button">
                    {i18n.t(Text::OpenFolder)}
                    <input type="file" prop:webkitdirectory=true data-testid="model-folder" on:change=take />
                </label>
                <span class="hint">{i18n.t(Text::DropHint)}</span>
            </div>
            <form class="row" on:submit=fetch>
                <input
                    type="text"
                    inputmode="url"
                    data-testid="model-url"
                    aria-label=i18n.t(Text::UrlLabel)
                    placeholder="https://…/model.gguf, https://…/folder/"
                    prop:value=move || url.get()
                    on:input=move |event| url.set(event_target_value(&event))
                />
                <button class="button" type="submit" data-testid="model-url-open">{i18n.t(Text::OpenUrl)}</button>
            </form>
        </section>
    }
}
