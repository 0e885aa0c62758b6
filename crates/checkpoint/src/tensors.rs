use crate::{Family, Shape};

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Token embedding, `[vocab, hidden]`.
    Embedding,
    /// Output projection, `[vocab, hidden]`.
    Head,
    /// Norm before the head.
    FinalNorm,
    /// Norm before attention.
    AttentionNorm,
    /// Query, key and value projection in one.
    Qkv,
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Bias of [`Part::Qkv`].
    QkvBias,
    /// Bias of the queries.
    QueryBias,
    /// Bias of the keys.
    KeyBias,
    /// Bias of the values.
    ValueBias,
    /// Norm of each query head.
    QueryNorm,
    /// Norm of each key head.
    KeyNorm,
    /// Attention's output projection.
    Output,
    /// Its bias.
    OutputBias,
    /// Norm of what attention adds.
    AttentionPostNorm,
    /// Norm before the feed-forward layer.
    MlpNorm,
    /// Gate and up projection in one, the gate first.
    GateUp,
    /// Gate projection.
    Gate,
    /// Up projection.
    Up,
    /// Down projection.
    Down,
    /// Norm of what the feed-forward layer adds.
    MlpPostNorm,
}

/// One stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// What it is for.
    pub part: Part,
    /// Its block; none outside the blocks.
    pub layer: Option<usize>,
    /// Its name in a Hugging Face weight file.
    pub name: String,
    /// Its name in a GGUF.
    pub gguf: String,
    /// `[outputs, inputs]`, or `[width]`.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// The module that holds it: its name without `.weight` or `.bias`.
    pub fn module(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(module, _)| module)
    }

    /// The last part of [`Self::module`], by which adapters name their targets.
    pub fn module_name(&self) -> &str {
        let module = self.module();
        module.rsplit_once('.').map_or(module, |(_, name)| name)
    }

    /// Whether a LoRA may be put on it: a matrix of a block.
    pub fn is_projection(&self) -> bool {
        self.layer.is_some() && self.shape.len() == 2
    }
}

/// Parts of a block with their modules in the layouts of transformers and of ChatGLM's authors, and in GGUF.
const BLOCK: [(Part, &str, &str, &str); 20] = [
    (Part::Qkv, "", "self_attention.query_key_value.weight", "attn_qkv.weight"),
    (Part::Query, "self_attn.q_proj.weight", "", "attn_q.weight"),
    (Part::Key, "self_attn.k_proj.weight", "", "attn_k.weight"),
    (Part::Value, "self_attn.v_proj.weight", "", "attn_v.weight"),
    (Part::Output, "self_attn.o_proj.weight", "self_attention.dense.weight", "attn_output.weight"),
    (Part::GateUp, "mlp.gate_up_proj.weight", "mlp.dense_h_to_4h.weight", "ffn_up.weight"),
    (Part::Gate, "mlp.gate_proj.weight", "", "ffn_gate.weight"),
    (Part::Up, "mlp.up_proj.weight", "", "ffn_up.weight"),
    (Part::Down, "mlp.down_proj.weight", "mlp.dense_4h_to_h.weight", "ffn_down.weight"),
    (Part::AttentionNorm, "input_layernorm.weight", "input_layernorm.weight", "attn_norm.weight"),
    (Part::MlpNorm, "post_attention_layernorm.weight", "post_attention_layernorm.weight", "ffn_norm.weight"),
    (Part::QkvBias, "", "self_attention.query_key_value.bias", "attn_qkv.bias"),
    (Part::QueryBias, "self_attn.q_proj.bias", "", "attn_q.bias"),
    (Part::KeyBias, "self_attn.k_proj.bias", "", "attn_k.bias"),
    (Part::ValueBias, "self_attn.v_proj.bias", "", "attn_v.bias"),
    (Part::QueryNorm, "self_attn.q_norm.weight", "", "attn_q_norm.weight"),
    (Part::KeyNorm, "self_attn.k_norm.weight", "", "attn_k_norm.weight"),
    (Part::OutputBias, "self_attn.o_proj.bias", "self_attention.dense.bias", "attn_output.bias"),
    (Part::AttentionPostNorm, "post_self_attn_layernorm.weight", "", "post_attention_norm.weight"),
    (Part::MlpPostNorm, "post_mlp_layernorm.weight", "", "post_ffw_norm.weight"),
];

impl Shape {
    /// Every stored tensor: the embedding and the head, then each block, then the norm before the head.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let authors = self.family == Family::ChatGlm;
        let top = |part, theirs: &str, authors_name: &str, gguf: &str, shape| TensorSpec {
            part,
            layer: None,
            name: if authors { authors_name } else { theirs }.to_owned(),
            gguf: gguf.to_owned(),
            shape,
        };
        let (vocab, hidden) = (self.vocab_size, self.hidden_size);
        let embedding = "transformer.embedding.word_embeddings.weight";
        let mut all = vec![top(
            Part::Embedding,
            "model.embed_tokens.weight",
            embedding,
            "token_embd.weight",
            vec![vocab, hidden],
        )];
        if !self.tie_word_embeddings {
            let head = "transformer.output_layer.weight";
            all.push(top(Part::Head, "lm_head.weight", head, "output.weight", vec![vocab, hidden]));
        }
        for layer in 0..self.num_hidden_layers {
            for (part, theirs, authors_name, gguf) in BLOCK {
                let Some(shape) = self.part_shape(part) else { continue };
                let name = match authors {
                    true => format!("transformer.encoder.layers.{layer}.{authors_name}"),
                    false => format!("model.layers.{layer}.{theirs}"),
                };
                all.push(TensorSpec { part, layer: Some(layer), name, gguf: format!("blk.{layer}.{gguf}"), shape });
            }
        }
        let norm = "transformer.encoder.final_layernorm.weight";
        all.push(top(Part::FinalNorm, "model.norm.weight", norm, "output_norm.weight", vec![hidden]));
        all
    }

    /// Of a tensor whose rows GGUF has in another order, the number of its heads. transformers rotates a head's first half
    /// against its second, GGUF's `llama` neighbours: rows i and i + half of a head become rows 2 i and 2 i + 1. The other
    /// families rotate alike in both.
    pub fn reordered_heads(&self, part: Part) -> Option<usize> {
        let heads = match part {
            Part::Query | Part::QueryBias => self.num_attention_heads,
            Part::Key | Part::KeyBias => self.num_key_value_heads,
            _ => return None,
        };
        (self.family == Family::Llama).then_some(heads)
    }

    /// The shape of a part of a block; `None` where the family has no such part.
    fn part_shape(&self, part: Part) -> Option<Vec<usize>> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let (query, key) = (self.query_size(), self.key_size());
        let (fused, fused_mlp) = (self.family.fuses_qkv(), self.family.fuses_gate_up());
        let (there, shape) = match part {
            Part::Qkv => (fused, vec![query + 2 * key, hidden]),
            Part::Query => (!fused, vec![query, hidden]),
            Part::Key | Part::Value => (!fused, vec![key, hidden]),
            Part::QkvBias => (fused && self.qkv_bias, vec![query + 2 * key]),
            Part::QueryBias => (!fused && self.qkv_bias, vec![query]),
            Part::KeyBias | Part::ValueBias => (!fused && self.qkv_bias, vec![key]),
            Part::QueryNorm | Part::KeyNorm => (self.head_norms, vec![self.head_dim]),
            Part::Output => (true, vec![hidden, query]),
            Part::OutputBias => (self.output_bias, vec![hidden]),
            Part::AttentionNorm | Part::MlpNorm => (true, vec![hidden]),
            Part::AttentionPostNorm | Part::MlpPostNorm => (self.post_norms, vec![hidden]),
            Part::GateUp => (fused_mlp, vec![2 * inner, hidden]),
            Part::Gate | Part::Up => (!fused_mlp, vec![inner, hidden]),
            Part::Down => (true, vec![hidden, inner]),
            Part::Embedding | Part::Head | Part::FinalNorm => (false, vec![]),
        };
        there.then_some(shape)
    }
}
