//! A helper: a worker that holds a part of a model's weights and obeys the engine worker that started it.

use std::{cell::RefCell, sync::Arc};

use decoder::{ForwardError, Gguf, Loader, Shard, Weights};
use js_sys::{Array, SharedArrayBuffer};
use protocol::{Cache, ErrorKind, Failure};
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue};

use crate::{
    failure::{self, js_message},
    loading::cache_type,
    part::{self, Part, PartReader, Remote},
    post,
    shared_comm::SharedComm,
};

/// What a helper is to do before it serves; beside it come files, in order: `Blob`s, or handles of the browser's storage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Order {
    /// Load a shard. Before the files comes the shared buffer.
    Load {
        /// Which shard of the model.
        index: usize,
        /// Of how many.
        count: usize,
        /// Words of the shared buffer.
        capacity: usize,
        /// How keys and values are kept.
        cache: Cache,
        /// The model's parts; `None` stands for the next file.
        parts: Vec<Option<Remote>>,
    },
    /// Go on with the same weights, and with another adapter if there is one among the parts.
    Resume {
        /// As above.
        parts: Vec<Option<Remote>>,
    },
}

impl Order {
    fn parts(&self) -> &[Option<Remote>] {
        match self {
            Order::Load { parts, .. } | Order::Resume { parts } => parts,
        }
    }
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

/// What a helper keeps from order to order.
struct Helper {
    weights: Option<Arc<Weights>>,
    shard: Shard,
    buffer: SharedArrayBuffer,
    capacity: usize,
    cache: Cache,
}

thread_local! {
    static HELPER: RefCell<Option<Helper>> = const { RefCell::new(None) };
}

/// Does what an order says, then serves until the engine worker ends its context.
///
/// # Errors
/// The engine broke down; the others have been told.
pub async fn run(message: Array) -> Result<(), JsValue> {
    let order: Order = serde_wasm_bindgen::from_value(message.get(0))?;
    let first_file = match order {
        Order::Load { index, count, capacity, cache, .. } => {
            let buffer = message.get(1).unchecked_into();
            HELPER.set(Some(Helper { weights: None, shard: Shard::new(index, count), buffer, capacity, cache }));
            2
        }
        Order::Resume { .. } => 1,
    };
    let mut helper = HELPER.take().ok_or("a helper without a model")?;
    let guard = helper.comm().guard();
    let readers = open(order.parts(), message.iter().skip(first_file)).await;
    guard.watch(move || {
        helper.serve(readers);
        HELPER.set(Some(helper));
    })
}

async fn open(parts: &[Option<Remote>], mut files: impl Iterator<Item = JsValue>) -> Result<Vec<PartReader>, Failure> {
    let gone = |error: JsValue| Failure::new(ErrorKind::Other, js_message(&error));
    let mut opened = Vec::new();
    for remote in parts {
        opened.push(match remote {
            Some(remote) => Part::Remote(remote.clone()),
            None => Part::from_file(files.next().unwrap_or_default()).await.map_err(gone)?,
        });
    }
    PartReader::open_all(opened).await
}

impl Helper {
    fn comm(&self) -> SharedComm {
        SharedComm::new(&self.buffer, self.shard.count() as u32, self.capacity, f64::INFINITY)
    }

    fn serve(&mut self, readers: Result<Vec<PartReader>, Failure>) {
        let comm = self.comm();
        let guard = comm.guard();
        let failure = match readers.and_then(|readers| self.prepare(readers)) {
            Ok(weights) => {
                report(&Report::Ready { memory: weights.memory_bytes() });
                match decoder::serve(weights, Box::new(comm), cache_type(self.cache)) {
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

    /// The weights, with what the files add to them.
    fn prepare(&mut self, readers: Vec<PartReader>) -> Result<Arc<Weights>, Failure> {
        let weights = match self.weights.take() {
            None => Arc::new(load(self.shard, readers)?),
            Some(mut weights) => {
                let own = Arc::get_mut(&mut weights);
                let own = own.ok_or_else(|| Failure::new(ErrorKind::Crashed, "the weights are still being read"))?;
                for mut reader in readers {
                    let gguf = part::read_header(&mut reader)?;
                    own.add_adapter(&gguf, &mut reader).map_err(|error| failure::from_load_error(&error))?;
                }
                weights
            }
        };
        self.weights = Some(Arc::clone(&weights));
        Ok(weights)
    }
}

fn load(shard: Shard, mut source: Vec<PartReader>) -> Result<Weights, Failure> {
    let refuse = |error| failure::from_load_error(&error);
    let mut gguf = Gguf::read_parts(&mut source).map_err(refuse)?;
    gguf.forget_tokenizer();
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
