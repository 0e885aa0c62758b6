use std::sync::Arc;

use decoder::{Advance, CacheType, Comm, Session};
use serde::{Deserialize, Serialize};
use web_time::Instant;

use crate::{Error, Message, Model, Options, Sampler, TextStream};

/// A step ends after about so long, in milliseconds, so that a caller can show progress or cancel inside a long prompt.
const STEP_MS: f64 = 25.0;

/// What the model is asked to continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prompt {
    /// Text as it is; only the begin-of-text token is added, where the model wants one.
    Text(String),
    /// A conversation, rendered by the model's chat template.
    Messages(Vec<Message>),
}

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The model ended its reply.
    EndOfText,
    /// One of [`Options::stop`] was met.
    StopSequence,
    /// [`Options::max_tokens`] was reached.
    MaxTokens,
    /// The context is full.
    ContextFull,
    /// The caller stopped stepping.
    Cancelled,
}

/// A finished reply and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The whole reply.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// How many of them were still in the KV cache.
    pub reused_tokens: usize,
    /// Tokens sampled, the end-of-text token not counted.
    pub tokens: usize,
    /// Time spent on the prompt, in milliseconds.
    pub prefill_ms: f64,
    /// Time spent on the reply, in milliseconds.
    pub decode_ms: f64,
    /// Why the reply ended.
    pub stop: StopReason,
}

/// Writes replies with one model, in one context that is reused from prompt to prompt.
#[derive(Debug)]
pub struct Generator {
    model: Arc<Model>,
    session: Session,
    reply: Option<Reply>,
}

/// The reply being written.
#[derive(Debug)]
struct Reply {
    sampler: Sampler,
    stream: TextStream,
    /// Tokens of the prompt and of the reply.
    history: Vec<u32>,
    /// How many of them have passed through the model.
    seen: usize,
    /// Are the rest of them on their way?
    computing: bool,
    outcome: Outcome,
    complete: bool,
}

impl Generator {
    /// A generator whose context holds `context` tokens, at most as many as the model was trained for; 0 asks for all of them.
    pub fn new(model: Arc<Model>, context: usize) -> Self {
        Self::with_comm(model, Box::new(decoder::Alone), context, CacheType::default())
    }

    /// As [`Self::new`], for a model of which this is the first of several shards.
    pub fn with_comm(model: Arc<Model>, comm: Box<dyn Comm>, context: usize, cache_type: CacheType) -> Self {
        let trained = model.config().context_length;
        let context = if context == 0 { trained } else { context.min(trained) };
        let session = Session::with_comm(Arc::clone(model.weights()), comm, context, cache_type);
        Self { model, session, reply: None }
    }

    /// Bytes of keys and values when the context is full, of all shards together.
    pub fn cache_bytes(&self) -> u64 {
        self.model.config().kv_bytes(self.context(), self.session.cache_type())
    }

    /// Puts one of the model's adapters on it, or none; a reply that was being written is given up: see
    /// [`decoder::Session::use_adapter`].
    ///
    /// # Errors
    /// There is no such adapter, or another shard broke down.
    pub fn use_adapter(&mut self, number: Option<usize>) -> Result<(), Error> {
        self.reply = None;
        Ok(self.session.use_adapter(number)?)
    }

    /// Ends the context and gives the model back, to be changed: see [`Model::add_adapter`]. `None` where somebody else has it,
    /// too. The other shards of a model in several leave [`decoder::serve`].
    pub fn into_model(self) -> Option<Model> {
        let Self { model, session, .. } = self;
        drop(session);
        Arc::into_inner(model)
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Tokens that the context holds.
    pub fn context(&self) -> usize {
        self.session.context()
    }

    /// Begins a reply; one that was being written is given up. Nothing is computed yet.
    ///
    /// # Errors
    /// Options out of range, a prompt that is empty, too long, or refused by the chat template.
    pub fn start(&mut self, prompt: &Prompt, options: Options) -> Result<(), Error> {
        self.reply = None;
        let stream = TextStream::new(options.stop.iter().cloned());
        let sampler = Sampler::new(options)?;
        let tokens = self.model.tokenize(prompt)?;
        let (needed, context) = (tokens.len() + 1, self.session.context());
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if needed > context {
            return Err(Error::PromptTooLong { needed, context });
        }
        // The last token is always computed: its logits begin the reply.
        let shared = tokens.iter().zip(self.session.tokens()).take_while(|(a, b)| a == b).count();
        let reused_tokens = shared.min(tokens.len() - 1);
        self.session.truncate(reused_tokens)?;
        let outcome = Outcome { prompt_tokens: tokens.len(), reused_tokens, ..Outcome::nothing() };
        self.reply = Some(Reply {
            sampler,
            stream,
            history: tokens,
            seen: reused_tokens,
            computing: false,
            outcome,
            complete: false,
        });
        Ok(())
    }

    /// Computes for some milliseconds, at most up to the next token of the reply, and returns the new text: empty while the prompt is
    /// read, while a token takes longer, while a character is incomplete or while a stop text may be coming; `None` when the reply is
    /// complete.
    ///
    /// # Errors
    /// The forward pass fails; the reply cannot go on.
    pub fn step(&mut self) -> Result<Option<String>, Error> {
        let Some(reply) = self.reply.as_mut().filter(|reply| !reply.complete) else { return Ok(None) };
        let started = Instant::now();
        let in_prompt = reply.in_prompt();
        let text = reply.step(&self.model, &mut self.session)?;
        reply.spend(started, in_prompt);
        reply.outcome.text.push_str(&text);
        Ok(Some(text))
    }

    /// Waits until [`Self::step`] has something to do: at once, unless a graphics processor is at work.
    pub async fn ready(&mut self) {
        let started = Instant::now();
        self.session.ready().await;
        if let Some(reply) = &mut self.reply {
            reply.spend(started, reply.in_prompt());
        }
    }

    /// Is a graphics processor at work, so that [`Self::step`] has nothing to do?
    pub fn is_waiting(&self) -> bool {
        self.session.is_waiting()
    }

    /// Ends the reply and returns it; [`StopReason::Cancelled`] if it was not complete, or none was started.
    pub fn finish(&mut self) -> Outcome {
        self.reply.take().map_or_else(Outcome::nothing, |reply| reply.outcome)
    }
}

impl Reply {
    fn in_prompt(&self) -> bool {
        self.seen < self.outcome.prompt_tokens
    }

    /// Books the time since `started`.
    fn spend(&mut self, started: Instant, in_prompt: bool) {
        let elapsed = started.elapsed().as_secs_f64() * 1e3;
        match in_prompt {
            true => self.outcome.prefill_ms += elapsed,
            false => self.outcome.decode_ms += elapsed,
        }
    }

    fn step(&mut self, model: &Model, session: &mut Session) -> Result<String, Error> {
        if !self.computing {
            session.start(&self.history[self.seen..])?;
            self.computing = true;
        }
        let (started, known) = (Instant::now(), session.tokens().len());
        loop {
            let advance = session.advance()?;
            if advance == Advance::Done {
                break;
            }
            let is_long = started.elapsed().as_secs_f64() * 1e3 > STEP_MS;
            if is_long || advance == Advance::Waiting || session.tokens().len() > known {
                return Ok(String::new());
            }
        }
        (self.seen, self.computing) = (self.history.len(), false);
        // Rows past the vocabulary are padding of the embedding.
        let token = self.sampler.sample(&session.logits()[..model.tokenizer().len()], &self.history);
        let mut text = self.accept(token, model);
        let stop = self.stop_reason(token, model, session.context());
        if let Some(stop) = stop {
            text.push_str(&self.stream.flush());
            self.outcome.stop = stop;
            self.complete = true;
        }
        Ok(text)
    }

    fn accept(&mut self, token: u32, model: &Model) -> String {
        let tokenizer = model.tokenizer();
        if tokenizer.is_end_of_generation(token) {
            return String::new();
        }
        let bytes = tokenizer.token_bytes(token, self.history.last().copied());
        self.history.push(token);
        self.outcome.tokens += 1;
        self.stream.push(&bytes)
    }

    fn stop_reason(&self, token: u32, model: &Model, context: usize) -> Option<StopReason> {
        if model.tokenizer().is_end_of_generation(token) {
            Some(StopReason::EndOfText)
        } else if self.stream.is_stopped() {
            Some(StopReason::StopSequence)
        } else if self.outcome.tokens >= self.sampler.options().max_tokens {
            Some(StopReason::MaxTokens)
        } else if self.history.len() > context {
            Some(StopReason::ContextFull)
        } else {
            None
        }
    }
}

impl Outcome {
    fn nothing() -> Self {
        Self {
            text: String::new(),
            prompt_tokens: 0,
            reused_tokens: 0,
            tokens: 0,
            prefill_ms: 0.0,
            decode_ms: 0.0,
            stop: StopReason::Cancelled,
        }
    }
}
