use std::io::{Read, Seek, SeekFrom};

use crate::{
    Cpu, Gguf, LoadError,
    matrix::{Matrix, Purpose},
};

/// Bytes that are read before they are widened.
const STEP_BYTES: u64 = 4 << 20;

impl Gguf {
    /// The values of one tensor, by rows, from the files that this header was read from, in the same order.
    ///
    /// # Errors
    /// There is no such tensor, its type has no kernel, a failing source.
    pub fn values<R: Read + Seek>(&self, name: &str, readers: &mut [R]) -> Result<Vec<f32>, LoadError> {
        let tensor = self.tensors().get(name).ok_or_else(|| LoadError::MissingTensor { name: name.to_owned() })?;
        let columns = tensor.shape.last().copied().unwrap_or(1);
        let unsupported = || LoadError::TensorType { name: name.to_owned(), found: tensor.dtype.to_string() };
        let row_bytes = tensor.dtype.bytes(columns).filter(|&bytes| bytes > 0).ok_or_else(unsupported)?;
        let reader = &mut readers[tensor.part];
        reader.seek(SeekFrom::Start(tensor.offset))?;
        let (columns, rows) = (columns as usize, (tensor.bytes / row_bytes) as usize);
        let step = ((STEP_BYTES / row_bytes) as usize).max(1);
        let (mut values, mut buffer) = (Vec::with_capacity(rows * columns), Vec::new());
        for start in (0..rows).step_by(step) {
            let rows = step.min(rows - start);
            let mut matrix =
                Matrix::with_capacity(tensor.dtype, (rows, columns), Cpu::detect(), Purpose::Lookup, name)?;
            matrix.read(rows, row_bytes as usize, reader, &mut buffer, name)?;
            for row in 0..rows {
                let len = values.len();
                values.resize(len + columns, 0.0);
                matrix.dequantize_row(row, &mut values[len..]);
            }
        }
        Ok(values)
    }
}
