//! A base with or without an adapter: tensors in the checkpoint's or in GGUF's layout.

use crate::ExportError;
use candle_core::{DType, Device, Tensor};
use checkpoint::{Adapter, Base, Part, Shape, TensorSpec, Weights};
use std::path::{Path, PathBuf};

/// What is to be exported.
pub struct Source {
    /// The base.
    pub base: Base,
    /// The adapter and its folder.
    pub adapter: Option<(Adapter, PathBuf)>,
    /// A folder whose chat_template.jinja, if it has one, goes with what is exported: the adapter's.
    pub template: Option<PathBuf>,
    weights: Weights,
}

impl Source {
    /// Opens a base, and an adapter that must fit it.
    pub fn open(path: &Path, adapter: Option<&Path>) -> Result<Source, ExportError> {
        let base = Base::open(path)?;
        let adapter = adapter.map(|path| Ok::<_, ExportError>((Adapter::read(path, base.shape())?, path.to_owned())));
        let adapter = adapter.transpose()?;
        let template = adapter.as_ref().map(|(_, folder)| folder.clone());
        Ok(Source { weights: base.weights()?, adapter, template, base })
    }

    /// A tensor with what the adapter adds, in its stored type where nothing is added.
    pub fn tensor(&self, spec: &TensorSpec) -> Result<Tensor, ExportError> {
        let stored = self.weights.stored(spec)?;
        let Some((adapter, _)) = &self.adapter else { return Ok(stored) };
        let Some(matrix) = adapter.matrices.iter().find(|matrix| matrix.target.name == spec.name) else {
            return Ok(stored);
        };
        let (rank, [outputs, inputs]) = (adapter.config.r, [spec.shape[0], spec.shape[1]]);
        let a = Tensor::from_slice(&matrix.a, (rank, inputs), &Device::Cpu)?;
        let b = (Tensor::from_slice(&matrix.b, (outputs, rank), &Device::Cpu)? * adapter.config.scale())?;
        Ok((stored.to_dtype(DType::F32)? + b.matmul(&a)?)?)
    }

    /// The type in which the base stores a tensor.
    pub(crate) fn stored_dtype(&self, spec: &TensorSpec) -> Result<DType, ExportError> {
        Ok(self.weights.dtype(spec)?)
    }

    /// As [`Self::tensor`], in GGUF's order of rows.
    pub fn gguf_tensor(&self, spec: &TensorSpec) -> Result<Tensor, ExportError> {
        gguf_rows(self.base.shape(), spec.part, &self.tensor(spec)?)
    }
}

/// A tensor's rows in GGUF's order.
pub fn gguf_rows(shape: &Shape, part: Part, tensor: &Tensor) -> Result<Tensor, ExportError> {
    let Some(heads) = shape.reordered_heads(part) else { return Ok(tensor.clone()) };
    let (rows, columns) = (tensor.dims()[0], tensor.elem_count() / tensor.dims()[0]);
    let halves = tensor.reshape((heads, 2, rows / heads / 2, columns))?;
    Ok(halves.transpose(1, 2)?.contiguous()?.reshape(tensor.dims())?)
}
