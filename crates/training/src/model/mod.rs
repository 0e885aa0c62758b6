//! The forward pass of the LLaMA, Qwen and GLM families and its hand-written backward pass over packed documents, on any
//! [`Device`].
//!
//! Rows of activations belong to tokens. Documents lie one after the other without padding; each is a segment
//! whose tokens see only each other and whose positions start at 0. One [`Workspace`] serves one thread.

mod block;
mod decode;
mod head;
mod linear;
pub mod pass;
mod workspace;

pub use pass::Dropout;
pub use workspace::Workspace;

use crate::cpu::Cpu;
use crate::device::{Batch, Device, PartMut};
use crate::parameters::ParameterMap;
use crate::{Error, Result};
use checkpoint::Shape;
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

/// What a pass on the processor computes with.
pub type Parameters<'a> = pass::Parameters<'a, Cpu>;
/// An adapter in a pass on the processor.
pub type LoraPass<'a> = pass::LoraPass<'a, Cpu>;
/// Whose gradient a backward pass on the processor adds to.
pub type Gradient<'a> = pass::Gradient<'a, Cpu>;

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
    pub fn loss<D: Device>(&self, p: &pass::Parameters<'_, D>, work: &mut Workspace<D>, pack: &Pack) -> f64 {
        self.forward(p, work, pack);
        self.head_loss(p, None, work, pack, 0.0);
        self.read_loss(work, pack)
    }

    /// Adds the gradient of `scale` times the summed loss to `gradient`; returns the summed loss.
    pub fn loss_and_gradient<D: Device>(
        &self,
        p: &pass::Parameters<'_, D>,
        mut gradient: pass::Gradient<'_, D>,
        work: &mut Workspace<D>,
        pack: &Pack,
        scale: f32,
    ) -> f64 {
        self.forward(p, work, pack);
        self.head_loss(p, Some(&mut gradient), work, pack, scale);
        let first = match (&gradient, &p.lora) {
            (pass::Gradient::Lora(_), Some(lora)) => lora.map.first_layer(),
            _ => 0,
        };
        for layer in (first..self.shape.num_hidden_layers).rev() {
            if work.must_recompute(layer) {
                self.block_forward(p, work, layer, None);
            }
            let last = layer == first && matches!(gradient, pass::Gradient::Lora(_));
            self.block_backward(p, &mut gradient, work, layer, last);
        }
        if let pass::Gradient::Weights(buffer) = gradient {
            let d_embedding = PartMut { buffer, range: self.map.embedding.clone() };
            let Workspace { device, d_residual, batch, .. } = work;
            device.embed_backward(d_embedding, d_residual, batch, self.shape.hidden_size);
        }
        self.read_loss(work, pack)
    }

    /// The logits of every position, `[tokens, vocab]`.
    pub fn logits<D: Device>(&self, p: &pass::Parameters<'_, D>, work: &mut Workspace<D>, pack: &Pack) -> Vec<f32> {
        self.forward(p, work, pack);
        self.head_logits(p, work, 0)
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
    fn forward<D: Device>(&self, p: &pass::Parameters<'_, D>, work: &mut Workspace<D>, pack: &Pack) {
        self.forward_after(p, work, pack, None);
    }

    /// As [`Self::forward`]; where keys and values are kept, the pack's only segment follows them.
    fn forward_after<D: Device>(
        &self,
        p: &pass::Parameters<'_, D>,
        work: &mut Workspace<D>,
        pack: &Pack,
        mut kept: Option<&mut [D::Kept]>,
    ) {
        let (hidden, layers) = (self.shape.hidden_size, self.shape.num_hidden_layers);
        work.resize(&self.shape, pack.tokens.len());
        work.device.load(&mut work.batch, self.batch(pack));
        work.device.embed(&mut work.residual[0], p.weight(&self.map.embedding), &work.batch, hidden);
        for layer in 0..layers {
            let kept = kept.as_deref_mut().map(|blocks| &mut blocks[layer]);
            self.block_forward(p, work, layer, kept);
        }
        let (norm, eps) = (p.weight(&self.map.final_norm), self.shape.rms_norm_eps as f32);
        let Workspace { device, final_normed, final_inverse_rms, residual, .. } = work;
        device.rms_norm(final_normed, final_inverse_rms, &residual[layers], norm, eps);
    }

    fn batch(&self, pack: &Pack) -> Batch {
        let half = self.shape.rotary.width / 2;
        let trained = pack.targets.iter().zip(0..).filter(|&(&target, _)| target != IGNORE);
        let (targets, rows) = trained.unzip();
        let mut batch =
            Batch { tokens: pack.tokens.clone(), segments: pack.segments.clone(), rows, targets, ..Batch::default() };
        for segment in &pack.segments {
            let angles = segment.prefix.len() * half..segment.context() * half;
            batch.cos.extend(&self.cos[angles.clone()]);
            batch.sin.extend(&self.sin[angles]);
        }
        batch
    }
}
