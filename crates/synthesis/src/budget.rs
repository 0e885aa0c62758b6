//! What requests cost, and the limit. It holds as far as the estimate of a prompt's tokens does; replies are reckoned at their longest.

use crate::{JournalError, Request};
use std::sync::Mutex;

/// What a teacher takes for a million tokens, in any currency.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    /// For prompts.
    pub input: f64,
    /// For replies.
    pub output: f64,
}

impl Price {
    /// The price of a request and its reply.
    pub fn of(&self, prompt_tokens: u64, reply_tokens: u64) -> f64 {
        (prompt_tokens as f64 * self.input + reply_tokens as f64 * self.output) / 1e6
    }

    /// The most that a request can cost, by the estimate of its prompt and the most tokens of its reply.
    pub fn at_most(&self, request: &Request) -> f64 {
        self.of(request.estimated_tokens(), u64::from(request.sampling.max_tokens))
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The next request might pass the limit.
    #[error(
        "stopped before {limit} was passed: {spent:.4} spent, {reserved:.4} under way; raise --max-cost and run again, nothing is asked twice"
    )]
    Budget {
        /// The limit.
        limit: f64,
        /// What answers have cost.
        spent: f64,
        /// What requests under way may cost.
        reserved: f64,
    },
    /// No teacher can be used.
    #[error("{reason}")]
    Unusable {
        /// What the last of them said.
        reason: String,
    },
    /// This request is refused.
    #[error("{reason}")]
    Refused {
        /// What the teacher said.
        reason: String,
    },
    /// It was asked as often as it may be.
    #[error("given up after {attempts} attempts: {reason}")]
    GaveUp {
        /// How often.
        attempts: u32,
        /// What happened last.
        reason: String,
    },
    /// The answer cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Failure {
    /// Is it the end of the run, and not of one request?
    pub fn ends_the_run(&self) -> bool {
        !matches!(self, Failure::Refused { .. } | Failure::GaveUp { .. })
    }
}

/// Money spent and money that requests under way may cost.
#[derive(Debug)]
pub struct Budget {
    limit: Option<f64>,
    state: Mutex<(f64, f64)>,
}

impl Budget {
    /// A budget of which `spent` is gone already.
    pub fn new(limit: Option<f64>, spent: f64) -> Budget {
        Budget { limit, state: Mutex::new((spent, 0.0)) }
    }

    /// Sets money aside.
    ///
    /// # Errors
    /// [`Failure::Budget`] where it could pass the limit.
    pub fn reserve(&self, amount: f64) -> Result<(), Failure> {
        let mut state = self.lock();
        let (spent, reserved) = *state;
        match self.limit {
            Some(limit) if spent + reserved + amount > limit => Err(Failure::Budget { limit, spent, reserved }),
            _ => {
                state.1 += amount;
                Ok(())
            }
        }
    }

    /// Ends a reservation; `cost` of it is spent.
    pub fn settle(&self, reserved: f64, cost: f64) {
        let mut state = self.lock();
        state.0 += cost;
        state.1 = (state.1 - reserved).max(0.0);
    }

    /// What is spent.
    pub fn spent(&self) -> f64 {
        self.lock().0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (f64, f64)> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
