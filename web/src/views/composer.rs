use leptos::{ev, html, prelude::*};

use super::icon::{self, icon};
use crate::{app::app, chat::Chat, i18n::Text};

/// The key code that keys have while an input method composes, in browsers that do not say so otherwise.
const COMPOSING: u32 = 229;

/// Where the person writes. Enter sends, Shift+Enter breaks the line.
#[component]
pub fn Composer(chat: Chat, ask: Callback<String>) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let draft = RwSignal::new(String::new());
    let input = NodeRef::<html::Textarea>::new();
    let busy = move || chat.answering.get().is_some();
    let grow = move || {
        if let Some(element) = input.get_untracked() {
            let style = web_sys::HtmlElement::style(&element);
            let _ = style.set_property("height", "auto");
            let _ = style.set_property("height", &format!("{}px", element.scroll_height()));
        }
    };
    let send = move || {
        let text = draft.get_untracked();
        if text.trim().is_empty() || chat.answering.get_untracked().is_some() {
            return;
        }
        draft.set(String::new());
        request_animation_frame(grow);
        ask.run(text);
    };
    let key = move |event: ev::KeyboardEvent| {
        let composing = event.is_composing() || event.key_code() == COMPOSING;
        if event.key() == "Enter" && !event.shift_key() && !composing {
            event.prevent_default();
            send();
        }
    };
    let hint = move || {
        let waiting = app.engine.loading.get().is_some();
        i18n.t(if waiting { Text::InputWaiting } else { Text::InputHint })()
    };
    view! {
        <form
            class="composer"
            on:submit=move |event| {
                event.prevent_default();
                send();
            }
        >
            <textarea
                node_ref=input
                rows="1"
                data-testid="chat-input"
                aria-label=i18n.t(Text::InputLabel)
                placeholder=hint
                prop:value=move || draft.get()
                on:input=move |event| {
                    draft.set(event_target_value(&event));
                    grow();
                }
                on:keydown=key
            ></textarea>
            <Show
                when=busy
                fallback=move || {
                    view! {
                        <button
                            class="button"
                            type="submit"
                            data-testid="chat-send"
                            disabled=move || draft.with(|text| text.trim().is_empty())
                        >
                            {i18n.t(Text::Send)}
                        </button>
                    }
                }
            >
                <button class="button stop" type="button" data-testid="chat-stop" on:click=move |_| chat.stop()>
                    {i18n.t(Text::Stop)}
                </button>
            </Show>
        </form>
    }
}

/// How answers are sampled.
#[component]
pub fn SettingsButton() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let settings = app.settings;
    let set_temperature = move |event| {
        if let Ok(temperature) = event_target_value(&event).parse::<f32>() {
            settings.update(|settings| settings.temperature = temperature.clamp(0.0, 2.0));
        }
    };
    let set_max_tokens = move |event| {
        if let Ok(tokens) = event_target_value(&event).parse::<u32>() {
            settings.update(|settings| settings.max_tokens = tokens.clamp(1, 4096));
        }
    };
    view! {
        <button class="quiet" popovertarget="settings" title=i18n.t(Text::Settings)>
            {icon(icon::SLIDERS)} <span class="word">{i18n.t(Text::Settings)}</span>
        </button>
        <div class="sheet" id="settings" popover="auto">
                <label>
                    <span>{i18n.t(Text::Temperature)} " " <output>{move || format!("{:.1}", settings.get().temperature)}</output></span>
                    <input
                        type="range"
                        min="0"
                        max="1.5"
                        step="0.1"
                        data-testid="temperature"
                        prop:value=move || settings.get().temperature.to_string()
                        on:input=set_temperature
                    />
                    <span class="hint">{i18n.t(Text::TemperatureHint)}</span>
                </label>
                <label>
                    <span>{i18n.t(Text::MaxTokens)}</span>
                    <input
                        type="number"
                        min="1"
                        max="4096"
                        data-testid="max-tokens"
                        prop:value=move || settings.get().max_tokens.to_string()
                        on:change=set_max_tokens
                    />
                </label>
        </div>
    }
}
