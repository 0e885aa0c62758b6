//! What several operations have in common, and the layouts of the kernels' arguments.

use super::batch::WARPS;
use super::driver::{Argument, Element, Factor, Product};
use super::memory::{DeviceSlice, DeviceVec, Storage};
use super::{BLOCK, Cuda, WARP};
use crate::cpu::kernels::DropMask;
use crate::device::{Length, Matrix, MatrixMut, NormedHeads, Part, PartMut};
use checkpoint::Shape;

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

/// Bytes of shared memory for `rows` rows of a head in each warp, and one padded row in each lane.
pub(super) fn attention_memory(width: usize, rows: usize) -> usize {
    4 * (rows * WARPS * width + WARP as usize * (width + 1))
}

pub(super) const ATTENTION_BLOCK: u32 = WARPS as u32 * WARP;

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
        self.each("drop_out", n, arguments![out.at(0), x.at(0), n, seed, threshold, scale, u32::from(is_backward)]);
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
        let n = rows * width;
        let arguments = arguments![out.at(0), x, places, n, width as u32, u32::from(is_scatter)];
        self.each("gather", n, arguments);
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
        let grid = [tiles.length(), shape.num_attention_heads];
        self.launch("attend", grid, attention_memory(shape.head_dim, 1), ATTENTION_BLOCK, arguments);
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
        d_weight: &PartMut<'_, DeviceSlice<f32>>,
        weight: &Part<'_, DeviceSlice<T>>,
        rows: usize,
        at: NormedRows,
        is_added: bool,
    ) {
        let d_weight = d_weight.buffer.at(d_weight.range.start);
        let arguments = arguments![d_weight, d_out, x, inverse_rms, rows, at];
        self.blocks("rms_norm_weight_backward", weight.range.len().div_ceil(WARP as usize), arguments);
        let weight = weight.buffer.at(weight.range.start);
        let arguments = arguments![d_x, d_out, x, inverse_rms, weight, rows, at, u32::from(is_added)];
        self.norm_rows("rms_norm_backward", rows, arguments);
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
        let n = new * width;
        let arguments = arguments![kept.at(past * width), from, n, width as u32, stride as u32];
        self.each("copy_columns", n, arguments);
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
