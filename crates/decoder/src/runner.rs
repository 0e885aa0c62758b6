//! One shard's forward pass, in steps that are short enough to stop between.

use std::sync::Arc;

use crate::{
    CacheType, Comm, ForwardError, Weights,
    adapter::{BlockAdapter, LowRank, LowRankBuffers},
    cpu::{self, Activations, Attention, AttentionScratch, HeadCache, Rounding, Scratch},
    matrix::{Input, Matrix},
    meeting::{Interrupt, Meeting},
    weights::{Block, Linear},
};

static NO_ADAPTER: BlockAdapter =
    BlockAdapter { query: None, key: None, value: None, attention_output: None, gate: None, up: None, down: None };

/// The KV cache grows by so many tokens at a time.
const CACHE_STEP: usize = 256;

/// What a shard knows of one context: its heads' keys and values, its scratch memory, its seat among the others.
pub struct Runner {
    pub weights: Arc<Weights>,
    pub meeting: Meeting,
    cache_type: CacheType,
    /// Of each block, of each of this shard's key/value heads.
    cache: Vec<Vec<HeadCache>>,
    buffers: Buffers,
    pub logits: Vec<f32>,
    /// Number of the adapter in use.
    pub adapter: Option<usize>,
}

/// Where a batch of tokens stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Embedding,
    Attention(usize),
    FeedForward(usize),
    Done,
}

/// The products of a block that share their input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// Queries, keys and values.
    Attention,
    /// Attention's output.
    AttentionOutput,
    /// Gate and up.
    FeedForward,
    /// Down.
    Down,
}

/// Is shown what each product of each block reads: rows of activations, one for each token.
pub type Observer = Box<dyn FnMut(usize, Site, &[f32]) + Send>;

#[derive(Default)]
struct Buffers {
    /// The residual stream.
    x: Vec<f32>,
    normed: Vec<f32>,
    quantized: Activations,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    /// This shard's part of a product.
    own: Vec<f32>,
    up: Vec<f32>,
    /// A product of all shards.
    whole: Vec<f32>,
    turns: Vec<(f32, f32)>,
    attention: AttentionScratch,
    scratch: Scratch,
    low_rank: LowRankBuffers,
    observer: Option<Observer>,
}

impl Runner {
    pub fn new(weights: Arc<Weights>, comm: Box<dyn Comm>, cache_type: CacheType) -> Self {
        let heads = weights.layout.kv_heads().len();
        let of_block = || (0..heads).map(|_| HeadCache::new(cache_type, weights.cpu)).collect();
        let cache = (0..weights.config().block_count).map(|_| of_block()).collect();
        let meeting = Meeting::new(comm, weights.config(), &weights.layout);
        Self { weights, meeting, cache_type, cache, buffers: Buffers::default(), logits: Vec::new(), adapter: None }
    }

    /// Shows `observer` every input from now on.
    pub fn observe(&mut self, observer: Observer) {
        self.buffers.observer = Some(observer);
    }

    /// Makes room for `tokens` tokens, at most `context`, so that no pass can fail half way.
    pub fn reserve(&mut self, tokens: usize, context: usize) -> Result<(), ForwardError> {
        let positions = tokens.next_multiple_of(CACHE_STEP).min(context);
        let head_dim = self.weights.config().head_dim;
        for head in self.cache.iter_mut().flatten() {
            let bytes = self.cache_type.bytes(head_dim, positions);
            head.reserve(positions, head_dim).map_err(|_| ForwardError::OutOfMemory { bytes })?;
        }
        Ok(())
    }

    /// Takes a batch that starts at position `start` through one stage and returns the next one.
    pub fn advance(&mut self, tokens: &[u32], start: usize, stage: Stage) -> Result<Stage, Interrupt> {
        let weights = Arc::clone(&self.weights);
        let number = self.adapter;
        let adapter = |index: usize| number.map_or(&NO_ADAPTER, |number| &weights.adapters[number].blocks[index]);
        match stage {
            Stage::Embedding => {
                self.embed(&weights, tokens)?;
                weights.turns(start, tokens.len(), &mut self.buffers.turns);
                Ok(Stage::Attention(0))
            }
            Stage::Attention(index) => {
                let (block, cache) = (&weights.blocks[index], &mut self.cache[index]);
                self.buffers.attention(index, (block, adapter(index)), cache, &weights, &mut self.meeting, start)?;
                Ok(Stage::FeedForward(index))
            }
            Stage::FeedForward(index) => {
                let block = (&weights.blocks[index], adapter(index));
                self.buffers.feed_forward(index, block, &weights, &mut self.meeting)?;
                Ok(if index + 1 < weights.blocks.len() { Stage::Attention(index + 1) } else { Stage::Done })
            }
            Stage::Done => Ok(Stage::Done),
        }
    }

    fn embed(&mut self, weights: &Weights, tokens: &[u32]) -> Result<(), Interrupt> {
        let width = weights.config().embedding_length;
        let own = weights.layout.vocab_of(weights.shard().index());
        let x = &mut self.buffers.x;
        x.resize(tokens.len() * width, 0.0);
        for (&token, x) in tokens.iter().zip(x.chunks_exact_mut(width)) {
            if own.contains(&(token as usize)) {
                weights.embedding.dequantize_row(token as usize - own.start, x);
            }
        }
        self.meeting.share(width, |row| own.contains(&(tokens[row] as usize)), x)
    }

    /// Logits of the last position of the last batch; whole in the first shard only.
    pub fn compute_logits(&mut self) -> Result<(), Interrupt> {
        let Self { weights, meeting, buffers, logits, .. } = self;
        let (config, layout) = (weights.config(), &weights.layout);
        let last = buffers.x.split_off(buffers.x.len() - config.embedding_length);
        buffers.normed.resize(last.len(), 0.0);
        cpu::norm(weights.cpu, &last, &weights.output_norm, config.rms_norm_epsilon, &mut buffers.normed);
        let columns = config.embedding_length;
        quantize_for(&[weights.output()], &buffers.normed, columns, &mut buffers.quantized, weights);
        let input = Input { values: &buffers.normed, columns, quantized: &buffers.quantized };
        weights.output().matmul(&input, &mut buffers.own, &mut buffers.scratch);
        meeting.gather_to_first(config.vocab_size, |index| layout.vocab_of(index), &mut buffers.own, logits)
    }
}

impl Buffers {
    fn norm_x(&mut self, weights: &Weights, by: &[f32], readers: &[&Matrix]) {
        self.normed.resize(self.x.len(), 0.0);
        cpu::norm(weights.cpu, &self.x, by, weights.config().rms_norm_epsilon, &mut self.normed);
        quantize_for(readers, &self.normed, by.len(), &mut self.quantized, weights);
    }

    /// `x += attention(norm(x))`, appending this batch's keys and values to the cache.
    fn attention(
        &mut self,
        index: usize,
        (block, adapter): (&Block, &BlockAdapter),
        cache: &mut [HeadCache],
        weights: &Weights,
        meeting: &mut Meeting,
        start: usize,
    ) -> Result<(), Interrupt> {
        let (config, layout) = (weights.config(), &weights.layout);
        let (width, head_dim) = (config.embedding_length, config.head_dim);
        let tokens = self.x.len() / width;
        let readers = [&block.query.matrix, &block.key.matrix, &block.value.matrix];
        self.norm_x(weights, &block.attention_norm, &readers);
        show(&mut self.observer, index, Site::Attention, &self.normed);
        let input = Input { values: &self.normed, columns: width, quantized: &self.quantized };
        let Self { query, key, value, low_rank, scratch, .. } = self;
        for (linear, adapter, out) in [
            (&block.query, &adapter.query, query),
            (&block.key, &adapter.key, key),
            (&block.value, &adapter.value, value),
        ] {
            linear.forward(&input, out, scratch);
            add(adapter, &input, out, low_rank);
        }
        self.turn_heads(block, weights);

        let kv_row = layout.kv_heads().len() * head_dim;
        let rows = self.key.chunks_exact(kv_row.max(1)).zip(self.value.chunks_exact(kv_row.max(1)));
        for (position, (keys, values)) in (start..).zip(rows) {
            let heads = keys.chunks_exact(head_dim).zip(values.chunks_exact(head_dim));
            cache.iter_mut().zip(heads).for_each(|(cache, (key, value))| cache.set(position, key, value));
        }
        self.own.resize(self.query.len(), 0.0);
        for (cache, kv_head) in cache.iter().zip(layout.kv_heads()) {
            let mut job = Attention {
                head_dim,
                start,
                tokens,
                queries: &self.query,
                row_heads: layout.heads().len(),
                heads: layout.queries_of(kv_head),
                out: &mut self.own,
            };
            cpu::attend(weights.cpu, &mut job, cache, &mut self.attention);
        }
        let attended = config.head_count * head_dim;
        meeting.gather((tokens, attended), |index| layout.attended_of(index), &mut self.own, &mut self.whole)?;

        show(&mut self.observer, index, Site::AttentionOutput, &self.whole);
        let readers = [&block.attention_output.matrix];
        quantize_for(&readers, &self.whole, attended, &mut self.quantized, weights);
        let input = Input { values: &self.whole, columns: attended, quantized: &self.quantized };
        block.attention_output.forward(&input, &mut self.own, &mut self.scratch);
        add(&adapter.attention_output, &input, &mut self.own, &mut self.low_rank);
        self.add_product(&block.attention_post_norm, weights, meeting)
    }

    /// Norms and rotates this shard's query and key heads.
    fn turn_heads(&mut self, block: &Block, weights: &Weights) {
        let (config, layout) = (weights.config(), &weights.layout);
        let head_dim = config.head_dim;
        let heads = [
            (&mut self.query, &block.query_norm, layout.heads().len()),
            (&mut self.key, &block.key_norm, layout.kv_heads().len()),
        ];
        for (rows, norm, heads) in heads {
            if !norm.is_empty() {
                self.up.resize(rows.len(), 0.0);
                cpu::norm(weights.cpu, rows, norm, config.rms_norm_epsilon, &mut self.up);
                std::mem::swap(rows, &mut self.up);
            }
            let turns = self.turns.chunks_exact((config.rope_dimension_count / 2).max(1));
            for (row, turns) in rows.chunks_exact_mut((heads * head_dim).max(1)).zip(turns) {
                cpu::rotate(config.rotation, row, head_dim, turns);
            }
        }
    }

    /// `x += down(silu(gate(norm(x))) * up(norm(x)))`
    fn feed_forward(
        &mut self,
        index: usize,
        (block, adapter): (&Block, &BlockAdapter),
        weights: &Weights,
        meeting: &mut Meeting,
    ) -> Result<(), Interrupt> {
        let (config, layout) = (weights.config(), &weights.layout);
        let (width, hidden) = (config.embedding_length, config.feed_forward_length);
        let tokens = self.x.len() / width;
        self.norm_x(weights, &block.feed_forward_norm, &[&block.gate, &block.up]);
        show(&mut self.observer, index, Site::FeedForward, &self.normed);
        let input = Input { values: &self.normed, columns: width, quantized: &self.quantized };
        block.gate.matmul(&input, &mut self.own, &mut self.scratch);
        add(&adapter.gate, &input, &mut self.own, &mut self.low_rank);
        block.up.matmul(&input, &mut self.up, &mut self.scratch);
        add(&adapter.up, &input, &mut self.up, &mut self.low_rank);
        cpu::swiglu(weights.cpu, &mut self.own, &self.up);
        meeting.gather((tokens, hidden), |index| layout.hidden_of(index), &mut self.own, &mut self.whole)?;

        show(&mut self.observer, index, Site::Down, &self.whole);
        quantize_for(&[&block.down], &self.whole, hidden, &mut self.quantized, weights);
        let input = Input { values: &self.whole, columns: hidden, quantized: &self.quantized };
        block.down.matmul(&input, &mut self.own, &mut self.scratch);
        add(&adapter.down, &input, &mut self.own, &mut self.low_rank);
        self.add_product(&block.feed_forward_post_norm, weights, meeting)
    }

    /// Adds the product whose part is in `own` to the residual stream, after a norm of its own where the family has one.
    fn add_product(&mut self, norm: &[f32], weights: &Weights, meeting: &mut Meeting) -> Result<(), Interrupt> {
        let (width, layout) = (weights.config().embedding_length, &weights.layout);
        let tokens = self.x.len() / width;
        meeting.gather((tokens, width), |index| layout.width_of(index), &mut self.own, &mut self.whole)?;
        if !norm.is_empty() {
            self.normed.resize(self.whole.len(), 0.0);
            cpu::norm(weights.cpu, &self.whole, norm, weights.config().rms_norm_epsilon, &mut self.normed);
            std::mem::swap(&mut self.whole, &mut self.normed);
        }
        cpu::add(&mut self.x, &self.whole);
        Ok(())
    }
}

fn show(observer: &mut Option<Observer>, index: usize, site: Site, input: &[f32]) {
    if let Some(observer) = observer {
        observer(index, site, input);
    }
}

/// Rounds activations in each way that one of the matrices reads them.
fn quantize_for(readers: &[&Matrix], values: &[f32], columns: usize, out: &mut Activations, weights: &Weights) {
    for rounding in [Rounding::Fine, Rounding::Coarse] {
        if readers.iter().any(|matrix| matrix.rounding() == Some(rounding)) {
            cpu::quantize(weights.cpu, rounding, values, columns, out);
        }
    }
}

/// Adds what an adapter gives, if there is one and this shard has rows of it.
fn add(adapter: &Option<LowRank>, input: &Input<'_>, out: &mut [f32], buffers: &mut LowRankBuffers) {
    if let Some(adapter) = adapter.as_ref().filter(|_| !out.is_empty()) {
        adapter.add(input, out, buffers);
    }
}

impl Linear {
    fn forward(&self, input: &Input<'_>, out: &mut Vec<f32>, scratch: &mut Scratch) {
        self.matrix.matmul(input, out, scratch);
        if !self.bias.is_empty() {
            out.chunks_exact_mut(self.bias.len()).for_each(|row| cpu::add(row, &self.bias));
        }
    }
}
