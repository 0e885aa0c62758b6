use leptos::prelude::*;
use roles::Language;
use rouge::Rule;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use crate::{
    app::app,
    evaluation::{Part, Plan, Row, default_rule},
    i18n::{self, Text},
};

/// Most samples of one run.
const MOST: usize = 1000;

/// Scores of the loaded model.
#[component]
pub fn EvaluateView() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let evaluation = app.evaluation;
    let words = move || evaluation.failure.get().map(|failure| i18n::failure(i18n.language.get(), &failure));
    let export = move |_| {
        if let Some(report) = evaluation.report() {
            let _ = save("rolellm-evaluation.json", &report);
        }
    };
    view! {
        <div class="page evaluate">
            <h1>{i18n.t(Text::EvaluateTitle)}</h1>
            <p class="lead">{i18n.t(Text::EvaluateLead)}</p>
            <PlanForm />
            <p class="problem" role="alert" data-testid="evaluate-error" hidden=move || evaluation.failure.with(Option::is_none)>
                {words}
            </p>
            <Summary />
            <div class="rows">
                <For each=move || evaluation.rows.get() key=|row| row.index let:row>
                    <RowView row />
                </For>
            </div>
            <button
                class="button"
                data-testid="evaluate-export"
                hidden=move || evaluation.rows.with(Vec::is_empty)
                on:click=export
            >
                {i18n.t(Text::ExportJson)}
            </button>
        </div>
    }
}

/// What to run.
#[component]
fn PlanForm() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let evaluation = app.evaluation;
    let last = evaluation.plan.get_untracked().unwrap_or_else(|| {
        let language = i18n.language.get_untracked();
        Plan { language, part: Part::RoleSpecific, count: 10, rule: default_rule(language) }
    });
    let plan = RwSignal::new(last);
    let set_language = move |event| {
        let language = if event_target_value(&event) == "zh" { Language::Zh } else { Language::En };
        plan.update(|plan| (plan.language, plan.rule) = (language, default_rule(language)));
    };
    let set_part = move |event| {
        let part = if event_target_value(&event) == "general" { Part::General } else { Part::RoleSpecific };
        plan.update(|plan| plan.part = part);
    };
    let set_rule = move |event| {
        if let Ok(rule) = event_target_value(&event).parse::<Rule>() {
            plan.update(|plan| plan.rule = rule);
        }
    };
    let set_count = move |event| {
        if let Ok(count) = event_target_value(&event).parse::<usize>() {
            plan.update(|plan| plan.count = count.clamp(1, MOST));
        }
    };
    let running = move || evaluation.running.get();
    let is_language = move |language| move || plan.get().language == language;
    let is_part = move |part| move || plan.get().part == part;
    let rules = move || {
        let language = plan.get().language;
        let readable = Rule::ALL
            .into_iter()
            .filter(move |rule| !rule.needs_dictionary() && (language == Language::En || rule.reads_chinese()));
        readable
            .map(|rule| view! { <option value=rule.name() prop:selected=move || plan.get().rule == rule>{rule.name()}</option> })
            .collect_view()
    };
    let without_model = move || app.engine.model.with(Option::is_none) && app.engine.loading.get().is_none();
    view! {
        <form
            class="plan"
            on:submit=move |event| {
                event.prevent_default();
                evaluation.run(plan.get_untracked());
            }
        >
            <label>
                <span>{i18n.t(Text::TestLanguage)}</span>
                <select data-testid="evaluate-language" on:change=set_language>
                    <option value="en" prop:selected=is_language(Language::En)>{i18n.t(Text::English)}</option>
                    <option value="zh" prop:selected=is_language(Language::Zh)>{i18n.t(Text::Chinese)}</option>
                </select>
            </label>
            <label>
                <span>{i18n.t(Text::TestPart)}</span>
                <select data-testid="evaluate-part" on:change=set_part>
                    <option value="role_specific" prop:selected=is_part(Part::RoleSpecific)>{i18n.t(Text::RoleSpecific)}</option>
                    <option value="general" prop:selected=is_part(Part::General)>{i18n.t(Text::General)}</option>
                </select>
            </label>
            <label>
                <span>{i18n.t(Text::Rule)}</span>
                <select data-testid="evaluate-rule" on:change=set_rule>{rules}</select>
            </label>
            <label>
                <span>{i18n.t(Text::SampleCount)}</span>
                <input
                    type="number"
                    min="1"
                    max=MOST.to_string()
                    data-testid="evaluate-count"
                    prop:value=move || plan.get().count.to_string()
                    on:input=set_count
                />
            </label>
            <Show
                when=running
                fallback=move || {
                    view! {
                        <button class="button" type="submit" data-testid="evaluate-run" disabled=without_model>
                            {i18n.t(Text::Run)}
                        </button>
                    }
                }
            >
                <button class="button stop" type="button" data-testid="evaluate-stop" on:click=move |_| evaluation.stop()>
                    {i18n.t(Text::Stop)}
                </button>
            </Show>
            <p class="hint">
                {i18n.t(Text::SampleHint)} " " {move || without_model().then(|| i18n.t(Text::NeedsModel)())}
            </p>
        </form>
    }
}

/// The mean so far, and how far that is.
#[component]
fn Summary() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let evaluation = app.evaluation;
    let mean = move || evaluation.mean().map(figure);
    let rows = move || i18n::rows(i18n.language.get(), evaluation.rows.with(Vec::len));
    let rule = move || evaluation.plan.get().map(|plan| plan.rule.name());
    let progress = move || i18n::progress(i18n.language.get(), evaluation.rows.with(Vec::len), evaluation.total.get());
    view! {
        <Show
            when=move || evaluation.plan.with(Option::is_some)
            fallback=move || view! { <p class="empty">{i18n.t(Text::NothingYet)}</p> }
        >
            <div class="summary">
                <div>
                    <span class="label">{i18n.t(Text::Mean)} " · " {rule}</span>
                    <p data-testid="evaluate-mean"><strong>{mean}</strong> " " <span class="label">{rows}</span></p>
                </div>
                <div class="progress" role="status">
                    <progress
                        max=move || evaluation.total.get().max(1).to_string()
                        value=move || evaluation.rows.with(Vec::len).to_string()
                    ></progress>
                    <span>{progress}</span>
                </div>
            </div>
        </Show>
    }
}

#[component]
fn RowView(row: Row) -> impl IntoView {
    let i18n = app().i18n;
    let references = row.references.into_iter().map(|reference| view! { <dd>{reference}</dd> }).collect_view();
    view! {
        <article class="row-card" data-testid="evaluate-row" style=("--value", row.value.to_string())>
            <header>
                <span class="role">{row.role}</span>
                <strong data-testid="evaluate-value">{figure(row.value)}</strong>
            </header>
            <p class="asked">{row.question}</p>
            {(!row.instructed).then(|| view! { <p class="mark">{i18n.t(Text::NoInstruction)}</p> })}
            <dl>
                <dt>{i18n.t(Text::Prediction)}</dt>
                <dd class="prediction">{row.prediction}</dd>
                <dt>{i18n.t(Text::Reference)}</dt>
                {references}
            </dl>
        </article>
    }
}

/// A score, of 1.
fn figure(value: f64) -> String {
    format!("{value:.3}")
}

/// Offers `text` as a file to keep.
fn save(name: &str, text: &str) -> Result<(), JsValue> {
    let kind = BlobPropertyBag::new();
    kind.set_type("application/json");
    let blob = Blob::new_with_str_sequence_and_options(&js_sys::Array::of1(&text.into()), &kind)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let link: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
    link.set_href(&url);
    link.set_download(name);
    link.click();
    Url::revoke_object_url(&url)
}
