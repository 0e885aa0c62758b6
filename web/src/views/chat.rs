use leptos::{html, prelude::*, task::spawn_local};
use protocol::ErrorKind;
use roles::Speaker;

use super::{
    composer::{Composer, SettingsButton},
    history::History,
    icon::{self, icon},
    message::{Answer, Question},
    portrait::{Portrait, accent},
};
use crate::{
    app::app,
    chat::{Chat, Problem},
    engine::Wish,
    i18n::{self, Text, html_lang},
    library::Character,
    markdown,
    models::Chosen,
    route::Route,
};

/// Nearer to the end than this, in pixels, the reader is taken along as text arrives.
const AT_THE_END: i32 = 64;

/// The conversation with the character of this id.
#[component]
pub fn ChatView(id: String) -> impl IntoView {
    let app = app();
    let character = Memo::new(move |_| {
        // The project's characters may still be on their way.
        app.library.complete.track();
        app.library.characters.track();
        app.library.find(&id)
    });
    move || match character.get() {
        Some(character) => {
            let chat = app.chats.with(&character.role);
            view! { <Conversation chat character /> }.into_any()
        }
        None if app.library.complete.get() => view! {
            <div class="page">
                <p class="problem">{app.i18n.t(Text::UnknownRole)}</p>
                <a href=Route::Gallery.hash()>{app.i18n.t(Text::BackToGallery)}</a>
            </div>
        }
        .into_any(),
        None => ().into_any(),
    }
}

#[component]
fn Conversation(chat: Chat, character: Character) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let role = character.role.clone();
    let language = html_lang(role.language);
    let name = role.name.clone();
    let label = i18n.format({
        let name = name.clone();
        move |language| i18n::chat_with(language, &name)
    });
    let scroller = NodeRef::<html::Div>::new();
    let follows = RwSignal::new(true);
    let to_the_end = move || {
        // The reader may have scrolled since this was asked for.
        if let Some(element) = scroller.get_untracked().filter(|_| follows.get_untracked()) {
            element.set_scroll_top(element.scroll_height());
        }
    };
    let scrolled = move |_| {
        if let Some(element) = scroller.get_untracked() {
            let below = element.scroll_height() - element.scroll_top() - element.client_height();
            follows.set(below < AT_THE_END);
        }
    };
    Effect::new(move || {
        chat.turns();
        chat.partial.track();
        chat.problem.track();
        if follows.get_untracked() {
            request_animation_frame(to_the_end);
        }
    });
    let ask = Callback::new(move |text: String| {
        follows.set(true);
        chat.ask(&text);
    });
    let suggestions = role.suggested_questions.clone();
    view! {
        <section class="chat" style=("--accent", accent(&character)) aria-label=label>
            <header class="chat-head">
                <a class="quiet icon" href=Route::Gallery.hash() aria-label=i18n.t(Text::BackToGallery) title=i18n.t(Text::BackToGallery)>
                    {icon(icon::BACK)}
                </a>
                <Portrait character=character.clone() />
                <div class="who" lang=language>
                    <h1>{name.clone()}</h1>
                    <p>{role.tagline.clone()}</p>
                </div>
                <AdapterChoice role=role.id.clone() />
                <History chat />
                <SettingsButton />
                <button
                    class="quiet"
                    data-testid="new-chat"
                    disabled=move || chat.is_empty() || chat.answering.get().is_some()
                    on:click=move |_| chat.renew()
                >
                    {icon(icon::PLUS)} <span class="word">{i18n.t(Text::NewChat)}</span>
                </button>
            </header>
            <div class="scroller" node_ref=scroller on:scroll=scrolled>
                <div
                    class="messages"
                    role="log"
                    aria-busy=move || if chat.answering.get().is_some() { "true" } else { "false" }
                >
                    {(!role.greeting.is_empty())
                        .then(|| {
                            view! {
                                <article class="message answer" data-testid="greeting" lang=language>
                                    <Portrait character=character.clone() />
                                    <div class="words">{markdown::render(&role.greeting)}</div>
                                </article>
                            }
                        })}
                    <Suggestions chat questions=suggestions language ask />
                    <For
                        each=move || chat.turns()
                        key=|turn| (turn.id, turn.variant, turn.variants, turn.stopped)
                        children={
                            let character = character.clone();
                            move |turn| match turn.message.speaker {
                                Speaker::Assistant => {
                                    view! { <Answer chat turn character=character.clone() /> }.into_any()
                                }
                                _ => view! { <Question chat turn /> }.into_any(),
                            }
                        }
                    />
                    <Writing chat character=character.clone() />
                    <Trouble chat />
                    <WrongLanguage character=character.clone() />
                </div>
            </div>
            <button class="to-the-end" hidden=move || follows.get() on:click=move |_| { follows.set(true); to_the_end(); }
                aria-label=i18n.t(Text::ToTheEnd) title=i18n.t(Text::ToTheEnd)>
                {icon(icon::DOWN)}
            </button>
            <Composer chat ask />
        </section>
    }
}

/// With which of the model's adapters the next message is answered, where there are any.
#[component]
fn AdapterChoice(role: String) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let role = StoredValue::new(role);
    let adapters =
        Memo::new(move |_| app.engine.model.with(|model| model.as_ref().map(|model| model.adapters.clone())));
    let adapters = move || adapters.get().unwrap_or_default();
    let current = Memo::new(move |_| app.models.adapter_for(&role.get_value()).unwrap_or_default());
    let choose = move |event| {
        let name = event_target_value(&event);
        app.models.choose_adapter(&role.get_value(), Some(name).filter(|name| !name.is_empty()));
    };
    let option = move |name: String, label: AnyView| {
        let value = name.clone();
        view! { <option value=value prop:selected=move || current.get() == name>{label}</option> }
    };
    view! {
        <Show when=move || !adapters().is_empty()>
            <label class="adapter" title=i18n.t(Text::AdapterHint)>
                <span>{i18n.t(Text::Adapter)}</span>
                <select data-testid="adapter-select" on:change=choose>
                    {option(String::new(), i18n.t(Text::NoAdapter).into_any())}
                    {move || adapters().into_iter().map(|name| option(name.clone(), name.into_any())).collect_view()}
                </select>
            </label>
        </Show>
    }
}

/// Questions worth asking, as long as nothing has been said.
#[component]
fn Suggestions(chat: Chat, questions: Vec<String>, language: &'static str, ask: Callback<String>) -> impl IntoView {
    let app = app();
    let questions = StoredValue::new(questions);
    let chips = move || {
        let questions = questions.get_value().into_iter();
        questions
            .map(|question| {
                let text = question.clone();
                view! {
                    <button class="chip" data-testid="suggested-question" on:click=move |_| ask.run(text.clone())>
                        {question}
                    </button>
                }
            })
            .collect_view()
    };
    view! {
        <Show when=move || chat.is_empty() && questions.with_value(|questions| !questions.is_empty())>
            <div class="suggestions" lang=language aria-label=app.i18n.t(Text::Suggestions) role="group">
                {chips()}
            </div>
        </Show>
    }
}

/// The answer that is being written.
#[component]
fn Writing(chat: Chat, character: Character) -> impl IntoView {
    let app = app();
    let character = StoredValue::new(character);
    let language = character.with_value(|character| html_lang(character.role.language));
    let name = character.with_value(|character| character.role.name.clone());
    let name = StoredValue::new(name);
    let thinking = move || chat.partial.with(String::is_empty);
    view! {
        <Show when=move || chat.answering.get().is_some()>
            <article class="message answer writing">
                <Portrait character=character.get_value() />
                <div class="body">
                    <div class="words" lang=language data-testid="message-assistant" data-streaming="true">
                        {move || chat.partial.with(|text| markdown::render(text))}
                    </div>
                    <p class="thinking" hidden=move || !thinking()>
                        <span class="dots" aria-hidden="true"><i></i><i></i><i></i></span>
                        <span>{name.get_value()} " " {app.i18n.t(Text::Thinking)}</span>
                    </p>
                </div>
            </article>
        </Show>
    }
}

/// What went wrong with the last answer, and what can be done.
#[component]
fn Trouble(chat: Chat) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let words = move || {
        chat.problem.get().map(|problem| match problem {
            Problem::Failed(failure) => i18n::failure(i18n.language.get(), &failure),
            Problem::Empty => i18n.t(Text::NoAnswer)().to_string(),
        })
    };
    let can_retry = move || {
        let too_long =
            |problem: &Problem| matches!(problem, Problem::Failed(failure) if failure.kind == ErrorKind::PromptTooLong);
        chat.problem.with(|problem| !problem.as_ref().is_some_and(too_long))
    };
    let retry = move |_| {
        spawn_local(async move {
            if app.engine.model.with_untracked(Option::is_none) && app.engine.loading.get_untracked().is_none() {
                app.models.reload().await;
            }
            chat.retry();
        });
    };
    view! {
        <div class="problem" role="alert" data-testid="chat-error" hidden=move || chat.problem.with(Option::is_none)>
            <p>{words}</p>
            <button class="button small" hidden=move || !can_retry() on:click=retry>{i18n.t(Text::Retry)}</button>
        </div>
    }
}

/// Offers a model that speaks the character's language, where the one in use does not.
#[component]
fn WrongLanguage(character: Character) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let spoken = character.role.language;
    let better = Memo::new(move |_| app.models.better_for(spoken));
    move || {
        better.get().map(|entry| {
            let load = move |_| {
                let id = entry.id.clone();
                spawn_local(async move { drop(app.models.load(Chosen::Shipped(id), Wish::default()).await) });
            };
            let name = entry.name.clone();
            view! {
                <div class="notice">
                    <p>{i18n.format(move |language| i18n::wrong_language(language, spoken))}</p>
                    <button class="button small" on:click=load>
                        {i18n.format(move |language| i18n::load_named(language, &name))}
                    </button>
                </div>
            }
        })
    }
}
