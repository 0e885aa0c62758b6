use leptos::prelude::*;

use crate::{app::app, i18n::Text};

/// What this is.
#[component]
pub fn About() -> impl IntoView {
    let i18n = app().i18n;
    let paragraphs = [
        Text::AboutWhat,
        Text::AboutPaper,
        Text::AboutLimits,
        Text::AboutPrivacy,
        Text::AboutLicence,
        Text::AboutProgram,
    ];
    view! {
        <div class="page about">
            <h1>{i18n.t(Text::AboutTitle)}</h1>
            {paragraphs.map(|text| view! { <p>{i18n.t(text)}</p> })}
            <p>
                <a href="https://arxiv.org/abs/2310.00746" target="_blank" rel="noopener noreferrer">{i18n.t(Text::PaperLink)}</a>
            </p>
        </div>
    }
}
