use std::io::Read;

use half::f16;
use wgpu::Buffer;

use super::{Gpu, kernels::ROWS};
use crate::{
    Cpu, GpuError, LoadError, TensorType,
    matrix::{self, Purpose},
};

/// Workgroups that one dispatch may have in a row, in every browser.
const MOST_GROUPS: usize = 65_535;

/// How weights lie in the processor's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codes {
    F32,
    F16,
    BF16,
    /// Codes in words, half-precision scales apart.
    Q8_0,
    Q4_0,
    /// Blocks as in the file.
    Q4K,
    /// Blocks as in the file, padded to whole words.
    Q6K,
}

impl Codes {
    /// Types without a kernel of their own are widened to half precision.
    fn of(dtype: TensorType) -> Self {
        match dtype {
            TensorType::F32 => Self::F32,
            TensorType::BF16 => Self::BF16,
            TensorType::Q8_0 => Self::Q8_0,
            TensorType::Q4_0 => Self::Q4_0,
            TensorType::Q4_K => Self::Q4K,
            TensorType::Q6_K => Self::Q6K,
            _ => Self::F16,
        }
    }

    /// The kernels' part that reads them.
    pub fn source(self) -> &'static str {
        match self {
            Self::F32 => include_str!("kernels/f32.wgsl"),
            Self::F16 => include_str!("kernels/f16.wgsl"),
            Self::BF16 => include_str!("kernels/bf16.wgsl"),
            Self::Q8_0 => concat!(include_str!("kernels/scales.wgsl"), include_str!("kernels/q8_0.wgsl")),
            Self::Q4_0 => concat!(include_str!("kernels/scales.wgsl"), include_str!("kernels/q4_0.wgsl")),
            Self::Q4K => include_str!("kernels/q4_k.wgsl"),
            Self::Q6K => include_str!("kernels/q6_k.wgsl"),
        }
    }

    /// Bytes of `elements` weights, scales apart.
    fn bytes(self, elements: u64) -> u64 {
        match self {
            Self::F32 => 4 * elements,
            Self::F16 | Self::BF16 => 2 * elements,
            Self::Q8_0 => elements,
            Self::Q4_0 => elements / 2,
            Self::Q4K => elements / 256 * 144,
            Self::Q6K => elements / 256 * 212,
        }
    }
}

/// Rows of a weight matrix in the processor's memory.
pub struct Matrix {
    pub codes: Codes,
    pub words: Buffer,
    pub scales: Buffer,
    pub dtype: TensorType,
    gpu: Gpu,
    columns: usize,
    /// Bytes of codes written so far.
    written: u64,
    /// Scales that wait until all of them are there.
    waiting: Vec<f16>,
    bytes: u64,
}

impl Matrix {
    pub fn with_capacity(
        gpu: &Gpu,
        dtype: TensorType,
        (rows, columns): (usize, usize),
        name: &str,
    ) -> Result<Self, LoadError> {
        let codes = Codes::of(dtype);
        if !columns.is_multiple_of(4) || rows > MOST_GROUPS * ROWS as usize {
            let feature = format!("a matrix of {rows} rows and {columns} columns ({name})");
            return Err(GpuError::Unsupported { feature }.into());
        }
        let elements = rows as u64 * columns.next_multiple_of(8) as u64;
        let scales = match codes {
            Codes::Q8_0 | Codes::Q4_0 => elements / 32 * 2,
            _ => 0,
        };
        let bytes = codes.bytes(elements);
        if bytes > gpu.most_bytes() {
            let feature = format!("{name}, {bytes} bytes, in one buffer");
            return Err(GpuError::Unsupported { feature }.into());
        }
        Ok(Self {
            codes,
            words: gpu.storage(bytes),
            scales: gpu.storage(scales),
            gpu: gpu.clone(),
            dtype,
            columns,
            written: 0,
            waiting: Vec::with_capacity(scales as usize / 2),
            bytes: bytes + scales,
        })
    }

    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Appends whole rows as they stand in the file.
    pub fn push(&mut self, rows: &[u8], name: &str) -> Result<(), LoadError> {
        self.gpu.check()?;
        let words = match self.codes {
            Codes::F32 => self.padded(rows, 4),
            Codes::BF16 => self.padded(rows, 2),
            Codes::Q4K => rows.to_vec(),
            Codes::Q8_0 => self.without_scales::<34>(rows),
            Codes::Q4_0 => self.without_scales::<18>(rows),
            Codes::Q6K => rows.chunks_exact(210).flat_map(|block| block.iter().copied().chain([0; 2])).collect(),
            Codes::F16 if self.dtype == TensorType::F16 => self.padded(rows, 2),
            Codes::F16 => self.widened(rows, name)?,
        };
        self.gpu.queue().write_buffer(&self.words, self.written, &words);
        self.written += words.len() as u64;
        if !self.waiting.is_empty() && self.waiting.len() == self.waiting.capacity() {
            let mut scales = std::mem::take(&mut self.waiting);
            scales.resize(scales.len().next_multiple_of(2), f16::ZERO);
            self.gpu.queue().write_buffer(&self.scales, 0, bytemuck::cast_slice(&scales));
        }
        Ok(())
    }

    /// Rows of plain numbers, each of so many bytes, as whole units.
    fn padded(&self, rows: &[u8], bytes: usize) -> Vec<u8> {
        let missing = (self.columns.next_multiple_of(8) - self.columns) * bytes;
        let rows = rows.chunks_exact(self.columns * bytes);
        rows.flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0, missing))).collect()
    }

    /// The codes of blocks that begin with their scale.
    fn without_scales<const BLOCK: usize>(&mut self, rows: &[u8]) -> Vec<u8> {
        let (blocks, _) = rows.as_chunks::<BLOCK>();
        self.waiting.extend(blocks.iter().map(|block| f16::from_le_bytes([block[0], block[1]])));
        blocks.iter().flat_map(|block| &block[2..]).copied().collect()
    }

    /// Rows in half precision.
    fn widened(&self, mut rows: &[u8], name: &str) -> Result<Vec<u8>, LoadError> {
        let row_bytes = self.dtype.bytes(self.columns as u64).unwrap_or(0) as usize;
        let count = rows.len() / row_bytes.max(1);
        let shape = (count, self.columns);
        let mut lookup = matrix::Matrix::with_capacity(self.dtype, shape, Cpu::detect(), Purpose::Lookup, name)?;
        lookup.read(count, row_bytes, &mut rows as &mut dyn Read, &mut Vec::new(), name)?;
        let mut values = vec![0.0; self.columns];
        let mut words = Vec::with_capacity(2 * count * self.columns);
        for row in 0..count {
            lookup.dequantize_row(row, &mut values);
            words.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()));
        }
        Ok(words)
    }
}
