//! Tensors of safetensors files, each read when it is asked for: a mapped file would keep all that was read in memory.

use crate::{CheckpointError, TensorSpec};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Metadata, TensorInfo};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Longest header that is believed.
const MAX_HEADER_BYTES: u64 = 100 << 20;

pub struct SafetensorFiles {
    files: Vec<DataFile>,
    /// For each tensor the number of its file, and its place there.
    tensors: HashMap<String, (usize, TensorInfo)>,
}

struct DataFile {
    path: PathBuf,
    file: File,
    data_start: u64,
}

impl SafetensorFiles {
    pub fn open(paths: &[PathBuf]) -> Result<SafetensorFiles, CheckpointError> {
        let (mut files, mut tensors) = (Vec::new(), HashMap::new());
        for (number, path) in paths.iter().enumerate() {
            let (file, header) = open_file(path)?;
            files.push(file);
            let found = header.tensors().into_iter().map(|(name, info)| (name, (number, info.clone())));
            tensors.extend(found);
        }
        Ok(SafetensorFiles { files, tensors })
    }

    /// A tensor in its stored type, if it has the shape that `spec` wants.
    pub fn load(&self, spec: &TensorSpec, folder: &Path) -> Result<Tensor, CheckpointError> {
        let (number, info) = self.find(spec, folder)?;
        let DataFile { path, file, data_start } = &self.files[*number];
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        let mut reader = file;
        reader
            .seek(SeekFrom::Start(data_start + start as u64))
            .and_then(|_| reader.read_exact(&mut bytes))
            .map_err(CheckpointError::io(path))?;
        let dtype = self.dtype(spec, folder)?;
        Tensor::from_raw_buffer(&bytes, dtype, &info.shape, &Device::Cpu).map_err(CheckpointError::damaged(path))
    }

    /// The type of a tensor, if it has the shape that `spec` wants.
    pub fn dtype(&self, spec: &TensorSpec, folder: &Path) -> Result<DType, CheckpointError> {
        let (number, info) = self.find(spec, folder)?;
        info.dtype.try_into().map_err(CheckpointError::damaged(&self.files[*number].path))
    }

    fn find(&self, spec: &TensorSpec, folder: &Path) -> Result<&(usize, TensorInfo), CheckpointError> {
        let found = self.tensors.get(&spec.name);
        let found =
            found.ok_or_else(|| CheckpointError::Missing { name: spec.name.clone(), path: folder.to_owned() })?;
        if found.1.shape != spec.shape {
            return Err(CheckpointError::Shape {
                name: spec.name.clone(),
                found: found.1.shape.clone(),
                wanted: spec.shape.clone(),
                path: folder.to_owned(),
            });
        }
        Ok(found)
    }
}

/// The header: its length in 8 bytes, then JSON. What follows must be exactly the data that it describes.
fn open_file(path: &Path) -> Result<(DataFile, Metadata), CheckpointError> {
    let io = CheckpointError::io(path);
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (size, mut file) = opened.map_err(io)?;
    let damaged = |reason: String| CheckpointError::Damaged { reason, path: path.to_owned() };
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|error| damaged(error.to_string()))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES.min(size - 8) {
        return Err(damaged(format!("a header of {length} bytes in a file of {size}")));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(CheckpointError::io(path))?;
    let header: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(error.to_string()))?;
    let (wanted, data_start) = (8 + length + header.data_len() as u64, 8 + length);
    if wanted != size {
        return Err(damaged(format!("the header describes {wanted} bytes, the file has {size}")));
    }
    Ok((DataFile { path: path.to_owned(), file, data_start }, header))
}
