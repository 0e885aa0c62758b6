use std::{
    collections::{BTreeMap, VecDeque},
    io::{Read, Seek, SeekFrom},
    ops::ControlFlow,
};

use crate::{
    Config, Cpu, Gguf, LoadError, Shard, TensorInfo, Weights,
    gpu::Gpu,
    layout::{Layout, Piece, Slot, plan},
    matrix::{Matrix, Purpose},
};

/// Most bytes that one [`Loader::step`] reads.
const STEP_BYTES: usize = 4 << 20;

/// How far a [`Loader`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of tensors read so far.
    pub loaded: u64,
    /// Bytes of all tensors that are to be read.
    pub total: u64,
}

/// Reads the weights of one shard, a few megabytes a step, each row straight into the layout of the kernels.
pub struct Loader {
    config: Config,
    layout: Layout,
    cpu: Cpu,
    /// Whose memory takes the matrices, if not the CPU's.
    gpu: Option<Gpu>,
    pieces: VecDeque<(Piece, TensorInfo)>,
    current: Option<Matrix>,
    loaded: BTreeMap<Slot, Matrix>,
    progress: Progress,
    buffer: Vec<u8>,
    is_tied: bool,
}

impl Loader {
    /// A loader that has read nothing yet, but knows that every tensor is there in its shape.
    ///
    /// # Errors
    /// Missing, unknown, misshapen or unsupported tensors, and whatever [`Config::from_gguf`] refuses.
    pub fn new(gguf: &Gguf, shard: Shard) -> Result<Self, LoadError> {
        Self::with_cpu(gguf, shard, Cpu::detect())
    }

    /// As [`Self::new`], for one of [`Cpu::available`]; the fastest is usual.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_cpu(gguf: &Gguf, shard: Shard, cpu: Cpu) -> Result<Self, LoadError> {
        let config = Config::from_gguf(gguf)?;
        let layout = Layout::new(&config, shard);
        let pieces = plan(gguf, &config, &layout)?;
        let is_tied = !pieces.iter().any(|piece| piece.slot == Slot::Output);
        let pieces: VecDeque<_> = pieces
            .into_iter()
            .map(|piece| {
                let tensor = gguf.tensors()[&piece.name].clone();
                (piece, tensor)
            })
            .collect();
        let total = pieces.iter().map(|(piece, tensor)| piece.rows.len() as u64 * row_bytes(piece, tensor)).sum();
        let progress = Progress { loaded: 0, total };
        let (current, loaded, buffer) = (None, BTreeMap::new(), Vec::new());
        Ok(Self { config, layout, cpu, gpu: None, pieces, current, loaded, progress, buffer, is_tied })
    }

    /// As [`Self::new`], of all weights, into the memory of a graphics processor.
    ///
    /// # Errors
    /// As [`Self::new`], and heads that its kernels have no room for.
    pub fn on_gpu(gguf: &Gguf, gpu: Gpu) -> Result<Self, LoadError> {
        gpu.check_shape(&Config::from_gguf(gguf)?)?;
        Ok(Self { gpu: Some(gpu), ..Self::new(gguf, Shard::WHOLE)? })
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Reads a little more from the files that the header was read from, in the same order. `Continue` while there is more to do.
    ///
    /// # Errors
    /// A failing source, too little memory.
    pub fn step<R: Read + Seek>(&mut self, readers: &mut [R]) -> Result<ControlFlow<()>, LoadError> {
        let Some((piece, tensor)) = self.pieces.front() else { return Ok(ControlFlow::Break(())) };
        let row_bytes = row_bytes(piece, tensor);
        let (columns, row_bytes) = (piece.shape.get(1).map_or(1, |&n| n as usize), row_bytes as usize);
        let mut matrix = match self.current.take() {
            Some(matrix) => matrix,
            None => {
                let shape = (piece.rows.len(), columns);
                let is_lookup = piece.slot == Slot::Embedding && !self.is_tied;
                let purpose = if is_lookup { Purpose::Lookup } else { Purpose::Product };
                match self.gpu.as_ref().filter(|_| piece.shape.len() == 2) {
                    Some(gpu) => Matrix::with_capacity_on(gpu, tensor.dtype, shape, &piece.name)?,
                    None => Matrix::with_capacity(tensor.dtype, shape, self.cpu, purpose, &piece.name)?,
                }
            }
        };
        let rows = (STEP_BYTES / row_bytes).max(1).min(piece.rows.len() - matrix.rows);
        let reader = &mut readers[tensor.part];
        reader.seek(SeekFrom::Start(tensor.offset + ((piece.rows.start + matrix.rows) * row_bytes) as u64))?;
        matrix.read(rows, row_bytes, reader, &mut self.buffer, &piece.name)?;
        self.progress.loaded += (rows * row_bytes) as u64;
        if matrix.rows < piece.rows.len() {
            self.current = Some(matrix);
        } else {
            self.loaded.insert(piece.slot, matrix);
            self.pieces.pop_front();
        }
        Ok(if self.pieces.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// The weights, once all steps are done.
    ///
    /// # Panics
    /// Steps are left.
    pub fn finish(self) -> Weights {
        assert!(self.pieces.is_empty(), "{} pieces have not been read", self.pieces.len());
        Weights::assemble(self.config, self.layout, (self.cpu, self.gpu), self.loaded)
    }
}

/// Bytes of a matrix's row or a vector's element; the header's reader has checked that rows hold whole blocks.
fn row_bytes(piece: &Piece, tensor: &TensorInfo) -> u64 {
    match *piece.shape {
        [_, columns] => tensor.dtype.bytes(columns).unwrap_or(0),
        _ => tensor.dtype.bytes(1).unwrap_or(0),
    }
}
