use std::{
    collections::BTreeMap,
    io::{Read, Seek},
    path::{Path, PathBuf},
};

use super::Gguf;
use crate::LoadError;

/// `name-00002-of-00003.gguf` is one of three files; any other name is a file of its own.
pub fn part_paths(file: &Path) -> Vec<PathBuf> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((stem, count)) = split_name(name) else { return vec![file.to_owned()] };
    (1..=count).map(|number| file.with_file_name(format!("{stem}-{number:05}-of-{count:05}.gguf"))).collect()
}

fn split_name(name: &str) -> Option<(&str, u32)> {
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let is_number = |digits: &str| digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(number) || !is_number(count) {
        return None;
    }
    count.parse().ok().filter(|&count| count > 0).map(|count| (stem, count))
}

impl Gguf {
    /// Reads the headers of a model's parts (`name-00001-of-00003.gguf` and so on), given in any order, as one.
    ///
    /// # Errors
    /// As [`Gguf::read`]; parts of another model, missing or doubled parts.
    pub fn read_parts<R: Read + Seek>(readers: &mut [R]) -> Result<Self, LoadError> {
        let parts = readers.iter_mut().map(Self::read).collect::<Result<Vec<_>, _>>()?;
        let count = parts.first().map(Self::split_count).transpose()?.unwrap_or(1);
        if count != parts.len() {
            return Err(LoadError::Split { parts: count, found: parts.len() });
        }
        if count == 1 {
            return Ok(parts.into_iter().next().expect("one part was counted"));
        }
        let mut first = None;
        let mut seen = vec![false; count];
        for (index, part) in parts.iter().enumerate() {
            let number = part.get_u32("split.no")?.unwrap_or(0) as usize;
            if part.split_count()? != count || number >= count || seen[number] {
                let reason = format!("file {} is part {} of {}", index + 1, number + 1, part.split_count()?);
                return Err(LoadError::SplitMismatch { reason });
            }
            seen[number] = true;
            if number == 0 {
                first = Some(index);
            }
        }
        let first = first.expect("all numbers below the count were seen");
        let metadata = parts[first].metadata.clone();
        let mut merged = Self { metadata, tensors: BTreeMap::new(), size_bytes: 0, part_count: count };
        for (index, part) in parts.into_iter().enumerate() {
            merged.size_bytes += part.size_bytes;
            for (name, mut tensor) in part.tensors {
                tensor.part = index;
                if merged.tensors.insert(name.clone(), tensor).is_some() {
                    return Err(LoadError::SplitMismatch { reason: format!("tensor {name:?} is in two of them") });
                }
            }
        }
        Ok(merged)
    }

    /// How many files the model was split into, this one included.
    ///
    /// # Errors
    /// `split.count` is no number.
    pub fn split_count(&self) -> Result<usize, LoadError> {
        Ok(self.get_u32("split.count")?.unwrap_or(1).max(1) as usize)
    }
}
