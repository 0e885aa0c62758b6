//! Steps of a long chore: each announced, timed, and listed at the end.

use anyhow::Result;
use std::time::{Duration, Instant};

/// The steps done so far.
#[derive(Default)]
pub struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Does one step; its error ends the chore.
    pub fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = work();
        self.done.push((name.to_string(), start.elapsed()));
        if outcome.is_err() {
            eprintln!("\n== {name}: failed");
            self.print();
        }
        outcome
    }

    /// Prints where the time went.
    pub fn print(&self) {
        let total: Duration = self.done.iter().map(|(_, time)| *time).sum();
        eprintln!("\n{:<34} {:>9}", "step", "seconds");
        for (name, time) in self.done.iter().chain([&("total".to_string(), total)]) {
            eprintln!("{name:<34} {:>9.1}", time.as_secs_f64());
        }
    }
}
