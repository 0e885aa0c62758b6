use leptos::prelude::*;
use protocol::Phase;
use wasm_bindgen::JsCast;

use crate::{
    app::app,
    engine::Loading,
    i18n::{Text, bytes},
    route::Route,
    store,
};

/// Name, views, model, language, light.
#[component]
pub fn Header() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let link = move |test_id: &'static str, text: Text, target: Route, here: fn(&Route) -> bool| {
        let current = move || app.route.with(here).then_some("page");
        view! { <a href=target.hash() data-testid=test_id aria-current=current>{i18n.t(text)}</a> }
    };
    view! {
        <header class="top">
            <a class="brand" href=Route::Gallery.hash()>"RoleLLM"</a>
            <nav>
                {link("nav-chat", Text::NavChat, Route::Gallery, |route| matches!(route, Route::Gallery | Route::Chat(_)))}
                {link("nav-evaluate", Text::NavEvaluate, Route::Evaluate, |route| *route == Route::Evaluate)}
                {link("nav-arena", Text::NavArena, Route::Arena, |route| *route == Route::Arena)}
                {link("nav-models", Text::NavModels, Route::Models, |route| *route == Route::Models)}
                {link("nav-about", Text::NavAbout, Route::About, |route| *route == Route::About)}
            </nav>
            <div class="tools">
                <ModelStatus />
                <button class="quiet" data-testid="language-switch" on:click=move |_| i18n.switch()>
                    {i18n.t(Text::OtherLanguage)}
                </button>
                <ThemeSwitch />
            </div>
        </header>
    }
}

/// The state of the model in a few words.
#[component]
fn ModelStatus() -> impl IntoView {
    let app = app();
    let (engine, i18n) = (app.engine, app.i18n);
    let state = move || {
        if engine.loading.get().is_some() {
            "loading"
        } else if engine.model.with(Option::is_some) {
            "ready"
        } else if engine.failure.with(Option::is_some) {
            "failed"
        } else {
            "none"
        }
    };
    let words = move || match engine.loading.get() {
        Some(loading) => progress_words(app.i18n, loading),
        None => match engine.model.get() {
            Some(model) => model.name,
            None if engine.failure.with(Option::is_some) => i18n.t(Text::ModelFailed)().to_string(),
            None => i18n.t(Text::NoModel)().to_string(),
        },
    };
    view! {
        <a class="status" href=Route::Models.hash() role="status" data-testid="model-status" data-state=state>
            <span class="dot" aria-hidden="true"></span>
            <span class="words">{words}</span>
        </a>
    }
}

/// How far loading has come, in words.
pub fn progress_words(i18n: crate::i18n::I18n, loading: Loading) -> String {
    match loading {
        Loading::Starting => i18n.t(Text::ModelStarting)().to_string(),
        Loading::Bytes { phase, done, total } => {
            let phase = match phase {
                Phase::Download => Text::Downloading,
                Phase::Check => Text::Checking,
                Phase::Read => Text::Reading,
            };
            let phase = i18n.t(phase)();
            match total {
                Some(total) => format!("{phase} {} / {}", bytes(done), bytes(total)),
                None => format!("{phase} {}", bytes(done)),
            }
        }
    }
}

/// Light or dark: the system's choice until the reader makes one.
#[component]
fn ThemeSwitch() -> impl IntoView {
    let app = app();
    let chosen = RwSignal::new(store::get::<bool>("dark"));
    Effect::new(move || {
        let Some(dark) = chosen.get() else { return };
        store::set("dark", &dark);
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("data-theme", if dark { "dark" } else { "light" });
        }
    });
    let switch = move |_| {
        let dark = chosen.get_untracked().unwrap_or_else(system_is_dark);
        chosen.set(Some(!dark));
    };
    view! {
        <button class="quiet icon" aria-label=app.i18n.t(Text::SwitchTheme) title=app.i18n.t(Text::SwitchTheme) on:click=switch>
            <svg viewBox="0 0 24 24" aria-hidden="true">
                <circle cx="12" cy="12" r="8" fill="none" stroke="currentColor" stroke-width="2"></circle>
                <path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor"></path>
            </svg>
        </button>
    }
}

fn system_is_dark() -> bool {
    let query = js_sys::Reflect::get(&window(), &"matchMedia".into()).ok().and_then(|query| query.dyn_into().ok());
    let media =
        query.and_then(|query: js_sys::Function| query.call1(&window(), &"(prefers-color-scheme: dark)".into()).ok());
    media.and_then(|media| js_sys::Reflect::get(&media, &"matches".into()).ok()).is_some_and(|dark| dark.is_truthy())
}
