//! config.json in its dialects.

use crate::{CheckpointError, Family, Rotary, RotaryLayout, RotaryScaling, Shape};
use serde_json::Value;
use std::fmt::Display;
use std::path::Path;

/// Reads the shape of a model from a config.json.
pub fn read_shape(path: &Path) -> Result<Shape, CheckpointError> {
    let text = std::fs::read_to_string(path).map_err(CheckpointError::io(path))?;
    let json: Value = serde_json::from_str(&text).map_err(CheckpointError::json(path))?;
    let fields = Fields { json: &json, path };
    let found = json["model_type"].as_str().unwrap_or_default();
    let Some((family, _)) = Family::ALL.into_iter().find(|(_, names)| names.contains(&found)) else {
        let known = Family::ALL.iter().flat_map(|(_, names)| *names).copied().collect::<Vec<_>>().join(", ");
        return Err(CheckpointError::Family { found: found.to_owned(), known, path: path.to_owned() });
    };
    let shape = match family {
        Family::ChatGlm => fields.chatglm()?,
        _ => fields.transformers(family)?,
    };
    fields.check(&shape)?;
    Ok(shape)
}

struct Fields<'a> {
    json: &'a Value,
    path: &'a Path,
}

impl Fields<'_> {
    fn transformers(&self, family: Family) -> Result<Shape, CheckpointError> {
        let is_glm = matches!(family, Family::Glm | Family::Glm4);
        let (hidden_size, heads) = (self.size("hidden_size")?, self.size("num_attention_heads")?);
        let head_dim = self.optional_size("head_dim")?.unwrap_or(hidden_size / heads);
        let attention_bias = self.flag("attention_bias", is_glm)?;
        self.must_be("hidden_act", &["silu", "swish"])?;
        if self.flag("mlp_bias", false)? {
            return Err(self.refuse("mlp_bias", &"true", &"false"));
        }
        let context = self.size("max_position_embeddings")?;
        let window = self.optional_size("sliding_window")?.unwrap_or(context);
        if window < context && self.flag("use_sliding_window", family == Family::Llama)? {
            return Err(self.refuse("sliding_window", &window, &"null: attention sees the whole context here"));
        }
        // transformers 5 moved everything about positions into one object.
        let rope = ["rope_parameters", "rope_scaling"].into_iter().map(|key| &self.json[key]).find(|v| v.is_object());
        let number = |key: &str| rope.and_then(|rope| rope[key].as_f64()).or(self.json[key].as_f64());
        let share = number("partial_rotary_factor").unwrap_or(if is_glm { 0.5 } else { 1.0 });
        Ok(Shape {
            family,
            vocab_size: self.size("vocab_size")?,
            hidden_size,
            intermediate_size: self.size("intermediate_size")?,
            num_hidden_layers: self.size("num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: self.optional_size("num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            max_position_embeddings: context,
            rotary: Rotary {
                width: (head_dim as f64 * share) as usize,
                layout: if is_glm { RotaryLayout::Neighbours } else { RotaryLayout::Halves },
                base: number("rope_theta").unwrap_or(10_000.0),
                scaling: self.scaling(rope, context)?,
            },
            rms_norm_eps: self.json["rms_norm_eps"].as_f64().unwrap_or(1e-6),
            tie_word_embeddings: self.flag("tie_word_embeddings", false)?,
            qkv_bias: attention_bias || family == Family::Qwen2,
            output_bias: attention_bias && matches!(family, Family::Llama | Family::Qwen3),
            head_norms: family == Family::Qwen3,
            post_norms: family == Family::Glm4,
        })
    }

    fn chatglm(&self) -> Result<Shape, CheckpointError> {
        let (hidden_size, heads) = (self.size("hidden_size")?, self.size("num_attention_heads")?);
        let head_dim = self.optional_size("kv_channels")?.unwrap_or(hidden_size / heads);
        let groups = self.flag("multi_query_attention", false)?;
        for (field, supported) in [
            ("rmsnorm", true),
            ("post_layer_norm", true),
            ("add_bias_linear", false),
            ("apply_residual_connection_post_layernorm", false),
        ] {
            if self.flag(field, supported)? != supported {
                return Err(self.refuse(field, &!supported, &supported));
            }
        }
        if self.json["pre_seq_len"].is_number() {
            return Err(self.refuse("pre_seq_len", &self.json["pre_seq_len"], &"null: no prefix tuning"));
        }
        let vocabulary = ["padded_vocab_size", "vocab_size"];
        Ok(Shape {
            family: Family::ChatGlm,
            vocab_size: self.optional_size(vocabulary[0])?.map_or_else(|| self.size(vocabulary[1]), Ok)?,
            hidden_size,
            intermediate_size: self.size("ffn_hidden_size")?,
            num_hidden_layers: self.optional_size("num_layers")?.map_or_else(|| self.size("num_hidden_layers"), Ok)?,
            num_attention_heads: heads,
            num_key_value_heads: if groups { self.size("multi_query_group_num")? } else { heads },
            head_dim,
            max_position_embeddings: self.size("seq_length")?,
            rotary: Rotary {
                width: head_dim / 2,
                layout: RotaryLayout::Neighbours,
                base: 10_000.0 * self.json["rope_ratio"].as_f64().unwrap_or(1.0),
                scaling: RotaryScaling::None,
            },
            rms_norm_eps: self.json["layernorm_epsilon"].as_f64().unwrap_or(1e-5),
            tie_word_embeddings: self.flag("tie_word_embeddings", false)?,
            qkv_bias: self.flag("add_qkv_bias", false)?,
            output_bias: false,
            head_norms: false,
            post_norms: false,
        })
    }

    fn scaling(&self, rope: Option<&Value>, context: usize) -> Result<RotaryScaling, CheckpointError> {
        let Some(rope) = rope else { return Ok(RotaryScaling::None) };
        let kind = rope["rope_type"].as_str().or(rope["type"].as_str()).unwrap_or("default");
        let number = |key: &str| {
            rope[key]
                .as_f64()
                .filter(|n| *n > 0.0)
                .ok_or_else(|| self.refuse(&format!("rope_scaling.{key}"), &rope[key], &"a number above 0"))
        };
        let original = || number("original_max_position_embeddings").map_or(context, |n| n as usize);
        match kind {
            "default" => Ok(RotaryScaling::None),
            "linear" => Ok(RotaryScaling::Linear { factor: number("factor")? }),
            "llama3" => Ok(RotaryScaling::Llama3 {
                factor: number("factor")?,
                low: number("low_freq_factor")?,
                high: number("high_freq_factor")?,
                original: original(),
            }),
            "yarn" => Ok(RotaryScaling::Yarn { factor: number("factor")?, original: original() }),
            // It changes nothing within the trained context.
            "dynamic" => Ok(RotaryScaling::None),
            other => Err(self.refuse("rope_scaling.rope_type", &other, &"default, linear, dynamic, llama3 or yarn")),
        }
    }

    fn check(&self, shape: &Shape) -> Result<(), CheckpointError> {
        let (heads, kv_heads) = (shape.num_attention_heads, shape.num_key_value_heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(self.refuse("the number of key and value heads", &kv_heads, &format!("a divisor of {heads}")));
        }
        let width = shape.rotary.width;
        if width == 0 || !width.is_multiple_of(2) || width > shape.head_dim {
            let expected = format!("an even number up to {}", shape.head_dim);
            return Err(self.refuse("the rotated width of a head", &width, &expected));
        }
        Ok(())
    }

    fn refuse(&self, field: &str, found: &dyn Display, expected: &dyn Display) -> CheckpointError {
        let (found, expected) = (found.to_string(), expected.to_string());
        CheckpointError::Config { field: field.to_owned(), found, expected, path: self.path.to_owned() }
    }

    fn optional_size(&self, field: &str) -> Result<Option<usize>, CheckpointError> {
        match &self.json[field] {
            Value::Null => Ok(None),
            value => match value.as_u64() {
                Some(size @ 1..=0xffff_ffff) => Ok(Some(size as usize)),
                _ => Err(self.refuse(field, &value, &"a whole number above 0")),
            },
        }
    }

    fn size(&self, field: &str) -> Result<usize, CheckpointError> {
        self.optional_size(field)?.ok_or_else(|| self.refuse(field, &"missing", &"a whole number above 0"))
    }

    fn flag(&self, field: &str, default: bool) -> Result<bool, CheckpointError> {
        match &self.json[field] {
            Value::Null => Ok(default),
            Value::Bool(flag) => Ok(*flag),
            other => Err(self.refuse(field, &other, &"true or false")),
        }
    }

    fn must_be(&self, field: &str, supported: &[&str]) -> Result<(), CheckpointError> {
        match self.json[field].as_str() {
            Some(found) if !supported.contains(&found) => Err(self.refuse(field, &found, &supported.join(" or "))),
            _ => Ok(()),
        }
    }
}
