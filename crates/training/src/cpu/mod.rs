//! The processor: plain buffers of f32, vector instructions and threads.

mod attention;
pub mod kernels;
pub mod matmul;
mod threads;

pub use attention::{Kept, Scratch};

use crate::Result;
use crate::device::{
    Attended, Batch, Device, Length, Matrix, MatrixMut, NormedHeads, Part, PartMut, PlacedMatrix, Write,
};
use checkpoint::{RotaryLayout, Shape};
use kernels::{AdamwRates, DropMask};
use std::borrow::Cow;
use std::ops::Range;

/// The processor, with as many threads as share a step's rows.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    threads: usize,
}

impl Cpu {
    /// At least one of `threads`.
    pub fn new(threads: usize) -> Cpu {
        Cpu { threads: threads.max(1) }
    }
}

impl Default for Cpu {
    fn default() -> Cpu {
        Cpu::new(1)
    }
}

impl Length for [f32] {
    fn length(&self) -> usize {
        self.len()
    }
}

impl<'a> Part<'a, [f32]> {
    fn slice(self) -> &'a [f32] {
        &self.buffer[self.range]
    }
}

impl<'a> PartMut<'a, [f32]> {
    fn slice(self) -> &'a mut [f32] {
        &mut self.buffer[self.range]
    }
}

impl<'a> Matrix<'a, [f32]> {
    fn view(self) -> matmul::Matrix<'a> {
        let view = matmul::Matrix::new(&self.buffer[self.start..], self.rows, self.columns, self.stride);
        if self.transposed { view.t() } else { view }
    }
}

impl<'a> MatrixMut<'a, [f32]> {
    fn view(self) -> matmul::MatrixMut<'a> {
        matmul::MatrixMut::new(&mut self.buffer[self.start..], self.rows, self.columns, self.stride)
    }
}

impl Device for Cpu {
    type Values = [f32];
    type ValueBuffer = Vec<f32>;
    type Floats = [f32];
    type FloatBuffer = Vec<f32>;
    type Trained = Vec<f32>;
    type Batch = Batch;
    type Scratch = Scratch;
    type Kept = Kept;

    fn description(&self) -> String {
        format!("{} threads", self.threads)
    }

    fn workers(&self) -> usize {
        self.threads
    }

    fn tokens_at_once(&self, tokens: usize) -> usize {
        tokens
    }

    fn logits_at_once(&self, _: usize) -> usize {
        256
    }

    fn accepts(&self, _: &Shape) -> Result<()> {
        Ok(())
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn values(&self, host: Vec<f32>) -> Vec<f32> {
        host
    }

    fn floats(&self, host: Vec<f32>) -> Vec<f32> {
        host
    }

    fn trained(&self, host: Vec<f32>) -> Vec<f32> {
        host
    }

    fn read<'a>(&self, values: &'a [f32]) -> Cow<'a, [f32]> {
        values.into()
    }

    fn read_floats<'a>(&self, floats: &'a [f32]) -> Cow<'a, [f32]> {
        floats.into()
    }

    fn read_trained<'a>(&self, trained: &'a Vec<f32>) -> Cow<'a, [f32]> {
        trained.into()
    }

    fn resize(&self, buffer: &mut Vec<f32>, length: usize) {
        buffer.resize(length, 0.0);
    }

    fn resize_floats(&self, buffer: &mut Vec<f32>, length: usize) {
        buffer.resize(length, 0.0);
    }

    fn load(&self, to: &mut Batch, batch: Batch) {
        *to = batch;
    }

    fn matmul(&self, out: MatrixMut<'_, [f32]>, write: Write, scale: f32, a: Matrix<'_, [f32]>, b: Matrix<'_, [f32]>) {
        matmul::matmul(out.view(), write, scale, a.view(), b.view());
    }

    fn add_product(&self, sum: MatrixMut<'_, [f32]>, scale: f32, a: Matrix<'_, [f32]>, b: Matrix<'_, [f32]>) {
        matmul::matmul(sum.view(), Write::Add, scale, a.view(), b.view());
    }

    fn add(&self, sum: &mut [f32], x: &[f32]) {
        kernels::add(sum, x);
    }

    fn copy(&self, to: &mut [f32], from: &[f32]) {
        to.copy_from_slice(from);
    }

    fn clear(&self, x: &mut [f32]) {
        x.fill(0.0);
    }

    fn clear_floats(&self, x: &mut [f32]) {
        x.fill(0.0);
    }

    fn add_bias(&self, x: &mut [f32], bias: Part<'_, [f32]>) {
        kernels::add_bias(x, bias.slice());
    }

    fn add_bias_backward(&self, d_bias: PartMut<'_, [f32]>, d_out: &[f32]) {
        kernels::add_bias_backward(d_bias.slice(), d_out);
    }

    fn drop_out(&self, out: &mut [f32], x: &[f32], mask: DropMask) {
        kernels::drop_out(out, x, mask);
    }

    fn drop_out_backward(&self, d_x: &mut [f32], d_out: &[f32], mask: DropMask) {
        kernels::drop_out_backward(d_x, d_out, mask);
    }

    fn rms_norm(&self, out: &mut [f32], inverse_rms: &mut [f32], x: &[f32], weight: Part<'_, [f32]>, eps: f32) {
        kernels::rms_norm(out, inverse_rms, x, weight.slice(), eps);
    }

    fn rms_norm_backward(
        &self,
        d_x: &mut [f32],
        d_weight: Option<PartMut<'_, [f32]>>,
        d_out: &[f32],
        x: &[f32],
        inverse_rms: &[f32],
        weight: Part<'_, [f32]>,
    ) {
        kernels::rms_norm_backward(d_x, d_weight.map(PartMut::slice), d_out, x, inverse_rms, weight.slice());
    }

    fn norm_heads(
        &self,
        qkv: &mut [f32],
        inverse_rms: &mut [f32],
        raw: &[f32],
        weight: Part<'_, [f32]>,
        heads: NormedHeads,
        eps: f32,
    ) {
        let weight = weight.slice();
        let columns = heads.column..heads.column + heads.heads * weight.len();
        let rows = qkv.chunks_exact_mut(heads.stride).zip(raw.chunks_exact(heads.stride));
        for ((row, raw), inverse) in rows.zip(inverse_rms.chunks_exact_mut(heads.inverse_stride)) {
            let inverse = &mut inverse[heads.inverse_column..];
            kernels::rms_norm(&mut row[columns.clone()], inverse, &raw[columns.clone()], weight, eps);
        }
    }

    fn norm_heads_backward(
        &self,
        d_qkv: &mut [f32],
        d_weight: Option<PartMut<'_, [f32]>>,
        raw: &[f32],
        inverse_rms: &[f32],
        weight: Part<'_, [f32]>,
        heads: NormedHeads,
    ) {
        let (weight, mut d_weight) = (weight.slice(), d_weight.map(PartMut::slice));
        let columns = heads.column..heads.column + heads.heads * weight.len();
        let mut d_raw = vec![0.0; columns.len()];
        let rows = d_qkv.chunks_exact_mut(heads.stride).zip(raw.chunks_exact(heads.stride));
        for ((d_row, raw), inverse) in rows.zip(inverse_rms.chunks_exact(heads.inverse_stride)) {
            d_raw.fill(0.0);
            let inverse = &inverse[heads.inverse_column..][..heads.heads];
            let (d_out, raw) = (&d_row[columns.clone()], &raw[columns.clone()]);
            kernels::rms_norm_backward(&mut d_raw, d_weight.as_deref_mut(), d_out, raw, inverse, weight);
            d_row[columns.clone()].copy_from_slice(&d_raw);
        }
    }

    fn rotate(&self, qkv: &mut [f32], batch: &Batch, shape: &Shape, direction: f32) {
        let (half, width) = (shape.rotary.width / 2, shape.head_dim);
        let heads = shape.num_attention_heads + shape.num_key_value_heads;
        let angles = batch.cos.chunks_exact(half).zip(batch.sin.chunks_exact(half));
        for (row, (cos, sin)) in qkv.chunks_exact_mut(shape.qkv_size()).zip(angles) {
            match shape.rotary.layout {
                RotaryLayout::Halves => kernels::rotate_halves(row, heads, width, cos, sin, direction),
                RotaryLayout::Neighbours => kernels::rotate_neighbours(row, heads, width, cos, sin, direction),
            }
        }
    }

    fn attend(
        &self,
        attended: &mut [f32],
        log_sums: &mut [f32],
        qkv: &[f32],
        batch: &Batch,
        shape: &Shape,
        scratch: &mut Scratch,
    ) {
        attention::attend(attended, log_sums, qkv, &batch.segments, shape, scratch);
    }

    fn attend_backward(
        &self,
        d_qkv: &mut [f32],
        d_attended: &[f32],
        forward: Attended<'_, Cpu>,
        batch: &Batch,
        shape: &Shape,
        scratch: &mut Scratch,
    ) {
        attention::attend_backward(d_qkv, d_attended, &forward, &batch.segments, shape, scratch);
    }

    fn attend_kept(&self, attended: &mut [f32], qkv: &[f32], kept: &mut Kept, shape: &Shape) {
        attention::attend_kept(attended, qkv, kept, shape);
    }

    fn swiglu(&self, out: &mut [f32], gate_up: &[f32], width: usize) {
        kernels::swiglu(out, gate_up, width);
    }

    fn swiglu_backward(&self, gate_up: &mut [f32], d_out: &[f32], width: usize) {
        kernels::swiglu_backward(gate_up, d_out, width);
    }

    fn embed(&self, out: &mut [f32], embedding: Part<'_, [f32]>, batch: &Batch, width: usize) {
        let embedding = embedding.slice();
        for (out, &token) in out.chunks_exact_mut(width).zip(&batch.tokens) {
            out.copy_from_slice(&embedding[token as usize * width..][..width]);
        }
    }

    fn embed_backward(&self, d_embedding: PartMut<'_, [f32]>, d_out: &[f32], batch: &Batch, width: usize) {
        let d_embedding = d_embedding.slice();
        for (d_out, &token) in d_out.chunks_exact(width).zip(&batch.tokens) {
            kernels::add(&mut d_embedding[token as usize * width..][..width], d_out);
        }
    }

    fn gather(&self, out: &mut [f32], x: &[f32], batch: &Batch, rows: Range<usize>, width: usize) {
        for (out, &row) in out.chunks_exact_mut(width).zip(&batch.rows[rows]) {
            out.copy_from_slice(&x[row as usize * width..][..width]);
        }
    }

    fn scatter(&self, out: &mut [f32], x: &[f32], batch: &Batch, rows: Range<usize>, width: usize) {
        for (x, &row) in x.chunks_exact(width).zip(&batch.rows[rows]) {
            out[row as usize * width..][..width].copy_from_slice(x);
        }
    }

    fn cross_entropy(
        &self,
        logits: &mut [f32],
        losses: &mut [f32],
        batch: &Batch,
        rows: Range<usize>,
        vocab: usize,
        scale: f32,
    ) {
        let places = losses[rows.clone()].iter_mut().zip(&batch.targets[rows]);
        for (logits, (loss, &target)) in logits.chunks_exact_mut(vocab).zip(places) {
            *loss = kernels::cross_entropy_row(logits, target as usize, scale);
        }
    }

    fn reduce(&self, gradients: Vec<&mut [f32]>) -> f64 {
        threads::reduce(gradients)
    }

    fn adamw(
        &self,
        trained: &mut Vec<f32>,
        [first, second]: [&mut [f32]; 2],
        gradient: &[f32],
        range: Range<usize>,
        rates: AdamwRates,
    ) {
        let moments = [&mut first[range.clone()], &mut second[range.clone()]];
        threads::adamw(&mut trained[range.clone()], moments, &gradient[range], rates, self.threads);
    }

    fn muon(
        &self,
        trained: &mut Vec<f32>,
        momentum: &mut [f32],
        gradient: &[f32],
        matrices: &[PlacedMatrix],
        rates: AdamwRates,
    ) {
        threads::muon(trained, momentum, gradient, matrices, rates, self.threads);
    }
}
