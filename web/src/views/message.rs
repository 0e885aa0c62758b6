use leptos::prelude::*;
use roles::{NodeId, Turn};
use wasm_bindgen_futures::JsFuture;

use super::portrait::Portrait;
use crate::{
    app::app,
    chat::Chat,
    i18n::{self, Text, html_lang},
    library::Character,
    markdown,
};
use protocol::StopReason;

/// A question of the person; it can be put differently.
#[component]
pub fn Question(chat: Chat, turn: Turn) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let Turn { id, message, variant, variants, .. } = turn;
    let content = StoredValue::new(message.content);
    let editing = RwSignal::new(false);
    let draft = RwSignal::new(String::new());
    let busy = move || chat.answering.get().is_some();
    let begin = move |_| {
        draft.set(content.get_value());
        editing.set(true);
    };
    let save = move |_| {
        editing.set(false);
        chat.edit(id, &draft.get_untracked());
    };
    let reading = move || {
        view! {
            <div class="words">{content.get_value()}</div>
            <div class="actions">
                <Variants chat id variant variants />
                <button class="quiet small" disabled=busy on:click=begin>{i18n.t(Text::Edit)}</button>
            </div>
        }
    };
    let writing = move || {
        view! {
            <textarea
                aria-label=i18n.t(Text::InputLabel)
                prop:value=move || draft.get()
                on:input=move |event| draft.set(event_target_value(&event))
                rows="3"
            ></textarea>
            <div class="actions">
                <button class="quiet small" on:click=move |_| editing.set(false)>{i18n.t(Text::Cancel)}</button>
                <button class="button small" disabled=busy on:click=save>{i18n.t(Text::Save)}</button>
            </div>
        }
    };
    view! {
        <article class="message question" data-testid="message-user">
            <div class="body">
                {move || if editing.get() { writing().into_any() } else { reading().into_any() }}
            </div>
        </article>
    }
}

/// An answer of the role, with what it cost.
#[component]
pub fn Answer(chat: Chat, turn: Turn, character: Character) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let Turn { id, message, stopped, variant, variants } = turn;
    let language = html_lang(character.role.language);
    let outcome = chat.outcomes.with_untracked(|outcomes| outcomes.get(&id).cloned());
    let busy = move || chat.answering.get().is_some();
    let figures = outcome.map(|outcome| {
        let speed = outcome.tokens as f64 * 1e3 / outcome.decode_ms.max(1e-3);
        let (answer, prompt, dropped) = (outcome.tokens, outcome.prompt_tokens, outcome.dropped_messages);
        view! {
            <span data-testid="tokens-per-second">{i18n.format(move |language| i18n::speed(language, speed))}</span>
            <span>{i18n.format(move |language| i18n::counts(language, answer, prompt))}</span>
            {(outcome.stop == StopReason::MaxTokens || outcome.stop == StopReason::ContextFull)
                .then(|| view! { <span class="mark">{i18n.t(Text::CutOff)}</span> })}
            {(dropped > 0)
                .then(|| view! { <span class="mark">{i18n.format(move |language| i18n::dropped(language, dropped))}</span> })}
        }
    });
    view! {
        <article class="message answer">
            <Portrait character />
            <div class="body">
                <div class="words" lang=language data-testid="message-assistant">
                    {markdown::render(&message.content)}
                </div>
                <div class="actions">
                    <Variants chat id variant variants />
                    <CopyButton text=message.content />
                    <button class="quiet small" data-testid="regenerate" disabled=busy on:click=move |_| chat.regenerate(id)>
                        {i18n.t(Text::Regenerate)}
                    </button>
                    <span class="figures">
                        {stopped.then(|| view! { <span class="mark" data-testid="stopped">{i18n.t(Text::Stopped)}</span> })}
                        {figures}
                    </span>
                </div>
            </div>
        </article>
    }
}

/// Steps between a message's siblings.
#[component]
fn Variants(chat: Chat, id: NodeId, variant: usize, variants: usize) -> impl IntoView {
    let app = app();
    let busy = move || chat.answering.get().is_some();
    (variants > 1).then(|| {
        view! {
            <span class="variants" data-testid="variants">
                <button
                    class="quiet small"
                    disabled=move || busy() || variant == 0
                    aria-label=app.i18n.t(Text::PreviousVariant)
                    on:click=move |_| chat.step(id, -1)
                >
                    "‹"
                </button>
                <span>{format!("{}/{variants}", variant + 1)}</span>
                <button
                    class="quiet small"
                    disabled=move || busy() || variant + 1 == variants
                    aria-label=app.i18n.t(Text::NextVariant)
                    on:click=move |_| chat.step(id, 1)
                >
                    "›"
                </button>
            </span>
        }
    })
}

#[component]
fn CopyButton(text: String) -> impl IntoView {
    let app = app();
    let copied = RwSignal::new(false);
    let copy = move |_| {
        // Browsers offer the clipboard to pages from safe origins only.
        if !window().is_secure_context() {
            return;
        }
        let writing = window().navigator().clipboard().write_text(&text);
        leptos::task::spawn_local(async move {
            if JsFuture::from(writing).await.is_ok() {
                let _ = copied.try_set(true);
            }
        });
    };
    let label = move || app.i18n.t(if copied.get() { Text::Copied } else { Text::Copy })();
    view! { <button class="quiet small" on:click=copy>{label}</button> }
}
