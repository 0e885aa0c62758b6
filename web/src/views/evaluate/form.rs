use leptos::prelude::*;
use roles::{Language, Strategy};
use rouge::{References, Rule};

use crate::{
    app::{App, app},
    evaluation::{Activity, Choice, Data, default_rule},
    i18n::{self, Text},
    models::Chosen,
    views::file_drop::FileDrop,
};

/// Most questions of one run.
const MOST: usize = 100_000;

/// What is asked, how it is scored, and who answers.
#[component]
pub fn Form() -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let evaluation = app.evaluation;
    let model = RwSignal::new(String::new());
    let run = move || {
        let id = model.get_untracked();
        evaluation.run((!id.is_empty()).then_some(Chosen::Shipped(id)));
    };
    view! {
        <form
            on:submit=move |event| {
                event.prevent_default();
                run();
            }
        >
            <fieldset class="plan">
                <legend>{i18n.t(Text::TestData)}</legend>
                <DataFields />
                <ScoreFields />
            </fieldset>
            <fieldset class="plan">
                <legend>{i18n.t(Text::AskModel)}</legend>
                <AskFields model />
            </fieldset>
        </form>
        <fieldset class="plan">
            <legend>{i18n.t(Text::ScoreFile)}</legend>
            <div class="whole">
                <FileDrop
                    label=Text::ChoosePredictions
                    hint=Text::PredictionsHint
                    testid="evaluate-predictions"
                    accept=".jsonl,.json,.txt"
                    take=Callback::new(move |file| evaluation.score_file(file))
                />
            </div>
        </fieldset>
    }
}

#[component]
fn DataFields() -> impl IntoView {
    let app = app();
    let (i18n, evaluation) = (app.i18n, app.evaluation);
    let choice = evaluation.choice;
    let words = |data: Data| match data {
        Data::RoleSpecific => Text::RoleSpecific,
        Data::General => Text::General,
        Data::Raw => Text::PlainAnswers,
        Data::File => Text::OwnFile,
        Data::Url => Text::AnAddress,
    };
    let data_options = Data::ALL.map(|(data, name)| (name, words(data)));
    let languages = [("en", Text::English), ("zh", Text::Chinese)];
    let set_data = move |name: String| {
        if let Some((data, _)) = Data::ALL.into_iter().find(|(_, known)| *known == name) {
            choice.update(|choice| choice.data = data);
        }
    };
    let set_language = move |name: String| {
        let language = if name == "zh" { Language::Zh } else { Language::En };
        choice.update(|choice| (choice.language, choice.rule) = (language, default_rule(language)));
        evaluation.rescore();
    };
    let data = move || choice.with(|choice| choice.data);
    let brought = move || {
        let rows = evaluation.brought.get();
        rows.map(|rows| format!("{}: {}", rows.name, i18n::rows(i18n.language.get(), rows.rows.len())))
    };
    view! {
        {field(app, Text::TestPart, "evaluate-part", data_options.into(), move || data().name().to_string(), set_data)}
        {field(
            app,
            Text::TestLanguage,
            "evaluate-language",
            languages.into(),
            move || if choice.with(|choice| choice.language) == Language::Zh { "zh" } else { "en" }.to_string(),
            set_language,
        )}
        <div class="whole" hidden=move || data() != Data::File>
            <FileDrop
                label=Text::ChooseTest
                hint=Text::RowsHint
                testid="evaluate-data-file"
                accept=".jsonl,.json,.txt"
                take=Callback::new(move |file| evaluation.bring(file))
            />
            <p class="hint" role="status" data-testid="evaluate-brought">
                {brought}
            </p>
        </div>
        <label class="whole" hidden=move || data() != Data::Url>
            <span>{i18n.t(Text::TestUrl)}</span>
            <input
                type="text"
                inputmode="url"
                data-testid="evaluate-data-url"
                placeholder="https://… .jsonl"
                prop:value=move || choice.with(|choice| choice.url.clone())
                on:input=move |event| choice.update(|choice| choice.url = event_target_value(&event))
            />
        </label>
    }
}

#[component]
fn ScoreFields() -> impl IntoView {
    let app = app();
    let (i18n, evaluation) = (app.i18n, app.evaluation);
    let choice = evaluation.choice;
    let set_rule = move |event| {
        if let Ok(rule) = event_target_value(&event).parse::<Rule>() {
            choice.update(|choice| choice.rule = rule);
            evaluation.rescore();
        }
    };
    let set_references = move |name: String| {
        if let Ok(references) = name.parse::<References>() {
            choice.update(|choice| choice.references = references);
            evaluation.rescore();
        }
    };
    let rules = move || {
        let names = Rule::ALL.into_iter().map(move |rule| {
            view! { <option value=rule.name() prop:selected=move || choice.with(|choice| choice.rule == rule)>{rule.name()}</option> }
        });
        names.collect_view()
    };
    let words = |references| match references {
        References::BestF => Text::BestReference,
        References::Max => Text::MaxReference,
        References::Mean => Text::MeanReference,
        References::First => Text::FirstReference,
    };
    let ways = References::ALL.map(|references| (references.name(), words(references)));
    let blind = move || choice.with(|choice| choice.language == Language::Zh && !choice.rule.reads_chinese());
    view! {
        <label>
            <span>{i18n.t(Text::Rule)}</span>
            <select data-testid="evaluate-rule" on:change=set_rule>{rules}</select>
        </label>
        {field(
            app,
            Text::SeveralReferences,
            "evaluate-references",
            ways.into(),
            move || choice.with(|choice| choice.references.name().to_string()),
            set_references,
        )}
        <p class="hint" role="status" data-testid="evaluate-dictionary" hidden=move || !evaluation.scorers.fetching.get()>
            {i18n.t(Text::FetchingDictionary)}
        </p>
        <p class="hint" hidden=move || !blind()>{i18n.t(Text::BlindToChinese)}</p>
    }
}

#[component]
fn AskFields(model: RwSignal<String>) -> impl IntoView {
    let app = app();
    let (i18n, evaluation) = (app.i18n, app.evaluation);
    let choice = evaluation.choice;
    let set_strategy = move |name: String| {
        if let Ok(strategy) = name.parse::<Strategy>() {
            choice.update(|choice| choice.strategy = strategy);
        }
    };
    let strategies = Strategy::ALL.map(|strategy| (strategy.name(), strategy_words(strategy)));
    let without_model = move || {
        let loaded = app.engine.model.with(Option::is_some) || app.engine.loading.get().is_some();
        !loaded && model.with(String::is_empty)
    };
    view! {
        <ModelField model label=Text::Model testid="evaluate-model" />
        {field(
            app,
            Text::Strategy,
            "evaluate-strategy",
            strategies.into(),
            move || choice.with(|choice| choice.strategy.name().to_string()),
            set_strategy,
        )}
        {number_field(app, Text::SampleCount, "evaluate-count", move || choice.with(|choice| choice.count as u64), move |count| {
            choice.update(|choice: &mut Choice| choice.count = (count as usize).clamp(1, MOST));
        })}
        {number_field(app, Text::Seed, "evaluate-seed", move || choice.with(|choice| choice.seed), move |seed| {
            choice.update(|choice: &mut Choice| choice.seed = seed);
        })}
        <Show
            when=move || evaluation.activity.get() != Activity::Idle
            fallback=move || {
                view! {
                    <button class="button" type="submit" data-testid="evaluate-run" disabled=without_model>
                        {i18n.t(Text::Run)}
                    </button>
                }
            }
        >
            <button class="button stop" type="button" data-testid="evaluate-stop" on:click=move |_| evaluation.pause()>
                {i18n.t(Text::Pause)}
            </button>
        </Show>
        <p class="hint whole">
            {i18n.t(Text::SampleHint)} " " {move || without_model().then(|| i18n.t(Text::NeedsModel)())}
        </p>
    }
}

/// The loaded model, or another of the catalog by its id.
#[component]
pub fn ModelField(model: RwSignal<String>, label: Text, testid: &'static str) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let loaded = move || match app.engine.model.with(|model| model.as_ref().map(|model| model.name.clone())) {
        Some(name) => i18n::loaded_model(i18n.language.get(), &name),
        None => i18n.t(Text::NoModel)().to_string(),
    };
    let entries = move || {
        let entries = app.models.catalog.get().models.into_iter().map(|entry| {
            let id = entry.id.clone();
            view! { <option value=entry.id prop:selected=move || model.with(|model| *model == id)>{entry.name}</option> }
        });
        entries.collect_view()
    };
    view! {
        <label>
            <span>{i18n.t(label)}</span>
            <select data-testid=testid on:change=move |event| model.set(event_target_value(&event))>
                <option value="">{loaded}</option>
                {entries}
            </select>
        </label>
    }
}

/// A strategy for people.
pub fn strategy_words(strategy: Strategy) -> Text {
    match strategy {
        Strategy::System => Text::StrategySystem,
        Strategy::ZeroShot => Text::StrategyZeroShot,
        Strategy::FewShot => Text::StrategyFewShot,
        Strategy::Dialogue => Text::StrategyDialogue,
        Strategy::Retrieval => Text::StrategyRetrieval,
    }
}

/// A choice among a few.
pub fn field(
    app: App,
    label: Text,
    testid: &'static str,
    options: Vec<(&'static str, Text)>,
    chosen: impl Fn() -> String + Copy + Send + Sync + 'static,
    set: impl Fn(String) + 'static,
) -> impl IntoView {
    let i18n = app.i18n;
    let options = options.into_iter().map(|(name, words)| {
        view! { <option value=name prop:selected=move || chosen() == name>{i18n.t(words)}</option> }
    });
    view! {
        <label>
            <span>{i18n.t(label)}</span>
            <select data-testid=testid on:change=move |event| set(event_target_value(&event))>{options.collect_view()}</select>
        </label>
    }
}

/// A whole number.
pub fn number_field(
    app: App,
    label: Text,
    testid: &'static str,
    value: impl Fn() -> u64 + Copy + Send + Sync + 'static,
    set: impl Fn(u64) + 'static,
) -> impl IntoView {
    view! {
        <label>
            <span>{app.i18n.t(label)}</span>
            <input
                type="number"
                min="0"
                data-testid=testid
                prop:value=move || value().to_string()
                on:input=move |event| {
                    if let Ok(number) = event_target_value(&event).parse() {
                        set(number);
                    }
                }
            />
        </label>
    }
}
