use std::{
    sync::Arc,
    task::{Context, Poll},
};

use wgpu::{
    Buffer, BufferUsages, CommandEncoder, CommandEncoderDescriptor, ComputePass, ComputePassDescriptor, MapMode,
};

use super::{
    Gpu,
    bind::{Binder, BoundBlock, Buffers, Cache, Kernels},
    kernels::{Bound, BoundProduct},
    signal::Signal,
};
use crate::{ForwardError, GpuError, Weights, meeting::BATCH};

/// The KV cache grows by at least so many tokens.
const CACHE_STEP: usize = 256;
/// Multiplications that the processor is given at once: a weak one takes a tenth of a second for them.
const PRODUCTS_AT_ONCE: u64 = 5_000_000_000;
/// Invocations of a workgroup.
const LANES: u32 = 64;

/// What a context needs on the processor: keys and values, scratch memory, every kernel with what it reads and writes.
pub struct Runner {
    weights: Arc<Weights>,
    gpu: Gpu,
    kernels: Kernels,
    buffers: Buffers,
    cache: Vec<Cache>,
    /// Positions that the cache has room for.
    capacity: usize,
    embed: Bound,
    blocks: Vec<BoundBlock>,
    output_norm: Bound,
    output: BoundProduct,
    /// Where logits come to be read.
    readback: Buffer,
    /// What was submitted and has not been seen to end.
    flight: Option<Flight>,
    turns: Vec<(f32, f32)>,
    logits: Vec<f32>,
}

struct Flight {
    signal: Signal,
    wants_logits: bool,
}

impl Runner {
    pub fn new(weights: Arc<Weights>, gpu: &Gpu) -> Box<Self> {
        let (kernels, buffers) = (Kernels::new(gpu, &weights), Buffers::new(gpu, &weights));
        let binder = Binder { gpu, kernels: &kernels, buffers: &buffers, weights: &weights };
        let (embed, output_norm, output) = (binder.embed(), binder.output_norm(), binder.output());
        let cache = (0..weights.config().block_count).map(|_| Cache::new(gpu, 0)).collect();
        let readback = readback(gpu, weights.config().vocab_size);
        Box::new(Self {
            weights,
            gpu: gpu.clone(),
            kernels,
            buffers,
            cache,
            capacity: 0,
            embed,
            blocks: Vec::new(),
            output_norm,
            output,
            readback,
            flight: None,
            turns: Vec::new(),
            logits: Vec::new(),
        })
    }

    /// Makes room for `tokens` tokens, at most `context`, and keeps what is there.
    pub fn reserve(&mut self, tokens: usize, context: usize) -> Result<(), ForwardError> {
        self.gpu.check()?;
        if tokens <= self.capacity {
            return Ok(());
        }
        let capacity = tokens.max(2 * self.capacity).next_multiple_of(CACHE_STEP).min(context);
        let bytes = self.position_bytes() * capacity as u64;
        if bytes > self.gpu.most_bytes() {
            return Err(ForwardError::OutOfMemory { bytes });
        }
        let mut encoder = self.encoder();
        let kept = self.position_bytes() * self.capacity as u64;
        let grown: Vec<Cache> = self.cache.iter().map(|_| Cache::new(&self.gpu, bytes)).collect();
        if kept > 0 {
            for (cache, grown) in self.cache.iter().zip(&grown) {
                encoder.copy_buffer_to_buffer(&cache.keys, 0, &grown.keys, 0, kept);
                encoder.copy_buffer_to_buffer(&cache.values, 0, &grown.values, 0, kept);
            }
        }
        self.gpu.queue().submit([encoder.finish()]);
        // As with the whole device, nobody else would in time.
        std::mem::replace(&mut self.cache, grown).iter().for_each(Cache::destroy);
        self.capacity = capacity;
        self.bind_blocks();
        Ok(())
    }

    /// Bytes of one position's keys, or values, of one block.
    fn position_bytes(&self) -> u64 {
        let config = self.weights.config();
        2 * (config.head_count_kv * config.head_dim) as u64
    }

    fn encoder(&self) -> CommandEncoder {
        self.gpu.device().create_command_encoder(&CommandEncoderDescriptor::default())
    }

    fn bind_blocks(&mut self) {
        let Self { gpu, kernels, buffers, weights, .. } = self;
        let binder = Binder { gpu, kernels, buffers, weights };
        let blocks = weights.blocks.iter().zip(&self.cache);
        self.blocks = blocks.map(|(block, cache)| binder.block(block, cache)).collect();
    }

    /// Takes a batch that starts at position `start` through the model. `Ready` once that has been done, with the logits of its last token if they are
    /// wanted; until then the same call is to be made again.
    pub fn advance(&mut self, batch: &[u32], start: usize, wants_logits: bool) -> Result<Poll<()>, ForwardError> {
        self.gpu.check()?;
        let flight = match self.flight.take() {
            Some(flight) => flight,
            None => self.submit(batch, start, wants_logits),
        };
        self.gpu.wait();
        if !flight.signal.is_given() {
            self.flight = Some(flight);
            return Ok(Poll::Pending);
        }
        self.gpu.check()?;
        if flight.wants_logits {
            self.read_logits()?;
        }
        Ok(Poll::Ready(()))
    }

    /// `Ready` when [`Self::advance`] has something to do.
    pub fn poll_ready(&self, context: &Context<'_>) -> Poll<()> {
        self.flight.as_ref().map_or(Poll::Ready(()), |flight| flight.signal.poll(context))
    }

    /// Forgets what was submitted; it ends by itself.
    pub fn abandon(&mut self) {
        if self.flight.take().is_some_and(|flight| flight.wants_logits) {
            self.readback = readback(&self.gpu, self.weights.config().vocab_size);
        }
    }

    pub fn weights(&self) -> &Arc<Weights> {
        &self.weights
    }

    /// The logits of the last token of the last batch that wanted them.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    fn submit(&mut self, batch: &[u32], start: usize, wants_logits: bool) -> Flight {
        assert!(batch.len() <= BATCH && start + batch.len() <= self.capacity, "a batch beyond the room made for it");
        let (queue, config, tokens) = (self.gpu.queue(), self.weights.config(), batch.len() as u32);
        queue.write_buffer(&self.buffers.batch, 0, bytemuck::cast_slice(&[tokens, start as u32, 0, 0]));
        queue.write_buffer(&self.buffers.tokens, 0, bytemuck::cast_slice(batch));
        self.weights.turns(start, batch.len(), &mut self.turns);
        let turns: Vec<[f32; 2]> = self.turns.iter().map(|&(cos, sin)| [cos, sin]).collect();
        queue.write_buffer(&self.buffers.turns, 0, bytemuck::cast_slice(&turns));
        self.run(|pass| self.embed.run(pass, groups(config.embedding_length, 8), tokens));
        for blocks in self.blocks.chunks(self.blocks_at_once(batch.len())) {
            self.run(|pass| blocks.iter().for_each(|block| self.run_block(pass, block, tokens)));
        }
        let signal = Signal::default();
        let given = signal.clone();
        if wants_logits {
            self.run(|pass| {
                self.output_norm.run(pass, 1, 1);
                self.output.run(pass, 1);
            });
            let (readback, mut encoder) = (&self.readback, self.encoder());
            encoder.copy_buffer_to_buffer(&self.buffers.logits, 0, readback, 0, readback.size());
            queue.submit([encoder.finish()]);
            readback.map_async(MapMode::Read, .., move |_| given.give());
        } else {
            queue.on_submitted_work_done(move || given.give());
        }
        Flight { signal, wants_logits }
    }

    fn run(&self, kernels: impl FnOnce(&mut ComputePass<'_>)) {
        let mut encoder = self.encoder();
        kernels(&mut encoder.begin_compute_pass(&ComputePassDescriptor::default()));
        self.gpu.queue().submit([encoder.finish()]);
    }

    /// Systems take a processor away from whom it does not answer for some two seconds, so long work is handed over in parts.
    fn blocks_at_once(&self, tokens: usize) -> usize {
        let config = self.weights.config();
        let (width, hidden) = (config.embedding_length as u64, config.feed_forward_length as u64);
        let products = 4 * width * (width + hidden) * tokens as u64;
        (PRODUCTS_AT_ONCE / products.max(1)).max(1) as usize
    }

    fn run_block(&self, pass: &mut ComputePass<'_>, block: &BoundBlock, tokens: u32) {
        let config = self.weights.config();
        let (heads, kv_heads) = (config.head_count as u32, config.head_count_kv as u32);
        block.attention_norm.run(pass, tokens, 1);
        block.query.run(pass, tokens);
        block.key.run(pass, tokens);
        block.value.run(pass, tokens);
        block.place.run(pass, heads + 2 * kv_heads, tokens);
        block.attend.run(pass, heads, tokens);
        block.attention_output.run(pass, tokens);
        if let Some(norm) = &block.attention_post_norm {
            norm.run(pass, tokens, 1);
        }
        block.feed_forward_norm.run(pass, tokens, 1);
        block.gate.run(pass, tokens);
        block.up.run(pass, tokens);
        block.swiglu.run(pass, groups(config.feed_forward_length, 1), tokens);
        block.down.run(pass, tokens);
        if let Some(norm) = &block.feed_forward_post_norm {
            norm.run(pass, tokens, 1);
        }
    }

    fn read_logits(&mut self) -> Result<(), ForwardError> {
        let readback = &self.readback;
        let failed = |error: wgpu::MapRangeError| GpuError::Failed { reason: error.to_string() };
        let view = readback.get_mapped_range(..).map_err(failed)?;
        self.logits.clear();
        self.logits.extend_from_slice(bytemuck::cast_slice(&view[..4 * self.weights.config().vocab_size]));
        drop(view);
        readback.unmap();
        Ok(())
    }
}

/// Workgroups for `elements` of a row, of which each lane has so many.
fn groups(elements: usize, of_lane: u32) -> u32 {
    (elements as u32).div_ceil(of_lane * LANES)
}

fn readback(gpu: &Gpu, vocab_size: usize) -> Buffer {
    gpu.buffer(4 * vocab_size as u64, BufferUsages::MAP_READ | BufferUsages::COPY_DST)
}
