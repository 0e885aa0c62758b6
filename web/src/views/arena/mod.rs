mod voting;

use leptos::prelude::*;
use roles::{Language, Strategy};

use crate::{
    app::app,
    arena::{Bout, Contestant},
    evaluation::{Data, save},
    i18n::{self, Text},
    models::Chosen,
    views::evaluate::{ModelField, field, figure, number_field, strategy_words},
};
use voting::Voting;

/// Most questions of a bout.
const MOST: usize = 1000;

/// Blind comparison of two models or strategies.
#[component]
pub fn ArenaView() -> impl IntoView {
    let app = app();
    let (i18n, arena) = (app.i18n, app.arena);
    let words = move || arena.failure.get().map(|failure| i18n::failure(i18n.language.get(), &failure));
    let stage = Memo::new(move |_| {
        arena.bout.with(|bout| match bout {
            None => 0,
            Some(bout) if !bout.is_answered() => 1,
            Some(bout) if !bout.is_over() => 2,
            Some(_) => 3,
        })
    });
    view! {
        <div class="page arena">
            <h1>{i18n.t(Text::ArenaTitle)}</h1>
            <p class="lead">{i18n.t(Text::ArenaLead)}</p>
            <p class="problem" role="alert" data-testid="arena-error" hidden=move || arena.failure.with(Option::is_none)>
                {words}
            </p>
            {move || match stage.get() {
                0 => view! { <Rules /> }.into_any(),
                1 => view! { <Answering /> }.into_any(),
                2 => view! { <Voting /> }.into_any(),
                _ => view! { <Verdict /> }.into_any(),
            }}
        </div>
    }
}

/// Who meets whom over what.
#[component]
fn Rules() -> impl IntoView {
    let app = app();
    let (i18n, arena) = (app.i18n, app.arena);
    let rules = arena.rules;
    let models = [RwSignal::new(String::new()), RwSignal::new(String::new())];
    let begin = move || {
        let chosen = |id: String| (!id.is_empty()).then_some(Chosen::Shipped(id));
        arena.begin(models.map(|model| chosen(model.get_untracked())));
    };
    let questions = [("general", Text::General), ("role_specific", Text::RoleSpecific)];
    let languages = [("en", Text::English), ("zh", Text::Chinese)];
    let set_data = move |name: String| {
        rules.update(|rules| rules.data = if name == "general" { Data::General } else { Data::RoleSpecific });
    };
    let set_language = move |name: String| {
        rules.update(|rules| rules.language = if name == "zh" { Language::Zh } else { Language::En });
    };
    let language = move || if rules.with(|rules| rules.language) == Language::Zh { "zh" } else { "en" }.to_string();
    let side = move |side: usize, legend: Text, model_testid: &'static str, testid: &'static str| {
        let strategies = Strategy::ALL.map(|strategy| (strategy.name(), strategy_words(strategy)));
        let chosen = move || rules.with(|rules| rules.strategies[side].clone());
        view! {
            <fieldset class="plan">
                <legend>{i18n.t(legend)}</legend>
                <ModelField model=models[side] label=Text::Model testid=model_testid />
                {field(app, Text::Strategy, testid, strategies.into(), chosen, move |name| {
                    rules.update(|rules| rules.strategies[side] = name);
                })}
            </fieldset>
        }
    };
    view! {
        <form
            on:submit=move |event| {
                event.prevent_default();
                begin();
            }
        >
            <fieldset class="plan">
                <legend>{i18n.t(Text::ArenaQuestions)}</legend>
                {field(app, Text::TestPart, "arena-part", questions.into(), move || rules.with(|rules| rules.data.name().to_string()), set_data)}
                {field(app, Text::TestLanguage, "arena-language", languages.into(), language, set_language)}
                {number_field(app, Text::SampleCount, "arena-count", move || rules.with(|rules| rules.count as u64), move |count| {
                    rules.update(|rules| rules.count = (count as usize).clamp(1, MOST));
                })}
                {number_field(app, Text::Seed, "arena-seed", move || rules.with(|rules| rules.seed), move |seed| {
                    rules.update(|rules| rules.seed = seed);
                })}
            </fieldset>
            <div class="sides">
                {side(0, Text::FirstContestant, "arena-model-1", "arena-strategy-1")}
                {side(1, Text::SecondContestant, "arena-model-2", "arena-strategy-2")}
            </div>
            <p class="row start">
                <button class="button" type="submit" data-testid="arena-begin" disabled=move || arena.answering.get()>
                    {i18n.t(Text::ArenaBegin)}
                </button>
                <span class="hint">{i18n.t(Text::ArenaHint)}</span>
            </p>
        </form>
    }
}

/// Both contestants write their answers.
#[component]
fn Answering() -> impl IntoView {
    let app = app();
    let (i18n, arena) = (app.i18n, app.arena);
    let counts = move || arena.bout.with(|bout| bout.as_ref().map_or((0, 1), Bout::progress));
    let words = move || {
        let (done, total) = counts();
        let state = if arena.answering.get() { Text::ArenaAnswering } else { Text::Paused };
        format!("{} {}", i18n.t(state)(), i18n::progress(i18n.language.get(), done, total))
    };
    view! {
        <section>
            <div class="progress">
                <progress
                    aria-label=i18n.t(Text::Progress)
                    max=move || counts().1.to_string()
                    value=move || counts().0.to_string()
                ></progress>
                <span role="status" data-testid="arena-progress">{words}</span>
            </div>
            <p class="row">
                <Show
                    when=move || arena.answering.get()
                    fallback=move || {
                        view! {
                            <button class="button" data-testid="arena-continue" on:click=move |_| arena.resume()>
                                {i18n.t(Text::Continue)}
                            </button>
                        }
                    }
                >
                    <button class="button stop" data-testid="arena-pause" on:click=move |_| arena.pause()>
                        {i18n.t(Text::Pause)}
                    </button>
                </Show>
                <button class="quiet" data-testid="arena-discard" on:click=move |_| arena.clear()>
                    {i18n.t(Text::ArenaDiscard)}
                </button>
            </p>
        </section>
    }
}

/// Who was who, and how they did.
#[component]
fn Verdict() -> impl IntoView {
    let app = app();
    let (i18n, arena) = (app.i18n, app.arena);
    let Some(bout) = arena.bout.get_untracked() else { return ().into_any() };
    let tally = bout.tally();
    let [low, high] = tally.ci95;
    let name = move |contestant: &Contestant| {
        let (model, strategy) = (contestant.model.clone(), strategy_words(contestant.strategy));
        i18n.format(move |language| format!("{model} · {}", strategy.in_language(language)))
    };
    let [first, second] = bout.contestants.each_ref().map(name);
    let place = format!("--low: {low}; --high: {high}; --mean: {}", tally.win_rate);
    let line = move |text: Text, testid: &'static str, value: usize| {
        view! { <dt>{i18n.t(text)}</dt><dd data-testid=testid>{value}</dd> }
    };
    let export = move |_| save("rolellm-votes.json", "application/json", &bout.to_json());
    view! {
        <section class="entry verdict" data-testid="arena-verdict">
            <h2>{i18n.t(Text::ArenaVerdict)}</h2>
            <p><strong>{i18n.t(Text::FirstContestant)}</strong> " " <span data-testid="arena-first">{first}</span></p>
            <p><strong>{i18n.t(Text::SecondContestant)}</strong> " " <span data-testid="arena-second">{second}</span></p>
            <div class="summary">
                <div>
                    <span class="label">{i18n.t(Text::WinRate)}</span>
                    <p data-testid="arena-win-rate"><strong>{figure(tally.win_rate)}</strong></p>
                    <p class="label" data-testid="arena-interval">
                        {i18n.format(move |language| i18n::interval(language, low, high))}
                    </p>
                    <div class="interval" style=place aria-hidden="true"></div>
                </div>
                <dl>
                    {line(Text::WinsOfA, "arena-wins-first", tally.first)}
                    {line(Text::WinsOfB, "arena-wins-second", tally.second)}
                    {line(Text::Ties, "arena-ties", tally.ties)}
                    {line(Text::BothBad, "arena-both-bad", tally.both_bad)}
                </dl>
            </div>
            <p class="hint">{i18n.t(Text::WinRateHint)}</p>
            <p class="row">
                <button class="button" data-testid="arena-export" on:click=export>{i18n.t(Text::ExportVotes)}</button>
                <button class="quiet" data-testid="arena-again" on:click=move |_| arena.clear()>{i18n.t(Text::ArenaAgain)}</button>
            </p>
        </section>
    }
    .into_any()
}
