use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::{
    Alone, CacheType, Comm, Disconnected, ForwardError, Weights, gpu,
    meeting::{BATCH, Interrupt},
    runner::{Observer, Runner, Stage},
};

/// Multiplications that one step of a forward pass should not exceed by much, so that it may be stopped soon: about 50 ms in a browser.
const STEP_PRODUCTS: usize = 1_500_000_000;

/// One context over shared weights: its tokens and its KV cache. Of a model in several shards, this is the first shard's side.
pub struct Session {
    engine: Engine,
    max_context: usize,
    cache_type: CacheType,
    tokens: Vec<u32>,
    pass: Option<Pass>,
}

/// What computes.
enum Engine {
    Cpu(Box<Runner>),
    Gpu(Box<gpu::Runner>),
}

/// How far a forward pass has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// There is more to do.
    More,
    /// A graphics processor is at work, and only the browser's event loop tells when it is done: see [`Session::ready`].
    Waiting,
    /// [`Session::logits`] are those of the last token.
    Done,
}

/// Tokens on their way through the model.
struct Pass {
    tokens: Vec<u32>,
    /// How many of them are behind the last block.
    done: usize,
    batch: usize,
    stage: Stage,
}

/// What the first shard tells the others, before each batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Take a batch through all blocks; the words: start, context, whether logits are wanted, 1 + the adapter's number or 0, tokens.
    Forward,
    End,
}

impl Session {
    /// An empty context of at most `max_context` tokens.
    pub fn new(weights: Arc<Weights>, max_context: usize) -> Self {
        Self::with_comm(weights, Box::new(Alone), max_context, CacheType::default())
    }

    /// As [`Self::new`], for the first of several shards; the others are at [`serve`] or will be.
    ///
    /// # Panics
    /// The weights are not the first shard, or the shared buffer is smaller than [`crate::comm_words`].
    pub fn with_comm(weights: Arc<Weights>, comm: Box<dyn Comm>, max_context: usize, cache_type: CacheType) -> Self {
        assert_eq!(weights.shard().index(), 0, "a session belongs to the first shard");
        let (engine, cache_type) = match weights.gpu.clone() {
            None => (Engine::Cpu(Box::new(Runner::new(weights, comm, cache_type))), cache_type),
            Some(gpu) => (Engine::Gpu(gpu::Runner::new(weights, &gpu)), CacheType::F16),
        };
        Self { engine, max_context, cache_type, tokens: Vec::new(), pass: None }
    }

    /// Appends `tokens` and returns the logits after the last one, `vocab_size` values.
    ///
    /// # Errors
    /// No tokens, an id outside the vocabulary, a full context, no memory; the session is then unchanged.
    pub fn forward(&mut self, tokens: &[u32]) -> Result<&[f32], ForwardError> {
        self.start(tokens)?;
        while self.advance()? != Advance::Done {}
        Ok(self.logits())
    }

    /// Begins what [`Self::forward`] does, step by step; a pass that was going on is abandoned.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn start(&mut self, tokens: &[u32]) -> Result<(), ForwardError> {
        self.abandon()?;
        self.check(tokens)?;
        let needed = self.tokens.len() + tokens.len();
        match &mut self.engine {
            Engine::Cpu(runner) => runner.reserve(needed, self.max_context)?,
            Engine::Gpu(runner) => runner.reserve(needed, self.max_context)?,
        }
        let config = self.weights().config();
        let products = 2 * config.embedding_length * config.feed_forward_length / self.weights().shard().count();
        let batch = (STEP_PRODUCTS / products.max(1)).clamp(8, BATCH);
        self.pass = Some(Pass { tokens: tokens.to_vec(), done: 0, batch, stage: Stage::Embedding });
        Ok(())
    }

    /// Computes for some milliseconds.
    ///
    /// # Errors
    /// Another shard broke down, or the graphics processor did.
    pub fn advance(&mut self) -> Result<Advance, ForwardError> {
        let Some(pass) = &mut self.pass else { return Ok(Advance::Done) };
        let end = pass.tokens.len().min(pass.done + pass.batch);
        let batch = &pass.tokens[pass.done..end];
        let is_last = end == pass.tokens.len();
        let start = self.tokens.len();
        match &mut self.engine {
            Engine::Cpu(runner) => {
                pass.stage = step(runner, batch, (start, self.max_context), pass.stage, is_last)?;
                if pass.stage != Stage::Done {
                    return Ok(Advance::More);
                }
            }
            Engine::Gpu(runner) => {
                if runner.advance(batch, start, is_last)?.is_pending() {
                    return Ok(Advance::Waiting);
                }
            }
        }
        self.tokens.extend_from_slice(batch);
        (pass.done, pass.stage) = (end, Stage::Embedding);
        if !is_last {
            return Ok(Advance::More);
        }
        self.pass = None;
        Ok(Advance::Done)
    }

    /// Waits until [`Self::advance`] has something to do: at once, unless it said [`Advance::Waiting`].
    pub async fn ready(&self) {
        poll_fn(|context| self.poll_ready(context)).await;
    }

    /// Would [`Self::ready`] wait?
    pub fn is_waiting(&self) -> bool {
        self.poll_ready(&Context::from_waker(Waker::noop())).is_pending()
    }

    fn poll_ready(&self, context: &Context<'_>) -> Poll<()> {
        match &self.engine {
            Engine::Cpu(_) => Poll::Ready(()),
            Engine::Gpu(runner) => runner.poll_ready(context),
        }
    }

    /// Gives up the pass that is going on, if any; its tokens up to the last whole batch stay in the context.
    ///
    /// # Errors
    /// Another shard broke down.
    pub fn abandon(&mut self) -> Result<(), ForwardError> {
        match (self.pass.take(), &mut self.engine) {
            (Some(pass), Engine::Cpu(runner)) if pass.stage != Stage::Embedding => Ok(runner.meeting.abandon()?),
            (Some(_), Engine::Gpu(runner)) => {
                runner.abandon();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Puts one of the adapters that the weights have read on them, or none: see [`Weights::add_adapter`]. The context forgets its
    /// tokens where that changes anything, since keys and values depend on it.
    ///
    /// # Errors
    /// There is no such adapter, or another shard broke down.
    pub fn use_adapter(&mut self, number: Option<usize>) -> Result<(), ForwardError> {
        let loaded = self.weights().adapters.len();
        if let Some(number) = number.filter(|&number| number >= loaded) {
            return Err(ForwardError::NoAdapter { number, loaded });
        }
        if matches!(&self.engine, Engine::Cpu(runner) if runner.adapter != number) {
            self.truncate(0)?;
        }
        if let Engine::Cpu(runner) = &mut self.engine {
            runner.adapter = number;
        }
        Ok(())
    }

    /// Shows `observer` what every product of every block reads, from the next pass on; a graphics processor shows nothing.
    pub fn observe(&mut self, observer: Observer) {
        if let Engine::Cpu(runner) = &mut self.engine {
            runner.observe(observer);
        }
    }

    /// The logits of the last finished pass.
    pub fn logits(&self) -> &[f32] {
        match &self.engine {
            Engine::Cpu(runner) => &runner.logits,
            Engine::Gpu(runner) => runner.logits(),
        }
    }

    /// Forgets all tokens from position `len` on, so that a common prefix is reused. A pass that is going on is abandoned.
    ///
    /// # Errors
    /// Another shard broke down.
    pub fn truncate(&mut self, len: usize) -> Result<(), ForwardError> {
        self.abandon()?;
        self.tokens.truncate(len);
        Ok(())
    }

    /// The tokens in the context.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The most tokens this session takes.
    pub fn context(&self) -> usize {
        self.max_context
    }

    /// How keys and values are kept.
    pub fn cache_type(&self) -> CacheType {
        self.cache_type
    }

    /// The shared weights.
    pub fn weights(&self) -> &Arc<Weights> {
        match &self.engine {
            Engine::Cpu(runner) => &runner.weights,
            Engine::Gpu(runner) => runner.weights(),
        }
    }

    fn check(&self, tokens: &[u32]) -> Result<(), ForwardError> {
        let vocab_size = self.weights().config().vocab_size;
        if tokens.is_empty() {
            return Err(ForwardError::Empty);
        }
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocab_size) {
            return Err(ForwardError::TokenOutOfRange { token, vocab_size });
        }
        let (len, adding, max) = (self.tokens.len(), tokens.len(), self.max_context);
        if len + adding > max {
            return Err(ForwardError::ContextFull { len, adding, max });
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whoever is gone already cannot be told.
        let _ = self.abandon();
        if let Engine::Cpu(runner) = &mut self.engine {
            let _ = runner.meeting.broadcast(&mut vec![Order::End as u32]);
        }
    }
}

/// Takes a batch through one stage, and the others with it; logits come with the last stage of the last batch.
fn step(
    runner: &mut Runner,
    batch: &[u32],
    (start, context): (usize, usize),
    stage: Stage,
    is_last: bool,
) -> Result<Stage, ForwardError> {
    let through = (|| {
        if stage == Stage::Embedding {
            let adapter = runner.adapter.map_or(0, |number| number as u32 + 1);
            let mut words = vec![Order::Forward as u32, start as u32, context as u32, u32::from(is_last), adapter];
            words.extend(batch);
            runner.meeting.broadcast(&mut words)?;
        }
        let stage = runner.advance(batch, start, stage)?;
        if stage == Stage::Done && is_last {
            runner.compute_logits()?;
        }
        Ok(stage)
    })();
    through.map_err(|interrupt: Interrupt| {
        debug_assert_eq!(interrupt, Interrupt::Disconnected, "only this side abandons a pass");
        ForwardError::Disconnected(Disconnected)
    })
}

/// The life of a shard that is not the first: computes its part of whatever the first one asks for, until that session ends.
///
/// # Errors
/// Another shard broke down, or this one has no memory for its part of the KV cache.
///
/// # Panics
/// The shared buffer is smaller than [`crate::comm_words`].
pub fn serve(weights: Arc<Weights>, comm: Box<dyn Comm>, cache_type: CacheType) -> Result<(), ForwardError> {
    let mut runner = Runner::new(weights, comm, cache_type);
    let mut words = Vec::new();
    loop {
        let heard = runner.meeting.broadcast(&mut words);
        let outcome = heard.map_err(|_| ForwardError::Disconnected(Disconnected)).and_then(|()| match &words[..] {
            [order, start, context, is_last, adapter, batch @ ..] if *order == Order::Forward as u32 => {
                runner.adapter = adapter.checked_sub(1).map(|number| number as usize);
                obey(&mut runner, batch, (*start as usize, *context as usize), *is_last == 1).map(|()| true)
            }
            _ => Ok(false),
        });
        match outcome {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// One batch, unless the first shard abandons it.
fn obey(
    runner: &mut Runner,
    batch: &[u32],
    (start, context): (usize, usize),
    wants_logits: bool,
) -> Result<(), ForwardError> {
    runner.reserve(start + batch.len(), context)?;
    let mut stage = Stage::Embedding;
    while stage != Stage::Done {
        match runner.advance(batch, start, stage) {
            Ok(next) => stage = next,
            Err(Interrupt::Abandoned) => return Ok(()),
            Err(Interrupt::Disconnected) => return Err(Disconnected.into()),
        }
    }
    match wants_logits.then(|| runner.compute_logits()) {
        Some(Err(Interrupt::Disconnected)) => Err(Disconnected.into()),
        _ => Ok(()),
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("tokens", &self.tokens.len())
            .field("max_context", &self.max_context)
            .finish_non_exhaustive()
    }
}
