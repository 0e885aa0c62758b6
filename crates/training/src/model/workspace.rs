use super::linear::LoraScratch;
use checkpoint::Shape;

/// Rows of logits that exist at one time.
pub(super) const HEAD_ROWS: usize = 256;

/// What one block's backward pass needs from its forward pass; rows are tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct BlockState {
    pub attention_inverse_rms: Vec<f32>,
    pub attention_normed: Vec<f32>,
    /// Queries and keys after rotation, and values.
    pub qkv: Vec<f32>,
    /// For each token and head the logarithm of the sum of exponential scores.
    pub log_sums: Vec<f32>,
    pub attended: Vec<f32>,
    /// The residual stream between attention and feed-forward.
    pub middle: Vec<f32>,
    pub mlp_inverse_rms: Vec<f32>,
    pub mlp_normed: Vec<f32>,
    /// The backward pass turns it into its gradient.
    pub gate_up: Vec<f32>,
    pub activated: Vec<f32>,
    /// Where heads are normed: queries and keys before that, and each head's reciprocal root mean square.
    pub raw_qkv: Vec<f32>,
    pub head_inverse_rms: Vec<f32>,
    /// Where norms follow a block's halves: what attention and the feed-forward layer gave before them.
    pub attention_added: Vec<f32>,
    pub attention_post_inverse_rms: Vec<f32>,
    pub mlp_added: Vec<f32>,
    pub mlp_post_inverse_rms: Vec<f32>,
    pub post_normed: Vec<f32>,
}

/// One thread's activations and scratch, reused from step to step.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// One for each block; with `recompute` only one for all of them.
    pub(super) blocks: Vec<BlockState>,
    recompute: bool,
    /// The residual stream before each block and after the last.
    pub(super) residual: Vec<Vec<f32>>,
    pub(super) final_inverse_rms: Vec<f32>,
    pub(super) final_normed: Vec<f32>,
    pub(super) d_residual: Vec<f32>,
    pub(super) d_normed: Vec<f32>,
    pub(super) d_activated: Vec<f32>,
    pub(super) d_attended: Vec<f32>,
    pub(super) d_qkv: Vec<f32>,
    pub(super) scores: Vec<f32>,
    pub(super) d_scores: Vec<f32>,
    pub(super) logits: Vec<f32>,
    pub(super) picked: Vec<f32>,
    pub(super) d_picked: Vec<f32>,
    /// Gradient of what a block's half adds, before its norm.
    pub(super) d_added: Vec<f32>,
    pub(super) lora: LoraScratch,
    /// Takes gradients that nobody wants.
    pub(super) unused: Vec<f32>,
}

impl Workspace {
    /// A workspace that keeps only the residual stream between blocks and computes the rest again in the backward pass
    /// (activation checkpointing): a third more time, a fraction of the memory.
    pub fn recomputing() -> Workspace {
        Workspace { recompute: true, ..Workspace::default() }
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
        let (hidden, inner) = (shape.hidden_size, shape.intermediate_size);
        let query = shape.query_size();
        let qkv = shape.qkv_size();
        self.blocks.resize(if self.recompute { 1 } else { shape.num_hidden_layers }, BlockState::default());
        for block in &mut self.blocks {
            block.attention_inverse_rms.resize(tokens, 0.0);
            block.attention_normed.resize(tokens * hidden, 0.0);
            block.qkv.resize(tokens * qkv, 0.0);
            block.log_sums.resize(tokens * shape.num_attention_heads, 0.0);
            block.attended.resize(tokens * query, 0.0);
            block.middle.resize(tokens * hidden, 0.0);
            block.mlp_inverse_rms.resize(tokens, 0.0);
            block.mlp_normed.resize(tokens * hidden, 0.0);
            block.gate_up.resize(tokens * 2 * inner, 0.0);
            block.activated.resize(tokens * inner, 0.0);
            if shape.head_norms {
                let heads = shape.num_attention_heads + shape.num_key_value_heads;
                block.raw_qkv.resize(tokens * qkv, 0.0);
                block.head_inverse_rms.resize(tokens * heads, 0.0);
            }
            if shape.post_norms {
                for added in [&mut block.attention_added, &mut block.mlp_added, &mut block.post_normed] {
                    added.resize(tokens * hidden, 0.0);
                }
                block.attention_post_inverse_rms.resize(tokens, 0.0);
                block.mlp_post_inverse_rms.resize(tokens, 0.0);
            }
        }
        self.residual.resize(shape.num_hidden_layers + 1, Vec::new());
        for residual in &mut self.residual {
            residual.resize(tokens * hidden, 0.0);
        }
        self.final_inverse_rms.resize(tokens, 0.0);
        self.final_normed.resize(tokens * hidden, 0.0);
        self.d_residual.resize(tokens * hidden, 0.0);
        self.d_normed.resize(tokens * hidden, 0.0);
        if shape.post_norms {
            self.d_added.resize(tokens * hidden, 0.0);
        }
        self.unused.resize(hidden.max(shape.head_dim), 0.0);
        self.d_activated.resize(tokens * inner, 0.0);
        self.d_attended.resize(tokens * query, 0.0);
        self.d_qkv.resize(tokens * qkv, 0.0);
        self.logits.resize(HEAD_ROWS * shape.vocab_size, 0.0);
        self.picked.resize(HEAD_ROWS * hidden, 0.0);
        self.d_picked.resize(HEAD_ROWS * hidden, 0.0);
    }
}
