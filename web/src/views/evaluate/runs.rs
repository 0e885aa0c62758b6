use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::{
    app::app,
    evaluation::{Activity, Compared, Run},
    i18n::{self, Text},
    views::evaluate::{figure, form::strategy_words},
};

/// An entry of the list.
#[derive(Clone, PartialEq)]
struct Entry {
    id: String,
    name: String,
    details: String,
    complete: bool,
    of_run: bool,
}

/// Earlier runs and scored files: to look at, to go on with, to compare.
#[component]
pub fn Runs() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let evaluation = app.evaluation;
    let marked = RwSignal::new(Vec::<String>::new());
    let entries = move || {
        let language = i18n.language.get();
        let files = evaluation.files.get().into_iter().map(|sheet| Entry {
            id: sheet.id.clone(),
            name: sheet.name.clone(),
            details: i18n::rows(language, sheet.predictions.len()),
            complete: true,
            of_run: false,
        });
        let runs = evaluation.runs.get().into_iter().map(|run| {
            let mean = run.mean.map(|mean| format!("{} {}", run.choice.rule, figure(mean)));
            let strategy = strategy_words(run.choice.strategy).in_language(language);
            let details = [
                Some(i18n::progress(language, run.asked, run.places.len())),
                mean,
                Some(i18n::prompt_mean(language, run.prompt_tokens)),
                Some(run.source.clone()),
            ];
            Entry {
                id: run.id.clone(),
                name: format!("{} · {strategy}", run.model.name),
                details: details.into_iter().flatten().collect::<Vec<_>>().join(" · "),
                complete: run.is_complete(),
                of_run: true,
            }
        });
        files.chain(runs).collect::<Vec<_>>()
    };
    // The latest two stay marked.
    let mark = move |id: String, on: bool| {
        marked.update(|marked| {
            marked.retain(|known| *known != id);
            if on {
                marked.push(id);
            }
            if marked.len() > 2 {
                marked.remove(0);
            }
        });
    };
    let compare = move |_| {
        if let [first, second] = marked.get_untracked().as_slice() {
            evaluation.compare(first.clone(), second.clone());
        }
    };
    let compared = move || evaluation.compared.get().map(|compared| view! { <Comparison compared /> });
    view! {
        <section hidden=move || entries().is_empty()>
            <h2>{i18n.t(Text::EarlierRuns)}</h2>
            <p class="hint">{i18n.t(Text::CompareHint)}</p>
            <ul class="runs">
                <For each=entries key=|entry| (entry.id.clone(), entry.name.clone(), entry.details.clone()) let:entry>
                    <RunLine entry marked mark=Callback::new(move |(id, on)| mark(id, on)) />
                </For>
            </ul>
            <button
                class="button"
                data-testid="evaluate-compare"
                disabled=move || marked.with(Vec::len) != 2 || evaluation.activity.get() != Activity::Idle
                on:click=compare
            >
                {i18n.t(Text::Compare)}
            </button>
            <div role="status">{compared}</div>
        </section>
    }
}

#[component]
fn RunLine(entry: Entry, marked: RwSignal<Vec<String>>, mark: Callback<(String, bool)>) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let evaluation = app.evaluation;
    let id = StoredValue::new(entry.id);
    let is_marked = move || id.with_value(|id| marked.with(|marked| marked.contains(id)));
    let run = move || {
        let is = |run: &&Run| id.with_value(|id| run.id == *id);
        evaluation.runs.with_untracked(|runs| runs.iter().find(is).cloned())
    };
    let open = move |_| {
        let file = evaluation
            .files
            .with_untracked(|files| files.iter().find(|file| id.with_value(|id| file.id == *id)).cloned());
        match (run(), file) {
            (Some(run), _) => evaluation.open(run),
            (None, Some(file)) => evaluation.open_file(file),
            (None, None) => {}
        }
    };
    let resume = move |_| {
        if let Some(run) = run() {
            evaluation.resume(run);
        }
    };
    let forget = move |_| spawn_local(evaluation.forget(id.get_value()));
    let idle = move || evaluation.activity.get() == Activity::Idle;
    view! {
        <li data-testid="evaluate-earlier">
            <label>
                <input
                    type="checkbox"
                    data-testid="evaluate-mark"
                    prop:checked=is_marked
                    on:change=move |event| mark.run((id.get_value(), event_target_checked(&event)))
                />
                <span><strong>{entry.name}</strong><br /><span class="label">{entry.details}</span></span>
            </label>
            <span class="row">
                <button class="quiet small" data-testid="evaluate-open" disabled=move || !idle() on:click=open>{i18n.t(Text::Show)}</button>
                {(!entry.complete)
                    .then(|| {
                        view! {
                            <button class="quiet small" disabled=move || !idle() on:click=resume>{i18n.t(Text::Continue)}</button>
                        }
                    })}
                {entry.of_run
                    .then(|| view! {
                        <button class="quiet small" data-testid="evaluate-forget" on:click=forget>{i18n.t(Text::Delete)}</button>
                    })}
            </span>
        </li>
    }
}

#[component]
fn Comparison(compared: Compared) -> impl IntoView {
    let i18n = app().i18n;
    let Compared { first, second, figures } = compared;
    let [low, high] = figures.ci95;
    let signed = |value: f64| format!("{value:+.4}");
    let verdict = if low > 0.0 {
        Text::FirstBetter
    } else if high < 0.0 {
        Text::SecondBetter
    } else {
        Text::NoDifference
    };
    let most = figures.per_role.values().fold(f64::EPSILON, |most, value| most.max(value.abs()));
    let bars = figures.per_role.into_iter().map(|(role, value)| {
        let (width, left) =
            (value.abs() / most * 50.0, if value < 0.0 { 50.0 - value.abs() / most * 50.0 } else { 50.0 });
        view! {
            <li>
                <span class="name">{role}</span>
                <span class="track both" aria-hidden="true">
                    <span class:negative=value < 0.0 style=format!("margin-left: {left}%; width: {width}%")></span>
                </span>
                <span class="value">{signed(value)}</span>
            </li>
        }
    });
    let line = move |text: Text, testid: &'static str, value: String| {
        view! { <dt>{i18n.t(text)}</dt><dd data-testid=testid>{value}</dd> }
    };
    view! {
        <div class="entry compared" data-testid="evaluate-comparison">
            <h3>"A: " {first} <br /> "B: " {second}</h3>
            <p data-testid="compare-verdict">{i18n.t(verdict)}</p>
            <dl>
                {line(Text::Rule, "compare-rule", format!("{} · {}", figures.rule, figures.references))}
                {line(Text::CommonRows, "compare-rows", format!("{} (A +{}, B +{})", figures.rows, figures.only_first, figures.only_second))}
                {line(Text::Mean, "compare-means", format!("A {:.4} · B {:.4}", figures.first, figures.second))}
                <dt>{i18n.t(Text::Difference)}</dt>
                <dd data-testid="compare-difference">
                    {signed(figures.difference)} " "
                    <span class="label">{i18n.format(move |language| i18n::difference_interval(language, low, high))}</span>
                </dd>
                {line(Text::PValue, "compare-p", format!("{:.4}", figures.p))}
                {line(Text::WinsTiesLosses, "compare-wins", format!("{} / {} / {}", figures.wins, figures.ties, figures.losses))}
            </dl>
            <ul class="bars">{bars.collect_view()}</ul>
        </div>
    }
}
