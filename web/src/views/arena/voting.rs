use leptos::{ev, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::Element;

use crate::{
    app::app,
    arena::Vote,
    i18n::{self, Text},
};

/// Each judgement, its key as browsers name it, and as people do.
const KEYS: [(Vote, &str, &str, &str, Text); 4] = [
    (Vote::Left, "ArrowLeft", "←", "arena-left", Text::LeftBetter),
    (Vote::Tie, "t", "T", "arena-tie", Text::Tie),
    (Vote::BothBad, "b", "B", "arena-bad", Text::BothBad),
    (Vote::Right, "ArrowRight", "→", "arena-right", Text::RightBetter),
];
/// Takes the last judgement back.
const UNDO: &str = "u";

/// Two answers side by side, nobody says whose.
#[component]
pub fn Voting() -> impl IntoView {
    let app = app();
    let (i18n, arena) = (app.i18n, app.arena);
    let place = Memo::new(move |_| arena.bout.with(|bout| bout.as_ref().and_then(|bout| bout.next())));
    let total = move || arena.bout.with(|bout| bout.as_ref().map_or(0, |bout| bout.samples.len()));
    let vote = move |vote: Vote| {
        if place.get_untracked().is_some() {
            arena.vote(vote);
        }
    };
    let keys = window_event_listener(ev::keydown, move |event| {
        if event.repeat() || event.ctrl_key() || event.meta_key() || event.alt_key() || is_field(event.target()) {
            return;
        }
        let key = event.key();
        if let Some((chosen, ..)) = KEYS.iter().find(|(_, name, ..)| key.eq_ignore_ascii_case(name)) {
            event.prevent_default();
            vote(*chosen);
        } else if key.eq_ignore_ascii_case(UNDO) {
            arena.undo();
        }
    });
    on_cleanup(move || keys.remove());
    let head = move || {
        let words = i18n::question_of(i18n.language.get(), place.get().map_or(0, |place| place + 1), total());
        let sample = arena.bout.with_untracked(|bout| Some(bout.as_ref()?.samples[place.get()?].clone()));
        sample.map(|sample| {
            view! {
                <p class="label" data-testid="arena-question-number">{words}</p>
                <p class="asked"><strong>{sample.key().0.to_string()}</strong> " · " {sample.key().1.to_string()}</p>
            }
        })
    };
    let answers = move || {
        let shown = arena.bout.with_untracked(|bout| Some(bout.as_ref()?.shown(place.get()?)))?;
        let [left, right] = shown;
        let panel = move |title: Text, testid: &'static str, answer: Option<String>| {
            let text = match answer {
                Some(text) if !text.is_empty() => view! { <p class="said">{text}</p> }.into_any(),
                _ => view! { <p class="mark">{i18n.t(Text::NoAnswerHere)}</p> }.into_any(),
            };
            view! { <article class="entry" data-testid=testid><h3>{i18n.t(title)}</h3>{text}</article> }
        };
        Some(view! {
            {panel(Text::Left, "arena-answer-left", left)}
            {panel(Text::Right, "arena-answer-right", right)}
        })
    };
    let buttons = KEYS.map(|(chosen, _, key, testid, words)| {
        view! {
            <button class="button" data-testid=testid on:click=move |_| vote(chosen)>
                {i18n.t(words)} <kbd aria-hidden="true">{key}</kbd>
            </button>
        }
    });
    let undone = move || arena.bout.with(|bout| bout.as_ref().is_none_or(|bout| bout.votes.is_empty()));
    view! {
        <section class="voting">
            <progress
                aria-label=i18n.t(Text::Progress)
                max=move || total().max(1).to_string()
                value=move || place.get().unwrap_or(0).to_string()
            ></progress>
            <div aria-live="polite">{head}<div class="sides">{answers}</div></div>
            <div class="votes" role="group" aria-label=i18n.t(Text::YourVote)>{buttons.into_iter().collect_view()}</div>
            <p class="row">
                <button class="quiet" data-testid="arena-undo" disabled=undone on:click=move |_| arena.undo()>
                    {i18n.t(Text::UndoVote)} <kbd aria-hidden="true">"U"</kbd>
                </button>
                <button class="quiet" data-testid="arena-end" disabled=undone on:click=move |_| arena.end()>
                    {i18n.t(Text::ArenaEnd)}
                </button>
                <button class="quiet" on:click=move |_| arena.clear()>{i18n.t(Text::ArenaDiscard)}</button>
            </p>
        </section>
    }
}

/// Where keys mean letters or choices.
fn is_field(target: Option<web_sys::EventTarget>) -> bool {
    let element = target.and_then(|target| target.dyn_into::<Element>().ok());
    element.is_some_and(|element| ["INPUT", "SELECT", "TEXTAREA"].contains(&element.tag_name().as_str()))
}
