use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    ops::ControlFlow,
    rc::Rc,
    sync::Arc,
};

use decoder::{Config, Gguf};
use generate::{Generator, Model};
use protocol::{
    ErrorKind, Event, Failure, ModelInfo, Options, Outcome, Phase, Prompt, Request, RequestId, Source, StopReason,
};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, DedicatedWorkerGlobalScope, File};
use web_time::Instant;

use crate::{blob_reader::BlobReader, download::download, failure, turn::Turn};

/// Bytes of tensors between two reports of progress.
const REPORT: u64 = 1 << 20;

/// The model, and the one request that is being worked on.
pub struct Engine {
    scope: DedicatedWorkerGlobalScope,
    turn: Turn,
    /// Kept from reply to reply: what it knows of the last prompt need not be computed again.
    generator: RefCell<Option<Generator>>,
    busy: Cell<bool>,
    stop: Cell<bool>,
}

impl Engine {
    /// An engine without a model.
    pub fn new(scope: DedicatedWorkerGlobalScope) -> Result<Self, JsValue> {
        let (busy, stop) = (Cell::new(false), Cell::new(false));
        Ok(Self { scope, turn: Turn::new()?, generator: RefCell::new(None), busy, stop })
    }

    /// Tells the page.
    pub fn send(&self, event: &Event) {
        crate::post(&self.scope, event);
    }

    /// Begins to work on a request, or says why not.
    pub fn handle(self: Rc<Self>, request: Request, file: Option<File>) {
        match request {
            Request::Stop => self.stop.set(true),
            Request::Load { id, source } => self.work(id, async move |engine| {
                let model = engine.load(id, source, file).await?;
                Ok(Event::Loaded { id, model })
            }),
            Request::Generate { id, prompt, options } => self.work(id, async move |engine| {
                let outcome = engine.generate(id, prompt, options).await?;
                Ok(Event::Done { id, outcome })
            }),
        }
    }

    fn work(self: Rc<Self>, id: RequestId, job: impl AsyncFnOnce(&Engine) -> Result<Event, Failure> + 'static) {
        if self.busy.replace(true) {
            let failure = Failure::new(ErrorKind::Busy, "the engine is at work on another request; stop it first");
            return self.send(&Event::Failed { id: Some(id), failure });
        }
        self.stop.set(false);
        spawn_local(async move {
            let result = job(&self).await;
            self.busy.set(false);
            self.send(&result.unwrap_or_else(|failure| Event::Failed { id: Some(id), failure }));
        });
    }

    async fn load(&self, id: RequestId, source: Source, file: Option<File>) -> Result<ModelInfo, Failure> {
        let started = Instant::now();
        let (blob, file_name): (Blob, String) = match (source, file) {
            (Source::Url { url }, _) => {
                let report = |done, total| self.send(&Event::Progress { id, phase: Phase::Download, done, total });
                let blob = download(&self.scope, &url, &self.stop, report).await?;
                (blob, last_segment(&url).to_owned())
            }
            (Source::File, Some(file)) => {
                let name = file.name();
                (file.into(), name)
            }
            (Source::File, None) => return Err(Failure::new(ErrorKind::InvalidRequest, "the file is missing")),
        };
        let bytes = blob.size() as u64;
        let mut reader = BlobReader::new(blob).map_err(|error| failure::from_load_error(&error.into()))?;
        let gguf = readable_header(&mut reader)?;
        // Only now is it worth giving up the model that is loaded.
        if self.generator.take().is_some() {
            self.send(&Event::Unloaded);
        }
        let mut reported = 0;
        let model = Model::load(&mut reader, &mut |progress| {
            if progress.loaded - reported >= REPORT {
                reported = progress.loaded;
                let total = Some(progress.total);
                self.send(&Event::Progress { id, phase: Phase::Read, done: progress.loaded, total });
            }
            ControlFlow::Continue(())
        })
        .map_err(|error| failure::from_error(&error))?;
        let generator = Generator::new(Arc::new(model), 0);
        let info = describe(&gguf, &generator, file_name, bytes, started);
        *self.generator.borrow_mut() = Some(generator);
        Ok(info)
    }

    async fn generate(&self, id: RequestId, prompt: Prompt, options: Options) -> Result<Outcome, Failure> {
        let no_model = || Failure::new(ErrorKind::NoModel, "no model is loaded");
        let mut generator = self.generator.take().ok_or_else(no_model)?;
        let result = self.reply(&mut generator, id, prompt, options).await;
        *self.generator.borrow_mut() = Some(generator);
        result
    }

    async fn reply(
        &self,
        generator: &mut Generator,
        id: RequestId,
        prompt: Prompt,
        options: Options,
    ) -> Result<Outcome, Failure> {
        let options = sampling(options);
        let (prompt, dropped_messages) = fitted(generator, prompt, options.max_tokens)?;
        generator.start(&prompt, options).map_err(|error| failure::from_error(&error))?;
        while !self.stop.get() {
            let Some(text) = generator.step().map_err(|error| failure::from_error(&error))? else { break };
            if !text.is_empty() {
                self.send(&Event::Token { id, text });
            }
            self.turn.pass().await.map_err(|error| Failure::new(ErrorKind::Other, failure::js_message(&error)))?;
        }
        Ok(outcome(generator.finish(), dropped_messages))
    }
}

/// The header of a model that this engine can run, before any weight is read.
fn readable_header(reader: &mut BlobReader) -> Result<Gguf, Failure> {
    let checked = Gguf::read(reader).and_then(|gguf| Config::from_gguf(&gguf).map(|_| gguf));
    checked.map_err(|error| failure::from_load_error(&error))
}

fn describe(gguf: &Gguf, generator: &Generator, file_name: String, bytes: u64, started: Instant) -> ModelInfo {
    let model = generator.model();
    let mut elements_of_type = BTreeMap::<String, u64>::new();
    for tensor in gguf.tensors().values() {
        let elements = tensor.shape.iter().fold(1, |product: u64, &n| product.saturating_mul(n));
        *elements_of_type.entry(tensor.dtype.to_string()).or_default() += elements;
    }
    let parameters = elements_of_type.values().sum();
    let most = elements_of_type.into_iter().max_by_key(|&(_, elements)| elements);
    ModelInfo {
        name: model.name().map_or(file_name, str::to_owned),
        architecture: model.config().architecture.clone(),
        parameters,
        quantization: most.map(|(name, _)| name).unwrap_or_default(),
        context: generator.context(),
        bytes,
        weight_bytes: model.weights().memory_bytes(),
        cache_bytes: generator.cache_bytes(),
        workers: 1,
        backend: if cfg!(target_feature = "simd128") { "cpu simd128" } else { "cpu" }.to_owned(),
        load_ms: started.elapsed().as_secs_f64() * 1e3,
    }
}

/// The prompt without the turns that do not fit, and how many messages were left out.
///
/// A quarter of the context is room enough for a reply where the caller would allow more.
fn fitted(generator: &Generator, prompt: Prompt, max_tokens: usize) -> Result<(generate::Prompt, usize), Failure> {
    let messages: Vec<generate::Message> = match prompt {
        Prompt::Text(text) => return Ok((generate::Prompt::Text(text), 0)),
        Prompt::Messages(messages) => messages
            .into_iter()
            .map(|message| generate::Message { role: message.role, content: message.content })
            .collect(),
    };
    let context = generator.context();
    let room = max_tokens.clamp(1, (context / 4).max(1));
    let fit = generator.model().fit(&messages, context, room).map_err(|error| failure::from_error(&error))?;
    Ok((generate::Prompt::Messages(fit.messages), fit.dropped.len()))
}

fn sampling(options: Options) -> generate::Options {
    let default = generate::Options::default();
    let temperature = options.temperature.unwrap_or(default.temperature);
    // Temperature 0 asks for the most probable text, which a penalty would change.
    let penalty = if temperature == 0.0 { 1.0 } else { default.repetition_penalty };
    generate::Options {
        temperature,
        top_k: options.top_k.map_or(default.top_k, |k| k as usize),
        top_p: options.top_p.unwrap_or(default.top_p),
        min_p: options.min_p.unwrap_or(default.min_p),
        repetition_penalty: options.repetition_penalty.unwrap_or(penalty),
        seed: options.seed.unwrap_or(default.seed),
        max_tokens: options.max_tokens.map_or(default.max_tokens, |tokens| tokens as usize),
        stop: options.stop,
        ..default
    }
}

fn outcome(outcome: generate::Outcome, dropped_messages: usize) -> Outcome {
    Outcome {
        text: outcome.text,
        prompt_tokens: outcome.prompt_tokens,
        reused_tokens: outcome.reused_tokens,
        tokens: outcome.tokens,
        prefill_ms: outcome.prefill_ms,
        decode_ms: outcome.decode_ms,
        dropped_messages,
        stop: match outcome.stop {
            generate::StopReason::EndOfText => StopReason::EndOfText,
            generate::StopReason::StopSequence => StopReason::StopSequence,
            generate::StopReason::MaxTokens => StopReason::MaxTokens,
            generate::StopReason::ContextFull => StopReason::ContextFull,
            generate::StopReason::Cancelled => StopReason::Cancelled,
        },
    }
}

fn last_segment(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').find(|segment| !segment.is_empty()).unwrap_or(url)
}
