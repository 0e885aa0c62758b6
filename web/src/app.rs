//! The frame around every view, and the state that outlives them.

use futures_channel::oneshot;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::{
    api,
    arena::Arena,
    chat::Chats,
    database::Database,
    dropped::{Dropped, DroppedItems},
    engine::{Engine, Wish},
    evaluation::Evaluation,
    i18n::{I18n, Text},
    library::Library,
    models::{Chosen, Models},
    route::{self, Route},
    settings::Settings,
    views::{About, ArenaView, ChatView, EvaluateView, Gallery, Header, ModelsView},
};

/// The state of the page; all copies mean the same.
#[derive(Clone, Copy)]
pub struct App {
    /// Texts.
    pub i18n: I18n,
    /// What is kept of runs.
    pub database: Database,
    /// The engine.
    pub engine: Engine,
    /// Models.
    pub models: Models,
    /// Characters.
    pub library: Library,
    /// Conversations.
    pub chats: Chats,
    /// Scores.
    pub evaluation: Evaluation,
    /// Blind comparison.
    pub arena: Arena,
    /// Sampling.
    pub settings: RwSignal<Settings>,
    /// The view that is shown.
    pub route: RwSignal<Route>,
}

impl App {
    /// Opens what the reader dropped or picked. An adapter is put on the character that is being talked to.
    pub async fn take(self, files: &[Dropped]) {
        if files.is_empty() {
            return;
        }
        match (self.models.open(files, Wish::default()).await, self.route.get_untracked()) {
            (Ok((_, Some(adapter))), Route::Chat(role)) => self.models.choose_adapter(&role, Some(adapter)),
            // What is wrong stands on that view.
            (Err(_), _) => Route::Models.open(),
            _ => {}
        }
    }
}

/// The state of the page, for views.
pub fn app() -> App {
    expect_context()
}

/// The page. `ready` hears when the first model is there, or has failed to come.
#[component]
pub fn Page(ready: oneshot::Sender<()>) -> impl IntoView {
    let engine = Engine::start();
    let settings = Settings::start();
    let library = Library::start();
    let (i18n, database, models) = (I18n::start(), Database::new(), Models::start(engine, library));
    let app = App {
        i18n,
        database,
        engine,
        models,
        library,
        chats: Chats::start(engine, models, settings),
        evaluation: Evaluation::start(engine, library, models, database, i18n.language.get_untracked()),
        arena: Arena::start(engine, library, models, database, i18n.language.get_untracked()),
        settings,
        route: route::current(),
    };
    provide_context(app);
    let (roles_here, roles_awaited) = oneshot::channel();
    spawn_local(async move {
        library.fetch().await;
        let _ = roles_here.send(());
    });
    spawn_local(async move {
        app.models.fetch().await;
        let _ = roles_awaited.await;
        let _ = ready.send(());
    });
    api::install(app);
    // What is dropped anywhere but on a place of its own is a model or an adapter; it must not take the page's place.
    let _ = window_event_listener(ev::dragover, |event| event.prevent_default());
    let _ = window_event_listener(ev::drop, move |event| {
        event.prevent_default();
        if let Some(data) = event.data_transfer() {
            let dropped = DroppedItems::new(&data);
            spawn_local(async move { app.take(&dropped.files().await).await });
        }
    });
    let _ = window_event_listener(ev::hashchange, move |_| {
        let Some(url) = route::model_in_address() else { return };
        spawn_local(async move { drop(app.models.load(Chosen::Url(url), Wish::default()).await) });
    });
    Effect::new(move || {
        document().set_title(&title(app));
        // Each view begins at its top.
        if let Some(main) = main_element() {
            main.set_scroll_top(0);
        }
    });
    view! {
        <a class="skip" href="#main" on:click=|event| skip(&event)>{app.i18n.t(Text::SkipToContent)}</a>
        <Header />
        <main id="main" tabindex="-1">
            {move || match app.route.get() {
                Route::Gallery => view! { <Gallery /> }.into_any(),
                Route::Chat(id) => view! { <ChatView id /> }.into_any(),
                Route::Evaluate => view! { <EvaluateView /> }.into_any(),
                Route::Arena => view! { <ArenaView /> }.into_any(),
                Route::Models => view! { <ModelsView /> }.into_any(),
                Route::About => view! { <About /> }.into_any(),
            }}
        </main>
    }
}

/// What the browser's tab says.
fn title(app: App) -> String {
    let view = match app.route.get() {
        Route::Gallery => return "RoleLLM".to_string(),
        Route::Chat(id) => {
            app.library.characters.track();
            app.library.find(&id).map(|character| character.role.name).unwrap_or(id)
        }
        Route::Evaluate => app.i18n.t(Text::EvaluateTitle)().to_string(),
        Route::Arena => app.i18n.t(Text::ArenaTitle)().to_string(),
        Route::Models => app.i18n.t(Text::ModelsTitle)().to_string(),
        Route::About => app.i18n.t(Text::AboutTitle)().to_string(),
    };
    format!("{view} · RoleLLM")
}

/// The hash belongs to the route, so the focus is moved by hand.
fn skip(event: &ev::MouseEvent) {
    event.prevent_default();
    if let Some(main) = main_element() {
        let _ = main.focus();
    }
}

fn main_element() -> Option<HtmlElement> {
    document().get_element_by_id("main")?.dyn_into().ok()
}
