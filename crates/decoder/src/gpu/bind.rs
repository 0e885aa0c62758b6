//! A model's buffers on the processor, and every kernel with what it reads and writes.

use std::collections::HashMap;

use wgpu::Buffer;

use super::{
    Gpu,
    kernels::{Bound, BoundProduct, Kernel, Product},
    matrix::Codes,
};
use crate::{
    Weights,
    cpu::Rotation,
    matrix::Matrix,
    meeting::BATCH,
    weights::{Block, Linear},
};

/// Flags of a product.
const ADD: u32 = 1;
const BIAS: u32 = 2;

/// Flags of a norm: of the last row only; [`ADD`] is the same.
const LAST: u32 = 2;

/// Flags of heads.
const HALVES: u32 = 1;
const QUERY_NORM: u32 = 2;
const KEY_NORM: u32 = 4;

/// Keys and values of one block, in half precision, position after position.
pub struct Cache {
    pub keys: Buffer,
    pub values: Buffer,
}

pub struct Kernels {
    pub norm: Kernel,
    pub heads: Kernel,
    pub attend: Kernel,
    pub swiglu: Kernel,
    pub products: HashMap<Codes, Product>,
}

pub struct Buffers {
    /// How many tokens, and the first one's position.
    pub batch: Buffer,
    pub tokens: Buffer,
    pub turns: Buffer,
    /// The residual stream.
    pub x: Buffer,
    pub normed: Buffer,
    /// Queries, keys and values of each token.
    pub rows: Buffer,
    pub attended: Buffer,
    pub gate: Buffer,
    pub up: Buffer,
    /// A product that has a norm of its own.
    pub product: Buffer,
    pub last: Buffer,
    pub logits: Buffer,
    pub nothing: Buffer,
}

/// One block's kernels, in the order in which they run.
pub struct BoundBlock {
    pub attention_norm: Bound,
    pub query: BoundProduct,
    pub key: BoundProduct,
    pub value: BoundProduct,
    pub place: Bound,
    pub attend: Bound,
    pub attention_output: BoundProduct,
    pub attention_post_norm: Option<Bound>,
    pub feed_forward_norm: Bound,
    pub gate: BoundProduct,
    pub up: BoundProduct,
    pub swiglu: Bound,
    pub down: BoundProduct,
    pub feed_forward_post_norm: Option<Bound>,
}

impl Cache {
    pub fn new(gpu: &Gpu, bytes: u64) -> Self {
        Self { keys: gpu.storage(bytes), values: gpu.storage(bytes) }
    }

    /// Gives the memory back, after what was submitted.
    pub fn destroy(&self) {
        self.keys.destroy();
        self.values.destroy();
    }
}

impl Kernels {
    pub fn new(gpu: &Gpu, weights: &Weights) -> Self {
        let mut products = HashMap::new();
        for matrix in weights.matrices() {
            let codes = matrix.on_gpu().codes;
            products.entry(codes).or_insert_with(|| Product::new(gpu, codes));
        }
        let (norm, heads) = (Kernel::norm(gpu), Kernel::heads(gpu));
        Self { norm, heads, attend: Kernel::attend(gpu), swiglu: Kernel::swiglu(gpu), products }
    }
}

impl Buffers {
    pub fn new(gpu: &Gpu, weights: &Weights) -> Self {
        let config = weights.config();
        let of_batch = |width: usize| gpu.storage(4 * (BATCH * width) as u64);
        let (width, hidden, head_dim) = (config.embedding_length, config.feed_forward_length, config.head_dim);
        Self {
            batch: gpu.uniform(&[0; 4]),
            tokens: of_batch(1),
            turns: of_batch(config.rope_dimension_count),
            x: of_batch(width),
            normed: of_batch(width),
            rows: of_batch((config.head_count + 2 * config.head_count_kv) * head_dim),
            attended: of_batch(config.head_count * head_dim),
            gate: of_batch(hidden),
            up: of_batch(hidden),
            product: of_batch(width),
            last: gpu.storage(4 * width as u64),
            logits: gpu.storage(4 * config.vocab_size as u64),
            nothing: gpu.storage(0),
        }
    }
}

/// Binds kernels to one model's buffers.
pub struct Binder<'a> {
    pub gpu: &'a Gpu,
    pub kernels: &'a Kernels,
    pub buffers: &'a Buffers,
    pub weights: &'a Weights,
}

/// Where a product goes: elements of a token's row, the first of them that is written, whether it is added.
struct Target<'a> {
    out: &'a Buffer,
    stride: usize,
    offset: usize,
    adds: bool,
}

impl Binder<'_> {
    pub fn embed(&self) -> Bound {
        let matrix = self.weights.embedding.on_gpu();
        let config = self.weights.config();
        let shape = self.gpu.uniform(&[config.vocab_size as u32, config.embedding_length as u32]);
        let Buffers { batch, tokens, x, .. } = self.buffers;
        let kernel = Kernel::embed(self.gpu, matrix.codes);
        kernel.bind(self.gpu, &[batch, &shape, &matrix.words, &matrix.scales, tokens, x])
    }

    pub fn output_norm(&self) -> Bound {
        self.norm(&self.weights.output_norm, LAST, &self.buffers.x, &self.buffers.last)
    }

    pub fn output(&self) -> BoundProduct {
        let stride = self.weights.config().vocab_size;
        let target = Target { out: &self.buffers.logits, stride, offset: 0, adds: false };
        self.product(self.weights.output(), &[], &self.buffers.last, &target)
    }

    pub fn block(&self, block: &Block, cache: &Cache) -> BoundBlock {
        let config = self.weights.config();
        let Buffers { x, normed, rows, attended, gate, up, .. } = self.buffers;
        let (queries, keys) = (config.head_count * config.head_dim, config.head_count_kv * config.head_dim);
        let of_heads = |linear: &Linear, offset| {
            let target = Target { out: rows, stride: queries + 2 * keys, offset, adds: false };
            self.product(&linear.matrix, &linear.bias, normed, &target)
        };
        let hidden = |matrix, out| {
            let target = Target { out, stride: config.feed_forward_length, offset: 0, adds: false };
            self.product(matrix, &[], normed, &target)
        };
        let output = &block.attention_output;
        BoundBlock {
            attention_norm: self.norm(&block.attention_norm, 0, x, normed),
            query: of_heads(&block.query, 0),
            key: of_heads(&block.key, queries),
            value: of_heads(&block.value, queries + keys),
            place: self.place(block, cache),
            attend: self.attend(cache),
            attention_output: self.to_stream(&output.matrix, &output.bias, attended, &block.attention_post_norm),
            attention_post_norm: self.post_norm(&block.attention_post_norm),
            feed_forward_norm: self.norm(&block.feed_forward_norm, 0, x, normed),
            gate: hidden(&block.gate, gate),
            up: hidden(&block.up, up),
            swiglu: self.swiglu(),
            down: self.to_stream(&block.down, &[], gate, &block.feed_forward_post_norm),
            feed_forward_post_norm: self.post_norm(&block.feed_forward_post_norm),
        }
    }

    /// A product that is added to the residual stream, or waits for the norm that does it.
    fn to_stream(&self, matrix: &Matrix, bias: &[f32], input: &Buffer, post_norm: &[f32]) -> BoundProduct {
        let Buffers { x, product, .. } = self.buffers;
        let adds = post_norm.is_empty();
        let out = if adds { x } else { product };
        let target = Target { out, stride: self.weights.config().embedding_length, offset: 0, adds };
        self.product(matrix, bias, input, &target)
    }

    fn post_norm(&self, weight: &[f32]) -> Option<Bound> {
        let Buffers { x, product, .. } = self.buffers;
        (!weight.is_empty()).then(|| self.norm(weight, ADD, product, x))
    }

    fn norm(&self, weight: &[f32], flags: u32, input: &Buffer, out: &Buffer) -> Bound {
        let epsilon = self.weights.config().rms_norm_epsilon.to_bits();
        let shape = self.gpu.uniform(&[weight.len() as u32, epsilon, flags]);
        let weight = self.gpu.storage_of(weight);
        self.kernels.norm.bind(self.gpu, &[&self.buffers.batch, &shape, input, &weight, out])
    }

    fn product(&self, matrix: &Matrix, bias: &[f32], input: &Buffer, target: &Target<'_>) -> BoundProduct {
        let (rows, columns) = (matrix.rows as u32, matrix.columns as u32);
        let on_gpu = matrix.on_gpu();
        let flags = (u32::from(target.adds) * ADD) | (u32::from(!bias.is_empty()) * BIAS);
        let shape = self.gpu.uniform(&[rows, columns, target.stride as u32, target.offset as u32, flags]);
        let of_bias = (!bias.is_empty()).then(|| self.gpu.storage_of(bias));
        let bias = of_bias.as_ref().unwrap_or(&self.buffers.nothing);
        let buffers = [&self.buffers.batch, &shape, &on_gpu.words, &on_gpu.scales, input, target.out, bias];
        self.kernels.products[&on_gpu.codes].bind(self.gpu, &buffers, rows)
    }

    fn heads(&self, flags: u32) -> Buffer {
        let config = self.weights.config();
        self.gpu.uniform(&[
            config.head_count as u32,
            config.head_count_kv as u32,
            config.head_dim as u32,
            config.rope_dimension_count as u32,
            flags,
            config.rms_norm_epsilon.to_bits(),
        ])
    }

    fn place(&self, block: &Block, cache: &Cache) -> Bound {
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        let flags = flag(self.weights.config().rotation == Rotation::Halves, HALVES)
            | flag(!block.query_norm.is_empty(), QUERY_NORM)
            | flag(!block.key_norm.is_empty(), KEY_NORM);
        let (query_norm, key_norm) = (self.gpu.storage_of(&block.query_norm), self.gpu.storage_of(&block.key_norm));
        let Buffers { batch, rows, turns, .. } = self.buffers;
        let buffers = [batch, &self.heads(flags), rows, turns, &query_norm, &key_norm, &cache.keys, &cache.values];
        self.kernels.heads.bind(self.gpu, &buffers)
    }

    fn attend(&self, cache: &Cache) -> Bound {
        let Buffers { batch, rows, attended, .. } = self.buffers;
        let buffers = [batch, &self.heads(0), rows, &cache.keys, &cache.values, attended];
        self.kernels.attend.bind(self.gpu, &buffers)
    }

    fn swiglu(&self) -> Bound {
        let shape = self.gpu.uniform(&[self.weights.config().feed_forward_length as u32]);
        let Buffers { batch, gate, up, .. } = self.buffers;
        self.kernels.swiglu.bind(self.gpu, &[batch, &shape, gate, up])
    }
}
