//! What one pass computes with and whose gradient it adds to.

use crate::device::{Device, Part, PartMut};
use crate::lora::LoraMap;
use std::ops::Range;

/// What a pass computes with.
pub struct Parameters<'a, D: Device> {
    /// All weights.
    pub weights: &'a D::Values,
    /// The adapter, if any.
    pub lora: Option<LoraPass<'a, D>>,
}

/// An adapter in a pass.
pub struct LoraPass<'a, D: Device> {
    /// Where its matrices lie.
    pub map: &'a LoraMap,
    /// Their values.
    pub values: &'a D::Values,
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
pub enum Gradient<'a, D: Device> {
    /// All weights'.
    Weights(&'a mut D::Floats),
    /// The adapter's; the base costs no more than what passes through it.
    Lora(&'a mut D::Floats),
}

impl<'a, D: Device> Parameters<'a, D> {
    /// Weights alone.
    pub fn base(weights: &'a D::Values) -> Parameters<'a, D> {
        Parameters { weights, lora: None }
    }

    pub(crate) fn weight(&self, range: &Range<usize>) -> Part<'a, D::Values> {
        Part { buffer: self.weights, range: range.clone() }
    }
}

impl<'a, D: Device> LoraPass<'a, D> {
    pub(crate) fn value(&self, range: &Range<usize>) -> Part<'a, D::Values> {
        Part { buffer: self.values, range: range.clone() }
    }
}

// Derived, these would ask the device for what only references need.
impl<D: Device> Clone for Parameters<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Device> Copy for Parameters<'_, D> {}

impl<D: Device> Clone for LoraPass<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Device> Copy for LoraPass<'_, D> {}

impl<D: Device> Gradient<'_, D> {
    /// Where the gradient of a weight goes, if anybody wants it.
    pub(crate) fn of(&mut self, range: &Range<usize>) -> Option<PartMut<'_, D::Floats>> {
        match self {
            Gradient::Weights(all) => Some(PartMut { buffer: all, range: range.clone() }),
            Gradient::Lora(_) => None,
        }
    }
}
