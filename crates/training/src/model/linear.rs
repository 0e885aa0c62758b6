//! A block's matrix products with their biases and adapters, forwards and backwards.

use super::{Dropout, Gradient, LoraPass, Parameters};
use crate::kernels::{self, DropMask};
use crate::lora::{LoraSlot, Site};
use crate::matmul::{Matrix, MatrixMut, Write, matmul};
use std::ops::Range;

/// `out = x * weight^T`, or added to `out`. `weight` is `[outputs, inputs]`.
pub(super) fn project(out: &mut [f32], write: Write, x: &[f32], weight: &[f32], inputs: usize) {
    let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
    matmul(
        MatrixMut::new(out, rows, outputs, outputs),
        write,
        1.0,
        Matrix::new(x, rows, inputs, inputs),
        Matrix::new(weight, outputs, inputs, inputs).t(),
    );
}

/// The gradient of [`project`]'s input: `d_x = d_out * weight`.
pub(super) fn project_input_gradient(d_x: &mut [f32], d_out: &[f32], weight: &[f32], inputs: usize) {
    let outputs = weight.len() / inputs;
    let rows = d_out.len() / outputs;
    matmul(
        MatrixMut::new(d_x, rows, inputs, inputs),
        Write::Replace,
        1.0,
        Matrix::new(d_out, rows, outputs, outputs),
        Matrix::new(weight, outputs, inputs, inputs),
    );
}

/// The gradient of [`project`]'s weight: `d_weight += d_out^T * x`.
pub(super) fn project_weight_gradient(d_weight: &mut [f32], d_out: &[f32], x: &[f32], inputs: usize) {
    let outputs = d_weight.len() / inputs;
    let rows = x.len() / inputs;
    matmul(
        MatrixMut::new(d_weight, outputs, inputs, inputs),
        Write::Add,
        1.0,
        Matrix::new(d_out, rows, outputs, outputs).t(),
        Matrix::new(x, rows, inputs, inputs),
    );
}

/// A matrix product of a block.
pub(super) struct Linear<'a> {
    pub weight: &'a Range<usize>,
    pub bias: &'a Range<usize>,
    pub inputs: usize,
    pub layer: usize,
    pub site: Site,
}

/// Scratch memory of adapters.
#[derive(Clone, Debug, Default)]
pub(super) struct LoraScratch {
    /// An input after dropout; in the backward pass its gradient, too.
    dropped: Vec<f32>,
    d_dropped: Vec<f32>,
    /// `A x` of the slot at hand.
    low: Vec<f32>,
    d_low: Vec<f32>,
}

impl Linear<'_> {
    /// `out = x * weight^T + bias + adapters`, or added to `out`.
    pub fn forward(&self, p: &Parameters<'_>, out: &mut [f32], write: Write, x: &[f32], scratch: &mut LoraScratch) {
        project(out, write, x, &p.weights[self.weight.clone()], self.inputs);
        if !self.bias.is_empty() {
            kernels::add_bias(out, &p.weights[self.bias.clone()]);
        }
        let Some(lora) = &p.lora else { return };
        for slot in lora.map.at(self.layer, self.site) {
            let rank = lora.map.rank;
            let (rows, width) = (x.len() / self.inputs, out.len() / (x.len() / self.inputs));
            let outputs = slot.outputs.len();
            lora.low(slot, x, scratch);
            matmul(
                MatrixMut::new(&mut out[slot.outputs.start..], rows, outputs, width),
                Write::Add,
                lora.map.scale,
                Matrix::new(&scratch.low, rows, rank, rank),
                Matrix::new(&lora.values[slot.b.clone()], outputs, rank, rank).t(),
            );
        }
    }

    /// Adds to the gradients of weight and bias, or of the adapters; `d_x`, where wanted, becomes the input's.
    pub fn backward(
        &self,
        p: &Parameters<'_>,
        gradient: &mut Gradient<'_>,
        d_x: Option<&mut [f32]>,
        d_out: &[f32],
        x: &[f32],
        scratch: &mut LoraScratch,
    ) {
        if let Gradient::Weights(gradient) = gradient {
            project_weight_gradient(&mut gradient[self.weight.clone()], d_out, x, self.inputs);
            if !self.bias.is_empty() {
                kernels::add_bias_backward(&mut gradient[self.bias.clone()], d_out);
            }
        }
        let mut d_x = d_x;
        if let Some(d_x) = d_x.as_deref_mut() {
            project_input_gradient(d_x, d_out, &p.weights[self.weight.clone()], self.inputs);
        }
        let (Gradient::Lora(gradient), Some(lora)) = (gradient, &p.lora) else { return };
        for slot in lora.map.at(self.layer, self.site) {
            lora.backward(slot, gradient, d_x.as_deref_mut(), d_out, x, scratch);
        }
    }
}

impl LoraPass<'_> {
    fn mask(&self, slot: &LoraSlot) -> Option<DropMask> {
        let Dropout { share, seed } = self.dropout?;
        // Slots are far fewer than the odd factor's period, so that each has a seed of its own.
        Some(DropMask::new(share, seed.wrapping_add((slot.index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))))
    }

    /// Fills `scratch.low` with `A dropout(x)`, and `scratch.dropped` where there is dropout.
    fn low(&self, slot: &LoraSlot, x: &[f32], scratch: &mut LoraScratch) {
        let LoraScratch { dropped, low, .. } = scratch;
        let x = match self.mask(slot) {
            Some(mask) => {
                dropped.resize(x.len(), 0.0);
                kernels::drop_out(dropped, x, mask);
                dropped
            }
            None => x,
        };
        low.resize(x.len() / slot.inputs * self.map.rank, 0.0);
        project(low, Write::Replace, x, &self.values[slot.a.clone()], slot.inputs);
    }

    fn backward(
        &self,
        slot: &LoraSlot,
        gradient: &mut [f32],
        d_x: Option<&mut [f32]>,
        d_out: &[f32],
        x: &[f32],
        scratch: &mut LoraScratch,
    ) {
        let (rank, inputs, outputs) = (self.map.rank, slot.inputs, slot.outputs.len());
        let rows = x.len() / inputs;
        let width = d_out.len() / rows;
        let b = Matrix::new(&self.values[slot.b.clone()], outputs, rank, rank);
        let d_out = Matrix::new(&d_out[slot.outputs.start..], rows, outputs, width);
        self.low(slot, x, scratch);
        let LoraScratch { dropped, d_dropped, low, d_low } = scratch;
        let d_b = MatrixMut::new(&mut gradient[slot.b.clone()], outputs, rank, rank);
        matmul(d_b, Write::Add, self.map.scale, d_out.t(), Matrix::new(low, rows, rank, rank));
        d_low.resize(rows * rank, 0.0);
        matmul(MatrixMut::new(d_low, rows, rank, rank), Write::Replace, self.map.scale, d_out, b);
        let mask = self.mask(slot);
        let input: &[f32] = if mask.is_some() { dropped } else { x };
        project_weight_gradient(&mut gradient[slot.a.clone()], d_low, input, inputs);
        let Some(d_x) = d_x else { return };
        let a = Matrix::new(&self.values[slot.a.clone()], rank, inputs, inputs);
        let d_low = Matrix::new(d_low, rows, rank, rank);
        match mask {
            None => matmul(MatrixMut::new(d_x, rows, inputs, inputs), Write::Add, 1.0, d_low, a),
            Some(mask) => {
                d_dropped.resize(rows * inputs, 0.0);
                matmul(MatrixMut::new(d_dropped, rows, inputs, inputs), Write::Replace, 1.0, d_low, a);
                kernels::drop_out_backward(d_x, d_dropped, mask);
            }
        }
    }
}
