use std::{
    io::{IsTerminal, Write},
    sync::Arc,
    time::{Duration, Instant},
};
use synthesis::Dispatcher;
use tokio::task::JoinHandle;

/// A line on stderr that tells how far the work is: each second on a terminal, else each half minute.
pub struct Bar {
    dispatcher: Arc<Dispatcher>,
    total: usize,
    started: Instant,
    ticking: JoinHandle<()>,
}

impl Bar {
    pub fn start(dispatcher: Arc<Dispatcher>, total: usize) -> Bar {
        let started = Instant::now();
        let is_terminal = std::io::stderr().is_terminal();
        let period = Duration::from_secs(if is_terminal { 1 } else { 30 });
        let shown = Arc::clone(&dispatcher);
        let ticking = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let text = text(&shown, total, started);
                let end = if is_terminal { "\u{1b}[K\r" } else { "\n" };
                // Nobody may be reading.
                let _ = write!(std::io::stderr(), "{text}{end}");
            }
        });
        Bar { dispatcher, total, started, ticking }
    }

    pub fn finish(self) {
        self.ticking.abort();
        eprintln!("{}", text(&self.dispatcher, self.total, self.started));
    }
}

fn text(dispatcher: &Dispatcher, total: usize, started: Instant) -> String {
    let progress = dispatcher.progress();
    let done = progress.answered + progress.failed;
    let rate = done as f64 / started.elapsed().as_secs_f64().max(0.001);
    let left = total.saturating_sub(done) as f64 / rate.max(0.001);
    let left = if done == 0 { "?".to_string() } else { format!("{left:.0} s") };
    format!(
        "{done}/{total} requests, {rate:.1}/s, {left} left, cost {:.4}, {} remembered, {} repeated, {} failed",
        progress.spent, progress.remembered, progress.repeated, progress.failed
    )
}
