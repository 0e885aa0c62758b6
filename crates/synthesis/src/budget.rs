//! What requests cost, and the limit. It holds as far as the estimate of a prompt's tokens does; replies are reckoned at their longest.

use crate::{JournalError, Request};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

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
    state: Mutex<Money>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct Money {
    spent: f64,
    reserved: f64,
    /// Requests under way.
    under_way: usize,
}

impl Budget {
    /// A budget of which `spent` is gone already.
    pub fn new(limit: Option<f64>, spent: f64) -> Budget {
        let state = Mutex::new(Money { spent, ..Money::default() });
        Budget { limit, state, settled: Notify::new() }
    }

    /// Sets money aside; waits for requests under way where they may leave enough of it.
    ///
    /// # Errors
    /// [`Failure::Budget`] where the limit could be passed.
    pub async fn reserve(&self, amount: f64) -> Result<(), Failure> {
        loop {
            let settled = self.settled.notified();
            let mut settled = std::pin::pin!(settled);
            // From here on no settlement is missed.
            settled.as_mut().enable();
            if self.try_reserve(amount)? {
                return Ok(());
            }
            settled.await;
        }
    }

    fn try_reserve(&self, amount: f64) -> Result<bool, Failure> {
        let mut money = self.lock();
        let Money { spent, reserved, under_way } = *money;
        if let Some(limit) = self.limit.filter(|limit| spent + reserved + amount > *limit) {
            let may_be_enough = under_way > 0 && spent + amount <= limit;
            return if may_be_enough { Ok(false) } else { Err(Failure::Budget { limit, spent, reserved }) };
        }
        money.reserved += amount;
        money.under_way += 1;
        Ok(true)
    }

    /// Ends a reservation; `cost` of it is spent.
    pub fn settle(&self, reserved: f64, cost: f64) {
        let mut money = self.lock();
        money.spent += cost;
        money.reserved = (money.reserved - reserved).max(0.0);
        money.under_way = money.under_way.saturating_sub(1);
        drop(money);
        self.settled.notify_waiters();
    }

    /// What is spent.
    pub fn spent(&self) -> f64 {
        self.lock().spent
    }

    fn lock(&self) -> MutexGuard<'_, Money> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
