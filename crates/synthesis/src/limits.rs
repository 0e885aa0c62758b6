//! How fast a teacher may be asked, and when it is left alone.

use std::{sync::Mutex, time::Duration};
use tokio::time::Instant;

/// How much of a minute's allowance may be used at once.
const BURST: f64 = 1.0 / 12.0;

/// An even pace: so much a minute, a twelfth of it at once (a leaky bucket, as in GCRA).
#[derive(Debug)]
pub struct Pace {
    per_second: f64,
    burst: Duration,
    /// When the bucket is empty again.
    empty_at: Mutex<Instant>,
}

impl Pace {
    /// A pace of `per_minute`.
    pub fn new(per_minute: u32) -> Pace {
        let per_second = f64::from(per_minute.max(1)) / 60.0;
        Pace { per_second, burst: Duration::from_secs_f64(60.0 * BURST), empty_at: Mutex::new(Instant::now()) }
    }

    /// Takes `amount` and waits until it is due; the order of calls is the order of turns.
    pub async fn take(&self, amount: f64) {
        let due = {
            let mut empty_at = lock(&self.empty_at);
            let start = (*empty_at).max(Instant::now());
            *empty_at = start + self.duration(amount);
            // One amount always fits; more than that waits until the rest of the burst would hold it.
            start.checked_sub(self.burst).unwrap_or(start)
        };
        tokio::time::sleep_until(due).await;
    }

    /// Gives back what was taken too much.
    pub fn give_back(&self, amount: f64) {
        let mut empty_at = lock(&self.empty_at);
        *empty_at = empty_at.checked_sub(self.duration(amount)).unwrap_or(*empty_at);
    }

    fn duration(&self, amount: f64) -> Duration {
        Duration::from_secs_f64((amount / self.per_second).clamp(0.0, 86_400.0))
    }
}

/// Leaves a teacher alone that fails again and again, then tries it with one request.
#[derive(Debug)]
pub struct Breaker {
    /// Failures in a row that open it.
    threshold: u32,
    /// How long it stays open the first time; twice as long each further time, 32 times at most.
    rest: Duration,
    state: Mutex<BreakerState>,
}

#[derive(Debug)]
struct BreakerState {
    /// Failures since the last answer or opening.
    failures: u32,
    /// Openings since the last answer; above 0 it is open.
    openings: u32,
    passes_at: Instant,
}

impl Breaker {
    /// A closed breaker: requests pass.
    pub fn new(threshold: u32, rest: Duration) -> Breaker {
        Breaker { threshold, rest, state: Mutex::new(BreakerState::closed()) }
    }

    /// How long no request may pass; zero where one may.
    pub fn wait(&self) -> Duration {
        lock(&self.state).passes_at.saturating_duration_since(Instant::now())
    }

    /// Lets a request pass. After a rest it is the trial: others wait as long again unless it succeeds.
    pub fn pass(&self) {
        let mut state = lock(&self.state);
        if state.openings > 0 {
            state.passes_at = Instant::now() + self.rest;
        }
    }

    /// An answer came.
    pub fn succeeded(&self) {
        let mut state = lock(&self.state);
        // A pause that the teacher asked for outlasts answers that were under way.
        let passes_at = if state.openings == 0 { state.passes_at } else { Instant::now() };
        *state = BreakerState { passes_at, ..BreakerState::closed() };
    }

    /// No answer came.
    pub fn failed(&self) {
        let mut state = lock(&self.state);
        state.failures += 1;
        if state.failures >= self.threshold {
            let rest = self.rest * 2u32.pow(state.openings.min(5));
            state.passes_at = state.passes_at.max(Instant::now() + rest);
            state.failures = 0;
            state.openings += 1;
        }
    }

    /// The teacher asked to be left alone for so long.
    pub fn pause(&self, time: Duration) {
        let mut state = lock(&self.state);
        state.passes_at = state.passes_at.max(Instant::now() + time);
    }
}

impl BreakerState {
    fn closed() -> BreakerState {
        BreakerState { failures: 0, openings: 0, passes_at: Instant::now() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
