//! LoRA adapters beside the weights: kept apart in their own precision, so that the base stays quantized and one copy of it serves
//! every adapter.

use std::{
    collections::BTreeSet,
    io::{Read, Seek, SeekFrom},
    ops::Range,
};

use crate::{
    Config, Cpu, Gguf, LoadError, TensorInfo,
    cpu::{self, Scratch},
    layout::Layout,
    matrix::{Input, Matrix, Purpose},
};

/// One shard's part of a LoRA.
pub struct Adapter {
    pub blocks: Vec<BlockAdapter>,
    bytes: usize,
}

/// The projections of a block that have one.
#[derive(Default)]
pub struct BlockAdapter {
    pub query: Option<LowRank>,
    pub key: Option<LowRank>,
    pub value: Option<LowRank>,
    pub attention_output: Option<LowRank>,
    pub gate: Option<LowRank>,
    pub up: Option<LowRank>,
    pub down: Option<LowRank>,
}

/// `scale * B A x`. Every shard computes A x, which is small, and its own rows of the rest, so that nobody needs to meet.
pub struct LowRank {
    /// `[rank, columns]`
    a: Matrix,
    /// This shard's rows, `[rows, rank]`.
    b: Matrix,
    scale: f32,
}

/// What a product of two factors needs in between.
#[derive(Default)]
pub struct LowRankBuffers {
    low: Vec<f32>,
    product: Vec<f32>,
    scratch: Scratch,
}

impl LowRank {
    /// Adds the product to the rows of `out`.
    pub fn add(&self, input: &Input<'_>, out: &mut [f32], buffers: &mut LowRankBuffers) {
        let LowRankBuffers { low, product, scratch } = buffers;
        self.a.matmul(input, low, scratch);
        low.iter_mut().for_each(|value| *value *= self.scale);
        // Factors are never quantized, and so read the values as they are.
        let input = Input { values: low, columns: self.a.rows, quantized: input.quantized };
        self.b.matmul(&input, product, scratch);
        cpu::add(out, product);
    }
}

impl Adapter {
    /// Reads an adapter for a model of this shape: `general.type` "adapter", tensors `NAME.lora_a` and `NAME.lora_b`.
    pub fn read<R: Read + Seek>(
        gguf: &Gguf,
        reader: &mut R,
        config: &Config,
        layout: &Layout,
        cpu: Cpu,
    ) -> Result<Self, LoadError> {
        let refuse = |reason: String| Err(LoadError::Adapter { reason });
        let kind = gguf.get_str("adapter.type")?.or(gguf.get_str("general.type")?).unwrap_or("model");
        if kind != "lora" {
            return refuse(format!("its file is a {kind:?}, not a LoRA"));
        }
        let architecture = gguf.architecture()?;
        if architecture != config.architecture {
            return refuse(format!(
                "it is for the architecture {architecture:?}, the model is {:?}",
                config.architecture
            ));
        }
        let alpha = gguf.require("adapter.lora.alpha", Gguf::get_f32)?;
        let mut file = File { gguf, reader, cpu, alpha, unread: gguf.tensors().keys().map(String::as_str).collect() };
        let mut adapter = Self { blocks: Vec::new(), bytes: 0 };
        for index in 0..config.block_count {
            adapter.blocks.push(file.block(index, config, layout)?);
        }
        if let Some(name) = file.unread.first() {
            return refuse(format!("the model has no place for {name:?}"));
        }
        let factors = adapter.blocks.iter().flat_map(BlockAdapter::factors);
        adapter.bytes = factors.map(|low| low.a.bytes() + low.b.bytes()).sum();
        Ok(adapter)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl BlockAdapter {
    fn factors(&self) -> impl Iterator<Item = &LowRank> {
        [&self.query, &self.key, &self.value, &self.attention_output, &self.gate, &self.up, &self.down]
            .into_iter()
            .flatten()
    }
}

struct File<'a, R> {
    gguf: &'a Gguf,
    reader: &'a mut R,
    cpu: Cpu,
    alpha: f32,
    unread: BTreeSet<&'a str>,
}

impl<R: Read + Seek> File<'_, R> {
    fn block(&mut self, index: usize, config: &Config, layout: &Layout) -> Result<BlockAdapter, LoadError> {
        let (width, hidden, own) = (config.embedding_length, config.feed_forward_length, layout.shard.index());
        let heads =
            |heads: Range<usize>, from: usize| from + heads.start * config.head_dim..from + heads.end * config.head_dim;
        let (queries, keys) = (config.head_count * config.head_dim, config.head_count_kv * config.head_dim);
        let all = queries + 2 * keys;
        let mut read = |tensor: &str, shape: (usize, usize), rows| {
            self.factors(&format!("blk.{index}.{tensor}.weight"), shape, rows)
        };
        // The base's matrices may be fused, and then the adapter's are.
        let mut attention = |letter: &str, of: Range<usize>, first: usize, rows: usize| match read(
            "attn_qkv",
            (all, width),
            heads(of.clone(), first),
        )? {
            Some(factors) => Ok(Some(factors)),
            None => read(&format!("attn_{letter}"), (rows, width), heads(of, 0)),
        };
        let query = attention("q", layout.heads(), 0, queries)?;
        let key = attention("k", layout.kv_heads(), queries, keys)?;
        let value = attention("v", layout.kv_heads(), queries + keys, keys)?;
        let own_hidden = layout.hidden_of(own);
        let is_fused = self.rows(&format!("blk.{index}.ffn_up.weight")) == Some(2 * hidden as u64);
        let mut read = |tensor: &str, shape: (usize, usize), rows| {
            self.factors(&format!("blk.{index}.{tensor}.weight"), shape, rows)
        };
        let (gate, up) = match is_fused {
            true => {
                let both = (2 * hidden, width);
                let up = hidden + own_hidden.start..hidden + own_hidden.end;
                (read("ffn_up", both, own_hidden)?, read("ffn_up", both, up)?)
            }
            false => {
                (read("ffn_gate", (hidden, width), own_hidden.clone())?, read("ffn_up", (hidden, width), own_hidden)?)
            }
        };
        Ok(BlockAdapter {
            query,
            key,
            value,
            attention_output: read("attn_output", (width, queries), layout.width_of(own))?,
            gate,
            up,
            down: read("ffn_down", (width, hidden), layout.width_of(own))?,
        })
    }

    /// Rows of the tensor's second factor, if it has one.
    fn rows(&self, name: &str) -> Option<u64> {
        self.gguf.tensors().get(&format!("{name}.lora_b")).and_then(|tensor| tensor.shape.first().copied())
    }

    fn factors(
        &mut self,
        name: &str,
        (rows, columns): (usize, usize),
        own: Range<usize>,
    ) -> Result<Option<LowRank>, LoadError> {
        let names = [format!("{name}.lora_a"), format!("{name}.lora_b")];
        let [a, b] = names.each_ref().map(|name| self.gguf.tensors().get(name).cloned());
        let (a, b) = match (a, b) {
            (None, None) => return Ok(None),
            (Some(a), Some(b)) => (a, b),
            (None, _) => return Err(LoadError::MissingTensor { name: names[0].clone() }),
            (_, None) => return Err(LoadError::MissingTensor { name: names[1].clone() }),
        };
        let rank = a.shape.first().copied().unwrap_or(0);
        for ((name, tensor), expected) in
            names.iter().zip([&a, &b]).zip([vec![rank, columns as u64], vec![rows as u64, rank]])
        {
            if tensor.shape != expected {
                return Err(LoadError::Shape { name: name.clone(), expected, found: tensor.shape.clone() });
            }
            if tensor.dtype.block_size() != Some(1) || !tensor.dtype.is_supported() {
                return Err(LoadError::TensorType { name: name.clone(), found: tensor.dtype.to_string() });
            }
            self.unread.remove(name.as_str());
        }
        let rank = rank as usize;
        if rank == 0 {
            return Err(LoadError::Adapter { reason: format!("{name:?} has rank 0") });
        }
        Ok(Some(LowRank {
            a: self.matrix(&names[0], &a, 0..rank, columns)?,
            b: self.matrix(&names[1], &b, own, rank)?,
            scale: self.alpha / rank as f32,
        }))
    }

    fn matrix(
        &mut self,
        name: &str,
        tensor: &TensorInfo,
        rows: Range<usize>,
        columns: usize,
    ) -> Result<Matrix, LoadError> {
        let row_bytes = tensor.dtype.bytes(columns as u64).unwrap_or(0) as usize;
        let shape = (rows.len(), columns);
        let mut matrix = Matrix::with_capacity(tensor.dtype, shape, self.cpu, Purpose::Product, name)?;
        self.reader.seek(SeekFrom::Start(tensor.offset + (rows.start * row_bytes) as u64))?;
        matrix.read(rows.len(), row_bytes, self.reader, &mut Vec::new(), name)?;
        Ok(matrix)
    }
}
