use leptos::prelude::*;
use leptos::task::spawn_local;
use roles::Language;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, HtmlInputElement};

use super::portrait::{Portrait, accent};
use crate::{
    app::app,
    i18n::{self, Text, html_lang},
    library::{Character, Origin},
    route::Route,
};

/// All characters, those who speak the reader's language first.
#[component]
pub fn Gallery() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let library = app.library;
    let speaking = move |language: Language| {
        library
            .characters
            .with(|all| all.iter().filter(|character| character.role.language == language).cloned().collect::<Vec<_>>())
    };
    let group = move |language: Language| {
        let title = match language {
            Language::En => Text::SpeakEnglish,
            Language::Zh => Text::SpeakChinese,
        };
        view! {
            <section class="group" hidden=move || speaking(language).is_empty()>
                <h2>{i18n.t(title)}</h2>
                <div class="cards">
                    <For each=move || speaking(language) key=|character| character.role.id.clone() let:character>
                        <CharacterCard character />
                    </For>
                </div>
            </section>
        }
    };
    let groups = move || match i18n.language.get() {
        Language::En => [Language::En, Language::Zh],
        Language::Zh => [Language::Zh, Language::En],
    };
    view! {
        <div class="gallery">
            <div class="hero">
                <h1>{i18n.t(Text::GalleryTitle)}</h1>
                <p>{i18n.t(Text::GalleryLead)}</p>
            </div>
            <p class="problem" role="alert" hidden=move || library.failure.with(Option::is_none)>
                {i18n.t(Text::RolesFailed)} " " {move || library.failure.get()}
            </p>
            {move || groups().map(group)}
            <ImportCard />
        </div>
    }
}

#[component]
fn CharacterCard(character: Character) -> impl IntoView {
    let app = app();
    let role = character.role.clone();
    let id = StoredValue::new(role.id.clone());
    let remove = move |_| {
        let id = id.get_value();
        app.library.remove(&id);
        app.chats.forget(&id);
    };
    view! {
        <div class="card" style=("--accent", accent(&character))>
            <a
                class="face"
                href=Route::Chat(role.id.clone()).hash()
                data-testid="character-card"
                data-role=role.id.clone()
                lang=html_lang(role.language)
            >
                <Portrait character=character.clone() />
                <span class="name">{role.name.clone()}</span>
                <span class="tagline">{role.tagline.clone()}</span>
            </a>
            {(character.origin == Origin::Reader)
                .then(|| {
                    view! {
                        <button
                            class="remove"
                            aria-label=app.i18n.t(Text::RemoveRole)
                            title=app.i18n.t(Text::RemoveRole)
                            on:click=remove
                        >
                            "×"
                        </button>
                    }
                })}
        </div>
    }
}

/// Takes in a character card.
#[component]
fn ImportCard() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let refused = RwSignal::new(None::<(String, String)>);
    let take = move |event: leptos::ev::Event| {
        let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok()) else { return };
        let Some(file) = input.files().and_then(|files| files.get(0)) else { return };
        // The same file may be chosen again after it was mended.
        input.set_value("");
        spawn_local(async move {
            refused.set(None);
            let user = i18n.t(Text::Friend)();
            let imported = match bytes_of(&file).await {
                Ok(bytes) => app.library.import(&bytes, user).map_err(|error| error.to_string()),
                Err(error) => Err(error),
            };
            match imported {
                Ok(role) => {
                    app.chats.forget(&role.id);
                    Route::Chat(role.id).open();
                }
                Err(error) => refused.set(Some((file.name(), error))),
            }
        });
    };
    let words = move || {
        refused
            .get()
            .map(|(file, details)| i18n::card_refused(i18n.language.get(), &file, details.trim_end_matches('.')))
    };
    view! {
        <section class="import">
            <label class="button">
                {i18n.t(Text::ImportCard)}
                <input type="file" accept=".json,.png,application/json,image/png" data-testid="card-file" on:change=take />
            </label>
            <span class="hint">{i18n.t(Text::ImportHint)}</span>
            <p class="problem" role="alert" data-testid="card-error" hidden=move || refused.with(Option::is_none)>{words}</p>
        </section>
    }
}

async fn bytes_of(file: &File) -> Result<Vec<u8>, String> {
    let buffer = JsFuture::from(file.array_buffer()).await.map_err(|error| format!("it cannot be read ({error:?})"))?;
    Ok(js_sys::Uint8Array::new(&buffer).to_vec())
}
