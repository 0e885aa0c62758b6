//! Drivers that compile a kernel wrongly write nonsense without a word: a small model is computed on both sides first.

use std::{
    collections::{BTreeMap, HashSet},
    io::Read,
    sync::Arc,
};

use super::Gpu;
use crate::{
    Advance, Config, Cpu, ForwardError, GpuError, LoadError, RopeScaling, Session, Shard, TensorType, Weights,
    cpu::Rotation,
    layout::{Layout, Part, Slot},
    matrix::{Matrix, Purpose},
};

const WIDTH: usize = 256;
const VOCAB: usize = 16;
/// More than the kernels take at once, of tokens as of positions.
const TOKENS: u32 = 70;
const CONTEXT: usize = 128;
/// How far logits may be off, as a share of their largest.
const TOLERANCE: f32 = 0.02;

impl Gpu {
    /// Computes a small model in each of the types that `weights` has, here and on the CPU.
    ///
    /// # Errors
    /// The numbers differ, or the processor fails.
    pub async fn verify(&self, weights: &Weights) -> Result<(), GpuError> {
        let mut seen = HashSet::new();
        for dtype in weights.matrices().map(|matrix| matrix.on_gpu().dtype) {
            if seen.insert(dtype) {
                let failed = |error: ForwardError| GpuError::Failed { reason: error.to_string() };
                let error = self.error_of(dtype, weights.config().rotation).await.map_err(failed)?;
                if error.is_nan() || error > TOLERANCE {
                    return Err(GpuError::Wrong { dtype: dtype.to_string(), error: error.to_string() });
                }
            }
        }
        Ok(())
    }

    async fn error_of(&self, dtype: TensorType, rotation: Rotation) -> Result<f32, ForwardError> {
        let session = |gpu| model(dtype, rotation, gpu).map(|weights| Session::new(Arc::new(weights), CONTEXT));
        let unread = |error: LoadError| GpuError::Failed { reason: error.to_string() };
        let (mut exact, mut here) = (session(None).map_err(unread)?, session(Some(self)).map_err(unread)?);
        let mut worst = 0.0_f32;
        let many: Vec<u32> = (0..TOKENS).map(|n| n * n % VOCAB as u32).collect();
        for tokens in [&many[..], &[9]] {
            here.start(tokens)?;
            while here.advance()? != Advance::Done {
                here.ready().await;
            }
            let logits = exact.forward(tokens)?;
            let largest = logits.iter().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
            let error = logits.iter().zip(here.logits()).map(|(a, b)| (a - b).abs() / largest).fold(0.0, nan_or_max);
            worst = nan_or_max(worst, error);
        }
        Ok(worst)
    }
}

fn nan_or_max(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }
}

/// One block of the same weights: in their type on the GPU, widened on the CPU.
fn model(dtype: TensorType, rotation: Rotation, gpu: Option<&Gpu>) -> Result<Weights, LoadError> {
    let config = Config {
        architecture: String::new(),
        context_length: CONTEXT,
        embedding_length: WIDTH,
        block_count: 1,
        feed_forward_length: WIDTH,
        head_count: 4,
        head_count_kv: 2,
        head_dim: 64,
        rope_dimension_count: 64,
        rope_freq_base: 1e4,
        rope_scaling: RopeScaling::None,
        rope_attention_factor: 1.0,
        rms_norm_epsilon: 1e-5,
        vocab_size: VOCAB,
        rotation,
    };
    let mut random = Random(7);
    let mut loaded = BTreeMap::new();
    let block = |part| Slot::Block(0, part);
    for slot in [block(Part::AttentionNorm), block(Part::FeedForwardNorm), Slot::OutputNorm] {
        let ones: Vec<u8> = (0..WIDTH).flat_map(|_| 1.0_f32.to_le_bytes()).collect();
        loaded.insert(slot, read(None, TensorType::F32, (WIDTH, 1), &ones)?);
    }
    let (queries, keys) = (WIDTH, 128);
    for (slot, rows) in [
        (Slot::Embedding, VOCAB),
        (block(Part::Query), queries),
        (block(Part::Key), keys),
        (block(Part::Value), keys),
        (block(Part::AttentionOutput), WIDTH),
        (block(Part::Gate), WIDTH),
        (block(Part::Up), WIDTH),
        (block(Part::Down), WIDTH),
    ] {
        let bytes = random.rows(dtype, rows);
        let matrix = match gpu {
            Some(gpu) => read(Some(gpu), dtype, (rows, WIDTH), &bytes)?,
            None => read(None, TensorType::F32, (rows, WIDTH), &widened(dtype, rows, &bytes)?)?,
        };
        loaded.insert(slot, matrix);
    }
    let layout = Layout::new(&config, Shard::WHOLE);
    Ok(Weights::assemble(config, layout, (Cpu::detect(), gpu.cloned()), loaded))
}

fn read(gpu: Option<&Gpu>, dtype: TensorType, shape: (usize, usize), mut bytes: &[u8]) -> Result<Matrix, LoadError> {
    let mut matrix = match gpu {
        Some(gpu) => Matrix::with_capacity_on(gpu, dtype, shape, "")?,
        None => Matrix::with_capacity(dtype, shape, Cpu::detect(), Purpose::Lookup, "")?,
    };
    matrix.read(shape.0, bytes.len() / shape.0, &mut bytes as &mut dyn Read, &mut Vec::new(), "")?;
    Ok(matrix)
}

fn widened(dtype: TensorType, rows: usize, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    let matrix = read(None, dtype, (rows, WIDTH), bytes)?;
    let mut values = vec![0.0; rows * WIDTH];
    values.chunks_exact_mut(WIDTH).enumerate().for_each(|(row, values)| matrix.dequantize_row(row, values));
    Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// Numbers without a pattern (Marsaglia's xorshift).
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// Rows of weights of about 1/16: any codes, with scales that are numbers.
    fn rows(&mut self, dtype: TensorType, rows: usize) -> Vec<u8> {
        let elements = rows * WIDTH;
        let block = dtype.block_size().unwrap_or(1) as usize;
        if block == 1 {
            let values = (0..elements).map(|_| (self.next() % 255) as f32 / 1024.0 - 0.124);
            return match dtype {
                TensorType::F32 => values.flat_map(f32::to_le_bytes).collect(),
                TensorType::BF16 => values.flat_map(|value| half::bf16::from_f32(value).to_le_bytes()).collect(),
                _ => values.flat_map(|value| half::f16::from_f32(value).to_le_bytes()).collect(),
            };
        }
        let bytes = dtype.bytes(elements as u64).unwrap_or(0) as usize;
        let mut rows: Vec<u8> = (0..bytes).map(|_| self.next() as u8).collect();
        for block in rows.chunks_exact_mut(bytes / (elements / block)) {
            for (at, scale) in scales(dtype, block.len()) {
                let scale = scale * (0.5 + (self.next() % 64) as f32 / 64.0);
                block[at..at + 2].copy_from_slice(&half::f16::from_f32(scale).to_le_bytes());
            }
        }
        rows
    }
}

/// Where the half-precision factors of a block lie, and about what they are to be.
fn scales(dtype: TensorType, bytes: usize) -> Vec<(usize, f32)> {
    match dtype {
        TensorType::Q4_0 | TensorType::Q5_0 => vec![(0, 0.01)],
        TensorType::Q4_1 | TensorType::Q5_1 => vec![(0, 0.01), (2, -0.1)],
        TensorType::Q8_0 => vec![(0, 0.001)],
        TensorType::Q4_K => vec![(0, 3e-4), (2, 2e-3)],
        TensorType::Q5_K => vec![(0, 1.5e-4), (2, 2e-3)],
        TensorType::Q2_K => vec![(bytes - 4, 5e-3), (bytes - 2, 5e-3)],
        TensorType::Q3_K => vec![(bytes - 2, 2e-3)],
        _ => vec![(bytes - 2, 5e-5)],
    }
}
