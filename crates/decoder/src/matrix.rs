use std::{io::Read, marker::PhantomData};

use candle_core::quantized::k_quants::{
    BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4_1, BlockQ4K, BlockQ5_0, BlockQ5_1, BlockQ5K, BlockQ6K, BlockQ8_0, GgmlType,
};
use half::{bf16, f16};

use crate::{
    LoadError, TensorType,
    cpu::{self, Activations, Cpu, Format, Job, Lines, Packing, Panels, Rounding, Scratch},
    gpu,
};

/// Activation rows, as they are and rounded to 8 bits.
pub struct Input<'a> {
    pub values: &'a [f32],
    pub columns: usize,
    pub quantized: &'a Activations,
}

impl Input<'_> {
    fn rows(&self) -> usize {
        self.values.len() / self.columns
    }
}

/// What a matrix is for: rows that are only looked up need no packing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Product,
    Lookup,
}

/// Rows of a weight matrix, in the file's own precision.
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    cpu: Cpu,
    place: Place,
}

/// Whose memory holds the rows.
enum Place {
    Cpu(Box<dyn Storage>),
    Gpu(gpu::Matrix),
}

/// One type's weights and what a forward pass asks of them.
trait Storage: Send + Sync {
    fn bytes(&self) -> usize;
    /// Appends whole rows; `false` when there is no memory for them.
    fn push(&mut self, rows: &[u8], columns: usize) -> bool;
    fn dequantize_row(&self, row: usize, out: &mut [f32]);
    /// In which rounding it reads activations; `None` where it takes the values as they are.
    fn rounding(&self) -> Option<Rounding>;
    /// `out[n][row] = self[row] · input[n]`
    fn matmul(&self, matrix: &Matrix, input: &Input<'_>, out: &mut [f32], scratch: &mut Scratch);
}

impl Matrix {
    /// A matrix without rows yet; `reserve`d whole.
    pub fn with_capacity(
        dtype: TensorType,
        (rows, columns): (usize, usize),
        cpu: Cpu,
        purpose: Purpose,
        name: &str,
    ) -> Result<Self, LoadError> {
        macro_rules! storage {
            ($storage:ident<$type:ty>) => {{
                let storage = $storage::<$type>::with_capacity(rows, columns, cpu);
                let bytes = dtype.bytes(rows as u64 * columns as u64).unwrap_or(0);
                let storage = storage.ok_or_else(|| LoadError::OutOfMemory { name: name.to_owned(), bytes })?;
                Box::new(storage) as Box<dyn Storage>
            }};
        }
        let storage = match (dtype, purpose) {
            (TensorType::Q4_0, Purpose::Product) => storage!(Packed<cpu::Q4_0>),
            (TensorType::Q4_1, Purpose::Product) => storage!(Packed<cpu::Q4_1>),
            (TensorType::Q5_0, Purpose::Product) => storage!(Packed<cpu::Q5_0>),
            (TensorType::Q5_1, Purpose::Product) => storage!(Packed<cpu::Q5_1>),
            (TensorType::Q8_0, Purpose::Product) => storage!(Packed<cpu::Q8_0>),
            (TensorType::Q4_K, Purpose::Product) => storage!(Packed<cpu::Q4K>),
            (TensorType::Q5_K, Purpose::Product) => storage!(Packed<cpu::Q5K>),
            (TensorType::Q6_K, Purpose::Product) => storage!(Packed<cpu::Q6K>),
            (TensorType::F32, _) => storage!(Rows<f32>),
            (TensorType::F16, _) => storage!(Rows<f16>),
            (TensorType::BF16, _) => storage!(Rows<bf16>),
            (TensorType::Q2_K, _) => storage!(Rows<BlockQ2K>),
            (TensorType::Q3_K, _) => storage!(Rows<BlockQ3K>),
            (TensorType::Q4_0, Purpose::Lookup) => storage!(Rows<BlockQ4_0>),
            (TensorType::Q4_1, Purpose::Lookup) => storage!(Rows<BlockQ4_1>),
            (TensorType::Q5_0, Purpose::Lookup) => storage!(Rows<BlockQ5_0>),
            (TensorType::Q5_1, Purpose::Lookup) => storage!(Rows<BlockQ5_1>),
            (TensorType::Q8_0, Purpose::Lookup) => storage!(Rows<BlockQ8_0>),
            (TensorType::Q4_K, Purpose::Lookup) => storage!(Rows<BlockQ4K>),
            (TensorType::Q5_K, Purpose::Lookup) => storage!(Rows<BlockQ5K>),
            (TensorType::Q6_K, Purpose::Lookup) => storage!(Rows<BlockQ6K>),
            (other, _) => return Err(LoadError::TensorType { name: name.to_owned(), found: other.to_string() }),
        };
        Ok(Self { rows: 0, columns, cpu, place: Place::Cpu(storage) })
    }

    /// A matrix without rows yet, in the memory of a graphics processor.
    pub fn with_capacity_on(
        gpu: &gpu::Gpu,
        dtype: TensorType,
        shape: (usize, usize),
        name: &str,
    ) -> Result<Self, LoadError> {
        let place = Place::Gpu(gpu::Matrix::with_capacity(gpu, dtype, shape, name)?);
        Ok(Self { rows: 0, columns: shape.1, cpu: Cpu::detect(), place })
    }

    /// Reads `rows` more rows of `row_bytes` bytes through `buffer`.
    pub fn read(
        &mut self,
        rows: usize,
        row_bytes: usize,
        reader: &mut dyn Read,
        buffer: &mut Vec<u8>,
        name: &str,
    ) -> Result<(), LoadError> {
        buffer.resize(rows * row_bytes, 0);
        reader.read_exact(buffer)?;
        let has_room = match &mut self.place {
            Place::Cpu(storage) => storage.push(buffer, self.columns),
            Place::Gpu(matrix) => matrix.push(buffer, name).map(|()| true)?,
        };
        if !has_room {
            return Err(LoadError::OutOfMemory { name: name.to_owned(), bytes: buffer.len() as u64 });
        }
        self.rows += rows;
        Ok(())
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match &self.place {
            Place::Cpu(storage) => storage.bytes(),
            Place::Gpu(matrix) => matrix.bytes(),
        }
    }

    /// The matrix in the memory of a graphics processor.
    ///
    /// # Panics
    /// It is elsewhere.
    #[cfg(feature = "gpu")]
    pub fn on_gpu(&self) -> &gpu::Matrix {
        match &self.place {
            Place::Gpu(matrix) => matrix,
            Place::Cpu(_) => unreachable!("all matrices of a model are in one place"),
        }
    }

    fn on_cpu(&self) -> &dyn Storage {
        match &self.place {
            Place::Cpu(storage) => storage.as_ref(),
            Place::Gpu(_) => unreachable!("all matrices of a model are in one place"),
        }
    }

    /// Writes one row as f32.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        self.on_cpu().dequantize_row(row, out);
    }

    /// In which rounding it reads activations; `None` where it takes the values as they are.
    pub fn rounding(&self) -> Option<Rounding> {
        self.on_cpu().rounding()
    }

    /// Multiplies every activation row; `out` becomes `input rows × self.rows`.
    pub fn matmul(&self, input: &Input<'_>, out: &mut Vec<f32>, scratch: &mut Scratch) {
        out.resize(input.rows() * self.rows, 0.0);
        if self.rows > 0 {
            self.on_cpu().matmul(self, input, out, scratch);
        }
    }
}

/// Quantized rows in the kernels' own layout: see [`cpu::Format`].
struct Packed<F> {
    bytes: Lines,
    panels: Panels,
    /// Rows that have been read.
    rows: usize,
    packing: Packing,
    cpu: Cpu,
    format: PhantomData<F>,
}

impl<F: Format> Packed<F> {
    fn with_capacity(rows: usize, columns: usize, cpu: Cpu) -> Option<Self> {
        let packing = cpu.packing();
        let panels = Panels::new::<F>(packing.lanes, rows, columns);
        let bytes = Lines::zeros(panels.bytes()?)?;
        Some(Self { bytes, panels, rows: 0, packing, cpu, format: PhantomData })
    }
}

impl<F: Format> Storage for Packed<F> {
    fn bytes(&self) -> usize {
        self.bytes.as_slice().len()
    }

    fn push(&mut self, rows: &[u8], columns: usize) -> bool {
        let unit_bytes = cpu::unit_bytes::<F>() * self.packing.lanes;
        for row in rows.chunks_exact(columns / (cpu::SUB * F::SUBS) * F::BLOCK_BYTES) {
            let (panel, lane) = (self.rows / self.packing.lanes, self.rows % self.packing.lanes);
            for (index, block) in row.chunks_exact(F::BLOCK_BYTES).enumerate() {
                let start = self.panels.unit(panel, index * cpu::SUB * F::SUBS);
                cpu::pack::<F>(block, &mut self.bytes.as_mut_slice()[start..][..unit_bytes], lane, self.packing);
            }
            self.rows += 1;
        }
        true
    }

    fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        let unit_bytes = cpu::unit_bytes::<F>() * self.packing.lanes;
        let (panel, lane) = (row / self.packing.lanes, row % self.packing.lanes);
        for (index, out) in out.chunks_exact_mut(cpu::SUB * F::SUBS).enumerate() {
            let start = self.panels.unit(panel, index * cpu::SUB * F::SUBS);
            cpu::unpack_lane::<F>(&self.bytes.as_slice()[start..][..unit_bytes], lane, self.packing, out);
        }
    }

    fn rounding(&self) -> Option<Rounding> {
        Some(cpu::rounding::<F>())
    }

    fn matmul(&self, matrix: &Matrix, input: &Input<'_>, out: &mut [f32], scratch: &mut Scratch) {
        let mut job = Job {
            weights: self.bytes.as_slice(),
            rows: matrix.rows,
            columns: matrix.columns,
            inputs: input.quantized.rounded(cpu::rounding::<F>()),
            out,
            scratch,
        };
        cpu::matmul::<F>(self.cpu, &mut job);
    }
}

/// Rows as they stand in the file, widened one by one where they are needed.
struct Rows<T>(Vec<T>);

impl<T: PlainData> Rows<T> {
    fn with_capacity(rows: usize, columns: usize, _: Cpu) -> Option<Self> {
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(rows.checked_mul(columns / T::BLCK_SIZE)?).ok()?;
        Some(Self(blocks))
    }
}

impl<T: PlainData> Storage for Rows<T> {
    fn bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }

    fn push(&mut self, rows: &[u8], _: usize) -> bool {
        let (start, count) = (self.0.len(), rows.len() / size_of::<T>());
        if self.0.try_reserve(count).is_err() {
            return false;
        }
        self.0.resize(start + count, T::zeros());
        // SAFETY: the slice covers exactly the new elements, and `PlainData` allows any bytes in them.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.0[start..].as_mut_ptr().cast::<u8>(), rows.len()) };
        bytes.copy_from_slice(rows);
        true
    }

    fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        let stride = out.len() / T::BLCK_SIZE;
        T::to_float(&self.0[row * stride..(row + 1) * stride], out);
    }

    fn rounding(&self) -> Option<Rounding> {
        None
    }

    fn matmul(&self, matrix: &Matrix, input: &Input<'_>, out: &mut [f32], _: &mut Scratch) {
        if T::BLCK_SIZE > 1 {
            return self.matmul_blocks(matrix, input, out);
        }
        let mut weights = vec![0.0; matrix.columns];
        for row in 0..matrix.rows {
            self.dequantize_row(row, &mut weights);
            let inputs = input.values.chunks_exact(matrix.columns);
            for (input, out) in inputs.zip(out.chunks_exact_mut(matrix.rows)) {
                out[row] = cpu::dot(matrix.cpu, &weights, input);
            }
        }
    }
}

impl<T: PlainData> Rows<T> {
    /// By candle's own dot product, which rounds the activations as llama.cpp does.
    fn matmul_blocks(&self, matrix: &Matrix, input: &Input<'_>, out: &mut [f32]) {
        let stride = matrix.columns / T::BLCK_SIZE;
        let dot = if matrix.cpu.suits_candle() { T::vec_dot } else { T::vec_dot_unopt };
        let mut rounded = vec![T::VecDotType::zeros(); matrix.columns / T::VecDotType::BLCK_SIZE];
        for (input, out) in input.values.chunks_exact(matrix.columns).zip(out.chunks_exact_mut(matrix.rows)) {
            T::VecDotType::from_float(input, &mut rounded);
            for (row, out) in self.0.chunks_exact(stride).zip(out) {
                *out = dot(matrix.columns, row, &rounded);
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
