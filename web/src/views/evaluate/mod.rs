mod form;
mod result;
mod rows;
mod runs;

use leptos::prelude::*;

use crate::{
    app::app,
    evaluation::Activity,
    i18n::{self, Text},
};
use form::Form;
pub use form::{ModelField, field, number_field, strategy_words};
use result::ResultView;
pub use result::figure;
use runs::Runs;

/// Scores of models and files.
#[component]
pub fn EvaluateView() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let evaluation = app.evaluation;
    let words = move || evaluation.failure.get().map(|failure| i18n::failure(i18n.language.get(), &failure));
    let nothing = move || evaluation.sheet.with(Option::is_none) && evaluation.activity.get() == Activity::Idle;
    let unfinished = move || {
        let run = evaluation.runs.with(|runs| runs.first().filter(|run| !run.is_complete()).cloned());
        run.filter(|_| nothing()).map(|run| {
            let words = i18n::unfinished(i18n.language.get(), &run.model.name, run.asked, run.places.len());
            view! {
                <div class="notice" role="status" data-testid="evaluate-unfinished">
                    <p>{words}</p>
                    <button
                        class="button small"
                        data-testid="evaluate-continue"
                        on:click=move |_| evaluation.resume(run.clone())
                    >
                        {i18n.t(Text::Continue)}
                    </button>
                </div>
            }
        })
    };
    let refusal = move || app.database.refusal.get().map(|reason| i18n::not_kept(i18n.language.get(), &reason));
    view! {
        <div class="page evaluate">
            <h1>{i18n.t(Text::EvaluateTitle)}</h1>
            <p class="lead">{i18n.t(Text::EvaluateLead)}</p>
            {unfinished}
            <Form />
            <p class="problem" role="alert" data-testid="evaluate-error" hidden=move || evaluation.failure.with(Option::is_none)>
                {words}
            </p>
            <p class="notice" hidden=move || refusal().is_none()>{refusal}</p>
            <BadLines />
            <ResultView />
            <Runs />
        </div>
    }
}

/// Lines that are no rows, file by file.
#[component]
fn BadLines() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let files = move || {
        let files = app.evaluation.bad.get().into_iter().map(|(name, lines)| {
            let title = i18n::bad_lines(i18n.language.get(), &name, lines.len());
            let lines: String = lines.iter().map(|error| format!("{error}\n")).collect();
            view! {
                <details class="notice bad-lines" data-testid="evaluate-bad-lines">
                    <summary>{title}</summary>
                    <pre tabindex="0">{lines}</pre>
                </details>
            }
        });
        files.collect_view()
    };
    view! { <div role="status">{files}</div> }
}
