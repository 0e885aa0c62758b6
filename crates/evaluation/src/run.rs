use crate::{Ledger, LedgerError};
use generate::{Error, Generator, Message, Options, Outcome, Prompt};
use rolebench::Sample;
use roles::Role;
use std::collections::BTreeSet;

/// Asks a local model the questions of test rows, each as the role that the row names.
#[derive(Debug)]
pub struct Runner<'a> {
    generator: Generator,
    options: Options,
    roles: &'a [Role],
}

/// What became of a row.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The row.
    pub sample: &'a Sample,
    /// What the model wrote, or that the prompt is too long for it; such a row stays without an answer.
    pub outcome: Result<Outcome, Error>,
}

/// Why a run ends early. What was answered is in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Rows name roles that there are no descriptions of.
    #[error("no role.json for {}; there are {}", unknown.join(", "), known.join(", "))]
    UnknownRoles {
        /// The names without a description.
        unknown: Vec<String>,
        /// The names that have one.
        known: Vec<String>,
    },
    /// The model fails.
    #[error("{reason}; asked of {role}: {question}")]
    Generate {
        /// How.
        reason: Box<Error>,
        /// Who was asked.
        role: String,
        /// What was asked.
        question: String,
    },
    /// The answer cannot be kept.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Does every row name one of the roles?
///
/// # Errors
/// [`RunError::UnknownRoles`] with all names that are no role's.
pub fn check_roles(roles: &[Role], samples: &[&Sample]) -> Result<(), RunError> {
    let named: BTreeSet<&str> = samples.iter().map(|sample| sample.key().0).collect();
    let unknown: Vec<String> =
        named.into_iter().filter(|name| find(roles, name).is_none()).map(str::to_string).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let known = roles.iter().map(|role| role.name.clone()).collect();
    Err(RunError::UnknownRoles { unknown, known })
}

impl<'a> Runner<'a> {
    /// A runner that writes at most `max_tokens` tokens to each question: always the most probable one, no penalties.
    pub fn new(generator: Generator, roles: &'a [Role], max_tokens: usize) -> Runner<'a> {
        let options = Options { temperature: 0.0, repetition_penalty: 1.0, max_tokens, ..Options::default() };
        Runner { generator, options, roles }
    }

    /// Answers the rows that the ledger has no answer to, in their order, and tells `progress` of each.
    ///
    /// # Errors
    /// A row's role is unknown (found before anything is asked), the model fails, the ledger cannot be written.
    pub fn run(
        &mut self,
        samples: &[&Sample],
        ledger: &mut Ledger,
        progress: &mut dyn FnMut(&Answer),
    ) -> Result<(), RunError> {
        check_roles(self.roles, samples)?;
        for &sample in samples {
            if ledger.has(sample) {
                continue;
            }
            let outcome = match self.answer(sample) {
                Err(reason) if !matches!(reason, Error::PromptTooLong { .. }) => {
                    let (role, question) = sample.key();
                    let reason = Box::new(reason);
                    return Err(RunError::Generate { reason, role: role.to_string(), question: question.to_string() });
                }
                outcome => outcome,
            };
            if let Ok(outcome) = &outcome {
                ledger.append(sample, outcome.text.trim())?;
            }
            progress(&Answer { sample, outcome });
        }
        Ok(())
    }

    fn answer(&mut self, sample: &Sample) -> Result<Outcome, Error> {
        let (role, question) = sample.key();
        let instruction = find(self.roles, role).map(|role| Message::system(role.system_instruction()));
        let prompt = Prompt::Messages(instruction.into_iter().chain([Message::user(question)]).collect());
        self.generator.start(&prompt, self.options.clone())?;
        while self.generator.step()?.is_some() {}
        Ok(self.generator.finish())
    }
}

fn find<'a>(roles: &'a [Role], name: &str) -> Option<&'a Role> {
    roles.iter().find(|role| role.name.trim() == name)
}
