//! The LLaMA forward pass and its hand-written backward pass, in f32 over packed documents.
//!
//! Rows of activations belong to tokens. Documents lie one after the other without padding; each is a segment
//! whose tokens see only each other and whose positions start at 0. One [`Workspace`] serves one thread.

mod attention;
mod block;
mod head;
mod workspace;

pub use workspace::Workspace;

use crate::config::ModelConfig;
use crate::kernels;
use crate::parameters::ParameterMap;
use crate::{Error, Result};
use std::ops::Range;

/// The target of a position that is not trained on.
pub const IGNORE: u32 = u32::MAX;

/// Documents laid end to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pack {
    /// The tokens that the model reads.
    pub tokens: Vec<u32>,
    /// For each of them the token that should follow, or [`IGNORE`].
    pub targets: Vec<u32>,
    /// The documents, in order and without gaps.
    pub segments: Vec<Segment>,
}

/// A document of a [`Pack`], or one that continues an earlier segment. Several may continue the same segment: chats
/// under one system instruction need it only once, and loss and gradients are those of the whole chats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its places in the pack.
    pub tokens: Range<usize>,
    /// The places of the segment that it continues; empty where the document starts here.
    pub prefix: Range<usize>,
}

impl Segment {
    /// Tokens that its last token sees.
    pub fn context(&self) -> usize {
        self.prefix.len() + self.tokens.len()
    }
}

impl Pack {
    /// Adds a document: what is read and what should follow each token. Returns its places.
    pub fn push(
        &mut self,
        tokens: impl IntoIterator<Item = u32>,
        targets: impl IntoIterator<Item = u32>,
    ) -> Range<usize> {
        self.push_after(0..0, tokens, targets)
    }

    /// Adds the continuation of the segment at `prefix`.
    pub fn push_after(
        &mut self,
        prefix: Range<usize>,
        tokens: impl IntoIterator<Item = u32>,
        targets: impl IntoIterator<Item = u32>,
    ) -> Range<usize> {
        let start = self.tokens.len();
        self.tokens.extend(tokens);
        self.targets.extend(targets);
        let tokens = start..self.tokens.len();
        self.segments.push(Segment { tokens: tokens.clone(), prefix });
        tokens
    }

    /// Adds all documents of `other`.
    pub fn append(&mut self, other: &Pack) {
        let start = self.tokens.len();
        self.tokens.extend_from_slice(&other.tokens);
        self.targets.extend_from_slice(&other.targets);
        let moved = |range: &Range<usize>| if range.is_empty() { 0..0 } else { start + range.start..start + range.end };
        self.segments
            .extend(other.segments.iter().map(|s| Segment { tokens: moved(&s.tokens), prefix: moved(&s.prefix) }));
    }

    /// How many positions are trained on.
    pub fn target_count(&self) -> usize {
        self.targets.iter().filter(|&&t| t != IGNORE).count()
    }
}

/// A LLaMA's shape, the places of its weights and its rotary angles. The weights are passed to each call.
#[derive(Clone, Debug)]
pub struct Model {
    /// The shape.
    pub config: ModelConfig,
    /// Where each tensor lies in the flat buffer of weights.
    pub map: ParameterMap,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Model {
    /// The model that `config` describes.
    pub fn new(config: ModelConfig) -> Result<Model> {
        config.check()?;
        let (half, positions) = (config.head_dim() / 2, config.max_position_embeddings);
        let angles = (0..positions).flat_map(|position| {
            let theta = config.rope_theta;
            (0..half).map(move |i| position as f64 / theta.powf(i as f64 / half as f64))
        });
        let (sin, cos) = angles.map(|a| (a.sin() as f32, a.cos() as f32)).unzip();
        Ok(Model { map: ParameterMap::new(&config), config, cos, sin })
    }

    /// The summed loss over the targets of `pack`.
    pub fn loss(&self, weights: &[f32], work: &mut Workspace, pack: &Pack) -> f64 {
        self.forward(weights, work, pack);
        self.head_loss(weights, None, work, pack, 0.0)
    }

    /// Adds the gradient of `scale` times the summed loss to `gradient`; returns the summed loss.
    pub fn loss_and_gradient(
        &self,
        weights: &[f32],
        gradient: &mut [f32],
        work: &mut Workspace,
        pack: &Pack,
        scale: f32,
    ) -> f64 {
        self.forward(weights, work, pack);
        let loss = self.head_loss(weights, Some(gradient), work, pack, scale);
        for layer in (0..self.config.num_hidden_layers).rev() {
            self.block_backward(weights, gradient, work, pack, layer);
        }
        let (hidden, embedding) = (self.config.hidden_size, self.map.embedding.start);
        for (d_x, &token) in work.d_residual.chunks_exact(hidden).zip(&pack.tokens) {
            kernels::add(&mut gradient[embedding + token as usize * hidden..][..hidden], d_x);
        }
        loss
    }

    /// The logits of every position, `[tokens, vocab]`.
    pub fn logits(&self, weights: &[f32], work: &mut Workspace, pack: &Pack) -> Vec<f32> {
        self.forward(weights, work, pack);
        self.head_logits(weights, work)
    }

    /// Refuses tokens and lengths that the model does not have.
    pub fn check(&self, pack: &Pack) -> Result<()> {
        let vocab = self.config.vocab_size as u32;
        if let Some(token) = pack.tokens.iter().find(|&&t| t >= vocab) {
            return Err(Error::Argument(format!("token {token} is not in the vocabulary of {vocab}")));
        }
        let longest = pack.segments.iter().map(Segment::context).max().unwrap_or(0);
        let limit = self.config.max_position_embeddings;
        if longest > limit {
            return Err(Error::Argument(format!("a document of {longest} tokens in a context of {limit}")));
        }
        Ok(())
    }

    /// Fills `work` up to the final norm.
    fn forward(&self, weights: &[f32], work: &mut Workspace, pack: &Pack) {
        let hidden = self.config.hidden_size;
        let embedding = &weights[self.map.embedding.clone()];
        work.resize(&self.config, pack.tokens.len());
        for (x, &token) in work.residual[0].chunks_exact_mut(hidden).zip(&pack.tokens) {
            x.copy_from_slice(&embedding[token as usize * hidden..][..hidden]);
        }
        for layer in 0..self.config.num_hidden_layers {
            self.block_forward(weights, work, pack, layer);
        }
        let last = &work.residual[self.config.num_hidden_layers];
        let norm = &weights[self.map.final_norm.clone()];
        let eps = self.config.rms_norm_eps as f32;
        kernels::rms_norm(&mut work.final_normed, &mut work.final_inverse_rms, last, norm, eps);
    }
}
