//! Importance matrices: how large the inputs of each weight are, so that low-bit types lose least where it counts.
//! Files are llama.cpp's: GGUF, and the older `.dat`, which is only read.

mod collect;

pub use collect::collect;

use crate::ExportError;
use crate::container::{Planned, write_files};
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use decoder::Gguf;
use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;

const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// Sums over one matrix's inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// For each column of the matrix the sum of its squared inputs.
    pub sums: Vec<f32>,
    /// Inputs, that is tokens.
    pub count: f32,
}

/// An importance matrix.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imatrix {
    /// By the names of GGUF's tensors.
    pub entries: BTreeMap<String, Entry>,
    /// Pieces of text that were read.
    pub chunks: u32,
    /// Tokens of such a piece.
    pub chunk_size: u32,
}

impl Imatrix {
    /// Reads a file of llama.cpp's or of [`Self::write`].
    pub fn read(path: &Path) -> Result<Imatrix, ExportError> {
        let bytes = fs::read(path).map_err(ExportError::io(path))?;
        let refuse = |reason: String| ExportError::Imatrix { reason, path: path.to_owned() };
        let matrix = if bytes.starts_with(b"GGUF") { read_gguf(&bytes) } else { read_dat(&bytes) }.map_err(refuse)?;
        let bad = matrix.entries.iter().find(|(_, e)| !e.sums.iter().all(|sum| sum.is_finite() && *sum >= 0.0));
        match bad {
            Some((name, _)) => Err(refuse(format!("the sums of {name} are no sums of squares"))),
            None if matrix.entries.is_empty() => Err(refuse("it holds no sums".into())),
            None => Ok(matrix),
        }
    }

    /// Writes the GGUF that llama.cpp's tools read, too; `text` names what was read.
    pub fn write(&self, text: &str, out: &Path) -> Result<(), ExportError> {
        let metadata = [
            ("general.type".to_string(), Value::String("imatrix".into())),
            ("imatrix.datasets".to_string(), Value::Array(vec![Value::String(text.to_owned())])),
            ("imatrix.chunk_count".to_string(), Value::U32(self.chunks)),
            ("imatrix.chunk_size".to_string(), Value::U32(self.chunk_size)),
        ];
        let planned = self.entries.iter().flat_map(|(name, entry)| {
            [(SUMS, entry.sums.len()), (COUNTS, 1)].map(|(suffix, columns)| Planned {
                name: format!("{name}{suffix}"),
                shape: vec![1, columns],
                dtype: GgmlDType::F32,
            })
        });
        let planned: Vec<Planned> = planned.collect();
        let values: Vec<[&[f32]; 2]> =
            self.entries.values().map(|entry| [entry.sums.as_slice(), std::slice::from_ref(&entry.count)]).collect();
        write_files(out, &metadata, &planned, None, |index, file| {
            let bytes: Vec<u8> = values[index / 2][index % 2].iter().flat_map(|value| value.to_le_bytes()).collect();
            file.write_all(&bytes).map_err(ExportError::io(out))
        })?;
        Ok(())
    }

    /// The mean squared inputs of a matrix, if it was seen; 1 where it never was read.
    pub fn weights(&self, name: &str) -> Option<Vec<f32>> {
        let Entry { sums, count } = self.entries.get(name)?;
        Some(sums.iter().map(|sum| if *count > 0.0 { sum / count } else { 1.0 }).collect())
    }
}

fn read_gguf(bytes: &[u8]) -> Result<Imatrix, String> {
    let mut reader = Cursor::new(bytes);
    let gguf = Gguf::read(&mut reader).map_err(|error| error.to_string())?;
    let kind = gguf.get_str("general.type").ok().flatten().unwrap_or_default();
    if kind != "imatrix" {
        return Err(format!("its general.type is \"{kind}\", not \"imatrix\""));
    }
    let mut values = |name: &str| gguf.values(name, std::slice::from_mut(&mut reader)).map_err(|e| e.to_string());
    let mut entries = BTreeMap::new();
    for (tensor, info) in gguf.tensors() {
        let Some(name) = tensor.strip_suffix(SUMS) else { continue };
        if info.shape.first().is_some_and(|&matrices| matrices != 1) && info.shape.len() > 1 {
            return Err(format!("{tensor} belongs to a mixture of experts"));
        }
        let sums = values(tensor)?;
        let count = values(&format!("{name}{COUNTS}"))?.first().copied().unwrap_or(0.0);
        entries.insert(name.to_owned(), Entry { sums, count });
    }
    let number = |key: &str| gguf.get_u32(key).ok().flatten().unwrap_or(0);
    Ok(Imatrix { entries, chunks: number("imatrix.chunk_count"), chunk_size: number("imatrix.chunk_size") })
}

/// A count of entries, each a name, a number of calls, and the sums times that number.
fn read_dat(bytes: &[u8]) -> Result<Imatrix, String> {
    let mut rest = bytes;
    let mut take = |len: usize| {
        let (taken, left) = rest.split_at_checked(len).ok_or("it is no importance matrix, or its end is missing")?;
        rest = left;
        Ok::<_, String>(taken)
    };
    let mut matrix = Imatrix::default();
    let number = |bytes: &[u8]| i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let size = |bytes: &[u8]| usize::try_from(number(bytes)).map_err(|_| "it has a negative size".to_string());
    for _ in 0..size(take(4)?)? {
        let len = size(take(4)?)?;
        let name = String::from_utf8_lossy(take(len)?).into_owned();
        let (calls, len) = (size(take(4)?)?, size(take(4)?)?);
        let sums = take(len.saturating_mul(4))?.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        matrix.entries.insert(name, Entry { sums: sums.collect(), count: calls as f32 });
    }
    Ok(matrix)
}
