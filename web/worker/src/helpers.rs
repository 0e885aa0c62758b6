use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use js_sys::{Array, Reflect, SharedArrayBuffer};
use protocol::{Cache, ErrorKind, Failure};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent, Worker, WorkerOptions, WorkerType};

use crate::{
    failure::js_message,
    helper::{Order, Report},
    part::{Part, Remote},
    shared_comm::{Guard, SharedComm},
};

/// The name by which `worker.js` knows a helper.
const NAME: &str = "helper";
/// After so many milliseconds without a helper it counts as broken; between two meetings lie few.
const PATIENCE: f64 = 30_000.0;
/// More workers than this gain nothing: they share one memory.
const MOST_BY_DEFAULT: u32 = 8;
const MOST: u32 = 64;
/// A worker with fewer bytes of weights than this is busier meeting the others than computing.
const LEAST_SHARE: u64 = 8 << 20;

/// How many workers shall share a model.
#[derive(Clone, Copy)]
pub enum Team {
    /// So many.
    Exactly(u32),
    /// As many as the model keeps busy, and no more than this.
    AtMost(u32),
}

impl Team {
    /// As the page wants it, or as this computer has cores. Without shared memory there is but one.
    ///
    /// # Errors
    /// A number that makes no sense.
    pub fn new(scope: &DedicatedWorkerGlobalScope, wanted: Option<u32>) -> Result<Self, Failure> {
        if wanted.is_some_and(|count| !(1..=MOST).contains(&count)) {
            let message = format!("workers must be a number from 1 to {MOST}");
            return Err(Failure::new(ErrorKind::InvalidRequest, message));
        }
        let is_isolated = Reflect::get(scope, &"crossOriginIsolated".into()).is_ok_and(|isolated| isolated.is_truthy());
        let has_workers = Reflect::has(scope, &"Worker".into()).unwrap_or_default();
        if !(is_isolated && has_workers) {
            return Ok(Self::Exactly(1));
        }
        Ok(wanted.map_or_else(|| Self::AtMost(cores(scope.navigator().hardware_concurrency())), Self::Exactly))
    }

    /// How many workers share a model of this size.
    pub fn size(self, bytes: u64) -> usize {
        match self {
            Self::Exactly(count) => count as usize,
            Self::AtMost(count) => (count as usize).min(bytes.div_ceil(LEAST_SHARE) as usize).max(1),
        }
    }
}

/// Physical cores, guessed from the logical ones: large processors run two threads on a core.
fn cores(logical: f64) -> u32 {
    let logical = (logical as u32).max(1);
    let physical = if logical > 4 { logical / 2 } else { logical };
    physical.min(MOST_BY_DEFAULT)
}

/// The helpers that hold the other shards of a model; dropping them ends them.
pub struct Helpers {
    workers: Vec<Worker>,
    buffer: SharedArrayBuffer,
    capacity: usize,
    guard: Guard,
    state: Rc<State>,
}

struct State {
    /// Of each helper, bytes so far and altogether.
    progress: RefCell<Vec<(u64, u64)>>,
    ready: Cell<usize>,
    memory: Cell<u64>,
    failure: RefCell<Option<Failure>>,
    changed: Box<dyn Fn()>,
    broken: Box<dyn Fn(&Failure)>,
}

impl Helpers {
    /// Starts the helpers of a model that is shared by `count` workers; the caller is the first of them and gets its
    /// place among the others. `changed` hears of every report, `broken` of a failure that no other request may follow.
    ///
    /// # Errors
    /// The browser starts no more workers.
    pub fn start(
        scope: &DedicatedWorkerGlobalScope,
        count: usize,
        capacity: usize,
        cache: Cache,
        parts: &[Part],
        changed: impl Fn() + 'static,
        broken: impl Fn(&Failure) + 'static,
    ) -> Result<(Self, SharedComm), Failure> {
        let buffer = SharedComm::buffer(capacity);
        let comm = SharedComm::new(&buffer, count as u32, capacity, PATIENCE);
        let state = Rc::new(State {
            progress: RefCell::new(vec![(0, 0); count - 1]),
            ready: Cell::new(0),
            memory: Cell::new(0),
            failure: RefCell::new(None),
            changed: Box::new(changed),
            broken: Box::new(broken),
        });
        let mut helpers = Self { workers: Vec::new(), buffer, capacity, guard: comm.guard(), state };
        for index in 1..count {
            helpers.add(scope, index, count, cache, parts).map_err(|error| {
                Failure::new(
                    ErrorKind::Other,
                    format!("worker {index} of {count} cannot start: {}", js_message(&error)),
                )
            })?;
        }
        Ok((helpers, comm))
    }

    fn add(
        &mut self,
        scope: &DedicatedWorkerGlobalScope,
        index: usize,
        count: usize,
        cache: Cache,
        parts: &[Part],
    ) -> Result<(), JsValue> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        options.set_name(NAME);
        // The same file, and with it the same build of the engine.
        let worker = Worker::new_with_options(&scope.location().href(), &options)?;
        let state = Rc::clone(&self.state);
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let report = event.data().unchecked_into::<Array>().get(0);
            match serde_wasm_bindgen::from_value(report) {
                Ok(report) => state.hear(index, report),
                Err(error) => state.fail(Failure::new(ErrorKind::Crashed, format!("not a report: {error}"))),
            }
        });
        let state = Rc::clone(&self.state);
        let on_error = Closure::<dyn FnMut(JsValue)>::new(move |error: JsValue| {
            state.fail(Failure::new(ErrorKind::Crashed, format!("worker {index} broke down: {}", js_message(&error))));
        });
        worker.set_onmessage(Some(on_message.into_js_value().unchecked_ref()));
        worker.set_onerror(Some(on_error.into_js_value().unchecked_ref()));

        let order = Order::Load { index, count, capacity: self.capacity, cache, parts: remotes(parts) };
        let message = Array::of3(&wasm_bindgen::module(), &to_js(&order)?, &self.buffer);
        files(parts).for_each(|file| {
            message.push(file);
        });
        worker.post_message(&message)?;
        self.workers.push(worker);
        Ok(())
    }

    /// Lets the helpers go on whose context has ended, with another adapter if there is one; the caller gets a new place
    /// among them. [`Self::outcome`] says when they are ready.
    ///
    /// # Errors
    /// A helper cannot be reached.
    pub fn resume(&self, adapter: Option<&Part>) -> Result<SharedComm, Failure> {
        self.state.ready.set(0);
        self.state.memory.set(0);
        let parts: Vec<Part> = adapter.cloned().into_iter().collect();
        let order = Order::Resume { parts: remotes(&parts) };
        let send = |worker: &Worker| {
            let message = Array::of2(&JsValue::NULL, &to_js(&order)?);
            files(&parts).for_each(|file| {
                message.push(file);
            });
            worker.post_message(&message)
        };
        self.workers.iter().try_for_each(send).map_err(|error| {
            Failure::new(ErrorKind::Crashed, format!("a worker cannot be reached: {}", js_message(&error)))
        })?;
        Ok(SharedComm::new(&self.buffer, self.workers.len() as u32 + 1, self.capacity, PATIENCE))
    }

    /// Bytes that the helpers have loaded, and that they shall load.
    pub fn progress(&self) -> (u64, u64) {
        self.state.progress.borrow().iter().fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// Bytes that the weights of those that are ready occupy.
    pub fn memory(&self) -> u64 {
        self.state.memory.get()
    }

    /// Has every helper loaded its shard? Or why not.
    pub fn outcome(&self) -> Option<Result<(), Failure>> {
        if let Some(failure) = self.state.failure.borrow().clone() {
            return Some(Err(failure));
        }
        (self.state.ready.get() == self.workers.len()).then_some(Ok(()))
    }
}

/// The parts that lie on servers; each `None` stands for a file.
fn remotes(parts: &[Part]) -> Vec<Option<Remote>> {
    let remote = |part: &Part| match part {
        Part::Blob(_) | Part::Stored(_) => None,
        Part::Remote(remote) => Some(remote.clone()),
    };
    parts.iter().map(remote).collect()
}

fn files(parts: &[Part]) -> impl Iterator<Item = &JsValue> {
    parts.iter().filter_map(|part| match part {
        Part::Blob(blob) => Some(blob.as_ref()),
        Part::Stored(stored) => Some(stored.handle.as_ref()),
        Part::Remote(_) => None,
    })
}

fn to_js(order: &Order) -> Result<JsValue, JsValue> {
    Ok(order.serialize(&serde_wasm_bindgen::Serializer::json_compatible())?)
}

impl State {
    fn hear(&self, index: usize, report: Report) {
        match report {
            Report::Progress { loaded, total } => self.progress.borrow_mut()[index - 1] = (loaded, total),
            Report::Ready { memory } => {
                self.ready.set(self.ready.get() + 1);
                self.memory.set(self.memory.get() + memory);
            }
            Report::Failed { failure } => return self.fail(failure),
        }
        (self.changed)();
    }

    /// The first failure is the cause of the others.
    fn fail(&self, failure: Failure) {
        let is_loaded = self.ready.get() == self.progress.borrow().len();
        if is_loaded || failure.kind == ErrorKind::Crashed {
            (self.broken)(&failure);
        }
        self.failure.borrow_mut().get_or_insert(failure);
        (self.changed)();
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        // A helper that waits for a meeting ends at once; one that is merely terminated may linger for seconds.
        self.guard.break_up();
        for worker in &self.workers {
            worker.set_onmessage(None);
            worker.set_onerror(None);
            worker.terminate();
        }
    }
}
