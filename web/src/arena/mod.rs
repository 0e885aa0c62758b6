//! Blind comparison by people: two models or strategies answer the same questions, and the reader says which did better.

mod bout;

pub use bout::{Bout, Contestant, Vote};

use leptos::prelude::*;
use leptos::task::spawn_local;
use protocol::{ErrorKind, Failure};
use rolebench::{draw, parse_samples};
use roles::{Language, Strategy};

use crate::{
    database::Database,
    engine::Engine,
    evaluation::{Asker, Data},
    library::Library,
    models::{Chosen, Models},
    net, store,
};

/// Where the bout is kept.
const KEY: &str = "arena.bout";

/// What the reader has chosen.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Which questions of the project's own set.
    pub data: Data,
    /// Their language.
    pub language: Language,
    /// How many.
    pub count: usize,
    /// Which ones, and on which side the first one's answers stand.
    pub seed: u64,
    /// The contestants' strategies, by name.
    pub strategies: [String; 2],
}

impl Default for Rules {
    fn default() -> Rules {
        let strategies = [Strategy::System, Strategy::Dialogue].map(|strategy| strategy.name().to_string());
        Rules { data: Data::General, language: Language::En, count: 10, seed: 1, strategies }
    }
}

/// The arena; all copies mean the same one.
#[derive(Clone, Copy)]
pub struct Arena {
    engine: Engine,
    library: Library,
    models: Models,
    database: Database,
    /// What the reader has chosen.
    pub rules: RwSignal<Rules>,
    /// What is going on, or was last.
    pub bout: RwSignal<Option<Bout>>,
    /// Are answers being written?
    pub answering: RwSignal<bool>,
    /// What ended them early.
    pub failure: RwSignal<Option<Failure>>,
    /// Counts beginnings, so that what was overtaken ends.
    turn: StoredValue<u32>,
}

impl Arena {
    /// The bout of the last visit, if there is one.
    pub fn start(engine: Engine, library: Library, models: Models, database: Database, language: Language) -> Arena {
        let rules = RwSignal::new(store::get("arena").unwrap_or_else(|| Rules { language, ..Rules::default() }));
        Effect::new(move || store::set("arena", &rules.get()));
        let arena = Arena {
            engine,
            library,
            models,
            database,
            rules,
            bout: RwSignal::new(None),
            answering: RwSignal::new(false),
            failure: RwSignal::new(None),
            turn: StoredValue::new(0),
        };
        spawn_local(async move {
            let kept = database.get::<Bout>(KEY).await;
            if arena.bout.with_untracked(Option::is_none) {
                arena.bout.set(kept);
            }
        });
        arena
    }

    /// Begins a bout between two models, each the loaded one where none is named.
    pub fn begin(self, models: [Option<Chosen>; 2]) {
        self.work(async move |turn| {
            let rules = self.rules.get_untracked();
            let path = rules.data.path(rules.language).unwrap_or_default();
            let text = net::text(&path).await.map_err(|error| Failure::new(ErrorKind::Download, error))?;
            let samples = parse_samples(&text)
                .map_err(|error| Failure::new(ErrorKind::InvalidRequest, format!("{path}, {error}")))?;
            self.engine.idle().await;
            let contestants = [0, 1].map(|side: usize| self.contestant(&models[side], &rules.strategies[side]));
            let [first, second] = contestants;
            let contestants = [first?, second?];
            if contestants[0] == contestants[1] {
                let message = "both sides have the same model and strategy; change one of them";
                return Err(Failure::new(ErrorKind::InvalidRequest, message));
            }
            let places = draw(samples.len(), rules.count, rules.seed);
            let samples = places.into_iter().map(|place| samples[place].clone()).collect();
            self.bout.set(Some(Bout::new(contestants, samples, rules.seed)));
            self.keep().await;
            self.answer(turn).await
        });
    }

    /// Goes on with the answers.
    pub fn resume(self) {
        self.work(async move |turn| self.answer(turn).await);
    }

    /// Pauses the run: what is answered stays, and the rest is asked when it goes on.
    pub fn pause(self) {
        self.turn.update_value(|turn| *turn += 1);
        if self.answering.get_untracked() {
            self.engine.stop();
        }
        self.answering.set(false);
    }

    /// The reader's judgement on the question that is shown.
    pub fn vote(self, vote: Vote) {
        self.change(|bout| bout.votes.push(vote));
    }

    /// Takes the last judgement back.
    pub fn undo(self) {
        self.change(|bout| _ = bout.votes.pop());
    }

    /// Ends the bout with the judgements that there are.
    pub fn end(self) {
        self.change(|bout| bout.ended = true);
    }

    /// Makes room for another bout.
    pub fn clear(self) {
        self.pause();
        self.failure.set(None);
        self.bout.set(None);
        spawn_local(self.database.forget(KEY));
    }

    fn change(self, change: impl FnOnce(&mut Bout)) {
        self.bout.update(|bout| {
            if let Some(bout) = bout.as_mut() {
                change(bout);
            }
        });
        spawn_local(self.keep());
    }

    fn work(self, work: impl AsyncFnOnce(u32) -> Result<(), Failure> + 'static) {
        self.pause();
        let turn = self.turn.get_value();
        self.failure.set(None);
        self.answering.set(true);
        spawn_local(async move {
            let outcome = work(turn).await;
            if self.turn.get_value() == turn {
                self.failure.set(outcome.err());
                self.answering.set(false);
            }
        });
    }

    fn contestant(self, wanted: &Option<Chosen>, strategy: &str) -> Result<Contestant, Failure> {
        let chosen = wanted.clone().or_else(|| self.models.chosen.get_untracked());
        let loaded = || self.engine.model.with_untracked(|model| model.as_ref().map(|model| model.name.clone()));
        let name = match &chosen {
            Some(Chosen::Shipped(id)) => self.models.entry(id).map(|entry| entry.name),
            _ => loaded(),
        };
        let none = || Failure::new(ErrorKind::NoModel, "no model is loaded");
        let strategy = strategy.parse().map_err(|error| Failure::new(ErrorKind::InvalidRequest, format!("{error}")))?;
        Ok(Contestant { chosen: chosen.ok_or_else(none)?, model: name.ok_or_else(none)?, strategy })
    }

    /// All answers of the first contestant, then all of the second: each model is loaded once.
    async fn answer(self, turn: u32) -> Result<(), Failure> {
        let asker = Asker::new(self.engine, self.library, self.models);
        for side in 0..2 {
            let Some(bout) = self.bout.get_untracked() else { return Ok(()) };
            let contestant = &bout.contestants[side];
            if bout.answers[side].len() < bout.samples.len() {
                self.models.ensure(Some(&contestant.chosen)).await?;
            }
            for (place, sample) in bout.samples.iter().enumerate().skip(bout.answers[side].len()) {
                let answer = asker.ask(contestant.strategy, place, sample).await?;
                let Some(answer) = answer.filter(|_| self.turn.get_value() == turn) else { return Ok(()) };
                self.bout.update(|bout| {
                    if let Some(bout) = bout.as_mut() {
                        bout.answers[side].push(answer);
                    }
                });
                self.keep().await;
            }
        }
        Ok(())
    }

    async fn keep(self) {
        if let Some(bout) = self.bout.get_untracked() {
            self.database.put(KEY, &bout).await;
        }
    }
}
