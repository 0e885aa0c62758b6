mod header;
mod split;

use std::{
    collections::BTreeMap,
    io::{BufReader, Read, Seek, SeekFrom},
};

use crate::{LoadError, TensorType};
use header::{Header, check_magic};
pub use split::part_paths;

const DEFAULT_ALIGNMENT: u64 = 32;

/// A metadata value; the integer and float widths of the file are not kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any integer type.
    Int(i128),
    /// F32 or F64.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// UTF-8 text; invalid bytes are replaced.
    String(String),
    /// Values of one type.
    Array(Array),
}

/// A metadata array.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// 8-bit integers and booleans.
    Bytes(Vec<u8>),
    /// All wider integers.
    Ints(Vec<i64>),
    /// F32 and F64.
    Floats(Vec<f32>),
    /// Text.
    Strings(Vec<String>),
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::String(_) => "a string",
            Self::Array(Array::Bytes(_)) => "an array of bytes",
            Self::Array(Array::Ints(_)) => "an array of integers",
            Self::Array(Array::Floats(_)) => "an array of floats",
            Self::Array(Array::Strings(_)) => "an array of strings",
        }
    }
}

/// Where a tensor lies and what it looks like.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Dimensions, outermost first: `[rows, columns]` of a matrix.
    pub shape: Vec<u64>,
    /// Element type.
    pub dtype: TensorType,
    /// Which part of a split model holds it; 0 of a model in one file.
    pub part: usize,
    /// Absolute position of the first byte in that file.
    pub offset: u64,
    /// Length in bytes; 0 for types without a kernel, whose layout is not known.
    pub bytes: u64,
}

/// The header of a GGUF file: metadata and where the tensors lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf {
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, TensorInfo>,
    size_bytes: u64,
    part_count: usize,
}

impl Gguf {
    /// Reads the header of a GGUF version 2 or 3 from its first byte on.
    ///
    /// # Errors
    /// Anything but a complete, well-formed GGUF: see [`LoadError`]. Allocates no more than a small multiple of the file's size.
    pub fn read<R: Read + Seek>(reader: &mut R) -> Result<Self, LoadError> {
        let size = reader.seek(SeekFrom::End(0))?;
        reader.seek(SeekFrom::Start(0))?;
        check_magic(reader, size)?;
        let position = reader.seek(SeekFrom::Start(8))?;
        let mut header = Header { reader: BufReader::new(reader), position, size };
        let tensor_count = header.count("tensors", 24)?;
        let metadata_count = header.count("metadata entries", 13)?;
        let metadata = header.metadata(metadata_count)?;
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(&Value::Int(n)) if (1..=1 << 20).contains(&n) && (n as u64).is_power_of_two() => n as u64,
            Some(other) => {
                return Err(header.invalid(format!("general.alignment is {other:?}, not a small power of two")));
            }
        };
        let mut tensors = header.tensors(tensor_count)?;
        let data_start = header.position.next_multiple_of(alignment);
        for (name, tensor) in &mut tensors {
            if !tensor.offset.is_multiple_of(alignment) {
                return Err(header
                    .invalid(format!("tensor {name:?} starts at {}, not a multiple of {alignment}", tensor.offset)));
            }
            tensor.offset = tensor.offset.saturating_add(data_start);
            let needed = tensor.offset.saturating_add(tensor.bytes);
            if needed > size {
                return Err(LoadError::Truncated { what: format!("tensor {name:?}"), needed, found: size });
            }
        }
        Ok(Self { metadata, tensors, size_bytes: size, part_count: 1 })
    }

    /// How many files this header was read from.
    pub fn part_count(&self) -> usize {
        self.part_count
    }

    /// Length of the file, of all files of a split model.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// `general.architecture`.
    ///
    /// # Errors
    /// The key is missing or not a string.
    pub fn architecture(&self) -> Result<&str, LoadError> {
        self.require("general.architecture", Self::get_str)
    }

    /// All metadata, by key.
    pub fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }

    /// Forgets the metadata of the tokenizer, of which a small model has a tenth of its weights' bytes, before the weights are loaded.
    pub fn forget_tokenizer(&mut self) {
        self.metadata.retain(|key, _| !key.starts_with("tokenizer."));
    }

    /// All tensors, by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// The string at `key`, `None` when there is no such key.
    ///
    /// # Errors
    /// The value has another type (also of the following accessors).
    pub fn get_str(&self, key: &str) -> Result<Option<&str>, LoadError> {
        self.get(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The non-negative integer at `key`.
    ///
    /// # Errors
    /// The value is no integer that fits 32 bits.
    pub fn get_u32(&self, key: &str) -> Result<Option<u32>, LoadError> {
        self.get(key, "a 32-bit unsigned integer", |value| match value {
            Value::Int(n) => u32::try_from(*n).ok(),
            _ => None,
        })
    }

    /// The number at `key`.
    ///
    /// # Errors
    /// The value is no number.
    pub fn get_f32(&self, key: &str) -> Result<Option<f32>, LoadError> {
        self.get(key, "a number", |value| match value {
            Value::Float(x) => Some(*x as f32),
            Value::Int(n) => Some(*n as f32),
            _ => None,
        })
    }

    /// The boolean at `key`.
    ///
    /// # Errors
    /// The value is no boolean.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>, LoadError> {
        self.get(key, "a boolean", |value| match value {
            Value::Bool(b) => Some(*b),
            _ => None,
        })
    }

    /// The array at `key`.
    ///
    /// # Errors
    /// The value is no array.
    pub fn get_array(&self, key: &str) -> Result<Option<&Array>, LoadError> {
        self.get(key, "an array", |value| match value {
            Value::Array(array) => Some(array),
            _ => None,
        })
    }

    /// The strings at `key`.
    ///
    /// # Errors
    /// The value is no array of strings.
    pub fn get_strings(&self, key: &str) -> Result<Option<&[String]>, LoadError> {
        self.get(key, "an array of strings", |value| match value {
            Value::Array(Array::Strings(strings)) => Some(strings.as_slice()),
            _ => None,
        })
    }

    /// A value that must be there, by one of the accessors: `gguf.require("llama.block_count", Gguf::get_u32)`.
    ///
    /// # Errors
    /// The key is missing, or has another type.
    pub fn require<'a, 'k, T>(
        &'a self,
        key: &'k str,
        accessor: impl Fn(&'a Self, &'k str) -> Result<Option<T>, LoadError>,
    ) -> Result<T, LoadError> {
        accessor(self, key)?.ok_or_else(|| LoadError::MissingKey { key: key.to_owned() })
    }

    fn get<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, LoadError> {
        let Some(value) = self.metadata.get(key) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(LoadError::KeyType { key: key.to_owned(), expected, found: value.type_name() }),
        }
    }
}
