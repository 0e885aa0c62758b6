use leptos::prelude::*;
use rolebench::{Part, Report};

use crate::{
    app::app,
    evaluation::{Activity, Export},
    i18n::{self, Text},
    views::evaluate::rows::RowsView,
};

/// What is shown: how far it is, its figures, its rows.
#[component]
pub fn ResultView() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let evaluation = app.evaluation;
    let nothing = move || evaluation.sheet.with(Option::is_none) && evaluation.activity.get() == Activity::Idle;
    let name = move || evaluation.sheet.with(|sheet| sheet.as_ref().map(|sheet| sheet.name.clone()));
    let figures =
        move || evaluation.report.get().filter(|report| report.rows > 0).map(|report| view! { <Figures report /> });
    view! {
        <section class="result">
            <h2>{i18n.t(Text::Result)}</h2>
            <Show when=move || !nothing() fallback=move || view! { <p class="empty">{i18n.t(Text::NothingYet)}</p> }>
                <p class="subject" data-testid="evaluate-subject">{name}</p>
                <Progress />
                {figures}
                <Exports />
                <RowsView />
            </Show>
        </section>
    }
}

#[component]
fn Progress() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let evaluation = app.evaluation;
    let run = move || evaluation.sheet.with(|sheet| sheet.as_ref().and_then(|sheet| sheet.run.clone()));
    let counts = move || match evaluation.activity.get() {
        Activity::Scoring { done, total } => Some((done, total)),
        _ => run().map(|run| (run.asked, run.places.len())),
    };
    let words = move || {
        let language = i18n.language.get();
        let counts = counts().map(|(done, total)| i18n::progress(language, done, total)).unwrap_or_default();
        let activity = match evaluation.activity.get() {
            Activity::Idle if run().is_some_and(|run| !run.is_complete()) => Text::Paused,
            Activity::Idle => return counts,
            Activity::Reading => Text::ReadingRows,
            Activity::Loading => Text::LoadingModel,
            Activity::Asking => Text::Asking,
            Activity::Scoring { .. } => Text::Scoring,
            Activity::Comparing => Text::Comparing,
        };
        format!("{} {counts}", activity.in_language(language))
    };
    let unfinished = move || run().filter(|run| evaluation.activity.get() == Activity::Idle && !run.is_complete());
    let resume = move || {
        unfinished().map(|run| {
            view! {
                <button
                    class="button small"
                    data-testid="evaluate-continue"
                    on:click=move |_| evaluation.resume(run.clone())
                >
                    {i18n.t(Text::Continue)}
                </button>
            }
        })
    };
    view! {
        <div class="progress">
            <progress
                aria-label=i18n.t(Text::Progress)
                hidden=move || counts().is_none()
                max=move || counts().map_or(1, |(_, total)| total.max(1)).to_string()
                value=move || counts().map_or(0, |(done, _)| done).to_string()
            ></progress>
            <span role="status" data-testid="evaluate-progress">{words}</span>
            {resume}
        </div>
    }
}

#[component]
fn Figures(report: Report) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let [low, high] = report.ci95;
    let rows = report.rows;
    let fact = move |text: Text, testid: &'static str, value: String| {
        view! { <div><dt>{i18n.t(text)}</dt><dd data-testid=testid>{value}</dd></div> }
    };
    let (costs, too_long, dropped) = app.evaluation.sheet.with_untracked(|sheet| {
        let Some(sheet) = sheet else { return (None, 0, 0) };
        let tokens: Vec<usize> = sheet.costs.values().map(|cost| cost.prompt_tokens).collect();
        let range = tokens.iter().min().zip(tokens.iter().max()).map(|(least, most)| (*least, *most));
        let mean = sheet.run.as_ref().map_or(0.0, |run| run.prompt_tokens);
        let context = sheet.run.as_ref().map_or(0, |run| run.model.context);
        let dropped: usize = sheet.costs.values().map(|cost| cost.dropped_messages).sum();
        (range.map(|range| (mean, range, context)), sheet.too_long(), dropped)
    });
    let place = format!("--low: {low}; --high: {high}; --mean: {}", report.mean);
    view! {
        <div class="summary">
            <div>
                <span class="label">{i18n.t(Text::Mean)} " · " {report.rule} " · " {report.references}</span>
                <p data-testid="evaluate-mean">
                    <strong>{figure(report.mean)}</strong> " "
                    <span class="label">{i18n.format(move |language| i18n::rows(language, rows))}</span>
                </p>
                <p class="label" data-testid="evaluate-interval">
                    {i18n.format(move |language| i18n::interval(language, low, high))}
                </p>
                <div class="interval" style=place aria-hidden="true"></div>
            </div>
            <dl class="facts">
                {fact(Text::Precision, "evaluate-precision", figure(report.precision))}
                {fact(Text::Recall, "evaluate-recall", figure(report.recall))}
                {fact(Text::FMeasure, "evaluate-f1", figure(report.f1))}
                {fact(Text::Missing, "evaluate-missing", report.missing.to_string())}
                {(report.repeated > 0).then(|| fact(Text::Repeated, "evaluate-repeated", report.repeated.to_string()))}
                {(too_long > 0).then(|| fact(Text::TooLong, "evaluate-too-long", too_long.to_string()))}
                {(dropped > 0).then(|| fact(Text::DroppedExamples, "evaluate-dropped", dropped.to_string()))}
                {costs.map(|(mean, range, context)| {
                    view! {
                        <div>
                            <dt>{i18n.t(Text::PromptTokens)}</dt>
                            <dd data-testid="evaluate-prompt-tokens">
                                {i18n.format(move |language| i18n::prompt_tokens(language, mean, range, context))}
                            </dd>
                        </div>
                    }
                })}
            </dl>
        </div>
        <div class="charts">
            <Bars title=Text::ByRole parts=report.per_role.into_iter().collect() />
            <Bars title=Text::ByType parts=report.per_type.into_iter().map(|(name, part)| (name.to_string(), part)).collect() />
        </div>
    }
}

/// Means as bars, each over its rows.
#[component]
fn Bars(title: Text, parts: Vec<(String, Part)>) -> impl IntoView {
    let i18n = app().i18n;
    if parts.is_empty() {
        return ().into_any();
    }
    let bars = parts.into_iter().map(|(name, Part { rows, mean })| {
        view! {
            <li>
                <span class="name">{i18n.format(move |language| i18n::part(language, &name))}</span>
                <span class="track" aria-hidden="true"><span style=format!("width: {}%", mean * 100.0)></span></span>
                <span class="value">{figure(mean)}</span>
                <span class="label">{i18n.format(move |language| i18n::rows(language, rows))}</span>
            </li>
        }
    });
    view! {
        <div>
            <h3>{i18n.t(title)}</h3>
            <ul class="bars" data-testid="evaluate-bars">{bars.collect_view()}</ul>
        </div>
    }
    .into_any()
}

#[component]
fn Exports() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let evaluation = app.evaluation;
    let button = move |what: Export, testid: &'static str, text: Text| {
        view! {
            <button class="button small" data-testid=testid on:click=move |_| evaluation.export(what)>{i18n.t(text)}</button>
        }
    };
    let of_run = move || evaluation.sheet.with(|sheet| sheet.as_ref().is_some_and(|sheet| sheet.run.is_some()));
    view! {
        <div class="row exports" hidden=move || evaluation.rows.with(Vec::is_empty)>
            {button(Export::Report, "evaluate-export", Text::ExportJson)}
            {button(Export::Csv, "evaluate-export-csv", Text::ExportCsv)}
            {button(Export::Predictions, "evaluate-export-predictions", Text::ExportPredictions)}
            {move || of_run().then(|| button(Export::Run, "evaluate-export-run", Text::ExportRun))}
        </div>
    }
}

/// A score, of 1.
pub fn figure(value: f64) -> String {
    format!("{value:.3}")
}
