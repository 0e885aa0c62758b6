use std::{fmt, sync::Arc};

use crate::{
    Alone, CacheType, Comm, Disconnected, ForwardError, Weights,
    meeting::{BATCH, Interrupt},
    runner::{Observer, Runner, Stage},
};

/// Multiplications that one step of a forward pass should not exceed by much, so that it may be stopped soon: about 50 ms in a browser.
const STEP_PRODUCTS: usize = 1_500_000_000;

/// One context over shared weights: its tokens and its KV cache. Of a model in several shards, this is the first shard's side.
pub struct Session {
    runner: Runner,
    max_context: usize,
    cache_type: CacheType,
    tokens: Vec<u32>,
    pass: Option<Pass>,
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
        let runner = Runner::new(weights, comm, cache_type);
        Self { runner, max_context, cache_type, tokens: Vec::new(), pass: None }
    }

    /// Appends `tokens` and returns the logits after the last one, `vocab_size` values.
    ///
    /// # Errors
    /// No tokens, an id outside the vocabulary, a full context, no memory; the session is then unchanged.
    pub fn forward(&mut self, tokens: &[u32]) -> Result<&[f32], ForwardError> {
        self.start(tokens)?;
        while self.advance()? {}
        Ok(&self.runner.logits)
    }

    /// Begins what [`Self::forward`] does, step by step; a pass that was going on is abandoned.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn start(&mut self, tokens: &[u32]) -> Result<(), ForwardError> {
        self.abandon()?;
        self.check(tokens)?;
        self.runner.reserve(self.tokens.len() + tokens.len(), self.max_context)?;
        let config = self.runner.weights.config();
        let products = 2 * config.embedding_length * config.feed_forward_length / self.runner.weights.shard().count();
        let batch = (STEP_PRODUCTS / products.max(1)).clamp(8, BATCH);
        self.pass = Some(Pass { tokens: tokens.to_vec(), done: 0, batch, stage: Stage::Embedding });
        Ok(())
    }

    /// Computes for some milliseconds; `true` while there is more to do, `false` once [`Self::logits`] are those of the last token.
    ///
    /// # Errors
    /// Another shard broke down.
    pub fn advance(&mut self) -> Result<bool, ForwardError> {
        let Some(pass) = &mut self.pass else { return Ok(false) };
        let end = pass.tokens.len().min(pass.done + pass.batch);
        let batch = &pass.tokens[pass.done..end];
        let is_last = end == pass.tokens.len();
        let start = self.tokens.len();
        let order = |runner: &mut Runner| {
            let adapter = runner.adapter.map_or(0, |number| number as u32 + 1);
            let context = self.max_context as u32;
            let mut words = vec![Order::Forward as u32, start as u32, context, u32::from(is_last), adapter];
            words.extend(batch);
            runner.meeting.broadcast(&mut words)
        };
        let stage = (|| {
            if pass.stage == Stage::Embedding {
                order(&mut self.runner)?;
            }
            let stage = self.runner.advance(batch, start, pass.stage)?;
            if stage == Stage::Done && is_last {
                self.runner.compute_logits()?;
            }
            Ok(stage)
        })();
        pass.stage = stage.map_err(|interrupt: Interrupt| {
            debug_assert_eq!(interrupt, Interrupt::Disconnected, "only this side abandons a pass");
            ForwardError::Disconnected(Disconnected)
        })?;
        if pass.stage == Stage::Done {
            self.tokens.extend_from_slice(batch);
            (pass.done, pass.stage) = (end, Stage::Embedding);
            if is_last {
                self.pass = None;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives up the pass that is going on, if any; its tokens up to the last whole batch stay in the context.
    ///
    /// # Errors
    /// Another shard broke down.
    pub fn abandon(&mut self) -> Result<(), ForwardError> {
        match self.pass.take() {
            Some(pass) if pass.stage != Stage::Embedding => Ok(self.runner.meeting.abandon()?),
            _ => Ok(()),
        }
    }

    /// Puts one of the adapters that the weights have read on them, or none: see [`Weights::add_adapter`]. The context forgets its
    /// tokens where that changes anything, since keys and values depend on it.
    ///
    /// # Errors
    /// There is no such adapter, or another shard broke down.
    pub fn use_adapter(&mut self, number: Option<usize>) -> Result<(), ForwardError> {
        let loaded = self.runner.weights.adapters.len();
        if let Some(number) = number.filter(|&number| number >= loaded) {
            return Err(ForwardError::NoAdapter { number, loaded });
        }
        if self.runner.adapter != number {
            self.truncate(0)?;
            self.runner.adapter = number;
        }
        Ok(())
    }

    /// Shows `observer` what every product of every block reads, from the next pass on.
    pub fn observe(&mut self, observer: Observer) {
        self.runner.observe(observer);
    }

    /// The logits of the last finished pass.
    pub fn logits(&self) -> &[f32] {
        &self.runner.logits
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
        &self.runner.weights
    }

    fn check(&self, tokens: &[u32]) -> Result<(), ForwardError> {
        let vocab_size = self.runner.weights.config().vocab_size;
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
        let _ = self.runner.meeting.broadcast(&mut vec![Order::End as u32]);
    }
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
