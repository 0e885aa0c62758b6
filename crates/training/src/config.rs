//! The shape of a LLaMA, in the fields of a Hugging Face `config.json`.

use crate::{Error, Result};
use checkpoint::{Family, Rotary, RotaryLayout, RotaryScaling, Shape};
use serde::{Deserialize, Serialize};

/// `config.json` of a `LlamaForCausalLM`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Always `["LlamaForCausalLM"]`.
    #[serde(default = "architectures")]
    pub architectures: Vec<String>,
    /// Always `"llama"`.
    #[serde(default = "model_type")]
    pub model_type: String,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; each serves the same number of query heads.
    pub num_key_value_heads: usize,
    /// Width of a head; `hidden_size / num_attention_heads` where absent.
    #[serde(default)]
    pub head_dim: Option<usize>,
    /// Longest context, in tokens.
    pub max_position_embeddings: usize,
    /// Base of the rotary frequencies.
    #[serde(default = "rope_theta")]
    pub rope_theta: f64,
    /// Scaled rotary frequencies are not supported: always `null`.
    #[serde(default)]
    pub rope_scaling: Option<serde_json::Value>,
    /// Added to the mean square before its root is taken.
    pub rms_norm_eps: f64,
    /// Whether the output projection is the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Always `"silu"`.
    #[serde(default = "hidden_act")]
    pub hidden_act: String,
    /// Always false.
    #[serde(default)]
    pub attention_bias: bool,
    /// Always false.
    #[serde(default)]
    pub mlp_bias: bool,
    /// Standard deviation of the initial weights.
    #[serde(default = "initializer_range")]
    pub initializer_range: f64,
    /// Id of `<s>`.
    pub bos_token_id: u32,
    /// Id of `</s>`.
    pub eos_token_id: u32,
    /// Id of `<pad>`.
    #[serde(default)]
    pub pad_token_id: Option<u32>,
    /// Type of the stored weights.
    #[serde(default = "torch_dtype")]
    pub torch_dtype: String,
}

fn architectures() -> Vec<String> {
    vec!["LlamaForCausalLM".into()]
}
fn model_type() -> String {
    "llama".into()
}
fn rope_theta() -> f64 {
    10000.0
}
fn hidden_act() -> String {
    "silu".into()
}
fn initializer_range() -> f64 {
    0.02
}
fn torch_dtype() -> String {
    "float32".into()
}

/// Names and shapes of the built-in models: hidden, intermediate, layers, heads, key-value heads.
const PRESETS: [(&str, [usize; 5]); 4] = [
    ("1m", [128, 384, 4, 4, 2]),
    ("8m", [256, 768, 8, 8, 4]),
    ("15m", [384, 1024, 8, 12, 4]),
    ("30m", [512, 1536, 10, 16, 4]),
];

impl ModelConfig {
    /// A built-in shape by name (`1m`, `8m`, `15m`, `30m`): tied embeddings, a context of 1024 tokens.
    pub fn preset(name: &str, vocab_size: usize) -> Result<ModelConfig> {
        let Some((_, [hidden, intermediate, layers, heads, kv_heads])) = PRESETS.iter().find(|(n, _)| *n == name)
        else {
            let known = PRESETS.map(|(n, _)| n).join(", ");
            return Err(Error::Argument(format!("no preset \"{name}\"; there are {known}")));
        };
        Ok(ModelConfig {
            architectures: architectures(),
            model_type: model_type(),
            vocab_size,
            hidden_size: *hidden,
            intermediate_size: *intermediate,
            num_hidden_layers: *layers,
            num_attention_heads: *heads,
            num_key_value_heads: *kv_heads,
            head_dim: Some(hidden / heads),
            max_position_embeddings: 1024,
            rope_theta: rope_theta(),
            rope_scaling: None,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: true,
            hidden_act: hidden_act(),
            attention_bias: false,
            mlp_bias: false,
            initializer_range: initializer_range(),
            bos_token_id: crate::tokenizer::BOS_ID,
            eos_token_id: crate::tokenizer::EOS_ID,
            pad_token_id: Some(crate::tokenizer::PAD_ID),
            torch_dtype: torch_dtype(),
        })
    }

    /// Refuses what this trainer cannot compute.
    pub fn check(&self) -> Result<()> {
        let must = |ok: bool, field, found: String, expected: &str| match ok {
            true => Ok(()),
            false => Err(Error::Config { field, found, expected: expected.into() }),
        };
        let (heads, kv_heads) = (self.num_attention_heads, self.num_key_value_heads);
        must(self.model_type == "llama", "model_type", self.model_type.clone(), "\"llama\"")?;
        must(self.hidden_act == "silu", "hidden_act", self.hidden_act.clone(), "\"silu\"")?;
        must(self.rope_scaling.is_none(), "rope_scaling", "set".into(), "null")?;
        must(!self.attention_bias, "attention_bias", "true".into(), "false")?;
        must(!self.mlp_bias, "mlp_bias", "true".into(), "false")?;
        must(heads > 0, "num_attention_heads", heads.to_string(), "at least 1")?;
        must(
            kv_heads > 0 && heads.is_multiple_of(kv_heads),
            "num_key_value_heads",
            kv_heads.to_string(),
            "a divisor of num_attention_heads",
        )?;
        must(
            self.head_dim() > 0 && self.head_dim().is_multiple_of(2),
            "head_dim",
            self.head_dim().to_string(),
            "even and positive",
        )?;
        for (field, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("max_position_embeddings", self.max_position_embeddings),
        ] {
            must(value > 0, field, value.to_string(), "at least 1")?;
        }
        Ok(())
    }

    /// The shape, as the model's code wants it.
    pub fn shape(&self) -> Shape {
        Shape {
            family: Family::Llama,
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads,
            head_dim: self.head_dim(),
            max_position_embeddings: self.max_position_embeddings,
            rotary: Rotary {
                width: self.head_dim(),
                layout: RotaryLayout::Halves,
                base: self.rope_theta,
                scaling: RotaryScaling::None,
            },
            rms_norm_eps: self.rms_norm_eps,
            tie_word_embeddings: self.tie_word_embeddings,
            qkv_bias: false,
            output_bias: false,
            head_norms: false,
            post_norms: false,
        }
    }

    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }
}
