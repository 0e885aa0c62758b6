//! The one owner of the engine worker: requests by id, and what the page shows of its state.

mod wish;

pub use wish::{Wish, can_share_memory};

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use futures_channel::oneshot;
use js_sys::{Array, Reflect};
use leptos::prelude::*;
use protocol::{
    Device, ErrorKind, Event, Failure, ModelInfo, Options, Outcome, Phase, Prompt, Request, RequestId, Source,
};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{File, MessageEvent, Worker, WorkerOptions, WorkerType};

use crate::store;

const WORKER: &str = "./worker.js";
/// The same, with the build of the engine that every browser runs.
const PLAIN_WORKER: &str = "./worker.js?simd=plain";

/// A handle to the engine; all copies mean the same one.
#[derive(Clone, Copy)]
pub struct Engine {
    inner: StoredValue<Rc<Inner>, LocalStorage>,
    /// The loaded model.
    pub model: RwSignal<Option<ModelInfo>>,
    /// What is being loaded.
    pub loading: RwSignal<Option<Loading>>,
    /// Why the last loading failed, or the engine broke down.
    pub failure: RwSignal<Option<Failure>>,
    /// Is a reply being written?
    pub generating: RwSignal<bool>,
    /// What the reader wants to compute.
    pub device: RwSignal<Device>,
    /// Why the CPU does the work although the GPU was wanted.
    pub gpu_failure: RwSignal<Option<Failure>>,
}

/// How far loading has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loading {
    /// Nothing is known yet.
    Starting,
    /// Bytes come.
    Bytes {
        /// From where.
        phase: Phase,
        /// So far.
        done: u64,
        /// Altogether, where known.
        total: Option<u64>,
    },
}

#[derive(Default)]
struct Inner {
    /// How the worker that runs, or the next, is to be started.
    plain: Cell<bool>,
    worker: RefCell<Option<Running>>,
    pending: RefCell<HashMap<RequestId, Pending>>,
    waiters: RefCell<Vec<oneshot::Sender<()>>>,
    last_id: Cell<RequestId>,
    /// Counts loadings, so that one that was overtaken does not report on the other.
    loads: Cell<u32>,
}

struct Running {
    worker: Worker,
    /// What is to be sent as soon as the worker listens; `None` once it does.
    outbox: Option<Vec<Array>>,
}

type OnToken = Box<dyn FnMut(&str)>;

struct Pending {
    /// Away while it runs: it may ask the engine for something.
    on_token: Option<OnToken>,
    answer: oneshot::Sender<Result<Answer, Failure>>,
}

enum Answer {
    Loaded(ModelInfo),
    Done(Outcome),
}

impl Engine {
    /// An engine that is about to start: it counts as loading until [`Engine::load`] or [`Engine::settle`].
    pub fn start() -> Engine {
        let engine = Engine {
            inner: StoredValue::new_local(Rc::default()),
            model: RwSignal::new(None),
            loading: RwSignal::new(Some(Loading::Starting)),
            failure: RwSignal::new(None),
            generating: RwSignal::new(false),
            device: RwSignal::new(store::get("device").unwrap_or_default()),
            gpu_failure: RwSignal::new(None),
        };
        Effect::new(move || store::set("device", &engine.device.get()));
        engine.inner.get_value().plain.set(Wish::of_address().relaxed_simd == Some(false));
        engine.spawn();
        engine
    }

    /// Loads a model in the place of the one there is. A reply or loading that is going on ends first.
    pub async fn load(self, source: Source, files: &[File], wish: Wish) -> Result<ModelInfo, Failure> {
        let inner = self.inner.get_value();
        let wish = wish.or(Wish::of_address());
        let number = inner.loads.get() + 1;
        if inner.loads.replace(number) > 0 && self.loading.get_untracked().is_some() {
            self.restart(&Failure::new(ErrorKind::Cancelled, "another model was chosen"));
        }
        let plain = wish.relaxed_simd.map_or(inner.plain.get(), |relaxed| !relaxed);
        if inner.plain.replace(plain) != plain {
            self.restart(&Failure::new(ErrorKind::Cancelled, "the engine was exchanged for its other build"));
        }
        self.loading.set(Some(Loading::Starting));
        self.failure.set(None);
        self.stop();
        self.until(|engine| !engine.generating.get_untracked()).await;
        let Wish { workers, cache, .. } = wish;
        let load = |device| {
            let source = source.clone();
            self.request(move |id| Request::Load { id, source, workers, cache, device: Some(device) }, files, |_| {})
        };
        let device = wish.device.unwrap_or(self.device.get_untracked());
        let mut answer = load(device).await;
        // Who asked for the GPU this once is told; a visitor of the page shall have an answer.
        let refused = answer.as_ref().err().filter(|failure| failure.kind == ErrorKind::Gpu && wish.device.is_none());
        if let Some(failure) = refused {
            self.gpu_failure.set(Some(failure.clone()));
            self.device.set(Device::Cpu);
            answer = load(Device::Cpu).await;
        }
        self.loaded(number, answer)
    }

    /// The end of loading `number`, unless another one has begun.
    fn loaded(self, number: u32, answer: Result<Answer, Failure>) -> Result<ModelInfo, Failure> {
        let result = answer.and_then(|answer| match answer {
            Answer::Loaded(model) => Ok(model),
            Answer::Done(_) => Err(out_of_order()),
        });
        if self.inner.get_value().loads.get() == number {
            match &result {
                Ok(model) => self.model.set(Some(model.clone())),
                Err(failure) => self.failure.set(Some(failure.clone())),
            }
            self.settle();
        }
        result
    }

    /// Reads a LoRA adapter beside the loaded model, under a name of its own.
    pub async fn add_adapter(self, name: String, file: &File) -> Result<ModelInfo, Failure> {
        self.free().await;
        self.loading.set(Some(Loading::Starting));
        self.failure.set(None);
        let number = self.inner.get_value().loads.get();
        let answer = self.request(|id| Request::AddAdapter { id, name }, std::slice::from_ref(file), |_| {}).await;
        self.loaded(number, answer)
    }

    /// Writes a reply with one of the model's adapters or none; `on_token` gets each piece of its text.
    pub async fn generate(
        self,
        prompt: Prompt,
        options: Options,
        adapter: Option<String>,
        on_token: impl FnMut(&str) + 'static,
    ) -> Result<Outcome, Failure> {
        self.idle().await;
        if self.generating.get_untracked() {
            return Err(Failure::new(ErrorKind::Busy, "another reply is being written; stop it first"));
        }
        self.generating.set(true);
        let answer = self.request(|id| Request::Generate { id, prompt, options, adapter }, &[], on_token).await;
        self.generating.set(false);
        self.wake();
        if let Err(failure) = &answer
            && failure.kind == ErrorKind::Gpu
        {
            self.gpu_failure.set(Some(failure.clone()));
            self.device.set(Device::Cpu);
        }
        match answer? {
            Answer::Done(outcome) => Ok(outcome),
            Answer::Loaded(_) => Err(out_of_order()),
        }
    }

    /// Waits until nothing is being loaded.
    pub async fn idle(self) {
        self.until(|engine| engine.loading.get_untracked().is_none()).await;
    }

    /// Waits until no reply is being written either.
    pub async fn free(self) {
        self.until(|engine| engine.loading.get_untracked().is_none() && !engine.generating.get_untracked()).await;
    }

    /// Ends the reply or the loading that is going on.
    pub fn stop(self) {
        if !self.inner.get_value().pending.borrow().is_empty() {
            let _ = self.post(&Request::Stop, &[]);
        }
    }

    /// Gives the model's memory back to the system: only the end of its worker does.
    pub fn unload(self) {
        self.restart(&Failure::new(ErrorKind::Cancelled, "the model was unloaded"));
    }

    /// Nothing is being loaded any more.
    pub fn settle(self) {
        self.loading.set(None);
        self.wake();
    }

    async fn until(self, condition: impl Fn(Engine) -> bool) {
        while !condition(self) {
            let (sender, receiver) = oneshot::channel();
            self.inner.get_value().waiters.borrow_mut().push(sender);
            let _ = receiver.await;
        }
    }

    fn wake(self) {
        for waiter in self.inner.get_value().waiters.take() {
            let _ = waiter.send(());
        }
    }

    async fn request(
        self,
        request: impl FnOnce(RequestId) -> Request,
        files: &[File],
        on_token: impl FnMut(&str) + 'static,
    ) -> Result<Answer, Failure> {
        let inner = self.inner.get_value();
        let id = inner.last_id.get().wrapping_add(1);
        inner.last_id.set(id);
        let (answer, receiver) = oneshot::channel();
        inner.pending.borrow_mut().insert(id, Pending { on_token: Some(Box::new(on_token)), answer });
        if let Err(error) = self.post(&request(id), files) {
            inner.pending.borrow_mut().remove(&id);
            return Err(Failure::new(ErrorKind::Other, format!("the engine cannot be reached: {error:?}")));
        }
        receiver.await.unwrap_or_else(|_| Err(out_of_order()))
    }

    fn post(self, request: &Request, files: &[File]) -> Result<(), JsValue> {
        let message = Array::of1(&request.serialize(&serde_wasm_bindgen::Serializer::json_compatible())?);
        for file in files {
            message.push(file);
        }
        self.spawn();
        match self.inner.get_value().worker.borrow_mut().as_mut() {
            Some(Running { outbox: Some(outbox), .. }) => outbox.push(message),
            Some(Running { worker, .. }) => worker.post_message(&message)?,
            None => return Err("no worker can be started".into()),
        }
        Ok(())
    }

    /// Starts the worker where none is running.
    fn spawn(self) {
        let inner = self.inner.get_value();
        if inner.worker.borrow().is_some() {
            return;
        }
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let script = if inner.plain.get() { PLAIN_WORKER } else { WORKER };
        let Ok(worker) = Worker::new_with_options(script, &options) else { return };
        let from = worker.clone();
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
            if self.is_current(&from) {
                self.receive(&message);
            }
        });
        let from = worker.clone();
        let on_error = Closure::<dyn FnMut(JsValue)>::new(move |error: JsValue| {
            if self.is_current(&from) {
                // A worker whose file is missing sends an event without words.
                let words = Reflect::get(&error, &"message".into()).ok().and_then(|words| words.as_string());
                let words = words.unwrap_or_else(|| format!("{WORKER} cannot be loaded"));
                self.crashed(Failure::new(ErrorKind::Crashed, words));
            }
        });
        worker.set_onmessage(Some(on_message.into_js_value().unchecked_ref()));
        worker.set_onerror(Some(on_error.into_js_value().unchecked_ref()));
        inner.worker.replace(Some(Running { worker, outbox: Some(Vec::new()) }));
    }

    /// Is this the worker that is running, and not one that was ended?
    fn is_current(self, worker: &Worker) -> bool {
        self.inner.get_value().worker.borrow().as_ref().is_some_and(|running| running.worker == *worker)
    }

    fn receive(self, message: &MessageEvent) {
        let parts: Array = message.data().unchecked_into();
        match serde_wasm_bindgen::from_value(parts.get(0)) {
            Ok(event) => self.handle(event),
            Err(error) => leptos::logging::error!("not an event of the engine: {error}"),
        }
    }

    fn handle(self, event: Event) {
        match event {
            Event::Ready => self.flush(),
            Event::Progress { phase, done, total, .. } => {
                self.loading.set(Some(Loading::Bytes { phase, done, total }));
            }
            Event::Unloaded => self.model.set(None),
            Event::Token { id, text } => self.token(id, &text),
            Event::Loaded { id, model } => self.answer(id, Ok(Answer::Loaded(model))),
            Event::Done { id, outcome } => self.answer(id, Ok(Answer::Done(outcome))),
            Event::Failed { id: Some(id), failure } => self.answer(id, Err(failure)),
            Event::Failed { id: None, failure } => self.crashed(failure),
        }
    }

    fn flush(self) {
        let inner = self.inner.get_value();
        let mut worker = inner.worker.borrow_mut();
        let Some(running) = worker.as_mut() else { return };
        for message in running.outbox.take().unwrap_or_default() {
            let _ = running.worker.post_message(&message);
        }
    }

    fn token(self, id: RequestId, text: &str) {
        let inner = self.inner.get_value();
        let on_token = inner.pending.borrow_mut().get_mut(&id).and_then(|pending| pending.on_token.take());
        let Some(mut on_token) = on_token else { return };
        on_token(text);
        if let Some(pending) = inner.pending.borrow_mut().get_mut(&id) {
            pending.on_token = Some(on_token);
        }
    }

    fn answer(self, id: RequestId, answer: Result<Answer, Failure>) {
        let pending = self.inner.get_value().pending.borrow_mut().remove(&id);
        if let Some(pending) = pending {
            let _ = pending.answer.send(answer);
        }
    }

    fn crashed(self, failure: Failure) {
        leptos::logging::error!("the engine broke down: {}", failure.message);
        self.restart(&failure);
        self.failure.set(Some(failure));
    }

    /// Ends the worker and whatever it was asked; the next request starts another.
    fn restart(self, failure: &Failure) {
        let inner = self.inner.get_value();
        if let Some(running) = inner.worker.take() {
            running.worker.terminate();
        }
        self.model.set(None);
        for (_, pending) in inner.pending.take() {
            let _ = pending.answer.send(Err(failure.clone()));
        }
    }
}

fn out_of_order() -> Failure {
    Failure::new(ErrorKind::Other, "the engine gave the answer to another question")
}
