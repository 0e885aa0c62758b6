//! A helper: a worker that holds a part of a model's weights and obeys the engine worker that started it.

use std::sync::Arc;

use decoder::{CacheType, ForwardError, Gguf, Loader, Shard};
use js_sys::{Array, SharedArrayBuffer};
use protocol::{ErrorKind, Failure};
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

use crate::{
    failure,
    part::{Part, PartReader, Remote},
    post,
    shared_comm::SharedComm,
};

/// What a helper is to do; beside it come the shared buffer and the model's `Blob`s, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Assignment {
    /// Which shard of the model.
    pub index: usize,
    /// Of how many.
    pub count: usize,
    /// Words of the shared buffer.
    pub capacity: usize,
    /// The model's parts; `None` stands for the next `Blob`.
    pub parts: Vec<Option<Remote>>,
}

/// What a helper tells the engine worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Report {
    /// How far loading has come.
    Progress {
        /// Bytes so far.
        loaded: u64,
        /// Bytes altogether.
        total: u64,
    },
    /// The shard is loaded.
    Ready {
        /// Bytes that its weights occupy.
        memory: u64,
    },
    /// It cannot go on. `worker.js` says the same of an engine that broke down.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// Bytes of a shard between two reports of progress.
const REPORT: u64 = 4 << 20;

/// Loads a shard, then obeys until the engine worker is done with it.
///
/// # Errors
/// The engine broke down; the others have been told.
pub fn run(message: &Array) -> Result<(), JsValue> {
    let assignment: Assignment = serde_wasm_bindgen::from_value(message.get(0))?;
    let buffer: SharedArrayBuffer = message.get(1).unchecked_into();
    let mut blobs = message.iter().skip(2).map(JsCast::unchecked_into::<Blob>);
    let parts: Option<Vec<Part>> = assignment
        .parts
        .iter()
        .map(|remote| remote.clone().map(Part::Remote).or_else(|| blobs.next().map(Part::Blob)))
        .collect();
    let parts = parts.ok_or("a part of the model is missing")?;
    let comm = SharedComm::new(&buffer, assignment.count as u32, assignment.capacity, f64::INFINITY);
    comm.guard().watch(move || serve(Shard::new(assignment.index, assignment.count), parts, comm))
}

fn serve(shard: Shard, parts: Vec<Part>, comm: SharedComm) {
    let guard = comm.guard();
    let failure = match load(shard, parts) {
        Ok(weights) => {
            report(&Report::Ready { memory: weights.memory_bytes() });
            match decoder::serve(Arc::new(weights), Box::new(comm), CacheType::default()) {
                // Another worker broke down, or the engine worker has ended the meetings: it knows.
                Ok(()) | Err(ForwardError::Disconnected(_)) => return,
                Err(error) => failure::from_error(&error.into()),
            }
        }
        Err(failure) => failure,
    };
    // First the cause, then what follows from it.
    report(&Report::Failed { failure });
    guard.break_up();
}

fn load(shard: Shard, parts: Vec<Part>) -> Result<decoder::Weights, Failure> {
    let unreadable = |error: std::io::Error| Failure::new(ErrorKind::Other, error.to_string());
    let mut source = parts.into_iter().map(PartReader::new).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let refuse = |error| failure::from_load_error(&error);
    let gguf = Gguf::read_parts(&mut source).map_err(refuse)?;
    let mut loader = Loader::new(&gguf, shard).map_err(refuse)?;
    let mut reported = 0;
    loop {
        let more = loader.step(&mut source).map_err(refuse)?.is_continue();
        let progress = loader.progress();
        if !more || progress.loaded - reported >= REPORT {
            reported = progress.loaded;
            report(&Report::Progress { loaded: progress.loaded, total: progress.total });
        }
        if !more {
            return Ok(loader.finish());
        }
    }
}

fn report(report: &Report) {
    if let Ok(scope) = crate::scope() {
        post(&scope, report);
    }
}
