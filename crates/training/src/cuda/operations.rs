//! The operations of a pass as launches of kernels.

use super::batch::{DeviceBatch, kept_tiles};
use super::driver::Element;
use super::launches::{
    ATTEND_BACKWARD_KEYS, ATTEND_BACKWARD_QUERIES, arguments, factor, heads, inner, keys_and_values, normed_heads,
    normed_rows, target,
};
use super::memory::{DeviceSlice, DeviceVec, Storage};
use super::{Cuda, Kept, LOGITS_AT_ONCE, MOST_BLOCKS, Trained, WIDEST_HEAD};
use crate::cpu::kernels::{AdamwRates, DropMask};
use crate::device::{
    Attended, Batch, Device, Length, Matrix, MatrixMut, NormedHeads, Part, PartMut, PlacedMatrix, Write,
};
use crate::{Error, Result};
use checkpoint::{RotaryLayout, Shape};
use std::borrow::Cow;
use std::ops::Range;

impl<T: Storage> Device for Cuda<T> {
    type Values = DeviceSlice<T>;
    type ValueBuffer = DeviceVec<T>;
    type Floats = DeviceSlice<f32>;
    type FloatBuffer = DeviceVec<f32>;
    type Trained = Trained<T>;
    type Batch = DeviceBatch;
    /// The products of attention's output with its gradient, row by row and head by head.
    type Scratch = DeviceVec<f32>;
    type Kept = Kept<T>;

    fn description(&self) -> String {
        let values = if T::ELEMENT == Element::F32 { "f32" } else { "bf16" };
        format!("{} in {values}", self.owner.name())
    }

    fn workers(&self) -> usize {
        1
    }

    fn tokens_at_once(&self, _: usize) -> usize {
        self.tokens_at_once
    }

    fn logits_at_once(&self, vocab: usize) -> usize {
        (LOGITS_AT_ONCE / vocab).clamp(1, self.tokens_at_once)
    }

    fn accepts(&self, shape: &Shape) -> Result<()> {
        match shape.head_dim {
            ..=WIDEST_HEAD => Ok(()),
            width => Err(Error::Config {
                field: "head_dim",
                found: width.to_string(),
                expected: format!("at most {WIDEST_HEAD} with --device cuda"),
            }),
        }
    }

    fn check(&self) -> Result<()> {
        self.owner.error().map_or(Ok(()), |reason| Err(Error::Device(reason)))
    }

    fn values(&self, host: Vec<f32>) -> DeviceVec<T> {
        let host: Vec<T> = host.into_iter().map(T::from_f32).collect();
        DeviceVec::from(&self.owner, &host)
    }

    fn floats(&self, host: Vec<f32>) -> DeviceVec<f32> {
        DeviceVec::from(&self.owner, &host)
    }

    fn trained(&self, host: Vec<f32>) -> Trained<T> {
        let masters = (T::ELEMENT != Element::F32).then(|| DeviceVec::from(&self.owner, &host));
        Trained { values: self.values(host), masters }
    }

    fn read<'a>(&self, values: &'a DeviceSlice<T>) -> Cow<'a, [f32]> {
        values.read(&self.owner).into_iter().map(T::to_f32).collect()
    }

    fn read_floats<'a>(&self, floats: &'a DeviceSlice<f32>) -> Cow<'a, [f32]> {
        floats.read(&self.owner).into()
    }

    fn read_trained<'a>(&self, trained: &'a Trained<T>) -> Cow<'a, [f32]> {
        match &trained.masters {
            Some(masters) => self.read_floats(masters),
            None => self.read(&trained.values),
        }
    }

    fn resize(&self, buffer: &mut DeviceVec<T>, length: usize) {
        buffer.resize(&self.owner, length);
    }

    fn resize_floats(&self, buffer: &mut DeviceVec<f32>, length: usize) {
        buffer.resize(&self.owner, length);
    }

    fn load(&self, to: &mut DeviceBatch, batch: Batch) {
        to.load(&self.owner, &batch);
    }

    fn matmul(
        &self,
        out: MatrixMut<'_, DeviceSlice<T>>,
        write: Write,
        scale: f32,
        a: Matrix<'_, DeviceSlice<T>>,
        b: Matrix<'_, DeviceSlice<T>>,
    ) {
        let sizes = [out.rows, out.columns, inner(&a)];
        let factors = [target(&out), factor(&a), factor(&b)];
        self.product(factors, T::ELEMENT, sizes, scale, write == Write::Add);
    }

    fn add_product(
        &self,
        sum: MatrixMut<'_, DeviceSlice<f32>>,
        scale: f32,
        a: Matrix<'_, DeviceSlice<T>>,
        b: Matrix<'_, DeviceSlice<T>>,
    ) {
        let sizes = [sum.rows, sum.columns, inner(&a)];
        self.product([target(&sum), factor(&a), factor(&b)], Element::F32, sizes, scale, true);
    }

    fn add(&self, sum: &mut DeviceSlice<T>, x: &DeviceSlice<T>) {
        self.each("add", x.length().div_ceil(Self::CHUNK), arguments![sum.at(0), x.at(0), x.length()]);
    }

    fn copy(&self, to: &mut DeviceSlice<T>, from: &DeviceSlice<T>) {
        assert_eq!(to.length(), from.length());
        let bytes = size_of::<T>() * from.length();
        if bytes > 0 {
            self.owner.run(|driver| driver.copy(to.at(0), from.at(0), bytes));
        }
    }

    fn clear(&self, x: &mut DeviceSlice<T>) {
        self.clear_bytes(x.at(0), size_of::<T>() * x.length());
    }

    fn clear_floats(&self, x: &mut DeviceSlice<f32>) {
        self.clear_bytes(x.at(0), size_of::<f32>() * x.length());
    }

    fn add_bias(&self, x: &mut DeviceSlice<T>, bias: Part<'_, DeviceSlice<T>>) {
        let width = bias.range.len();
        let arguments = arguments![x.at(0), bias.buffer.at(bias.range.start), width as u32];
        self.rows("add_bias", x.length() / width, width, arguments);
    }

    fn add_bias_backward(&self, d_bias: PartMut<'_, DeviceSlice<f32>>, d_out: &DeviceSlice<T>) {
        let width = d_bias.range.len();
        let rows = d_out.length() / width;
        self.add_columns("add_bias_backward", &d_bias, rows, |sums| {
            arguments![sums, d_out.at(0), rows as u32, width as u32].to_vec()
        });
    }

    fn drop_out(&self, out: &mut DeviceSlice<T>, x: &DeviceSlice<T>, mask: DropMask) {
        self.drop(out, x, mask, false);
    }

    fn drop_out_backward(&self, d_x: &mut DeviceSlice<T>, d_out: &DeviceSlice<T>, mask: DropMask) {
        self.drop(d_x, d_out, mask, true);
    }

    fn rms_norm(
        &self,
        out: &mut DeviceSlice<T>,
        inverse_rms: &mut DeviceSlice<f32>,
        x: &DeviceSlice<T>,
        weight: Part<'_, DeviceSlice<T>>,
        eps: f32,
    ) {
        let (rows, at) = (x.length() / weight.range.len(), normed_rows(weight.range.len()));
        let weight = weight.buffer.at(weight.range.start);
        let arguments = arguments![out.at(0), inverse_rms.at(0), x.at(0), weight, rows as u32, at, eps];
        self.norm_rows("rms_norm", rows, arguments);
    }

    fn rms_norm_backward(
        &self,
        d_x: &mut DeviceSlice<T>,
        d_weight: Option<PartMut<'_, DeviceSlice<f32>>>,
        d_out: &DeviceSlice<T>,
        x: &DeviceSlice<T>,
        inverse_rms: &DeviceSlice<f32>,
        weight: Part<'_, DeviceSlice<T>>,
    ) {
        let (rows, at) = (x.length() / weight.range.len(), normed_rows(weight.range.len()));
        let places = [d_x.at(0), d_out.at(0), x.at(0), inverse_rms.at(0)];
        self.norm_backward(places, d_weight, &weight, rows, at, true);
    }

    fn norm_heads(
        &self,
        qkv: &mut DeviceSlice<T>,
        inverse_rms: &mut DeviceSlice<f32>,
        raw: &DeviceSlice<T>,
        weight: Part<'_, DeviceSlice<T>>,
        heads: NormedHeads,
        eps: f32,
    ) {
        let (rows, at) = (raw.length() / heads.stride * heads.heads, normed_heads(heads, weight.range.len()));
        let weight = weight.buffer.at(weight.range.start);
        let arguments = arguments![qkv.at(0), inverse_rms.at(0), raw.at(0), weight, rows as u32, at, eps];
        self.norm_rows("rms_norm", rows, arguments);
    }

    fn norm_heads_backward(
        &self,
        d_qkv: &mut DeviceSlice<T>,
        d_weight: Option<PartMut<'_, DeviceSlice<f32>>>,
        raw: &DeviceSlice<T>,
        inverse_rms: &DeviceSlice<f32>,
        weight: Part<'_, DeviceSlice<T>>,
        heads: NormedHeads,
    ) {
        let (rows, at) = (raw.length() / heads.stride * heads.heads, normed_heads(heads, weight.range.len()));
        let places = [d_qkv.at(0), d_qkv.at(0), raw.at(0), inverse_rms.at(0)];
        self.norm_backward(places, d_weight, &weight, rows, at, false);
    }

    fn rotate(&self, qkv: &mut DeviceSlice<T>, batch: &DeviceBatch, shape: &Shape, direction: f32) {
        let heads = shape.num_attention_heads + shape.num_key_value_heads;
        let [half, heads, width, stride] =
            [shape.rotary.width / 2, heads, shape.head_dim, shape.qkv_size()].map(|n| n as u32);
        let is_neighbours = u32::from(shape.rotary.layout == RotaryLayout::Neighbours);
        let (cos, sin) = (batch.cos.at(0), batch.sin.at(0));
        let arguments = arguments![qkv.at(0), cos, sin, half, heads, width, stride, is_neighbours, direction];
        self.rows("rotate", qkv.length() / shape.qkv_size(), shape.qkv_size(), arguments);
    }

    fn attend(
        &self,
        attended: &mut DeviceSlice<T>,
        log_sums: &mut DeviceSlice<f32>,
        qkv: &DeviceSlice<T>,
        batch: &DeviceBatch,
        shape: &Shape,
        _: &mut DeviceVec<f32>,
    ) {
        let keys = keys_and_values(qkv, shape);
        self.attend_tiles(attended, log_sums.at(0), qkv, keys, shape.qkv_size(), &batch.query_tiles, shape);
    }

    fn attend_backward(
        &self,
        d_qkv: &mut DeviceSlice<T>,
        d_attended: &DeviceSlice<T>,
        forward: Attended<'_, Cuda<T>>,
        batch: &DeviceBatch,
        shape: &Shape,
        dots: &mut DeviceVec<f32>,
    ) {
        let Attended { qkv, log_sums, attended } = forward;
        self.resize_floats(dots, log_sums.length());
        let heads = heads(shape, shape.qkv_size(), shape.qkv_size());
        let ([keys, values], [d_keys, d_values]) = (keys_and_values(qkv, shape), keys_and_values(d_qkv, shape));
        let (queries, log_sums, d_attended, tiles) =
            (qkv.at(0), log_sums.at(0), d_attended.at(0), batch.query_tiles.at(0));
        let arguments = arguments![
            d_qkv.at(0),
            dots.at(0),
            d_attended,
            attended.at(0),
            log_sums,
            queries,
            keys,
            values,
            tiles,
            heads
        ];
        let grid = [batch.query_tiles.length(), shape.num_attention_heads];
        self.attention(&ATTEND_BACKWARD_QUERIES, grid, shape.head_dim, arguments);
        let (tiles, spans) = (batch.key_tiles.at(0), batch.spans.at(0));
        let arguments =
            arguments![d_keys, d_values, dots.at(0), d_attended, log_sums, queries, keys, values, tiles, spans, heads];
        let grid = [batch.key_tiles.length(), shape.num_key_value_heads];
        self.attention(&ATTEND_BACKWARD_KEYS, grid, shape.head_dim, arguments);
    }

    fn attend_kept(&self, attended: &mut DeviceSlice<T>, qkv: &DeviceSlice<T>, kept: &mut Kept<T>, shape: &Shape) {
        let (stride, key) = (shape.qkv_size(), shape.key_size());
        let (past, new) = (kept.tokens, qkv.length() / stride);
        let [keys, values] = keys_and_values(qkv, shape);
        self.append(&mut kept.keys, keys, past, new, key, stride);
        self.append(&mut kept.values, values, past, new, key, stride);
        kept.tokens += new;
        let tiles = DeviceVec::from(&self.owner, &kept_tiles(past, new));
        let mut log_sums = DeviceVec::default();
        self.resize_floats(&mut log_sums, new * shape.num_attention_heads);
        let keys = [kept.keys.at(0), kept.values.at(0)];
        self.attend_tiles(attended, log_sums.at(0), qkv, keys, key, &tiles, shape);
    }

    fn swiglu(&self, out: &mut DeviceSlice<T>, gate_up: &DeviceSlice<T>, width: usize) {
        let arguments = arguments![out.at(0), gate_up.at(0), width as u32];
        self.rows("swiglu", out.length() / width, width, arguments);
    }

    fn swiglu_backward(&self, gate_up: &mut DeviceSlice<T>, d_out: &DeviceSlice<T>, width: usize) {
        let arguments = arguments![gate_up.at(0), d_out.at(0), width as u32];
        self.rows("swiglu_backward", d_out.length() / width, width, arguments);
    }

    fn embed(&self, out: &mut DeviceSlice<T>, embedding: Part<'_, DeviceSlice<T>>, batch: &DeviceBatch, width: usize) {
        let embedding = embedding.buffer.at(embedding.range.start);
        self.move_rows(out, embedding, batch.tokens.at(0), batch.tokens.length(), width, false);
    }

    fn embed_backward(
        &self,
        d_embedding: PartMut<'_, DeviceSlice<f32>>,
        d_out: &DeviceSlice<T>,
        batch: &DeviceBatch,
        width: usize,
    ) {
        let d_embedding = d_embedding.buffer.at(d_embedding.range.start);
        let (tokens, starts, places) = (batch.distinct.at(0), batch.starts.at(0), batch.places.at(0));
        let arguments = arguments![d_embedding, d_out.at(0), tokens, starts, places, width as u32];
        self.blocks("embed_backward", batch.distinct.length(), arguments);
    }

    fn gather(
        &self,
        out: &mut DeviceSlice<T>,
        x: &DeviceSlice<T>,
        batch: &DeviceBatch,
        rows: Range<usize>,
        width: usize,
    ) {
        self.move_rows(out, x.at(0), batch.rows.at(rows.start), rows.len(), width, false);
    }

    fn scatter(
        &self,
        out: &mut DeviceSlice<T>,
        x: &DeviceSlice<T>,
        batch: &DeviceBatch,
        rows: Range<usize>,
        width: usize,
    ) {
        self.move_rows(out, x.at(0), batch.rows.at(rows.start), rows.len(), width, true);
    }

    fn cross_entropy(
        &self,
        logits: &mut DeviceSlice<T>,
        losses: &mut DeviceSlice<f32>,
        batch: &DeviceBatch,
        rows: Range<usize>,
        vocab: usize,
        scale: f32,
    ) {
        let (losses, targets) = (losses.at(rows.start), batch.targets.at(rows.start));
        let arguments = arguments![logits.at(0), losses, targets, vocab as u32, scale];
        self.rows("cross_entropy", rows.len(), vocab, arguments);
    }

    fn reduce(&self, gradients: Vec<&mut DeviceSlice<f32>>) -> f64 {
        let [gradient] = &gradients[..] else { unreachable!("a GPU is one worker") };
        let n = gradient.length();
        let sums = self.scratch(n.div_ceil(1024).min(MOST_BLOCKS));
        self.blocks("sum_of_squares", sums.length(), arguments![sums.at(0), gradient.at(0), n]);
        self.read_floats(&sums).iter().map(|&sum| f64::from(sum)).sum::<f64>().sqrt()
    }

    fn adamw(
        &self,
        trained: &mut Trained<T>,
        [first, second]: [&mut DeviceSlice<f32>; 2],
        gradient: &DeviceSlice<f32>,
        range: Range<usize>,
        rates: AdamwRates,
    ) {
        let AdamwRates { lr, decay, betas, bias, eps, gradient_scale } = rates;
        let rates = [lr / bias[0], lr * decay, betas[0], betas[1], 1.0 / bias[1], eps, gradient_scale];
        let (at, n) = (range.start, range.len());
        let [masters, values] = trained.places(at);
        let arguments = arguments![masters, values, first.at(at), second.at(at), gradient.at(at), n, rates];
        self.each("adamw", n, arguments);
    }

    fn muon(
        &self,
        trained: &mut Trained<T>,
        momentum: &mut DeviceSlice<f32>,
        gradient: &DeviceSlice<f32>,
        matrices: &[PlacedMatrix],
        rates: AdamwRates,
    ) {
        for matrix in matrices {
            let weights = trained.places(matrix.range.start);
            self.muon_matrix(weights, momentum, gradient, matrix, [rates.lr, rates.decay]);
        }
    }
}
