use crate::config::ModelConfig;

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
}

/// One thread's activations and scratch, reused from step to step.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    pub(super) blocks: Vec<BlockState>,
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
}

impl Workspace {
    /// Room for `tokens` tokens. The contents are what the last pass left.
    pub(super) fn resize(&mut self, config: &ModelConfig, tokens: usize) {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let query = config.query_size();
        let qkv = query + 2 * config.key_size();
        self.blocks.resize(config.num_hidden_layers, BlockState::default());
        for block in &mut self.blocks {
            block.attention_inverse_rms.resize(tokens, 0.0);
            block.attention_normed.resize(tokens * hidden, 0.0);
            block.qkv.resize(tokens * qkv, 0.0);
            block.log_sums.resize(tokens * config.num_attention_heads, 0.0);
            block.attended.resize(tokens * query, 0.0);
            block.middle.resize(tokens * hidden, 0.0);
            block.mlp_inverse_rms.resize(tokens, 0.0);
            block.mlp_normed.resize(tokens * hidden, 0.0);
            block.gate_up.resize(tokens * 2 * inner, 0.0);
            block.activated.resize(tokens * inner, 0.0);
        }
        self.residual.resize(config.num_hidden_layers + 1, Vec::new());
        for residual in &mut self.residual {
            residual.resize(tokens * hidden, 0.0);
        }
        self.final_inverse_rms.resize(tokens, 0.0);
        self.final_normed.resize(tokens * hidden, 0.0);
        self.d_residual.resize(tokens * hidden, 0.0);
        self.d_normed.resize(tokens * hidden, 0.0);
        self.d_activated.resize(tokens * inner, 0.0);
        self.d_attended.resize(tokens * query, 0.0);
        self.d_qkv.resize(tokens * qkv, 0.0);
        self.logits.resize(HEAD_ROWS * config.vocab_size, 0.0);
        self.picked.resize(HEAD_ROWS * hidden, 0.0);
        self.d_picked.resize(HEAD_ROWS * hidden, 0.0);
    }
}
