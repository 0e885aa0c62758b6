//! Rows of weights in the types of GGUF: candle's quantizers, and one of our own where an importance matrix is given for
//! blocks that candle quantizes without.

use crate::ExportError;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Tensor};
use half::f16;
use std::io::Write;
use std::path::Path;
use std::thread;

/// Values that are widened to f32 and quantized at a time.
const SLAB: usize = 8 << 20;

/// Values of a block of [`GgmlDType::Q4_0`].
const BLOCK: usize = 32;

/// Quantizes a few rows at a time, on every core, weighing the errors of each column by its `importance`.
pub fn write_tensor(
    tensor: &Tensor,
    dtype: GgmlDType,
    importance: Option<&[f32]>,
    file: &mut dyn Write,
    out: &Path,
) -> Result<(), ExportError> {
    let rows = tensor.dims()[0];
    let columns = tensor.elem_count() / rows;
    let tensor = tensor.reshape((rows, columns))?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let slab = (SLAB / columns).clamp(cores, rows.max(cores));
    for start in (0..rows).step_by(slab) {
        let end = rows.min(start + slab);
        let share = (end - start).div_ceil(cores);
        let quantized: Vec<Result<Vec<u8>, candle_core::Error>> = thread::scope(|scope| {
            let handles: Vec<_> = (start..end)
                .step_by(share)
                .map(|first| {
                    let tensor = &tensor;
                    scope.spawn(move || {
                        let rows = tensor.narrow(0, first, share.min(end - first))?;
                        // A part of a tensor still has the whole tensor's storage, which candle would quantize.
                        quantize(&rows.to_dtype(DType::F32)?.force_contiguous()?, dtype, importance)
                    })
                })
                .collect();
            handles.into_iter().map(|handle| handle.join().expect("a quantizing thread panicked")).collect()
        });
        for bytes in quantized {
            file.write_all(&bytes?).map_err(ExportError::io(out))?;
        }
    }
    Ok(())
}

fn quantize(rows: &Tensor, dtype: GgmlDType, importance: Option<&[f32]>) -> Result<Vec<u8>, candle_core::Error> {
    // Vectors come as columns of one value: only blocks care for the rows.
    let rows = if rows.dims()[1] == 1 { rows.flatten_all()? } else { rows.clone() };
    let quantized = match (dtype, importance) {
        (GgmlDType::Q4_0, Some(importance)) => return Ok(q4_0(&rows.flatten_all()?.to_vec1()?, importance)),
        (GgmlDType::Q2K | GgmlDType::Q3K | GgmlDType::Q4K | GgmlDType::Q5K | GgmlDType::Q6K, Some(importance)) => {
            QTensor::quantize_imatrix(&rows, importance, dtype)?
        }
        _ => QTensor::quantize(&rows, dtype)?,
    };
    Ok(quantized.data()?.into_owned())
}

/// Blocks of one scale and 32 values of 4 bits, from -8 to 7 times the scale. Of some scales near the one that just covers the
/// largest value, and for each the one that fits its rounded values best, the block takes that of the least weighted error.
fn q4_0(values: &[f32], importance: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() / BLOCK * 18);
    for row in values.chunks_exact(importance.len()) {
        for (x, importance) in row.chunks_exact(BLOCK).zip(importance.chunks_exact(BLOCK)) {
            let mean_square = x.iter().map(|x| x * x).sum::<f32>() / BLOCK as f32;
            let weights: [f32; BLOCK] = std::array::from_fn(|i| importance[i] * (mean_square + x[i] * x[i]).sqrt());
            let scale = f16::from_f32(best_scale(x, &weights));
            let inverse = if scale == f16::ZERO { 0.0 } else { 1.0 / scale.to_f32() };
            bytes.extend(scale.to_le_bytes());
            let nibble = |x: f32| ((x * inverse).round().clamp(-8.0, 7.0) + 8.0) as u8;
            bytes.extend((0..BLOCK / 2).map(|i| nibble(x[i]) | nibble(x[i + BLOCK / 2]) << 4));
        }
    }
    bytes
}

fn best_scale(x: &[f32], weights: &[f32; BLOCK]) -> f32 {
    let largest = x.iter().copied().fold(0.0f32, |a, b| if b.abs() > a.abs() { b } else { a });
    let (mut best, mut best_gain) = (0.0, 0.0);
    if largest == 0.0 {
        return best;
    }
    // Steps of an eighth on both sides of 8; the largest value may be cut off a little where the others gain by it.
    for step in -12..=12 {
        let inverse = -(8.0 + step as f32 / 8.0) / largest;
        let (mut with_x, mut squares) = (0.0, 0.0);
        for (x, weight) in x.iter().zip(weights) {
            let level = (x * inverse).round().clamp(-8.0, 7.0);
            with_x += weight * x * level;
            squares += weight * level * level;
        }
        // The scale of least error is `with_x / squares`, which takes `with_x² / squares` off the error of all zeros.
        if squares > 0.0 && with_x * with_x > best_gain * squares {
            (best, best_gain) = (with_x / squares, with_x * with_x / squares);
        }
    }
    best
}
