//! What several operations have in common, and the layouts of the kernels' arguments.

use super::batch::TILE;
use super::driver::{Argument, Element, Factor, Product};
use super::memory::{DeviceSlice, DeviceVec, Storage};
use super::{BLOCK, Cuda, WARP};
use crate::cpu::kernels::DropMask;
use crate::device::{Length, Matrix, MatrixMut, NormedHeads, Part, PartMut};
use checkpoint::Shape;
use std::sync::{MutexGuard, PoisonError};

/// Rows whose columns a block sums, COLUMN_ROWS in kernels.cu.
const COLUMN_ROWS: usize = 64;

/// A kernel's arguments.
macro_rules! arguments {
    ($($value:expr),* $(,)?) => { &[$($crate::cuda::driver::Argument::new($value)),*] };
}
pub(super) use arguments;

/// NormedRows in kernels.cu.
pub(super) type NormedRows = [u32; 6];

pub(super) fn normed_rows(width: usize) -> NormedRows {
    [1, width as u32, width as u32, 0, 1, 0]
}

pub(super) fn normed_heads(at: NormedHeads, width: usize) -> NormedRows {
    [at.heads, width, at.stride, at.column, at.inverse_stride, at.inverse_column].map(|n| n as u32)
}

/// Heads in attention.cu.
pub(super) fn heads(shape: &Shape, query_stride: usize, key_stride: usize) -> [u32; 7] {
    let shared = shape.num_attention_heads / shape.num_key_value_heads;
    let scale = 1.0 / (shape.head_dim as f32).sqrt();
    let [width, query_stride, key_stride, output_stride, heads, shared] =
        [shape.head_dim, query_stride, key_stride, shape.query_size(), shape.num_attention_heads, shared]
            .map(|n| n as u32);
    [width, query_stride, key_stride, output_stride, heads, shared, scale.to_bits()]
}

/// A kernel of attention.cu for heads of some width.
pub(super) struct AttentionKernel {
    name: &'static str,
    /// Rows of a head in shared memory, TILE and STEP in attention.cu.
    rows: fn(usize, usize) -> usize,
}

pub(super) const ATTEND: [AttentionKernel; 2] =
    attention_kernels(["attend_64", "attend_128"], |tile, step| tile + 2 * step);
pub(super) const ATTEND_BACKWARD_QUERIES: [AttentionKernel; 2] =
    attention_kernels(["attend_backward_queries_64", "attend_backward_queries_128"], |tile, step| 2 * (tile + step));
pub(super) const ATTEND_BACKWARD_KEYS: [AttentionKernel; 2] =
    attention_kernels(["attend_backward_keys_64", "attend_backward_keys_128"], |tile, step| 2 * (tile + step));

const fn attention_kernels(names: [&'static str; 2], rows: fn(usize, usize) -> usize) -> [AttentionKernel; 2] {
    let [narrow, wide] = names;
    [AttentionKernel { name: narrow, rows }, AttentionKernel { name: wide, rows }]
}

/// Threads of a block, WARP_ROWS in tiles.cu for each warp.
const ATTENTION_BLOCK: u32 = TILE as u32 / 16 * WARP;

impl<T: Storage> Cuda<T> {
    pub(super) fn product(
        &self,
        [out, a, b]: [Factor; 3],
        product: Element,
        [rows, columns, inner]: [usize; 3],
        scale: f32,
        is_added: bool,
    ) {
        let factors = T::ELEMENT;
        self.multiply(&Product { a, b, factors, out, product, rows, columns, inner, scale, is_added });
    }

    /// One warp a row.
    pub(super) fn norm_rows(&self, kernel: &'static str, rows: usize, arguments: &[Argument]) {
        self.blocks(kernel, rows.div_ceil((BLOCK / WARP) as usize), arguments);
    }

    pub(super) fn drop(&self, out: &mut DeviceSlice<T>, x: &DeviceSlice<T>, mask: DropMask, is_backward: bool) {
        let n = x.length();
        let (seed, threshold, scale) = (mask.seed, mask.threshold, mask.scale);
        let arguments = arguments![out.at(0), x.at(0), n, seed, threshold, scale, u32::from(is_backward)];
        self.each("drop_out", n.div_ceil(Self::CHUNK), arguments);
    }

    pub(super) fn move_rows(
        &self,
        out: &mut DeviceSlice<T>,
        x: u64,
        places: u64,
        rows: usize,
        width: usize,
        is_scatter: bool,
    ) {
        let arguments = arguments![out.at(0), x, places, width as u32, u32::from(is_scatter)];
        self.rows("gather", rows, width, arguments);
    }

    /// Queries of `qkv` over keys and values that lie in rows of `key_stride`.
    #[expect(clippy::too_many_arguments, reason = "one kernel's arguments")]
    pub(super) fn attend_tiles(
        &self,
        attended: &mut DeviceSlice<T>,
        log_sums: u64,
        qkv: &DeviceSlice<T>,
        [keys, values]: [u64; 2],
        key_stride: usize,
        tiles: &DeviceSlice<[u32; 6]>,
        shape: &Shape,
    ) {
        let heads = heads(shape, shape.qkv_size(), key_stride);
        let arguments = arguments![attended.at(0), log_sums, qkv.at(0), keys, values, tiles.at(0), heads];
        self.attention(&ATTEND, [tiles.length(), shape.num_attention_heads], shape.head_dim, arguments);
    }

    /// One of `kernels`, for heads of `width`.
    pub(super) fn attention(
        &self,
        [narrow, wide]: &[AttentionKernel; 2],
        grid: [usize; 2],
        width: usize,
        arguments: &[Argument],
    ) {
        let ((kernel, width), size) = (if width <= 64 { (narrow, 64) } else { (wide, 128) }, size_of::<T>());
        let step = if width == 128 && T::ELEMENT == Element::F32 { 16 } else { 32 };
        let rows = (kernel.rows)(TILE, step) * (width + Self::CHUNK) + TILE * (step + Self::CHUNK);
        let statistics = 2 * step * size_of::<f32>();
        self.launch(kernel.name, grid, rows * size + statistics, ATTENTION_BLOCK, arguments);
    }
}

/// Where keys and values begin in a row of queries, keys and values.
pub(super) fn keys_and_values<T>(qkv: &DeviceSlice<T>, shape: &Shape) -> [u64; 2] {
    [shape.query_size(), shape.query_size() + shape.key_size()].map(|column| qkv.at(column))
}

impl<T: Storage> Cuda<T> {
    /// The weight's gradient first: the other may be written over what it reads.
    pub(super) fn norm_backward(
        &self,
        [d_x, d_out, x, inverse_rms]: [u64; 4],
        d_weight: Option<PartMut<'_, DeviceSlice<f32>>>,
        weight: &Part<'_, DeviceSlice<T>>,
        rows: usize,
        at: NormedRows,
        is_added: bool,
    ) {
        let rows_given = rows as u32;
        if let Some(d_weight) = d_weight {
            self.add_columns("rms_norm_weight_backward", &d_weight, rows, |sums| {
                arguments![sums, d_out, x, inverse_rms, rows_given, at].to_vec()
            });
        }
        let weight = weight.buffer.at(weight.range.start);
        let arguments = arguments![d_x, d_out, x, inverse_rms, weight, rows_given, at, u32::from(is_added)];
        self.norm_rows("rms_norm_backward", rows, arguments);
    }

    /// Adds the sums of columns, which `kernel` computes for some rows at a time.
    pub(super) fn add_columns(
        &self,
        kernel: &'static str,
        to: &PartMut<'_, DeviceSlice<f32>>,
        rows: usize,
        arguments: impl Fn(u64) -> Vec<Argument>,
    ) {
        let (width, parts) = (to.range.len(), rows.div_ceil(COLUMN_ROWS));
        let sums = self.scratch(parts * width);
        let columns = width.div_ceil(WARP as usize * Self::CHUNK);
        self.launch(kernel, [columns, parts], 0, BLOCK, &arguments(sums.at(0)));
        let arguments = arguments![to.buffer.at(to.range.start), sums.at(0), parts as u32, width as u32];
        self.blocks("add_rows", width.div_ceil(BLOCK as usize), arguments);
    }

    /// Scratch memory until the next caller's.
    pub(super) fn scratch(&self, length: usize) -> MutexGuard<'_, DeviceVec<f32>> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        scratch.resize(&self.owner, length);
        scratch
    }

    /// Adds `new` rows of `width` numbers, which lie `stride` apart, to `past` ones.
    pub(super) fn append(
        &self,
        kept: &mut DeviceVec<T>,
        from: u64,
        past: usize,
        new: usize,
        width: usize,
        stride: usize,
    ) {
        kept.grow(&self.owner, (past + new) * width);
        let arguments = arguments![kept.at(past * width), from, width as u32, stride as u32];
        self.rows("copy_columns", new, width, arguments);
    }
}

pub(super) fn inner<T>(a: &Matrix<'_, DeviceSlice<T>>) -> usize {
    if a.transposed { a.rows } else { a.columns }
}

pub(super) fn factor<T>(matrix: &Matrix<'_, DeviceSlice<T>>) -> Factor {
    let last = matrix.start + matrix.rows.saturating_sub(1) * matrix.stride + matrix.columns;
    // The end is checked, too.
    matrix.buffer.at(last);
    Factor { pointer: matrix.buffer.at(matrix.start), stride: matrix.stride, transposed: matrix.transposed }
}

pub(super) fn target<T>(matrix: &MatrixMut<'_, DeviceSlice<T>>) -> Factor {
    let MatrixMut { buffer, start, rows, columns, stride } = matrix;
    factor(&Matrix {
        buffer: &**buffer,
        start: *start,
        rows: *rows,
        columns: *columns,
        stride: *stride,
        transposed: false,
    })
}
