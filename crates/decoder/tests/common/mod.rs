//! Random LLaMA models, written as GGUF by candle.
#![allow(dead_code, reason = "each test program uses its part")]

pub mod families;

use std::{collections::HashMap, io::Cursor, sync::Arc};

use candle_core::{
    Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Value},
    },
};
use decoder::{Cpu, Gguf, LoadError, Loader, Shard, Weights};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A model to be written; change the fields to make it special, or wrong.
#[derive(Clone)]
pub struct TinyModel {
    pub dtype: GgmlDType,
    pub metadata: Vec<(String, Value)>,
    /// Name, shape (outermost first).
    pub tensors: Vec<(String, Vec<usize>)>,
}

impl TinyModel {
    /// Wide enough for every block size.
    pub fn new(dtype: GgmlDType) -> Self {
        Self::with_shape(dtype, 256, 512, 48)
    }

    /// A few kilobytes, for tests that make many.
    pub fn small() -> Self {
        Self::with_shape(GgmlDType::F32, 32, 64, 16)
    }

    fn with_shape(dtype: GgmlDType, width: usize, hidden: usize, vocab_size: usize) -> Self {
        let (blocks, heads, kv_heads) = (2, 8, 4);
        let kv_width = width / heads * kv_heads;
        let size = |key: &str, n: usize| (format!("llama.{key}"), Value::U32(n as u32));
        let metadata = vec![
            ("general.architecture".to_owned(), Value::String("llama".into())),
            size("context_length", 512),
            size("embedding_length", width),
            size("block_count", blocks),
            size("feed_forward_length", hidden),
            size("attention.head_count", heads),
            size("attention.head_count_kv", kv_heads),
            size("rope.dimension_count", width / heads),
            ("llama.attention.layer_norm_rms_epsilon".to_owned(), Value::F32(1e-5)),
        ];
        let mut tensors = vec![
            ("token_embd.weight".to_owned(), vec![vocab_size, width]),
            ("output_norm.weight".to_owned(), vec![width]),
            ("output.weight".to_owned(), vec![vocab_size, width]),
        ];
        for block in 0..blocks {
            let mut tensor =
                |name: &str, shape: &[usize]| tensors.push((format!("blk.{block}.{name}.weight"), shape.to_vec()));
            tensor("attn_norm", &[width]);
            tensor("attn_q", &[width, width]);
            tensor("attn_k", &[kv_width, width]);
            tensor("attn_v", &[kv_width, width]);
            tensor("attn_output", &[width, width]);
            tensor("ffn_norm", &[width]);
            tensor("ffn_gate", &[hidden, width]);
            tensor("ffn_up", &[hidden, width]);
            tensor("ffn_down", &[width, hidden]);
        }
        Self { dtype, metadata, tensors }
    }

    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.to_owned(), value));
        self
    }

    pub fn without_key(mut self, key: &str) -> Self {
        self.metadata.retain(|(name, _)| name != key);
        self
    }

    pub fn without_tensor(mut self, name: &str) -> Self {
        self.tensors.retain(|(tensor, _)| tensor != name);
        self
    }

    pub fn with_tensor(mut self, name: &str, shape: &[usize]) -> Self {
        self = self.without_tensor(name);
        self.tensors.push((name.to_owned(), shape.to_vec()));
        self
    }

    /// The GGUF; values depend on a tensor's name only.
    pub fn write(&self) -> Vec<u8> {
        self.write_with(|_| None)
    }

    /// The GGUF with the same weights, rounding included, as F32.
    pub fn write_dequantized(&self) -> Vec<u8> {
        let shapes: HashMap<_, _> = self.tensors.iter().cloned().collect();
        let exact = Self { dtype: GgmlDType::F32, ..self.clone() };
        exact.write_with(|name| {
            let shape = &shapes[name];
            let tensor = quantize(self.dtype, random_values(name, shape), shape).dequantize(&Device::Cpu);
            Some(tensor.and_then(|tensor| tensor.flatten_all()?.to_vec1()).expect("candle dequantizes"))
        })
    }

    /// The GGUF, with the values of some tensors given.
    pub fn write_with(&self, values: impl Fn(&str) -> Option<Vec<f32>>) -> Vec<u8> {
        let tensors: Vec<_> = self
            .tensors
            .iter()
            .map(|(name, shape)| {
                let values = values(name).unwrap_or_else(|| random_values(name, shape));
                (name.as_str(), quantize(self.dtype, values, shape))
            })
            .collect();
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let metadata: Vec<_> = self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let mut file = Cursor::new(Vec::new());
        gguf_file::write(&mut file, &metadata, &tensors).expect("candle writes");
        file.into_inner()
    }
}

/// Vectors stay F32, as in real files.
fn quantize(dtype: GgmlDType, values: Vec<f32>, shape: &[usize]) -> QTensor {
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu).expect("the shape holds the values");
    let dtype = if shape.len() == 1 { GgmlDType::F32 } else { dtype };
    QTensor::quantize(&tensor, dtype).expect("candle quantizes")
}

fn random_values(name: &str, shape: &[usize]) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(name.bytes().fold(7, |hash, byte| hash * 31 % 1_000_003 + u64::from(byte)));
    let count: usize = shape.iter().product();
    match shape {
        [_] if name.ends_with(".bias") => (0..count).map(|_| rng.random_range(-0.5..0.5)).collect(),
        [_] => (0..count).map(|_| rng.random_range(0.5..1.5)).collect(),
        // A variance of 1 / columns, as after training's start; less where a block adds to the residual stream.
        _ => {
            let adds = name.ends_with("attn_output.weight") || name.ends_with("ffn_down.weight");
            let range = (3.0 / shape[shape.len() - 1] as f32).sqrt() * if adds { 0.5 } else { 1.0 };
            (0..count).map(|_| rng.random_range(-range..range)).collect()
        }
    }
}

pub fn load(gguf: &[u8]) -> Result<Arc<Weights>, LoadError> {
    load_part(gguf, Shard::WHOLE, Cpu::detect())
}

pub fn load_part(gguf: &[u8], shard: Shard, cpu: Cpu) -> Result<Arc<Weights>, LoadError> {
    let mut reader = [Cursor::new(gguf)];
    let header = Gguf::read_parts(&mut reader)?;
    let mut loader = Loader::with_cpu(&header, shard, cpu)?;
    while loader.step(&mut reader)?.is_continue() {}
    Ok(Arc::new(loader.finish()))
}

/// Deterministic token ids below `vocab_size`.
pub fn tokens(count: usize, vocab_size: u32) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(count as u64);
    (0..count).map(|_| rng.random_range(0..vocab_size)).collect()
}

pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |max, difference| {
        assert!(difference.is_finite(), "a logit is not finite");
        f32::max(max, difference)
    })
}
