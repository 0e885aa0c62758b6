use std::io::Read;

use candle_core::quantized::k_quants::{
    BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4_1, BlockQ4K, BlockQ5_0, BlockQ5_1, BlockQ5K, BlockQ6K, BlockQ8_0, GgmlType,
};
use half::{bf16, f16};

use crate::{
    LoadError, TensorType,
    kernels::{self, Activations, Operand},
};

/// A weight matrix of `rows × columns` in the file's own type.
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    packed: Box<dyn Packed>,
}

/// Storage of one tensor type and the two things that a forward pass asks of it.
trait Packed: Send + Sync {
    fn bytes(&self) -> usize;
    fn dequantize_row(&self, row: usize, out: &mut [f32]);
    /// `out[n][row] = self[row] · activations[n]`
    fn matmul(&self, rows: usize, columns: usize, activations: &Activations<'_>, out: &mut [f32]);
}

impl Matrix {
    /// Reads `rows * columns` elements; `step` is told the bytes of each chunk and may stop the reading.
    pub fn read(
        dtype: TensorType,
        (rows, columns): (usize, usize),
        reader: &mut dyn Read,
        step: &mut dyn FnMut(usize) -> Result<(), LoadError>,
        name: &str,
    ) -> Result<Self, LoadError> {
        macro_rules! packed {
            ($storage:ident<$block:ty>) => {
                Box::new($storage(read_blocks::<$block>(rows * columns / <$block>::BLCK_SIZE, reader, step, name)?))
                    as Box<dyn Packed>
            };
        }
        let packed = match dtype {
            TensorType::F32 => packed!(Blocks<f32>),
            TensorType::F16 => packed!(Halves<f16>),
            TensorType::BF16 => packed!(Halves<bf16>),
            TensorType::Q4_0 => packed!(Blocks<BlockQ4_0>),
            TensorType::Q4_1 => packed!(Blocks<BlockQ4_1>),
            TensorType::Q5_0 => packed!(Blocks<BlockQ5_0>),
            TensorType::Q5_1 => packed!(Blocks<BlockQ5_1>),
            TensorType::Q8_0 => packed!(Blocks<BlockQ8_0>),
            TensorType::Q2_K => packed!(Blocks<BlockQ2K>),
            TensorType::Q3_K => packed!(Blocks<BlockQ3K>),
            TensorType::Q4_K => packed!(Blocks<BlockQ4K>),
            TensorType::Q5_K => packed!(Blocks<BlockQ5K>),
            TensorType::Q6_K => packed!(Blocks<BlockQ6K>),
            other => return Err(LoadError::TensorType { name: name.to_owned(), found: other.to_string() }),
        };
        Ok(Self { rows, columns, packed })
    }

    pub fn bytes(&self) -> usize {
        self.packed.bytes()
    }

    /// Writes one row as f32.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        self.packed.dequantize_row(row, out);
    }

    /// Multiplies every activation row; `out` becomes `activations.rows() × self.rows`.
    pub fn matmul(&self, activations: &Activations<'_>, out: &mut Vec<f32>) {
        out.resize(activations.rows() * self.rows, 0.0);
        self.packed.matmul(self.rows, self.columns, activations, out);
    }
}

/// Types with a dot product of their own.
struct Blocks<T>(Vec<T>);

impl<T> Packed for Blocks<T>
where
    T: GgmlType,
    T::VecDotType: Operand,
{
    fn bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }

    fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        let stride = out.len() / T::BLCK_SIZE;
        T::to_float(&self.0[row * stride..(row + 1) * stride], out);
    }

    fn matmul(&self, rows: usize, columns: usize, activations: &Activations<'_>, out: &mut [f32]) {
        kernels::matmul(&self.0, rows, columns, activations, out);
    }
}

/// Half-precision types: each row is widened once and multiplied in f32, which loses nothing of the activations.
struct Halves<T>(Vec<T>);

impl<T: GgmlType> Packed for Halves<T> {
    fn bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }

    fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        T::to_float(&self.0[row * out.len()..(row + 1) * out.len()], out);
    }

    fn matmul(&self, rows: usize, columns: usize, activations: &Activations<'_>, out: &mut [f32]) {
        let mut weights = vec![0.0; columns];
        for row in 0..rows {
            self.dequantize_row(row, &mut weights);
            let inputs = f32::blocks(activations).chunks_exact(columns);
            for (input, out) in inputs.zip(out.chunks_exact_mut(rows)) {
                out[row] = kernels::dot(&weights, input);
            }
        }
    }
}

/// Types for which every bit pattern is a value, without padding: they may be read from a file as they are.
///
/// # Safety
/// Implement it for `repr(C)` structures of plain numbers only.
unsafe trait PlainData: GgmlType {}
macro_rules! plain_data {
    ($($block:ty),*) => { $(
        // SAFETY: numbers, or ggml's `repr(C)` blocks, whose sizes candle asserts to be the sum of their parts.
        unsafe impl PlainData for $block {}
    )* };
}
plain_data!(
    f32, f16, bf16, BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0, BlockQ2K, BlockQ3K, BlockQ4K, BlockQ5K,
    BlockQ6K
);

/// How much is read between two progress reports.
const CHUNK_BYTES: usize = 4 << 20;

/// Reads straight into the final storage: the file's bytes never exist twice.
fn read_blocks<T: PlainData>(
    count: usize,
    reader: &mut dyn Read,
    step: &mut dyn FnMut(usize) -> Result<(), LoadError>,
    name: &str,
) -> Result<Vec<T>, LoadError> {
    let mut blocks: Vec<T> = Vec::new();
    let out_of_memory = |_| LoadError::OutOfMemory { name: name.to_owned(), bytes: (count * size_of::<T>()) as u64 };
    blocks.try_reserve_exact(count).map_err(out_of_memory)?;
    blocks.resize(count, T::zeros());
    // SAFETY: the slice covers exactly the initialised elements, and `PlainData` allows any bytes in them.
    let bytes = unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast::<u8>(), count * size_of::<T>()) };
    for chunk in bytes.chunks_mut(CHUNK_BYTES) {
        reader.read_exact(chunk)?;
        step(chunk.len())?;
    }
    Ok(blocks)
}

/// Reads a vector of F32 or half-precision values as f32.
pub fn read_vector(
    dtype: TensorType,
    len: usize,
    reader: &mut dyn Read,
    step: &mut dyn FnMut(usize) -> Result<(), LoadError>,
    name: &str,
) -> Result<Vec<f32>, LoadError> {
    let row = Matrix::read(dtype, (1, len), reader, step, name)?;
    let mut values = vec![0.0; len];
    row.dequantize_row(0, &mut values);
    Ok(values)
}
