//! A block's matrix products with their biases and adapters, forwards and backwards.

use super::pass::{Dropout, Gradient, LoraPass, Parameters};
use crate::cpu::kernels::DropMask;
use crate::device::{Device, Length, Matrix, MatrixMut, Part, PartMut, Write};
use crate::lora::{LoraSlot, Site};
use std::ops::Range;

/// `out = x * weight^T`, or added to `out`. `weight` is `[outputs, inputs]`.
pub(super) fn project<D: Device>(
    d: &D,
    out: &mut D::Values,
    write: Write,
    x: Matrix<'_, D::Values>,
    weight: Part<'_, D::Values>,
) {
    let weight = weight.matrix(x.columns);
    d.matmul(MatrixMut::new(out, x.rows, weight.rows), write, 1.0, x, weight.t());
}

/// The gradient of [`project`]'s input: `d_x = d_out * weight`.
pub(super) fn project_input_gradient<D: Device>(
    d: &D,
    d_x: &mut D::Values,
    d_out: Matrix<'_, D::Values>,
    weight: Part<'_, D::Values>,
) {
    let inputs = weight.range.len() / d_out.columns;
    d.matmul(MatrixMut::new(d_x, d_out.rows, inputs), Write::Replace, 1.0, d_out, weight.matrix(inputs));
}

/// The gradient of [`project`]'s weight: `d_weight += d_out^T * x`.
pub(super) fn project_weight_gradient<D: Device>(
    d: &D,
    d_weight: PartMut<'_, D::Floats>,
    d_out: Matrix<'_, D::Values>,
    x: Matrix<'_, D::Values>,
) {
    d.add_product(d_weight.matrix(x.columns), 1.0, d_out.t(), x);
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
pub(super) struct LoraScratch<D: Device> {
    /// An input after dropout.
    dropped: D::ValueBuffer,
    d_dropped: D::ValueBuffer,
    /// `A x` of the slot at hand.
    low: D::ValueBuffer,
    d_low: D::ValueBuffer,
}

impl<D: Device> Default for LoraScratch<D> {
    fn default() -> LoraScratch<D> {
        let empty = D::ValueBuffer::default;
        LoraScratch { dropped: empty(), d_dropped: empty(), low: empty(), d_low: empty() }
    }
}

impl Linear<'_> {
    /// `out = x * weight^T + bias + adapters`, or added to `out`.
    pub fn forward<D: Device>(
        &self,
        d: &D,
        p: &Parameters<'_, D>,
        out: &mut D::Values,
        write: Write,
        x: &D::Values,
        scratch: &mut LoraScratch<D>,
    ) {
        project(d, out, write, Matrix::all(x, self.inputs), p.weight(self.weight));
        if !self.bias.is_empty() {
            d.add_bias(out, p.weight(self.bias));
        }
        let Some(lora) = &p.lora else { return };
        let width = self.weight.len() / self.inputs;
        for slot in lora.map.at(self.layer, self.site) {
            lora.low(d, slot, x, scratch);
            let b = lora.value(&slot.b).matrix(lora.map.rank);
            let out = MatrixMut::columns(out, slot.outputs.clone(), width);
            d.matmul(out, Write::Add, lora.map.scale, Matrix::all(&*scratch.low, lora.map.rank), b.t());
        }
    }

    /// Adds to the gradients of weight and bias, or of the adapters; `d_x`, where wanted, becomes the input's.
    #[expect(clippy::too_many_arguments, reason = "one matrix product's whole backward pass")]
    pub fn backward<D: Device>(
        &self,
        d: &D,
        p: &Parameters<'_, D>,
        gradient: &mut Gradient<'_, D>,
        d_x: Option<&mut D::Values>,
        d_out: &D::Values,
        x: &D::Values,
        scratch: &mut LoraScratch<D>,
    ) {
        let width = self.weight.len() / self.inputs;
        if let Gradient::Weights(gradient) = gradient {
            let d_weight = PartMut { buffer: &mut **gradient, range: self.weight.clone() };
            project_weight_gradient(d, d_weight, Matrix::all(d_out, width), Matrix::all(x, self.inputs));
            if !self.bias.is_empty() {
                d.add_bias_backward(PartMut { buffer: &mut **gradient, range: self.bias.clone() }, d_out);
            }
        }
        let mut d_x = d_x;
        if let Some(d_x) = d_x.as_deref_mut() {
            project_input_gradient(d, d_x, Matrix::all(d_out, width), p.weight(self.weight));
        }
        let (Gradient::Lora(gradient), Some(lora)) = (gradient, &p.lora) else { return };
        for slot in lora.map.at(self.layer, self.site) {
            let d_out = Matrix::columns(d_out, slot.outputs.clone(), width);
            lora.backward(d, slot, gradient, d_x.as_deref_mut(), d_out, x, scratch);
        }
    }
}

impl<D: Device> LoraPass<'_, D> {
    fn mask(&self, slot: &LoraSlot) -> Option<DropMask> {
        let Dropout { share, seed } = self.dropout?;
        // Slots are far fewer than the odd factor's period, so that each has a seed of its own.
        Some(DropMask::new(share, seed.wrapping_add((slot.index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))))
    }

    /// Fills `scratch.low` with `A dropout(x)`, and `scratch.dropped` where there is dropout.
    fn low(&self, d: &D, slot: &LoraSlot, x: &D::Values, scratch: &mut LoraScratch<D>) {
        let LoraScratch { dropped, low, .. } = scratch;
        let x = match self.mask(slot) {
            Some(mask) => {
                d.resize(dropped, x.length());
                d.drop_out(dropped, x, mask);
                &**dropped
            }
            None => x,
        };
        let x = Matrix::all(x, slot.inputs);
        d.resize(low, x.rows * self.map.rank);
        project(d, low, Write::Replace, x, self.value(&slot.a));
    }

    #[expect(clippy::too_many_arguments, reason = "one adapter's whole backward pass")]
    fn backward(
        &self,
        d: &D,
        slot: &LoraSlot,
        gradient: &mut D::Floats,
        d_x: Option<&mut D::Values>,
        d_out: Matrix<'_, D::Values>,
        x: &D::Values,
        scratch: &mut LoraScratch<D>,
    ) {
        let (rank, scale, inputs, rows) = (self.map.rank, self.map.scale, slot.inputs, d_out.rows);
        self.low(d, slot, x, scratch);
        let LoraScratch { dropped, d_dropped, low, d_low } = scratch;
        let d_b = PartMut { buffer: &mut *gradient, range: slot.b.clone() }.matrix(rank);
        d.add_product(d_b, scale, d_out.t(), Matrix::new(&**low, rows, rank));
        d.resize(d_low, rows * rank);
        let b = self.value(&slot.b).matrix(rank);
        d.matmul(MatrixMut::new(&mut **d_low, rows, rank), Write::Replace, scale, d_out, b);
        let mask = self.mask(slot);
        let input = if mask.is_some() { &**dropped } else { x };
        let d_a = PartMut { buffer: gradient, range: slot.a.clone() };
        let d_low = Matrix::new(&**d_low, rows, rank);
        project_weight_gradient(d, d_a, d_low, Matrix::all(input, inputs));
        let Some(d_x) = d_x else { return };
        let a = self.value(&slot.a).matrix(inputs);
        match mask {
            None => d.matmul(MatrixMut::new(d_x, rows, inputs), Write::Add, 1.0, d_low, a),
            Some(mask) => {
                d.resize(d_dropped, rows * inputs);
                d.matmul(MatrixMut::new(&mut **d_dropped, rows, inputs), Write::Replace, 1.0, d_low, a);
                d.drop_out_backward(d_x, d_dropped, mask);
            }
        }
    }
}
