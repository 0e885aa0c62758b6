use crate::{CacheType, Gguf, LoadError, cpu::Rotation};

/// Values of `general.architecture` that [`crate::Loader`] accepts.
pub const SUPPORTED_ARCHITECTURES: &[&str] = &["llama", "qwen2", "qwen3", "chatglm", "glm4"];

/// The shape of a transformer, from the metadata of its GGUF. Known before any weight is read.
///
/// Families differ in a few switches; which tensors a file holds (biases, norms of heads, fused matrices) says the rest.
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
    /// How positions beyond the trained ones are brought within.
    pub rope_scaling: RopeScaling,
    /// Cosines and sines are multiplied by this.
    pub rope_attention_factor: f32,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_epsilon: f32,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    pub(crate) rotation: Rotation,
}

/// `rope.scaling.type` and its parameters. LLaMA 3's own scaling comes as a tensor of factors instead.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// Positions as they are.
    None,
    /// Positions are divided by the factor.
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// YaRN (arXiv 2309.00071): slow rotations are interpolated, fast ones kept.
    Yarn {
        /// Interpolation of the slow rotations.
        factor: f32,
        /// Context before scaling, in tokens.
        original_context: usize,
    },
}

impl Config {
    /// Reads and checks the shape.
    ///
    /// # Errors
    /// Unknown architecture, missing or impossible metadata, features that no supported family has.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, LoadError> {
        let architecture = gguf.architecture()?;
        if !SUPPORTED_ARCHITECTURES.contains(&architecture) {
            return Err(LoadError::Architecture { found: architecture.to_owned(), supported: SUPPORTED_ARCHITECTURES });
        }
        let (parts, found) = (gguf.split_count()?, gguf.part_count());
        if parts != found {
            return Err(LoadError::Split { parts, found });
        }
        let keys = Keys { gguf, architecture };
        if let Some(experts @ 1..) = gguf.get_u32(&keys.name("expert_count"))? {
            return Err(LoadError::Unsupported { feature: format!("a mixture of {experts} experts") });
        }
        let embedding_length = keys.size("embedding_length")?;
        let head_count = keys.size("attention.head_count")?;
        let head_count_kv = keys.optional_size("attention.head_count_kv")?.unwrap_or(head_count);
        let head_dim = keys.head_dim(embedding_length, head_count)?;
        if !head_count.is_multiple_of(head_count_kv) {
            let reason = format!("does not divide head_count {head_count}");
            return Err(keys.impossible("attention.head_count_kv", head_count_kv, reason));
        }
        let rope_dimension_count = keys.optional_size("rope.dimension_count")?.unwrap_or(head_dim);
        if rope_dimension_count > head_dim || !rope_dimension_count.is_multiple_of(2) {
            let reason = format!("not an even number up to {head_dim}");
            return Err(keys.impossible("rope.dimension_count", rope_dimension_count, reason));
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
            rope_scaling: keys.rope_scaling()?,
            rope_attention_factor: keys.positive("rope.scaling.attn_factor", 1.0)?,
            rms_norm_epsilon: keys.positive("attention.layer_norm_rms_epsilon", 1e-5)?,
            vocab_size: vocab_size(gguf)?,
            rotation: if architecture.starts_with("qwen") { Rotation::Halves } else { Rotation::Interleaved },
        })
    }

    /// Bytes of keys and values for `context` tokens.
    pub fn kv_bytes(&self, context: usize, cache_type: CacheType) -> u64 {
        let heads = (self.block_count as u64).saturating_mul(self.head_count_kv as u64);
        cache_type.bytes(self.head_dim, context).saturating_mul(heads)
    }

    /// Radians per position of each rotated pair, and the factor of cosines and sines.
    pub(crate) fn rotary_frequencies(&self, factors: Option<&[f32]>) -> (Vec<f32>, f32) {
        let dimensions = self.rope_dimension_count;
        let plain = |pair: usize| 1.0 / self.rope_freq_base.powf((2 * pair) as f32 / dimensions as f32);
        let frequency = |pair: usize| plain(pair) / factors.map_or(1.0, |factors| factors[pair]);
        let pairs = 0..dimensions / 2;
        match self.rope_scaling {
            RopeScaling::None => (pairs.map(frequency).collect(), self.rope_attention_factor),
            RopeScaling::Linear { factor } => {
                (pairs.map(|pair| frequency(pair) / factor).collect(), self.rope_attention_factor)
            }
            RopeScaling::Yarn { factor, original_context } => {
                // Rotations that turn 32 times within the original context are kept, those below one turn are stretched.
                let corner = |turns: f32| {
                    let wavelengths = (original_context as f32 / (turns * std::f32::consts::TAU)).ln();
                    dimensions as f32 * wavelengths / (2.0 * self.rope_freq_base.ln())
                };
                let (low, high) = (corner(32.0).floor().max(0.0), corner(1.0).ceil().min(dimensions as f32 - 1.0));
                let blended = pairs.map(|pair| {
                    let ramp = 1.0 - ((pair as f32 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                    frequency(pair) / factor * (1.0 - ramp) + frequency(pair) * ramp
                });
                (blended.collect(), self.rope_attention_factor * (1.0 + 0.1 * factor.ln()))
            }
        }
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

    fn head_dim(&self, embedding_length: usize, head_count: usize) -> Result<usize, LoadError> {
        let head_dim = match self.optional_size("attention.key_length")? {
            Some(head_dim) => head_dim,
            None if embedding_length.is_multiple_of(head_count) => embedding_length / head_count,
            None => {
                let reason = format!("does not divide embedding_length {embedding_length}");
                return Err(self.impossible("attention.head_count", head_count, reason));
            }
        };
        let value_dim = self.optional_size("attention.value_length")?.unwrap_or(head_dim);
        if value_dim != head_dim {
            let reason = format!("differs from key_length {head_dim}");
            return Err(self.impossible("attention.value_length", value_dim, reason));
        }
        Ok(head_dim)
    }

    fn rope_scaling(&self) -> Result<RopeScaling, LoadError> {
        // Older files have a linear factor alone, under either name.
        let kind = self.gguf.get_str(&self.name("rope.scaling.type"))?;
        let factor = self.positive("rope.scaling.factor", self.positive("rope.scale_linear", 1.0)?)?;
        match kind {
            Some("none") => Ok(RopeScaling::None),
            None | Some("linear") if factor == 1.0 => Ok(RopeScaling::None),
            None | Some("linear") => Ok(RopeScaling::Linear { factor }),
            Some("yarn") => {
                let original = self.optional_size("rope.scaling.original_context_length")?;
                Ok(RopeScaling::Yarn {
                    factor,
                    original_context: original.map_or_else(|| self.size("context_length"), Ok)?,
                })
            }
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
