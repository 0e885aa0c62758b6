use std::{fmt, sync::Arc};

use crate::{
    Config, ForwardError, Weights,
    kernels::{self, Activations},
    weights::Block,
};

/// Positions that pass through the blocks together; bounds the scratch memory of a long prompt.
const BATCH: usize = 128;
/// The KV cache grows by so many tokens at a time.
const CACHE_STEP: usize = 256;

/// One context over shared weights: its tokens, its KV cache, its scratch memory.
pub struct Session {
    weights: Arc<Weights>,
    max_context: usize,
    tokens: Vec<u32>,
    cache: Vec<BlockCache>,
    scratch: Scratch,
    logits: Vec<f32>,
}

/// Rotated keys and values of one block, one row of `head_count_kv * head_dim` per token.
#[derive(Default)]
struct BlockCache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

#[derive(Default)]
struct Scratch {
    /// The residual stream.
    x: Vec<f32>,
    normed: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    projected: Vec<f32>,
    scores: Vec<f32>,
    rotations: Vec<(f32, f32)>,
}

impl Session {
    /// An empty context of at most `max_context` tokens.
    pub fn new(weights: Arc<Weights>, max_context: usize) -> Self {
        let cache = weights.blocks.iter().map(|_| BlockCache::default()).collect();
        Self { weights, max_context, tokens: Vec::new(), cache, scratch: Scratch::default(), logits: Vec::new() }
    }

    /// Appends `tokens` and returns the logits after the last one, `vocab_size` values.
    ///
    /// # Errors
    /// No tokens, an id outside the vocabulary, a full context, no memory; the session is then unchanged.
    pub fn forward(&mut self, tokens: &[u32]) -> Result<&[f32], ForwardError> {
        self.check(tokens)?;
        self.reserve(tokens.len())?;
        for batch in tokens.chunks(BATCH) {
            self.forward_batch(batch);
        }
        self.compute_logits();
        Ok(&self.logits)
    }

    /// Forgets all tokens from position `len` on, so that a common prefix is reused.
    pub fn truncate(&mut self, len: usize) {
        let row_len = kv_row_len(self.weights.config());
        self.tokens.truncate(len);
        for cache in &mut self.cache {
            cache.keys.truncate(len.saturating_mul(row_len));
            cache.values.truncate(len.saturating_mul(row_len));
        }
    }

    /// The tokens in the context.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The most tokens this session takes.
    pub fn context(&self) -> usize {
        self.max_context
    }

    /// The shared weights.
    pub fn weights(&self) -> &Arc<Weights> {
        &self.weights
    }

    fn check(&self, tokens: &[u32]) -> Result<(), ForwardError> {
        let vocab_size = self.weights.config().vocab_size;
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

    /// Makes room for `adding` tokens in every block, so that no batch can fail half way.
    fn reserve(&mut self, adding: usize) -> Result<(), ForwardError> {
        let row_len = kv_row_len(self.weights.config());
        let target = (self.tokens.len() + adding).next_multiple_of(CACHE_STEP).min(self.max_context);
        for rows in self.cache.iter_mut().flat_map(|cache| [&mut cache.keys, &mut cache.values]) {
            let more = (target * row_len).saturating_sub(rows.len());
            let bytes = (more * size_of::<f32>()) as u64;
            rows.try_reserve_exact(more).map_err(|_| ForwardError::OutOfMemory { bytes })?;
        }
        Ok(())
    }

    fn forward_batch(&mut self, tokens: &[u32]) {
        let Self { weights, cache, scratch, .. } = self;
        let config = weights.config();
        let start = self.tokens.len();
        scratch.x.resize(tokens.len() * config.embedding_length, 0.0);
        for (&token, x) in tokens.iter().zip(scratch.x.chunks_exact_mut(config.embedding_length)) {
            weights.embedding.dequantize_row(token as usize, x);
        }
        scratch.rotations.clear();
        for position in start..start + tokens.len() {
            kernels::rotations(position, &weights.rope_frequencies, &mut scratch.rotations);
        }
        for (block, cache) in weights.blocks.iter().zip(cache) {
            scratch.attention(block, cache, config);
            scratch.feed_forward(block, config);
        }
        self.tokens.extend_from_slice(tokens);
    }

    /// Logits of the last position of the last batch.
    fn compute_logits(&mut self) {
        let Self { weights, scratch, logits, .. } = self;
        let config = weights.config();
        let last = &scratch.x[scratch.x.len() - config.embedding_length..];
        scratch.normed.resize(config.embedding_length, 0.0);
        kernels::rms_norm(last, &weights.output_norm, config.rms_norm_epsilon, &mut scratch.normed);
        weights.output().matmul(&Activations::new(&scratch.normed, config.embedding_length), logits);
    }
}

impl Scratch {
    /// `x += attention(norm(x))`, appending this batch's keys and values to the cache.
    fn attention(&mut self, block: &Block, cache: &mut BlockCache, config: &Config) {
        self.normed.resize(self.x.len(), 0.0);
        kernels::rms_norm(&self.x, &block.attention_norm, config.rms_norm_epsilon, &mut self.normed);
        let input = Activations::new(&self.normed, config.embedding_length);
        block.query.matmul(&input, &mut self.query);
        block.key.matmul(&input, &mut self.key);
        block.value.matmul(&input, &mut self.value);

        let (query_len, row_len) = (block.query.rows, kv_row_len(config));
        let rotations = self.rotations.chunks_exact(config.rope_dimension_count / 2);
        for ((query, key), rotations) in
            self.query.chunks_exact_mut(query_len).zip(self.key.chunks_exact_mut(row_len)).zip(rotations)
        {
            kernels::rope(query, config.head_dim, rotations);
            kernels::rope(key, config.head_dim, rotations);
        }
        let start = cache.keys.len();
        cache.keys.extend_from_slice(&self.key);
        cache.values.extend_from_slice(&self.value);

        self.attended.resize(self.query.len(), 0.0);
        for (index, (query, out)) in
            self.query.chunks_exact(query_len).zip(self.attended.chunks_exact_mut(query_len)).enumerate()
        {
            let visible = start + (index + 1) * row_len;
            let (keys, values) = (&cache.keys[..visible], &cache.values[..visible]);
            kernels::attention(query, keys, values, config.head_dim, row_len, &mut self.scores, out);
        }
        block.attention_output.matmul(&Activations::new(&self.attended, query_len), &mut self.projected);
        kernels::add(&mut self.x, &self.projected);
    }

    /// `x += down(silu(gate(norm(x))) * up(norm(x)))`
    fn feed_forward(&mut self, block: &Block, config: &Config) {
        kernels::rms_norm(&self.x, &block.feed_forward_norm, config.rms_norm_epsilon, &mut self.normed);
        let input = Activations::new(&self.normed, config.embedding_length);
        block.gate.matmul(&input, &mut self.gate);
        block.up.matmul(&input, &mut self.up);
        kernels::swiglu(&mut self.gate, &self.up);
        block.down.matmul(&Activations::new(&self.gate, config.feed_forward_length), &mut self.projected);
        kernels::add(&mut self.x, &self.projected);
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

fn kv_row_len(config: &Config) -> usize {
    config.head_count_kv * config.head_dim
}
