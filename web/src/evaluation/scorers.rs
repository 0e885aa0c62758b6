use std::{io::BufReader, sync::Arc};

use leptos::prelude::*;
use protocol::{ErrorKind, Failure};
use roles::Language;
use rouge::{Dictionary, MissingDictionary, References, Rule, Scorer};

use crate::{net, slices};

/// The dictionary of Chinese words beside the page.
const DICTIONARY: &str = "data/jieba.txt";

/// Makes scorers, and fetches the dictionary for those that need it; all copies mean the same one.
#[derive(Clone, Copy)]
pub struct Scorers {
    dictionary: StoredValue<Option<Arc<Dictionary>>>,
    /// Is the dictionary on its way?
    pub fetching: RwSignal<bool>,
}

impl Scorers {
    /// No dictionary yet.
    pub fn new() -> Scorers {
        Scorers { dictionary: StoredValue::new(None), fetching: RwSignal::new(false) }
    }

    /// A scorer, as the command line's for the same words; without a language each reference decides.
    ///
    /// # Errors
    /// The dictionary cannot be fetched or is none.
    pub async fn scorer(
        self,
        rule: Rule,
        references: References,
        language: Option<Language>,
    ) -> Result<Scorer, Failure> {
        if rule.needs_dictionary() && self.dictionary.with_value(Option::is_none) {
            self.fetching.set(true);
            let read = read_dictionary().await;
            self.fetching.set(false);
            self.dictionary.set_value(Some(Arc::new(read?)));
        }
        self.ready(rule, references, language)
            .map_err(|error| Failure::new(ErrorKind::InvalidRequest, error.to_string()))
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// The dictionary is not there yet.
    pub fn ready(
        self,
        rule: Rule,
        references: References,
        language: Option<Language>,
    ) -> Result<Scorer, MissingDictionary> {
        let dictionary = self.dictionary.get_value().filter(|_| rule.needs_dictionary());
        let scorer = Scorer::new(rule, dictionary)?.with_references(references);
        Ok(match language {
            Some(language) => scorer.in_unit(rolebench::unit(language)),
            None => scorer,
        })
    }
}

async fn read_dictionary() -> Result<Dictionary, Failure> {
    let text = net::text(DICTIONARY).await.map_err(|error| Failure::new(ErrorKind::Download, error))?;
    // Reading it takes a moment in which nothing can be painted; what is said about it must be there before.
    slices::pause(50).await;
    Dictionary::read(&mut BufReader::new(text.as_bytes()))
        .map_err(|error| Failure::new(ErrorKind::Download, format!("{DICTIONARY}: {error}")))
}
