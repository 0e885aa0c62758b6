use std::ops::Range;

use leptos::prelude::*;

use crate::{
    app::app,
    evaluation::Row,
    i18n::{self, Text},
    views::evaluate::{field, figure},
};

/// Rows that are shown at first, and how many more at a time.
const FIRST: usize = 20;
const MORE: usize = 50;
/// Longer texts are shown without what they have in common, in bytes.
const LONGEST: usize = 8000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Latest,
    Lowest,
    Highest,
}

/// The rows, some at a time.
#[component]
pub fn RowsView() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let evaluation = app.evaluation;
    let limit = RwSignal::new(FIRST);
    let order = RwSignal::new(Order::Latest);
    let orders = [("latest", Text::LatestFirst), ("lowest", Text::LowestFirst), ("highest", Text::HighestFirst)];
    let set_order = move |name: String| {
        order.set(match name.as_str() {
            "lowest" => Order::Lowest,
            "highest" => Order::Highest,
            _ => Order::Latest,
        });
    };
    let name = move || match order.get() {
        Order::Latest => "latest".to_string(),
        Order::Lowest => "lowest".to_string(),
        Order::Highest => "highest".to_string(),
    };
    let shown = move || {
        evaluation.rows.with(|rows| {
            let mut places: Vec<usize> = (0..rows.len()).rev().collect();
            let by_value = |a: &usize, b: &usize| rows[*a].score.value.total_cmp(&rows[*b].score.value);
            match order.get() {
                Order::Latest => {}
                Order::Lowest => places.sort_by(by_value),
                Order::Highest => places.sort_by(|a, b| by_value(b, a)),
            }
            places.into_iter().take(limit.get()).map(|place| rows[place].clone()).collect::<Vec<_>>()
        })
    };
    let rule = move || evaluation.choice.with_untracked(|choice| (choice.rule, choice.references));
    let key = move |row: &Row| (row.place, row.prediction.clone(), row.score.value.to_bits(), rule());
    let more = move || evaluation.rows.with(Vec::len) > limit.get();
    view! {
        <div hidden=move || evaluation.rows.with(Vec::is_empty)>
            <div class="row rows-head">
                <h2>{i18n.t(Text::Rows)}</h2>
                {field(app, Text::Order, "evaluate-order", orders.into(), name, set_order)}
            </div>
            <p class="hint">{i18n.t(Text::CommonHint)}</p>
            <div class="rows">
                <For each=shown key=key let:row>
                    <RowView row />
                </For>
            </div>
            <button class="button small" hidden=move || !more() on:click=move |_| limit.update(|limit| *limit += MORE)>
                {i18n.t(Text::ShowMore)}
            </button>
        </div>
    }
}

#[component]
fn RowView(row: Row) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let Some(sample) = app.evaluation.sample(row.place) else { return ().into_any() };
    let (cost, instructed) = app.evaluation.sheet.with_untracked(|sheet| {
        let cost = sheet.as_ref().and_then(|sheet| sheet.costs.get(&row.place));
        (cost.map(|cost| (cost.tokens, cost.prompt_tokens)), cost.is_none_or(|cost| cost.instructed))
    });
    let choice = app.evaluation.choice.get_untracked();
    let scorer = app.evaluation.scorers.ready(choice.rule, choice.references, Some(choice.language)).ok();
    let nearest = scorer.as_ref().and_then(|scorer| scorer.nearest(&row.prediction, &sample.generated));
    let short = |text: &str| text.len() <= LONGEST;
    let common = match (&scorer, nearest.map(|at| &sample.generated[at])) {
        (Some(scorer), Some(reference)) if short(&row.prediction) && short(reference) => {
            scorer.align(&row.prediction, reference)
        }
        _ => Vec::new(),
    };
    let (of_prediction, of_reference): (Vec<_>, Vec<_>) = common.into_iter().unzip();
    let references = sample.generated.iter().enumerate().map(|(at, reference)| match Some(at) == nearest {
        true => view! { <dd class="nearest">{marked(reference, &of_reference)}</dd> }.into_any(),
        false => view! { <dd>{reference.clone()}</dd> }.into_any(),
    });
    let score = row.score;
    view! {
        <article class="row-card" data-testid="evaluate-row" style=("--value", score.value.to_string())>
            <header>
                <span class="role">{sample.role.clone()}</span>
                <strong data-testid="evaluate-value">{figure(score.value)}</strong>
            </header>
            <p class="asked">{sample.question.clone()}</p>
            {(!instructed).then(|| view! { <p class="mark">{i18n.t(Text::NoInstruction)}</p> })}
            <dl>
                <dt>{i18n.t(Text::Prediction)}</dt>
                <dd class="prediction" data-testid="evaluate-prediction">{marked(&row.prediction, &of_prediction)}</dd>
                <dt>{i18n.t(Text::Reference)}</dt>
                {references.collect_view()}
            </dl>
            <p class="figures">
                <span>{i18n.t(Text::Precision)} " " {figure(score.precision)}</span>
                <span>{i18n.t(Text::Recall)} " " {figure(score.recall)}</span>
                <span>"F " {figure(score.f1)}</span>
                {cost.map(|(tokens, prompt)| {
                    view! { <span>{i18n.format(move |language| i18n::counts(language, tokens, prompt))}</span> }
                })}
            </p>
        </article>
    }
    .into_any()
}

/// A text with these ranges, in ascending order, marked.
fn marked(text: &str, ranges: &[Range<usize>]) -> impl IntoView + use<> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range.clone()),
        }
    }
    let mut pieces = Vec::with_capacity(2 * joined.len() + 1);
    let mut end = 0;
    for range in joined {
        pieces.push(text[end..range.start].to_string().into_any());
        pieces.push(view! { <mark>{text[range.clone()].to_string()}</mark> }.into_any());
        end = range.end;
    }
    pieces.push(text[end..].to_string().into_any());
    pieces
}
