use std::{cell::RefCell, collections::HashMap, rc::Rc};

use leptos::prelude::untrack;
use protocol::{ErrorKind, Failure, Options, StopReason};
use rolebench::Sample;
use roles::{Examples, Message, Strategy};

use super::Answer;
use crate::{
    chat,
    engine::Engine,
    library::{Character, Library, Origin},
    models::Models,
    net,
};

/// Most tokens of an answer; as on the command line.
pub const MAX_TOKENS: u32 = 200;

/// Asks the loaded model test questions.
pub struct Asker {
    engine: Engine,
    library: Library,
    models: Models,
    examples: RefCell<HashMap<String, Rc<Examples>>>,
}

impl Asker {
    /// An asker that knows no dialogue yet.
    pub fn new(engine: Engine, library: Library, models: Models) -> Asker {
        Asker { engine, library, models, examples: RefCell::default() }
    }

    /// The answer to the question at `place`, at temperature 0; nothing if it was stopped.
    ///
    /// # Errors
    /// What the engine fails at, and a role's dialogue that cannot be read. A prompt that does not fit is no error but
    /// an answer without text.
    pub async fn ask(&self, strategy: Strategy, place: usize, sample: &Sample) -> Result<Option<Answer>, Failure> {
        let (role, question) = sample.key();
        let character = self.library.find(role);
        let messages = match &character {
            Some(character) => {
                strategy.messages(&character.role, &*self.examples(strategy, character).await?, question)
            }
            None => vec![Message::user(question)],
        };
        let options =
            Options { temperature: Some(0.0), max_tokens: Some(MAX_TOKENS), seed: Some(0), ..Options::default() };
        let instructed = character.is_some();
        let adapter = character.and_then(|character| untrack(|| self.models.adapter_for(&character.role.id)));
        // The reader may be chatting meanwhile.
        self.engine.free().await;
        let answer = Answer { place, text: None, prompt_tokens: 0, tokens: 0, dropped_messages: 0, instructed };
        match self.engine.generate(chat::prompt(messages), options, adapter, |_| {}).await {
            Ok(outcome) if outcome.stop == StopReason::Cancelled => Ok(None),
            Ok(outcome) => Ok(Some(Answer {
                text: Some(outcome.text.trim().to_string()),
                prompt_tokens: outcome.prompt_tokens,
                tokens: outcome.tokens,
                dropped_messages: outcome.dropped_messages,
                ..answer
            })),
            Err(Failure { kind: ErrorKind::PromptTooLong, tokens: Some(tokens), .. }) => {
                Ok(Some(Answer { prompt_tokens: tokens.needed, ..answer }))
            }
            Err(failure) => Err(failure),
        }
    }

    /// A role's dialogue, fetched when it is first needed; only those of the project have one.
    async fn examples(&self, strategy: Strategy, character: &Character) -> Result<Rc<Examples>, Failure> {
        let id = &character.role.id;
        if let Some(known) = self.examples.borrow().get(id) {
            return Ok(known.clone());
        }
        if !strategy.needs_examples() || character.origin != Origin::Project {
            return Ok(Rc::default());
        }
        let path = format!("data/roles/{id}/dialogue.jsonl");
        let text = net::text(&path).await.map_err(|error| Failure::new(ErrorKind::Download, error))?;
        let examples = Examples::from_jsonl(&text)
            .map_err(|error| Failure::new(ErrorKind::InvalidRequest, format!("{path}, {error}")))?;
        let examples = Rc::new(examples);
        self.examples.borrow_mut().insert(id.clone(), examples.clone());
        Ok(examples)
    }
}
