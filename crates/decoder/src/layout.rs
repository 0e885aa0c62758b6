//! Which rows of which tensors a shard holds.

use std::{collections::BTreeSet, ops::Range};

use crate::{Config, Gguf, LoadError, Shard};

/// Rows are dealt out in groups of as many as the widest kernels take side by side.
const ROW_GROUP: usize = 16;

/// How one shard's part of every matrix lies among the others'.
#[derive(Debug, Clone)]
pub struct Layout {
    pub shard: Shard,
    head_dim: usize,
    heads: usize,
    heads_per_kv: usize,
    width: usize,
    hidden: usize,
    vocab: usize,
}

impl Layout {
    pub fn new(config: &Config, shard: Shard) -> Self {
        Self {
            shard,
            head_dim: config.head_dim,
            heads: config.head_count,
            heads_per_kv: config.head_count / config.head_count_kv,
            width: config.embedding_length,
            hidden: config.feed_forward_length,
            vocab: config.vocab_size,
        }
    }

    fn rows(&self, index: usize, total: usize) -> Range<usize> {
        let groups = self.shard.range_of(index, total.div_ceil(ROW_GROUP));
        (groups.start * ROW_GROUP).min(total)..(groups.end * ROW_GROUP).min(total)
    }

    /// Elements of the residual stream that shard `index` computes.
    pub fn width_of(&self, index: usize) -> Range<usize> {
        self.rows(index, self.width)
    }

    /// Elements of the feed-forward network that shard `index` computes.
    pub fn hidden_of(&self, index: usize) -> Range<usize> {
        self.rows(index, self.hidden)
    }

    /// Tokens whose logits shard `index` computes, and whose embeddings it holds.
    pub fn vocab_of(&self, index: usize) -> Range<usize> {
        self.rows(index, self.vocab)
    }

    /// Elements of all heads' outputs that shard `index` computes: whole heads.
    pub fn attended_of(&self, index: usize) -> Range<usize> {
        let heads = self.shard.range_of(index, self.heads);
        heads.start * self.head_dim..heads.end * self.head_dim
    }

    /// This shard's query heads.
    pub fn heads(&self) -> Range<usize> {
        self.shard.range(self.heads)
    }

    /// The key/value heads that this shard's query heads look at; neighbours may hold the same one.
    pub fn kv_heads(&self) -> Range<usize> {
        let heads = self.heads();
        if heads.is_empty() {
            return 0..0;
        }
        heads.start / self.heads_per_kv..(heads.end - 1) / self.heads_per_kv + 1
    }

    /// Of each of [`Self::kv_heads`], the query heads that look at it, counted from this shard's first.
    pub fn queries_of(&self, kv_head: usize) -> Range<usize> {
        let heads = self.heads();
        let all = kv_head * self.heads_per_kv..(kv_head + 1) * self.heads_per_kv;
        all.start.max(heads.start) - heads.start..all.end.min(heads.end) - heads.start
    }
}

/// A place among the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    Embedding,
    RopeFactors,
    Block(usize, Part),
    OutputNorm,
    Output,
}

/// The parts of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    AttentionNorm,
    Query,
    QueryBias,
    QueryNorm,
    Key,
    KeyBias,
    KeyNorm,
    Value,
    ValueBias,
    AttentionOutput,
    AttentionOutputBias,
    AttentionPostNorm,
    FeedForwardNorm,
    Gate,
    Up,
    Down,
    FeedForwardPostNorm,
}

/// Rows of a tensor that are to be read into a slot.
#[derive(Debug, Clone)]
pub struct Piece {
    pub slot: Slot,
    pub name: String,
    /// Elements of the whole tensor: `[rows, columns]` of a matrix, `[len]` of a vector.
    pub shape: Vec<u64>,
    /// Rows of a matrix or elements of a vector that this shard wants.
    pub rows: Range<usize>,
}

/// Everything that a shard reads, in the order of the model; each tensor is checked before the next one is asked for.
pub fn plan(gguf: &Gguf, config: &Config, layout: &Layout) -> Result<Vec<Piece>, LoadError> {
    let mut plan = Plan { gguf, pieces: Vec::new(), leftovers: gguf.tensors().keys().map(String::as_str).collect() };
    let (width, vocab) = (config.embedding_length, config.vocab_size);
    let own_vocab = layout.vocab_of(layout.shard.index());
    plan.matrix(Slot::Embedding, "token_embd.weight", (vocab, width), own_vocab.clone())?;
    let pairs = config.rope_dimension_count / 2;
    plan.optional_vector(Slot::RopeFactors, "rope_freqs.weight", pairs, 0..pairs)?;
    for index in 0..config.block_count {
        plan.block(index, config, layout)?;
    }
    plan.vector(Slot::OutputNorm, "output_norm.weight", width, 0..width)?;
    if plan.has("output.weight") {
        plan.matrix(Slot::Output, "output.weight", (vocab, width), own_vocab)?;
    }
    plan.refuse_leftovers()?;
    Ok(plan.pieces)
}

struct Plan<'a> {
    gguf: &'a Gguf,
    pieces: Vec<Piece>,
    leftovers: BTreeSet<&'a str>,
}

impl Plan<'_> {
    fn block(&mut self, index: usize, config: &Config, layout: &Layout) -> Result<(), LoadError> {
        let (width, hidden, own) = (config.embedding_length, config.feed_forward_length, layout.shard.index());
        let name = |part: &str| format!("blk.{index}.{part}");
        let slot = |part| Slot::Block(index, part);
        self.vector(slot(Part::AttentionNorm), &name("attn_norm.weight"), width, 0..width)?;
        self.attention(index, config, layout)?;
        let queries = config.head_count.saturating_mul(config.head_dim);
        let own_width = layout.width_of(own);
        self.matrix(slot(Part::AttentionOutput), &name("attn_output.weight"), (width, queries), own_width.clone())?;
        self.optional_vector(slot(Part::AttentionOutputBias), &name("attn_output.bias"), width, own_width.clone())?;
        self.optional_vector(slot(Part::AttentionPostNorm), &name("post_attention_norm.weight"), width, 0..width)?;
        self.vector(slot(Part::FeedForwardNorm), &name("ffn_norm.weight"), width, 0..width)?;
        let own_hidden = layout.hidden_of(own);
        if self.has(&name("ffn_gate.weight")) {
            self.matrix(slot(Part::Gate), &name("ffn_gate.weight"), (hidden, width), own_hidden.clone())?;
            self.matrix(slot(Part::Up), &name("ffn_up.weight"), (hidden, width), own_hidden)?;
        } else {
            // ChatGLM and GLM-4 keep both in one matrix, the gate first.
            let both = (hidden.saturating_mul(2), width);
            let up = hidden.saturating_add(own_hidden.start)..hidden.saturating_add(own_hidden.end);
            self.matrix(slot(Part::Gate), &name("ffn_up.weight"), both, own_hidden)?;
            self.matrix(slot(Part::Up), &name("ffn_up.weight"), both, up)?;
        }
        self.matrix(slot(Part::Down), &name("ffn_down.weight"), (width, hidden), own_width)?;
        self.optional_vector(slot(Part::FeedForwardPostNorm), &name("post_ffw_norm.weight"), width, 0..width)
    }

    fn attention(&mut self, index: usize, config: &Config, layout: &Layout) -> Result<(), LoadError> {
        let (width, head_dim) = (config.embedding_length, config.head_dim);
        let slot = |part| Slot::Block(index, part);
        let elements = |heads: usize| heads.saturating_mul(head_dim);
        let (queries, keys) = (elements(config.head_count), elements(config.head_count_kv));
        let all = queries.saturating_add(keys).saturating_add(keys);
        let parts = [
            ("q", Part::Query, Part::QueryBias, layout.heads(), 0, queries),
            ("k", Part::Key, Part::KeyBias, layout.kv_heads(), queries, keys),
            ("v", Part::Value, Part::ValueBias, layout.kv_heads(), queries.saturating_add(keys), keys),
        ];
        let fused = self.has(&format!("blk.{index}.attn_qkv.weight"));
        for (letter, matrix, bias, heads, offset, rows) in parts {
            let (stem, first, rows) = match fused {
                true => (format!("blk.{index}.attn_qkv"), offset, all),
                false => (format!("blk.{index}.attn_{letter}"), 0, rows),
            };
            let own = first.saturating_add(elements(heads.start))..first.saturating_add(elements(heads.end));
            self.matrix(slot(matrix), &format!("{stem}.weight"), (rows, width), own.clone())?;
            self.optional_vector(slot(bias), &format!("{stem}.bias"), rows, own)?;
        }
        for (letter, part) in [("q", Part::QueryNorm), ("k", Part::KeyNorm)] {
            let name = format!("blk.{index}.attn_{letter}_norm.weight");
            self.optional_vector(slot(part), &name, head_dim, 0..head_dim)?;
        }
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.gguf.tensors().contains_key(name)
    }

    fn matrix(
        &mut self,
        slot: Slot,
        name: &str,
        (rows, columns): (usize, usize),
        own: Range<usize>,
    ) -> Result<(), LoadError> {
        self.piece(slot, name, vec![rows as u64, columns as u64], own)
    }

    fn vector(&mut self, slot: Slot, name: &str, len: usize, own: Range<usize>) -> Result<(), LoadError> {
        self.piece(slot, name, vec![len as u64], own)
    }

    fn optional_vector(&mut self, slot: Slot, name: &str, len: usize, own: Range<usize>) -> Result<(), LoadError> {
        if self.has(name) { self.vector(slot, name, len, own) } else { Ok(()) }
    }

    fn piece(&mut self, slot: Slot, name: &str, shape: Vec<u64>, rows: Range<usize>) -> Result<(), LoadError> {
        let name = name.to_owned();
        let Some(tensor) = self.gguf.tensors().get(&name) else { return Err(LoadError::MissingTensor { name }) };
        if tensor.shape != shape {
            return Err(LoadError::Shape { name, expected: shape, found: tensor.shape.clone() });
        }
        let is_vector_of_blocks = shape.len() == 1 && tensor.dtype.block_size() != Some(1);
        if !tensor.dtype.is_supported() || is_vector_of_blocks {
            return Err(LoadError::TensorType { name, found: tensor.dtype.to_string() });
        }
        self.leftovers.remove(name.as_str());
        self.pieces.push(Piece { slot, name, shape, rows });
        Ok(())
    }

    /// A bias or an adapter that nobody applies would silently change the text.
    fn refuse_leftovers(&self) -> Result<(), LoadError> {
        // Early converters stored the rotary frequencies of each block, which follow from the metadata.
        let unknown = self.leftovers.iter().find(|name| !name.ends_with("attn_rot_embd.weight"));
        match unknown {
            Some(name) => Err(LoadError::UnknownTensor { name: (*name).to_owned() }),
            None => Ok(()),
        }
    }
}
