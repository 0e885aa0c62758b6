//! GGUF files, written tensor by tensor: in one file or split as llama.cpp does.

use crate::ExportError;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use checkpoint::write_atomically;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const ALIGNMENT: u64 = 32;

/// A tensor that will be written.
#[derive(Clone, Debug)]
pub struct Planned {
    pub name: String,
    /// Rows first, as in a checkpoint; the file has the innermost dimension first.
    pub shape: Vec<usize>,
    pub dtype: GgmlDType,
}

impl Planned {
    pub fn bytes(&self) -> u64 {
        let elements: usize = self.shape.iter().product();
        (elements / self.dtype.block_size() * self.dtype.type_size()) as u64
    }

    fn padded(&self) -> u64 {
        self.bytes().next_multiple_of(ALIGNMENT)
    }
}

/// Writes `tensors` under `metadata` to `out`, or to parts of at most about `part_bytes` named after it. `write` puts
/// the data of the tensor with the number that it is given. Returns the files; they appear when they are complete.
pub fn write_files(
    out: &Path,
    metadata: &[(String, Value)],
    tensors: &[Planned],
    part_bytes: Option<u64>,
    mut write: impl FnMut(usize, &mut dyn Write) -> Result<(), ExportError>,
) -> Result<Vec<PathBuf>, ExportError> {
    let parts = parts(tensors, part_bytes);
    let mut paths = Vec::new();
    for (number, range) in parts.iter().enumerate() {
        let path = part_path(out, number, parts.len());
        let mut keys = if number == 0 { metadata.to_vec() } else { Vec::new() };
        if parts.len() > 1 {
            keys.push(("split.no".into(), Value::U16(number as u16)));
            keys.push(("split.count".into(), Value::U16(parts.len() as u16)));
            keys.push(("split.tensors.count".into(), Value::I32(tensors.len() as i32)));
        }
        write_atomically(&path, |to| {
            let mut file = BufWriter::new(File::create(to).map_err(ExportError::io(to))?);
            let header = header(&keys, &tensors[range.clone()]);
            file.write_all(&header).map_err(ExportError::io(to))?;
            for index in range.clone() {
                write(index, &mut file)?;
                let padding = tensors[index].padded() - tensors[index].bytes();
                file.write_all(&[0; ALIGNMENT as usize][..padding as usize]).map_err(ExportError::io(to))?;
            }
            file.flush().map_err(ExportError::io(to))
        })?;
        paths.push(path);
    }
    Ok(paths)
}

/// Which tensors go into which file.
fn parts(tensors: &[Planned], part_bytes: Option<u64>) -> Vec<std::ops::Range<usize>> {
    let limit = part_bytes.unwrap_or(u64::MAX);
    let (mut parts, mut first, mut bytes) = (Vec::new(), 0, 0);
    for (index, tensor) in tensors.iter().enumerate() {
        if bytes + tensor.padded() > limit && index > first {
            parts.push(first..index);
            (first, bytes) = (index, 0);
        }
        bytes += tensor.padded();
    }
    parts.push(first..tensors.len());
    parts
}

/// `name.gguf`, or `name-00001-of-00003.gguf`.
fn part_path(out: &Path, number: usize, count: usize) -> PathBuf {
    if count == 1 {
        return out.to_owned();
    }
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{stem}-{:05}-of-{count:05}.gguf", number + 1))
}

fn header(metadata: &[(String, Value)], tensors: &[Planned]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(b"GGUF");
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        push_string(&mut out, key);
        out.extend(type_number(value).to_le_bytes());
        push_value(&mut out, value);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        push_string(&mut out, &tensor.name);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        for size in tensor.shape.iter().rev() {
            out.extend((*size as u64).to_le_bytes());
        }
        out.extend(dtype_number(tensor.dtype).to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += tensor.padded();
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT as usize), 0);
    out
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn type_number(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

fn push_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(v) => out.extend(v.to_le_bytes()),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push(u8::from(*v)),
        Value::String(v) => push_string(out, v),
        Value::Array(values) => {
            // Only lists of texts, such as merges, are ever empty.
            out.extend(values.first().map_or(8, type_number).to_le_bytes());
            out.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| push_value(out, value));
        }
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
    }
}

fn dtype_number(dtype: GgmlDType) -> u32 {
    match dtype {
        GgmlDType::F32 => 0,
        GgmlDType::F16 => 1,
        GgmlDType::Q4_0 => 2,
        GgmlDType::Q4_1 => 3,
        GgmlDType::Q5_0 => 6,
        GgmlDType::Q5_1 => 7,
        GgmlDType::Q8_0 => 8,
        GgmlDType::Q8_1 => 9,
        GgmlDType::Q2K => 10,
        GgmlDType::Q3K => 11,
        GgmlDType::Q4K => 12,
        GgmlDType::Q5K => 13,
        GgmlDType::Q6K => 14,
        GgmlDType::Q8K => 15,
        GgmlDType::BF16 => 30,
    }
}
