use crate::{Gguf, LoadError};

/// Values of `general.architecture` that [`crate::Weights::load`] accepts.
pub const SUPPORTED_ARCHITECTURES: &[&str] = &["llama"];

/// The shape of a transformer, from the metadata of its GGUF. Known before any weight is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `general.architecture`.
    pub architecture: String,
    /// Context the model was trained for, in tokens.
    pub context_length: usize,
    /// Width of the residual stream.
    pub embedding_length: usize,
    /// Number of transformer blocks.
    pub block_count: usize,
    /// Hidden width of the feed-forward network.
    pub feed_forward_length: usize,
    /// Query heads per block.
    pub head_count: usize,
    /// Key/value heads per block; divides `head_count` (grouped-query attention).
    pub head_count_kv: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// How many leading elements of a head are rotated.
    pub rope_dimension_count: usize,
    /// Base of the rotary frequencies.
    pub rope_freq_base: f32,
    /// Linear position interpolation: positions are divided by this.
    pub rope_scaling_factor: f32,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_epsilon: f32,
    /// Rows of the token embedding.
    pub vocab_size: usize,
}

impl Config {
    /// Reads and checks the shape.
    ///
    /// # Errors
    /// Unknown architecture, missing or impossible metadata, features outside LLaMA.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, LoadError> {
        let architecture = gguf.architecture()?;
        if !SUPPORTED_ARCHITECTURES.contains(&architecture) {
            return Err(LoadError::Architecture { found: architecture.to_owned(), supported: SUPPORTED_ARCHITECTURES });
        }
        if let Some(parts @ 2..) = gguf.get_u32("split.count")? {
            return Err(LoadError::Split { parts });
        }
        let keys = Keys { gguf, architecture };
        keys.refuse_unsupported()?;
        let embedding_length = keys.size("embedding_length")?;
        let head_count = keys.size("attention.head_count")?;
        let head_count_kv = keys.optional_size("attention.head_count_kv")?.unwrap_or(head_count);
        let head_dim = match keys.optional_size("attention.key_length")? {
            Some(head_dim) => head_dim,
            None if embedding_length.is_multiple_of(head_count) => embedding_length / head_count,
            None => {
                return Err(keys.impossible(
                    "attention.head_count",
                    head_count,
                    format!("does not divide embedding_length {embedding_length}"),
                ));
            }
        };
        if !head_count.is_multiple_of(head_count_kv) {
            return Err(keys.impossible(
                "attention.head_count_kv",
                head_count_kv,
                format!("does not divide head_count {head_count}"),
            ));
        }
        let value_dim = keys.optional_size("attention.value_length")?.unwrap_or(head_dim);
        if value_dim != head_dim {
            return Err(keys.impossible(
                "attention.value_length",
                value_dim,
                format!("differs from key_length {head_dim}"),
            ));
        }
        let rope_dimension_count = keys.optional_size("rope.dimension_count")?.unwrap_or(head_dim);
        if rope_dimension_count > head_dim || !rope_dimension_count.is_multiple_of(2) {
            return Err(keys.impossible(
                "rope.dimension_count",
                rope_dimension_count,
                format!("not an even number up to {head_dim}"),
            ));
        }
        Ok(Self {
            architecture: architecture.to_owned(),
            context_length: keys.size("context_length")?,
            embedding_length,
            block_count: keys.size("block_count")?,
            feed_forward_length: keys.size("feed_forward_length")?,
            head_count,
            head_count_kv,
            head_dim,
            rope_dimension_count,
            rope_freq_base: keys.positive("rope.freq_base", 10_000.0)?,
            rope_scaling_factor: keys.positive("rope.scaling.factor", 1.0)?,
            rms_norm_epsilon: keys.positive("attention.layer_norm_rms_epsilon", 1e-5)?,
            vocab_size: vocab_size(gguf)?,
        })
    }

    /// Bytes of keys and values for `context` tokens.
    pub fn kv_bytes(&self, context: usize) -> u64 {
        let per_token = 2 * size_of::<f32>() as u64;
        [self.block_count, self.head_count_kv, self.head_dim, context]
            .iter()
            .fold(per_token, |product, &n| product.saturating_mul(n as u64))
    }
}

struct Keys<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn impossible(&self, key: &str, found: impl std::fmt::Display, reason: impl Into<String>) -> LoadError {
        LoadError::KeyValue { key: self.name(key), found: found.to_string(), reason: reason.into() }
    }

    fn optional_size(&self, key: &str) -> Result<Option<usize>, LoadError> {
        match self.gguf.get_u32(&self.name(key))? {
            Some(0) => Err(self.impossible(key, 0, "must be at least 1")),
            size => Ok(size.map(|n| n as usize)),
        }
    }

    fn size(&self, key: &str) -> Result<usize, LoadError> {
        self.optional_size(key)?.ok_or_else(|| LoadError::MissingKey { key: self.name(key) })
    }

    fn positive(&self, key: &str, default: f32) -> Result<f32, LoadError> {
        let value = self.gguf.get_f32(&self.name(key))?.unwrap_or(default);
        if !(value.is_finite() && value > 0.0) {
            return Err(self.impossible(key, value, "must be a positive number"));
        }
        Ok(value)
    }

    fn refuse_unsupported(&self) -> Result<(), LoadError> {
        if let Some(experts @ 1..) = self.gguf.get_u32(&self.name("expert_count"))? {
            return Err(LoadError::Unsupported { feature: format!("a mixture of {experts} experts") });
        }
        match self.gguf.get_str(&self.name("rope.scaling.type"))? {
            None | Some("none" | "linear") => Ok(()),
            Some(other) => Err(LoadError::Unsupported { feature: format!("RoPE scaling of type {other:?}") }),
        }
    }
}

fn vocab_size(gguf: &Gguf) -> Result<usize, LoadError> {
    let name = "token_embd.weight";
    let tensor = gguf.tensors().get(name).ok_or_else(|| LoadError::MissingTensor { name: name.to_owned() })?;
    match *tensor.shape {
        [rows @ 1..=0xffff_ffff, _] => Ok(rows as usize),
        _ => Err(LoadError::KeyValue {
            key: name.to_owned(),
            found: format!("{:?}", tensor.shape),
            reason: "must be a matrix of vocabulary rows".to_owned(),
        }),
    }
}
