//! What other processes do to the machine while something is measured, from Linux's /proc.

use serde::Serialize;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Linux reports times to programs in this unit on every architecture that it runs on today.
const TICKS_A_SECOND: f64 = 100.0;
/// Cores in use by others below which the machine counts as quiet.
const QUIET: f64 = 0.15;

/// Cores that others used on average.
#[derive(Clone, Copy, Serialize)]
pub struct Others {
    /// At normal priority.
    pub cores: f64,
    /// At low priority.
    pub niced: f64,
}

impl Others {
    /// Both figures in a few characters.
    pub fn show(self) -> String {
        format!("{:.2} (niced {:.2})", self.cores, self.niced)
    }

    /// Did they leave an engine with so many threads its cores?
    pub fn left_alone(self, threads: usize) -> bool {
        let spare = cores() as f64 - threads as f64;
        self.cores <= (spare - 0.2).max(QUIET) && self.niced <= 0.4 + 0.7 * spare.max(0.0)
    }
}

/// A moment from which the others' use is counted.
pub struct Mark {
    at: Instant,
    used: Option<Used>,
}

/// Core-seconds used since the machine started.
#[derive(Clone, Copy)]
struct Used {
    all: f64,
    niced: f64,
    ours: f64,
}

impl Mark {
    /// Now.
    pub fn now() -> Mark {
        Mark { at: Instant::now(), used: used() }
    }

    /// What others have used since; nothing where there is no /proc.
    pub fn others(&self) -> Option<Others> {
        let (before, now) = (self.used?, used()?);
        let seconds = self.at.elapsed().as_secs_f64().max(0.01);
        let cores = (now.all - before.all - (now.ours - before.ours)) / seconds;
        Some(Others { cores: cores.max(0.0), niced: (now.niced - before.niced) / seconds })
    }
}

/// Waits at most so many seconds for one in which others hardly do anything.
pub fn wait_for_quiet(seconds: u64) {
    for _ in 0..seconds {
        let mark = Mark::now();
        std::thread::sleep(Duration::from_secs(1));
        if mark.others().is_none_or(|others| others.cores < QUIET) {
            return;
        }
    }
}

/// Cores of this machine.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn used() -> Option<Used> {
    let all = std::fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<f64> =
        all.lines().next()?.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [user, nice, system, _idle, _waiting, interrupts, soft, stolen, ..] = fields[..] else { return None };
    let all = (user + system + interrupts + soft + stolen) / TICKS_A_SECOND;
    Some(Used { all, niced: nice / TICKS_A_SECOND, ours: ours()? })
}

/// Core-seconds of this process and all its descendants, the ended ones too.
fn ours() -> Option<f64> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut seconds: HashMap<u32, f64> = HashMap::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Some((parent, used)) = std::fs::read_to_string(entry.path().join("stat")).ok().as_deref().and_then(stat)
        else {
            continue;
        };
        children.entry(parent).or_default().push(process);
        seconds.insert(process, used);
    }
    let (mut total, mut open) = (0.0, vec![std::process::id()]);
    while let Some(process) = open.pop() {
        total += seconds.get(&process).copied().unwrap_or_default();
        open.extend(children.get(&process).into_iter().flatten());
    }
    Some(total)
}

/// Parent and core-seconds, from a line of /proc/<process>/stat. The name in it may hold spaces and brackets.
fn stat(line: &str) -> Option<(u32, f64)> {
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11..15)?.iter().filter_map(|word| word.parse::<f64>().ok()).sum();
    Some((fields.get(1)?.parse().ok()?, ticks / TICKS_A_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_a_name_with_brackets() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194304 1 2 3 4 100 50 25 25 20 0 1 0 9 1 1";
        assert_eq!(stat(line), Some((7, 2.0)));
    }

    #[test]
    fn an_engine_on_every_core_wants_a_quiet_machine() {
        let all = cores();
        assert!(Others { cores: 0.1, niced: 0.0 }.left_alone(all));
        assert!(!Others { cores: 0.5, niced: 0.0 }.left_alone(all));
        assert!(!Others { cores: 0.0, niced: 0.9 }.left_alone(all));
    }
}
