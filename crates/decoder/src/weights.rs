use std::{
    collections::BTreeMap,
    fmt,
    io::{Read, Seek},
    ops::ControlFlow,
    slice,
};

use crate::{
    Config, Cpu, Gguf, GpuError, LoadError, Loader, Progress, Shard,
    adapter::Adapter,
    gpu::Gpu,
    layout::{Layout, Part, Slot},
    matrix::Matrix,
};

/// The weights of one transformer, or one shard of them: immutable, shared by any number of sessions.
pub struct Weights {
    config: Config,
    memory_bytes: u64,
    pub(crate) layout: Layout,
    pub(crate) cpu: Cpu,
    /// Whose memory holds the matrices, if not the CPU's.
    pub(crate) gpu: Option<Gpu>,
    pub(crate) embedding: Matrix,
    pub(crate) blocks: Vec<Block>,
    pub(crate) output_norm: Vec<f32>,
    /// `None` when the output is tied to the embedding.
    output: Option<Matrix>,
    /// Radians per position of each rotated pair.
    pub(crate) rope_frequencies: Vec<f32>,
    /// Cosines and sines are multiplied by this.
    pub(crate) rope_factor: f32,
    pub(crate) adapters: Vec<Adapter>,
}

/// One transformer block; what a family does not have is empty.
pub(crate) struct Block {
    pub attention_norm: Vec<f32>,
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    /// RMSNorm of each query head and each key head, before they are rotated.
    pub query_norm: Vec<f32>,
    pub key_norm: Vec<f32>,
    pub attention_output: Linear,
    /// RMSNorm of what attention adds to the residual stream.
    pub attention_post_norm: Vec<f32>,
    pub feed_forward_norm: Vec<f32>,
    pub gate: Matrix,
    pub up: Matrix,
    pub down: Matrix,
    /// RMSNorm of what the feed-forward network adds to the residual stream.
    pub feed_forward_post_norm: Vec<f32>,
}

/// A matrix and the bias that is added to its product, if any.
pub(crate) struct Linear {
    pub matrix: Matrix,
    pub bias: Vec<f32>,
}

impl Weights {
    /// Reads all tensors of a model in one file, row by row, each straight into its final place.
    ///
    /// `progress` is called after every few megabytes; `Break` cancels. [`Loader`] does the same step by step, for shards and split models.
    ///
    /// # Errors
    /// Missing, unknown, misshapen or unsupported tensors, too little memory, a failing source, [`LoadError::Cancelled`].
    pub fn load<R: Read + Seek>(
        gguf: &Gguf,
        reader: &mut R,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self, LoadError> {
        let mut loader = Loader::new(gguf, Shard::WHOLE)?;
        loop {
            let step = loader.step(slice::from_mut(reader))?;
            if progress(loader.progress()).is_break() {
                return Err(LoadError::Cancelled);
            }
            if step.is_break() {
                return Ok(loader.finish());
            }
        }
    }

    /// Puts what was read into place; the plan has made sure that all of it is there.
    pub(crate) fn assemble(
        config: Config,
        layout: Layout,
        (cpu, gpu): (Cpu, Option<Gpu>),
        loaded: BTreeMap<Slot, Matrix>,
    ) -> Self {
        let memory_bytes = loaded.values().map(|matrix| matrix.bytes() as u64).sum();
        let mut pieces = Pieces(loaded);
        let embedding = pieces.matrix(Slot::Embedding);
        let factors = pieces.vector(Slot::RopeFactors);
        let blocks = (0..config.block_count).map(|index| pieces.block(index)).collect();
        let output_norm = pieces.vector(Slot::OutputNorm);
        let output = pieces.0.remove(&Slot::Output);
        let factors = Some(factors.as_slice()).filter(|factors| !factors.is_empty());
        let (rope_frequencies, rope_factor) = config.rotary_frequencies(factors);
        Self {
            config,
            memory_bytes,
            layout,
            cpu,
            gpu,
            embedding,
            blocks,
            output_norm,
            output,
            rope_frequencies,
            rope_factor,
            adapters: Vec::new(),
        }
    }

    /// Reads a LoRA adapter from a GGUF of its own and returns its number, from 0: see [`crate::Session::use_adapter`]. Of a model
    /// in several shards, every shard reads the same adapters in the same order.
    ///
    /// # Errors
    /// No adapter, one for another model, a failing source.
    pub fn add_adapter<R: Read + Seek>(&mut self, gguf: &Gguf, reader: &mut R) -> Result<usize, LoadError> {
        if self.gpu.is_some() {
            return Err(GpuError::Unsupported { feature: "a LoRA adapter".to_owned() }.into());
        }
        let adapter = Adapter::read(gguf, reader, &self.config, &self.layout, self.cpu)?;
        self.memory_bytes += adapter.bytes() as u64;
        self.adapters.push(adapter);
        Ok(self.adapters.len() - 1)
    }

    /// The model's shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Which part of the model this is.
    pub fn shard(&self) -> Shard {
        self.layout.shard
    }

    /// The instruction set that the weights are laid out for.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// Bytes that the weights occupy; a session adds [`Config::kv_bytes`].
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// All matrices.
    #[cfg(feature = "gpu")]
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let of_blocks = self.blocks.iter().flat_map(|block| {
            let Block { query, key, value, attention_output, gate, up, down, .. } = block;
            [&query.matrix, &key.matrix, &value.matrix, &attention_output.matrix, gate, up, down]
        });
        [&self.embedding, self.output()].into_iter().chain(of_blocks)
    }

    /// Cosines and sines of each rotated pair at the positions from `start` on, token by token.
    pub(crate) fn turns(&self, start: usize, tokens: usize, turns: &mut Vec<(f32, f32)>) {
        turns.clear();
        for position in start..start + tokens {
            turns.extend(self.rope_frequencies.iter().map(|frequency| {
                let (sin, cos) = (position as f32 * frequency).sin_cos();
                (cos * self.rope_factor, sin * self.rope_factor)
            }));
        }
    }

    pub(crate) fn output(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.embedding)
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights")
            .field("config", &self.config)
            .field("shard", &self.shard())
            .field("cpu", &self.cpu)
            .field("memory_bytes", &self.memory_bytes)
            .finish_non_exhaustive()
    }
}

struct Pieces(BTreeMap<Slot, Matrix>);

impl Pieces {
    fn matrix(&mut self, slot: Slot) -> Matrix {
        self.0.remove(&slot).unwrap_or_else(|| unreachable!("{slot:?} is in every plan"))
    }

    /// The values of a vector, or nothing.
    fn vector(&mut self, slot: Slot) -> Vec<f32> {
        let Some(column) = self.0.remove(&slot) else { return Vec::new() };
        let mut values = vec![0.0; column.rows];
        values.iter_mut().enumerate().for_each(|(row, value)| column.dequantize_row(row, slice::from_mut(value)));
        values
    }

    fn block(&mut self, index: usize) -> Block {
        let slot = |part| Slot::Block(index, part);
        Block {
            attention_norm: self.vector(slot(Part::AttentionNorm)),
            query: self.linear(slot(Part::Query), slot(Part::QueryBias)),
            key: self.linear(slot(Part::Key), slot(Part::KeyBias)),
            value: self.linear(slot(Part::Value), slot(Part::ValueBias)),
            query_norm: self.vector(slot(Part::QueryNorm)),
            key_norm: self.vector(slot(Part::KeyNorm)),
            attention_output: self.linear(slot(Part::AttentionOutput), slot(Part::AttentionOutputBias)),
            attention_post_norm: self.vector(slot(Part::AttentionPostNorm)),
            feed_forward_norm: self.vector(slot(Part::FeedForwardNorm)),
            gate: self.matrix(slot(Part::Gate)),
            up: self.matrix(slot(Part::Up)),
            down: self.matrix(slot(Part::Down)),
            feed_forward_post_norm: self.vector(slot(Part::FeedForwardPostNorm)),
        }
    }

    fn linear(&mut self, matrix: Slot, bias: Slot) -> Linear {
        Linear { matrix: self.matrix(matrix), bias: self.vector(bias) }
    }
}
