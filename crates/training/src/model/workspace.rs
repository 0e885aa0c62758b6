use super::linear::LoraScratch;
use crate::cpu::Cpu;
use crate::device::Device;
use checkpoint::Shape;

/// What one block's backward pass needs from its forward pass; rows are tokens.
pub(super) struct BlockState<D: Device> {
    pub attention_inverse_rms: D::FloatBuffer,
    pub attention_normed: D::ValueBuffer,
    /// Queries and keys after rotation, and values.
    pub qkv: D::ValueBuffer,
    /// For each token and head the logarithm of the sum of exponential scores.
    pub log_sums: D::FloatBuffer,
    pub attended: D::ValueBuffer,
    /// The residual stream between attention and feed-forward.
    pub middle: D::ValueBuffer,
    pub mlp_inverse_rms: D::FloatBuffer,
    pub mlp_normed: D::ValueBuffer,
    /// The backward pass turns it into its gradient.
    pub gate_up: D::ValueBuffer,
    pub activated: D::ValueBuffer,
    /// Where heads are normed: queries and keys before that, and each head's reciprocal root mean square.
    pub raw_qkv: D::ValueBuffer,
    pub head_inverse_rms: D::FloatBuffer,
    /// Where norms follow a block's halves: what attention and the feed-forward layer gave before them.
    pub attention_added: D::ValueBuffer,
    pub attention_post_inverse_rms: D::FloatBuffer,
    pub mlp_added: D::ValueBuffer,
    pub mlp_post_inverse_rms: D::FloatBuffer,
    pub post_normed: D::ValueBuffer,
}

/// One thread's activations and scratch, reused from step to step.
pub struct Workspace<D: Device = Cpu> {
    pub(super) device: D,
    /// One for each block; with `recompute` only one for all of them.
    pub(super) blocks: Vec<BlockState<D>>,
    recompute: bool,
    pub(super) batch: D::Batch,
    /// The residual stream before each block and after the last.
    pub(super) residual: Vec<D::ValueBuffer>,
    pub(super) final_inverse_rms: D::FloatBuffer,
    pub(super) final_normed: D::ValueBuffer,
    pub(super) d_residual: D::ValueBuffer,
    pub(super) d_normed: D::ValueBuffer,
    pub(super) d_activated: D::ValueBuffer,
    pub(super) d_attended: D::ValueBuffer,
    pub(super) d_qkv: D::ValueBuffer,
    pub(super) attention: D::Scratch,
    pub(super) logits: D::ValueBuffer,
    pub(super) losses: D::FloatBuffer,
    pub(super) picked: D::ValueBuffer,
    pub(super) d_picked: D::ValueBuffer,
    /// Gradient of what a block's half adds, before its norm.
    pub(super) d_added: D::ValueBuffer,
    pub(super) lora: LoraScratch<D>,
}

impl Default for Workspace {
    fn default() -> Workspace {
        Workspace::new(Cpu::default(), false)
    }
}

impl Workspace {
    /// A workspace that keeps only the residual stream between blocks and computes the rest again in the backward pass
    /// (activation checkpointing): a third more time, a fraction of the memory.
    pub fn recomputing() -> Workspace {
        Workspace::new(Cpu::default(), true)
    }
}

impl<D: Device> Workspace<D> {
    /// A workspace on `device`; `recompute` as in [`Workspace::recomputing`].
    pub fn new(device: D, recompute: bool) -> Workspace<D> {
        Workspace {
            device,
            blocks: Vec::new(),
            recompute,
            batch: D::Batch::default(),
            residual: Vec::new(),
            final_inverse_rms: D::FloatBuffer::default(),
            final_normed: D::ValueBuffer::default(),
            d_residual: D::ValueBuffer::default(),
            d_normed: D::ValueBuffer::default(),
            d_activated: D::ValueBuffer::default(),
            d_attended: D::ValueBuffer::default(),
            d_qkv: D::ValueBuffer::default(),
            attention: D::Scratch::default(),
            logits: D::ValueBuffer::default(),
            losses: D::FloatBuffer::default(),
            picked: D::ValueBuffer::default(),
            d_picked: D::ValueBuffer::default(),
            d_added: D::ValueBuffer::default(),
            lora: LoraScratch::default(),
        }
    }

    /// Where it computes.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Whether activations of `layer` were overwritten by a later block's.
    pub(super) fn must_recompute(&self, layer: usize) -> bool {
        self.recompute && layer + 2 < self.residual.len()
    }

    /// Which of `blocks` holds the activations of `layer`.
    pub(super) fn state_of(&self, layer: usize) -> usize {
        if self.recompute { 0 } else { layer }
    }

    /// Room for `tokens` tokens. The contents are what the last pass left.
    pub(super) fn resize(&mut self, shape: &Shape, tokens: usize) {
        let d = &self.device;
        let (hidden, inner) = (shape.hidden_size, shape.intermediate_size);
        let (query, qkv) = (shape.query_size(), shape.qkv_size());
        let blocks = if self.recompute { 1 } else { shape.num_hidden_layers };
        self.blocks.resize_with(blocks, BlockState::default);
        for block in &mut self.blocks {
            block.resize(d, shape, tokens);
        }
        self.residual.resize_with(shape.num_hidden_layers + 1, D::ValueBuffer::default);
        for residual in &mut self.residual {
            d.resize(residual, tokens * hidden);
        }
        d.resize_floats(&mut self.final_inverse_rms, tokens);
        d.resize(&mut self.final_normed, tokens * hidden);
        d.resize(&mut self.d_residual, tokens * hidden);
        d.resize(&mut self.d_normed, tokens * hidden);
        if shape.post_norms {
            d.resize(&mut self.d_added, tokens * hidden);
        }
        d.resize(&mut self.d_activated, tokens * inner);
        d.resize(&mut self.d_attended, tokens * query);
        d.resize(&mut self.d_qkv, tokens * qkv);
        d.resize_floats(&mut self.losses, tokens);
    }
}

impl<D: Device> Default for BlockState<D> {
    fn default() -> BlockState<D> {
        BlockState {
            attention_inverse_rms: D::FloatBuffer::default(),
            attention_normed: D::ValueBuffer::default(),
            qkv: D::ValueBuffer::default(),
            log_sums: D::FloatBuffer::default(),
            attended: D::ValueBuffer::default(),
            middle: D::ValueBuffer::default(),
            mlp_inverse_rms: D::FloatBuffer::default(),
            mlp_normed: D::ValueBuffer::default(),
            gate_up: D::ValueBuffer::default(),
            activated: D::ValueBuffer::default(),
            raw_qkv: D::ValueBuffer::default(),
            head_inverse_rms: D::FloatBuffer::default(),
            attention_added: D::ValueBuffer::default(),
            attention_post_inverse_rms: D::FloatBuffer::default(),
            mlp_added: D::ValueBuffer::default(),
            mlp_post_inverse_rms: D::FloatBuffer::default(),
            post_normed: D::ValueBuffer::default(),
        }
    }
}

impl<D: Device> BlockState<D> {
    fn resize(&mut self, d: &D, shape: &Shape, tokens: usize) {
        let (hidden, inner, qkv) = (shape.hidden_size, shape.intermediate_size, shape.qkv_size());
        d.resize_floats(&mut self.attention_inverse_rms, tokens);
        d.resize(&mut self.attention_normed, tokens * hidden);
        d.resize(&mut self.qkv, tokens * qkv);
        d.resize_floats(&mut self.log_sums, tokens * shape.num_attention_heads);
        d.resize(&mut self.attended, tokens * shape.query_size());
        d.resize(&mut self.middle, tokens * hidden);
        d.resize_floats(&mut self.mlp_inverse_rms, tokens);
        d.resize(&mut self.mlp_normed, tokens * hidden);
        d.resize(&mut self.gate_up, tokens * 2 * inner);
        d.resize(&mut self.activated, tokens * inner);
        if shape.head_norms {
            let heads = shape.num_attention_heads + shape.num_key_value_heads;
            d.resize(&mut self.raw_qkv, tokens * qkv);
            d.resize_floats(&mut self.head_inverse_rms, tokens * heads);
        }
        if shape.post_norms {
            for added in [&mut self.attention_added, &mut self.mlp_added, &mut self.post_normed] {
                d.resize(added, tokens * hidden);
            }
            d.resize_floats(&mut self.attention_post_inverse_rms, tokens);
            d.resize_floats(&mut self.mlp_post_inverse_rms, tokens);
        }
    }
}
