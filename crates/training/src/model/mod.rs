//! The forward pass of the LLaMA, Qwen and GLM families and its hand-written backward pass, in f32 over packed documents.
//!
//! Rows of activations belong to tokens. Documents lie one after the other without padding; each is a segment
//! whose tokens see only each other and whose positions start at 0. One [`Workspace`] serves one thread.

mod attention;
mod block;
mod decode;
mod head;
mod linear;
mod workspace;

pub use workspace::Workspace;

use crate::kernels;
use crate::lora::LoraMap;
use crate::parameters::ParameterMap;
use crate::{Error, Result};
use checkpoint::Shape;
use decode::KeptBlock;
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

/// What a pass computes with.
#[derive(Clone, Copy)]
pub struct Parameters<'a> {
    /// All weights.
    pub weights: &'a [f32],
    /// The adapter, if any.
    pub lora: Option<LoraPass<'a>>,
}

/// An adapter in a pass.
#[derive(Clone, Copy)]
pub struct LoraPass<'a> {
    /// Where its matrices lie.
    pub map: &'a LoraMap,
    /// Their values.
    pub values: &'a [f32],
    /// Dropout of its inputs; only in training.
    pub dropout: Option<Dropout>,
}

/// Dropout of the adapters' inputs.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Share of the inputs that are dropped.
    pub share: f32,
    /// Another for each pass.
    pub seed: u64,
}

/// Whose gradient a backward pass adds to; the other stays as it is.
pub enum Gradient<'a> {
    /// All weights'.
    Weights(&'a mut [f32]),
    /// The adapter's; the base costs no more than what passes through it.
    Lora(&'a mut [f32]),
}

impl<'a> Parameters<'a> {
    /// Weights alone.
    pub fn base(weights: &'a [f32]) -> Parameters<'a> {
        Parameters { weights, lora: None }
    }

    pub(crate) fn weight(&self, range: &Range<usize>) -> &'a [f32] {
        &self.weights[range.clone()]
    }
}

impl Gradient<'_> {
    /// Where the gradient of a weight goes: `unused` where nobody wants it.
    fn of<'b>(&'b mut self, range: &Range<usize>, unused: &'b mut [f32]) -> &'b mut [f32] {
        match self {
            Gradient::Weights(all) => &mut all[range.clone()],
            Gradient::Lora(_) => &mut unused[..range.len()],
        }
    }
}

/// A model's shape, the places of its weights and its rotary angles. The weights are passed to each call.
#[derive(Clone, Debug)]
pub struct Model {
    /// The shape.
    pub shape: Shape,
    /// Where each tensor lies in the flat buffer of weights.
    pub map: ParameterMap,
    cos: Vec<f32>,
    sin: Vec<f32>,
    no_bias: Range<usize>,
}

impl Model {
    /// A model of this shape.
    pub fn new(shape: Shape) -> Model {
        let (frequencies, factor) = shape.rotary.frequencies();
        let positions = 0..shape.max_position_embeddings;
        let angles = positions.flat_map(|position| frequencies.iter().map(move |f| position as f64 * f));
        let (sin, cos) = angles.map(|a| ((a.sin() * factor) as f32, (a.cos() * factor) as f32)).unzip();
        Model { map: ParameterMap::new(&shape), shape, cos, sin, no_bias: 0..0 }
    }

    /// The summed loss over the targets of `pack`.
    pub fn loss(&self, p: &Parameters<'_>, work: &mut Workspace, pack: &Pack) -> f64 {
        self.forward(p, work, pack);
        self.head_loss(p, None, work, pack, 0.0)
    }

    /// Adds the gradient of `scale` times the summed loss to `gradient`; returns the summed loss.
    pub fn loss_and_gradient(
        &self,
        p: &Parameters<'_>,
        mut gradient: Gradient<'_>,
        work: &mut Workspace,
        pack: &Pack,
        scale: f32,
    ) -> f64 {
        self.forward(p, work, pack);
        let loss = self.head_loss(p, Some(&mut gradient), work, pack, scale);
        let first = match (&gradient, &p.lora) {
            (Gradient::Lora(_), Some(lora)) => lora.map.first_layer(),
            _ => 0,
        };
        for layer in (first..self.shape.num_hidden_layers).rev() {
            if work.must_recompute(layer) {
                self.block_forward(p, work, pack, layer, None);
            }
            let last = layer == first && matches!(gradient, Gradient::Lora(_));
            self.block_backward(p, &mut gradient, work, pack, layer, last);
        }
        if let Gradient::Weights(gradient) = gradient {
            let (hidden, embedding) = (self.shape.hidden_size, self.map.embedding.start);
            for (d_x, &token) in work.d_residual.chunks_exact(hidden).zip(&pack.tokens) {
                kernels::add(&mut gradient[embedding + token as usize * hidden..][..hidden], d_x);
            }
        }
        loss
    }

    /// The logits of every position, `[tokens, vocab]`.
    pub fn logits(&self, p: &Parameters<'_>, work: &mut Workspace, pack: &Pack) -> Vec<f32> {
        self.forward(p, work, pack);
        self.head_logits(p, work)
    }

    /// Refuses tokens and lengths that the model does not have.
    pub fn check(&self, pack: &Pack) -> Result<()> {
        let vocab = self.shape.vocab_size as u32;
        if let Some(token) = pack.tokens.iter().find(|&&t| t >= vocab) {
            return Err(Error::Argument(format!("token {token} is not in the vocabulary of {vocab}")));
        }
        let longest = pack.segments.iter().map(Segment::context).max().unwrap_or(0);
        let limit = self.shape.max_position_embeddings;
        if longest > limit {
            return Err(Error::Argument(format!("a document of {longest} tokens in a context of {limit}")));
        }
        Ok(())
    }

    /// Fills `work` up to the final norm.
    fn forward(&self, p: &Parameters<'_>, work: &mut Workspace, pack: &Pack) {
        self.forward_after(p, work, pack, None);
    }

    /// As [`Self::forward`]; where keys and values are kept, the pack's only segment follows them.
    fn forward_after(&self, p: &Parameters<'_>, work: &mut Workspace, pack: &Pack, mut kept: Option<&mut [KeptBlock]>) {
        let hidden = self.shape.hidden_size;
        let embedding = p.weight(&self.map.embedding);
        work.resize(&self.shape, pack.tokens.len());
        for (x, &token) in work.residual[0].chunks_exact_mut(hidden).zip(&pack.tokens) {
            x.copy_from_slice(&embedding[token as usize * hidden..][..hidden]);
        }
        for layer in 0..self.shape.num_hidden_layers {
            let kept = kept.as_deref_mut().map(|blocks| &mut blocks[layer]);
            self.block_forward(p, work, pack, layer, kept);
        }
        let last = &work.residual[self.shape.num_hidden_layers];
        let norm = p.weight(&self.map.final_norm);
        let eps = self.shape.rms_norm_eps as f32;
        kernels::rms_norm(&mut work.final_normed, &mut work.final_inverse_rms, last, norm, eps);
    }
}
