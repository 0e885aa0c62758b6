//! Without the feature `gpu` there is no graphics processor: what would need one cannot exist.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use crate::{Config, ForwardError, GpuError, LoadError, TensorType, Weights};

/// An open graphics processor; clones are the same one.
#[derive(Debug, Clone)]
pub enum Gpu {}

pub enum Matrix {}

pub enum Runner {}

impl Gpu {
    /// Opens the processor that the browser or the system prefers for hard work.
    ///
    /// # Errors
    /// There is none, or it cannot be had.
    #[expect(clippy::unused_async, reason = "with the feature it waits")]
    pub async fn open() -> Result<Self, GpuError> {
        Err(GpuError::None { reason: "this program was built without support for one".to_owned() })
    }

    /// What the system calls it; empty where a browser does not tell.
    pub fn name(&self) -> &str {
        match *self {}
    }

    /// Waits until it has done all that it was given.
    ///
    /// # Errors
    /// What has gone wrong so far.
    pub async fn settled(&self) -> Result<(), GpuError> {
        match *self {}
    }

    /// Computes a small model in each of the types that `weights` has, here and on the CPU.
    ///
    /// # Errors
    /// The numbers differ, or the processor fails.
    pub async fn verify(&self, _: &Weights) -> Result<(), GpuError> {
        match *self {}
    }

    /// # Errors
    /// A model that the kernels have no room for.
    pub fn check_shape(&self, _: &Config) -> Result<(), LoadError> {
        match *self {}
    }
}

impl Matrix {
    pub fn with_capacity(gpu: &Gpu, _: TensorType, _: (usize, usize), _: &str) -> Result<Self, LoadError> {
        match *gpu {}
    }

    pub fn push(&mut self, _: &[u8], _: &str) -> Result<(), LoadError> {
        match *self {}
    }

    pub fn bytes(&self) -> usize {
        match *self {}
    }
}

impl Runner {
    pub fn new(_: Arc<Weights>, gpu: &Gpu) -> Box<Self> {
        match *gpu {}
    }

    pub fn reserve(&mut self, _: usize, _: usize) -> Result<(), ForwardError> {
        match *self {}
    }

    pub fn advance(&mut self, _: &[u32], _: usize, _: bool) -> Result<Poll<()>, ForwardError> {
        match *self {}
    }

    pub fn poll_ready(&self, _: &Context<'_>) -> Poll<()> {
        match *self {}
    }

    pub fn abandon(&mut self) {
        match *self {}
    }

    pub fn weights(&self) -> &Arc<Weights> {
        match *self {}
    }

    pub fn logits(&self) -> &[f32] {
        match *self {}
    }
}
