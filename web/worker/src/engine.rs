use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use decoder::Gpu;
use generate::Generator;
use protocol::{
    Cache, Device, ErrorKind, Event, Failure, ModelInfo, Options, Outcome, Prompt, Request, RequestId, Source,
    StopReason,
};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, File};
use web_time::{Duration, Instant};

use crate::{
    failure,
    helpers::Team,
    loading::{Loaded, Loading},
    part::Part,
    stop::Stop,
    turn::Turn,
};

/// How long the words of a helper that broke down are waited for.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// While a reply is written, the page is told of it and heard no more often than this: each time costs a core that the workers use as long as
/// several tokens of a small model.
const FRAME: Duration = Duration::from_millis(33);

/// The model, and the one request that is being worked on.
pub struct Engine {
    scope: DedicatedWorkerGlobalScope,
    turn: Turn,
    /// Kept from reply to reply: what it knows of the last prompt need not be computed again.
    loaded: RefCell<Option<Loaded>>,
    busy: Cell<bool>,
    stop: Rc<Stop>,
}

impl Engine {
    /// An engine without a model.
    pub fn new(scope: DedicatedWorkerGlobalScope) -> Result<Self, JsValue> {
        let (busy, stop) = (Cell::new(false), Rc::new(Stop::new()?));
        Ok(Self { scope, turn: Turn::new()?, loaded: RefCell::new(None), busy, stop })
    }

    /// Tells the page.
    pub fn send(&self, event: &Event) {
        crate::post(&self.scope, event);
    }

    /// Begins to work on a request, or says why not.
    pub fn handle(self: Rc<Self>, request: Request, files: Vec<File>) {
        match request {
            Request::Stop => self.stop.demand(),
            Request::Load { id, source, workers, cache, device } => self.work(id, async move |engine| {
                let model = engine
                    .load(id, source, files, workers, (cache.unwrap_or_default(), device.unwrap_or_default()))
                    .await?;
                Ok(Event::Loaded { id, model })
            }),
            Request::AddAdapter { id, name } => self.work(id, async move |engine| {
                let model = engine.add_adapter(name, files).await?;
                Ok(Event::Loaded { id, model })
            }),
            Request::Generate { id, prompt, options, adapter } => self.work(id, async move |engine| {
                let outcome = engine.generate(id, prompt, options, adapter.as_deref()).await?;
                Ok(Event::Done { id, outcome })
            }),
        }
    }

    fn work(self: Rc<Self>, id: RequestId, job: impl AsyncFnOnce(&Engine) -> Result<Event, Failure> + 'static) {
        if self.busy.replace(true) {
            let failure = Failure::new(ErrorKind::Busy, "the engine is at work on another request; stop it first");
            return self.send(&Event::Failed { id: Some(id), failure });
        }
        self.stop.reset();
        spawn_local(async move {
            let result = job(&self).await;
            self.busy.set(false);
            self.send(&result.unwrap_or_else(|failure| Event::Failed { id: Some(id), failure }));
        });
    }

    async fn load(
        &self,
        id: RequestId,
        source: Source,
        files: Vec<File>,
        workers: Option<u32>,
        (cache, device): (Cache, Device),
    ) -> Result<ModelInfo, Failure> {
        let started = Instant::now();
        let team = Team::new(&self.scope, workers)?;
        let gpu = match device {
            Device::Cpu => None,
            Device::Gpu => Some(Gpu::open().await.map_err(|error| failure::from_load_error(&error.into()))?),
        };
        let loading = Loading { id, scope: &self.scope, turn: &self.turn, stop: &self.stop, team, cache, gpu };
        let opened = loading.open(source, &files).await?;
        // Only now is it worth giving up the model that is loaded.
        if self.loaded.take().is_some() {
            self.send(&Event::Unloaded);
        }
        let loaded = loading.read(opened, started).await?;
        let info = loaded.describe();
        self.loaded.replace(Some(loaded));
        Ok(info)
    }

    async fn add_adapter(&self, name: String, files: Vec<File>) -> Result<ModelInfo, Failure> {
        let no_file = || Failure::new(ErrorKind::InvalidRequest, "no file was given");
        let part = Part::Blob(files.into_iter().next().ok_or_else(no_file)?.into());
        let loaded = self.take()?;
        let outcome = loaded.with_adapter(name, &part, &self.stop).await;
        if outcome.is_err() {
            self.send(&Event::Unloaded);
        }
        let (loaded, added) = outcome?;
        let info = loaded.describe();
        self.loaded.replace(Some(loaded));
        added.map(|()| info)
    }

    fn take(&self) -> Result<Loaded, Failure> {
        self.loaded.take().ok_or_else(|| Failure::new(ErrorKind::NoModel, "no model is loaded"))
    }

    async fn generate(
        &self,
        id: RequestId,
        prompt: Prompt,
        options: Options,
        adapter: Option<&str>,
    ) -> Result<Outcome, Failure> {
        let mut loaded = self.take()?;
        let result = match loaded.use_adapter(adapter) {
            Ok(()) => self.reply(&mut loaded.generator, id, prompt, options).await,
            Err(failure) => Err(failure),
        };
        match result.as_ref().map_err(|failure| failure.kind) {
            // What a lost GPU held is lost.
            Err(ErrorKind::Gpu) => self.send(&Event::Unloaded),
            _ => drop(self.loaded.replace(Some(loaded))),
        }
        if let Err(failure) = &result
            && failure.kind == ErrorKind::Crashed
        {
            self.give_up(failure).await;
        }
        result
    }

    /// A helper is gone, and the model with it. What the helper has to say of it is worth a moment: the page ends this
    /// worker at the first word.
    async fn give_up(&self, failure: &Failure) {
        let since = Instant::now();
        while since.elapsed() < LAST_WORDS && self.turn.pass().await.is_ok() {}
        self.send(&Event::Failed { id: None, failure: failure.clone() });
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
        let mut text = String::new();
        let ended = self.write(generator, id, &mut text).await;
        // Also before an error: what was written is not lost.
        self.tell(id, &mut text);
        ended?;
        Ok(outcome(generator.finish(), dropped_messages))
    }

    /// Writes until the reply is complete or unwanted; `text` is what the page has not been told at the end.
    async fn write(&self, generator: &mut Generator, id: RequestId, text: &mut String) -> Result<(), Failure> {
        let mut told = Instant::now();
        while !self.stop.is_wanted() {
            generator.ready().await;
            let Some(more) = generator.step().map_err(|error| failure::from_error(&error))? else { break };
            text.push_str(&more);
            // A step without text is one of a prompt, as a rule, and takes long by itself.
            if more.is_empty() && !generator.is_waiting() || told.elapsed() >= FRAME {
                self.tell(id, text);
                self.turn.pass().await?;
                told = Instant::now();
            }
        }
        Ok(())
    }

    /// Sends what has been written since the last time.
    fn tell(&self, id: RequestId, text: &mut String) {
        if !text.is_empty() {
            self.send(&Event::Token { id, text: std::mem::take(text) });
        }
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
