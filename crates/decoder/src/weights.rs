use std::{
    collections::BTreeSet,
    fmt,
    io::{Read, Seek, SeekFrom},
    ops::ControlFlow,
};

use crate::{
    Config, Gguf, LoadError, TensorInfo,
    matrix::{Matrix, read_vector},
};

/// How far [`Weights::load`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of tensors read so far.
    pub loaded: u64,
    /// Bytes of all tensors.
    pub total: u64,
}

/// The weights of one transformer: immutable, shared by any number of sessions.
pub struct Weights {
    config: Config,
    memory_bytes: u64,
    pub(crate) embedding: Matrix,
    pub(crate) blocks: Vec<Block>,
    pub(crate) output_norm: Vec<f32>,
    /// `None` when the output is tied to the embedding.
    output: Option<Matrix>,
    /// Radians per position of each rotated pair.
    pub(crate) rope_frequencies: Vec<f32>,
}

pub(crate) struct Block {
    pub attention_norm: Vec<f32>,
    pub query: Matrix,
    pub key: Matrix,
    pub value: Matrix,
    pub attention_output: Matrix,
    pub feed_forward_norm: Vec<f32>,
    pub gate: Matrix,
    pub up: Matrix,
    pub down: Matrix,
}

impl Weights {
    /// Reads all tensors, one by one, each straight into its final place.
    ///
    /// `progress` is called after every few megabytes; `Break` cancels.
    ///
    /// # Errors
    /// Missing, unknown, misshapen or unsupported tensors, too little memory, a failing source, [`LoadError::Cancelled`].
    pub fn load<R: Read + Seek>(
        gguf: &Gguf,
        reader: &mut R,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self, LoadError> {
        let config = Config::from_gguf(gguf)?;
        let mut source = Source::new(gguf, reader, progress);
        let (width, vocab_size) = (config.embedding_length, config.vocab_size);
        let embedding = source.matrix("token_embd.weight", vocab_size, width)?;
        let frequency_factors = source.optional_vector("rope_freqs.weight", config.rope_dimension_count / 2)?;
        let blocks = (0..config.block_count).map(|index| source.block(index, &config)).collect::<Result<_, _>>()?;
        let output_norm = source.vector("output_norm.weight", width)?;
        let output = match gguf.tensors().contains_key("output.weight") {
            true => Some(source.matrix("output.weight", vocab_size, width)?),
            false => None,
        };
        source.refuse_leftovers()?;
        let memory_bytes = source.memory_bytes;
        let rope_frequencies = rope_frequencies(&config, frequency_factors.as_deref());
        Ok(Self { config, memory_bytes, embedding, blocks, output_norm, output, rope_frequencies })
    }

    /// The model's shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes that the weights occupy; a session adds [`Config::kv_bytes`].
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    pub(crate) fn output(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.embedding)
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights")
            .field("config", &self.config)
            .field("memory_bytes", &self.memory_bytes)
            .finish_non_exhaustive()
    }
}

/// Hands out the tensors of a file by name, in any order, each checked against the expected shape.
struct Source<'a, R> {
    gguf: &'a Gguf,
    reader: &'a mut R,
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    done: Progress,
    memory_bytes: u64,
    unread: BTreeSet<&'a str>,
}

impl<'a, R: Read + Seek> Source<'a, R> {
    fn new(gguf: &'a Gguf, reader: &'a mut R, progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>) -> Self {
        let total = gguf.tensors().values().fold(0u64, |sum, tensor| sum.saturating_add(tensor.bytes));
        let unread = gguf.tensors().keys().map(String::as_str).collect();
        Self { gguf, reader, progress, done: Progress { loaded: 0, total }, memory_bytes: 0, unread }
    }

    fn block(&mut self, index: usize, config: &Config) -> Result<Block, LoadError> {
        let (width, hidden) = (config.embedding_length, config.feed_forward_length);
        let query = config.head_count.saturating_mul(config.head_dim);
        let key = config.head_count_kv.saturating_mul(config.head_dim);
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        Ok(Block {
            attention_norm: self.vector(&name("attn_norm"), width)?,
            query: self.matrix(&name("attn_q"), query, width)?,
            key: self.matrix(&name("attn_k"), key, width)?,
            value: self.matrix(&name("attn_v"), key, width)?,
            attention_output: self.matrix(&name("attn_output"), width, query)?,
            feed_forward_norm: self.vector(&name("ffn_norm"), width)?,
            gate: self.matrix(&name("ffn_gate"), hidden, width)?,
            up: self.matrix(&name("ffn_up"), hidden, width)?,
            down: self.matrix(&name("ffn_down"), width, hidden)?,
        })
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Matrix, LoadError> {
        let tensor = self.open(name, &[rows as u64, columns as u64])?;
        let (mut step, reader) = (step(self.progress, &mut self.done), &mut *self.reader);
        let matrix = Matrix::read(tensor.dtype, (rows, columns), reader, &mut step, name)?;
        self.memory_bytes += matrix.bytes() as u64;
        Ok(matrix)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        let tensor = self.open(name, &[len as u64])?;
        let (mut step, reader) = (step(self.progress, &mut self.done), &mut *self.reader);
        let vector = read_vector(tensor.dtype, len, reader, &mut step, name)?;
        self.memory_bytes += size_of_val(vector.as_slice()) as u64;
        Ok(vector)
    }

    fn optional_vector(&mut self, name: &str, len: usize) -> Result<Option<Vec<f32>>, LoadError> {
        match self.gguf.tensors().contains_key(name) {
            true => self.vector(name, len).map(Some),
            false => Ok(None),
        }
    }

    /// Checks a tensor and moves the reader to its first byte.
    fn open(&mut self, name: &str, expected: &[u64]) -> Result<&'a TensorInfo, LoadError> {
        let gguf = self.gguf;
        let tensor = gguf.tensors().get(name).ok_or_else(|| LoadError::MissingTensor { name: name.to_owned() })?;
        if tensor.shape != expected {
            return Err(LoadError::Shape {
                name: name.to_owned(),
                expected: expected.to_vec(),
                found: tensor.shape.clone(),
            });
        }
        if !tensor.dtype.is_supported() {
            return Err(LoadError::TensorType { name: name.to_owned(), found: tensor.dtype.to_string() });
        }
        self.unread.remove(name);
        self.reader.seek(SeekFrom::Start(tensor.offset))?;
        Ok(tensor)
    }

    /// A bias or an adapter that nobody applies would silently change the text.
    fn refuse_leftovers(&self) -> Result<(), LoadError> {
        // Early converters stored the rotary frequencies of each block, which follow from the metadata.
        let unknown = self.unread.iter().find(|name| !name.ends_with("attn_rot_embd.weight"));
        match unknown {
            Some(name) => Err(LoadError::UnknownTensor { name: (*name).to_owned() }),
            None => Ok(()),
        }
    }
}

/// Counts bytes towards the progress and turns `Break` into an error.
fn step<'a>(
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    done: &'a mut Progress,
) -> impl FnMut(usize) -> Result<(), LoadError> + 'a {
    move |bytes| {
        done.loaded += bytes as u64;
        match progress(*done) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(LoadError::Cancelled),
        }
    }
}

fn rope_frequencies(config: &Config, factors: Option<&[f32]>) -> Vec<f32> {
    let dimensions = config.rope_dimension_count;
    (0..dimensions / 2)
        .map(|pair| {
            let frequency = 1.0 / config.rope_freq_base.powf((2 * pair) as f32 / dimensions as f32);
            let factor = factors.map_or(1.0, |factors| factors[pair]);
            frequency / factor / config.rope_scaling_factor
        })
        .collect()
}
