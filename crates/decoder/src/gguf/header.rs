use std::{
    collections::BTreeMap,
    io::{BufReader, Read},
};

use super::{Array, TensorInfo, Value};
use crate::{LoadError, TensorType};

/// Longest string and array a header may hold: far above any vocabulary, far below memory.
const MAX_STRING_BYTES: u64 = 1 << 26;
const MAX_ARRAY_LEN: u64 = 1 << 24;
const MAX_DIMENSIONS: u32 = 4;

/// Reads the header and knows how much of the file is left, so that no count is believed before it is affordable.
pub struct Header<R> {
    pub reader: BufReader<R>,
    pub position: u64,
    pub size: u64,
}

impl<R: Read> Header<R> {
    pub fn invalid(&self, reason: impl Into<String>) -> LoadError {
        LoadError::Header { reason: reason.into(), offset: self.position }
    }

    fn ensure(&self, bytes: u64, what: &str) -> Result<(), LoadError> {
        let needed = self.position.saturating_add(bytes);
        if needed > self.size {
            return Err(LoadError::Truncated { what: what.to_owned(), needed, found: self.size });
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        self.ensure(N as u64, "the header")?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, LoadError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, LoadError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// A count of things that take at least `min_bytes` each.
    pub fn count(&mut self, what: &str, min_bytes: u64) -> Result<u64, LoadError> {
        let count = self.u64()?;
        self.ensure(count.saturating_mul(min_bytes), &format!("a header of {count} {what}"))?;
        Ok(count)
    }

    fn string(&mut self) -> Result<String, LoadError> {
        let len = self.u64()?;
        if len > MAX_STRING_BYTES {
            return Err(self.invalid(format!("a string of {len} bytes (at most {MAX_STRING_BYTES})")));
        }
        self.ensure(len, &format!("a string of {len} bytes"))?;
        let mut bytes = vec![0; len as usize];
        self.reader.read_exact(&mut bytes)?;
        self.position += len;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    pub fn metadata(&mut self, count: u64) -> Result<BTreeMap<String, Value>, LoadError> {
        let mut metadata = BTreeMap::new();
        for _ in 0..count {
            let key = self.string()?;
            let type_id = self.u32()?;
            let value = self.value(type_id, &key)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(self.invalid(format!("metadata key {key:?} occurs twice")));
            }
        }
        Ok(metadata)
    }

    pub fn tensors(&mut self, count: u64) -> Result<BTreeMap<String, TensorInfo>, LoadError> {
        let mut tensors = BTreeMap::new();
        for _ in 0..count {
            let name = self.string()?;
            let tensor = self.tensor(&name)?;
            if tensors.insert(name.clone(), tensor).is_some() {
                return Err(self.invalid(format!("tensor {name:?} occurs twice")));
            }
        }
        Ok(tensors)
    }

    fn tensor(&mut self, name: &str) -> Result<TensorInfo, LoadError> {
        let dimensions = self.u32()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(self.invalid(format!("tensor {name:?} has {dimensions} dimensions (at most {MAX_DIMENSIONS})")));
        }
        let mut shape = Vec::with_capacity(dimensions as usize);
        for _ in 0..dimensions {
            shape.push(self.u64()?);
        }
        let dtype = TensorType(self.u32()?);
        let offset = self.u64()?;
        let columns = shape.first().copied().unwrap_or(1);
        shape.reverse();
        let elements = shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
        let bytes = match elements {
            Some(_) if !dtype.is_supported() => Some(0),
            Some(elements) if dtype.block_size().is_some_and(|block| columns.is_multiple_of(block)) => {
                dtype.bytes(elements)
            }
            _ => None,
        };
        let Some(bytes) = bytes else {
            return Err(self.invalid(format!("tensor {name:?} has shape {shape:?}, impossible for {dtype}")));
        };
        Ok(TensorInfo { shape, dtype, part: 0, offset, bytes })
    }

    fn value(&mut self, type_id: u32, key: &str) -> Result<Value, LoadError> {
        Ok(match type_id {
            6 => Value::Float(f32::from_le_bytes(self.bytes()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.bytes()?)),
            7 => match self.bytes::<1>()?[0] {
                byte @ 0..=1 => Value::Bool(byte == 1),
                byte => return Err(self.invalid(format!("metadata key {key:?} is the boolean {byte}"))),
            },
            8 => Value::String(self.string()?),
            9 => Value::Array(self.array(key)?),
            _ => Value::Int(self.int(type_id, key)?),
        })
    }

    fn int(&mut self, type_id: u32, key: &str) -> Result<i128, LoadError> {
        Ok(match type_id {
            0 => u8::from_le_bytes(self.bytes()?).into(),
            1 => i8::from_le_bytes(self.bytes()?).into(),
            2 => u16::from_le_bytes(self.bytes()?).into(),
            3 => i16::from_le_bytes(self.bytes()?).into(),
            4 => u32::from_le_bytes(self.bytes()?).into(),
            5 => i32::from_le_bytes(self.bytes()?).into(),
            10 => u64::from_le_bytes(self.bytes()?).into(),
            11 => i64::from_le_bytes(self.bytes()?).into(),
            _ => return Err(self.invalid(format!("metadata key {key:?} has the unknown type {type_id}"))),
        })
    }

    fn array(&mut self, key: &str) -> Result<Array, LoadError> {
        let type_id = self.u32()?;
        let len = self.u64()?;
        if len > MAX_ARRAY_LEN {
            return Err(self.invalid(format!("metadata key {key:?} has {len} elements (at most {MAX_ARRAY_LEN})")));
        }
        let min_bytes = match type_id {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => return Err(self.invalid(format!("metadata key {key:?} is an array of arrays"))),
            _ => return Err(self.invalid(format!("metadata key {key:?} is an array of the unknown type {type_id}"))),
        };
        self.ensure(len * min_bytes, &format!("an array of {len} elements"))?;
        Ok(match type_id {
            0 | 1 | 7 => Array::Bytes(self.many(len, |header| Ok(header.bytes::<1>()?[0]))?),
            6 => Array::Floats(self.many(len, |header| Ok(f32::from_le_bytes(header.bytes()?)))?),
            12 => Array::Floats(self.many(len, |header| Ok(f64::from_le_bytes(header.bytes()?) as f32))?),
            8 => Array::Strings(self.many(len, Self::string)?),
            _ => Array::Ints(self.many(len, |header| {
                let n = header.int(type_id, key)?;
                i64::try_from(n).map_err(|_| header.invalid(format!("metadata key {key:?} holds {n}")))
            })?),
        })
    }

    fn many<T>(
        &mut self,
        len: u64,
        mut read: impl FnMut(&mut Self) -> Result<T, LoadError>,
    ) -> Result<Vec<T>, LoadError> {
        (0..len).map(|_| read(self)).collect()
    }
}

/// Accepts the magic and the version, the first 8 bytes.
pub fn check_magic(reader: &mut impl Read, size: u64) -> Result<(), LoadError> {
    let mut first = Vec::new();
    reader.take(64).read_to_end(&mut first)?;
    let Some(version) = first.strip_prefix(b"GGUF") else {
        return Err(LoadError::NotGguf { looks_like: describe(&first) });
    };
    let &[a, b, c, d, ..] = version else {
        return Err(LoadError::Truncated { what: "the header".into(), needed: 24, found: size });
    };
    match u32::from_le_bytes([a, b, c, d]) {
        2..=3 => Ok(()),
        found => Err(LoadError::Version { found }),
    }
}

/// Says what a file that is no GGUF seems to be, from its first bytes.
fn describe(first: &[u8]) -> String {
    let text = String::from_utf8_lossy(first);
    let start = text.trim_start().to_ascii_lowercase();
    let known = match first {
        [] => "an empty file",
        [b'P', b'K', 3, 4, ..] => "a ZIP archive (or a PyTorch checkpoint)",
        [0x1f, 0x8b, ..] => "a gzip archive",
        [b'F', b'U', b'G', b'G', ..] => "a big-endian GGUF",
        [b'l', b'm', b'g', b'g', ..] | [b't', b'j', b'g', b'g', ..] | [b'f', b'm', b'g', b'g', ..] => {
            "a GGML model from before GGUF"
        }
        [_, _, _, _, _, _, 0, 0, b'{', ..] => "a safetensors file",
        _ if start.starts_with("<!doctype html") || start.starts_with("<html") => "an HTML page",
        _ if start.starts_with("version https://git-lfs") => "a Git LFS pointer, not the file itself",
        _ if start.starts_with('{') || start.starts_with('[') => "JSON text",
        _ if start.starts_with('<') => "XML text",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let head: String = text.chars().take(16).collect();
    if head.contains(|c: char| c == char::REPLACEMENT_CHARACTER || (c.is_control() && !c.is_whitespace())) {
        return format!("binary data that starts with {:02x?}", &first[..first.len().min(8)]);
    }
    format!("text that starts with {head:?}")
}
