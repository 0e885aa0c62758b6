//! Small random bases of every family, with a tokenizer and an adapter.
#![allow(dead_code, reason = "each test program uses its part")]

use checkpoint::{Adapter, AdapterConfig, AdapterMatrix, Family, Shape, Targets, read_shape};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use training::model::Model;
use training::tokenizer::{MIN_VOCAB_SIZE, Tokenizer};

/// Names of the bases.
pub const NAMES: [&str; 7] = ["llama", "llama3", "qwen2", "qwen3", "glm", "glm4", "chatglm"];

fn config(name: &str) -> Value {
    let plain = |kind: &str| {
        json!({
            "model_type": kind, "vocab_size": MIN_VOCAB_SIZE, "hidden_size": 256, "intermediate_size": 512,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
            "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
        })
    };
    let with = |mut value: Value, key: &str, field: Value| {
        value[key] = field;
        value
    };
    match name {
        "llama3" => {
            let scaling = json!({ "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 64 });
            with(with(plain("llama"), "tie_word_embeddings", true.into()), "rope_scaling", scaling)
        }
        "qwen2" => {
            let scaling = json!({ "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64 });
            with(plain("qwen2"), "rope_scaling", scaling)
        }
        "chatglm" => json!({
            "model_type": "chatglm", "padded_vocab_size": MIN_VOCAB_SIZE, "hidden_size": 256, "ffn_hidden_size": 512,
            "num_layers": 2, "num_attention_heads": 4, "multi_query_attention": true, "multi_query_group_num": 2,
            "kv_channels": 64, "seq_length": 256, "add_qkv_bias": true, "layernorm_epsilon": 1e-5,
        }),
        other => plain(other),
    }
}

/// Writes a base and, in `adapter`, a PEFT folder for it.
pub fn write_base(folder: &Path, name: &str) -> Shape {
    Tokenizer::train(&["some text".into()], MIN_VOCAB_SIZE).unwrap().save(folder).unwrap();
    fs::write(folder.join("config.json"), config(name).to_string()).unwrap();
    let shape = read_shape(&folder.join("config.json")).unwrap();
    let model = Model::new(shape.clone());
    let mut rng = ChaCha8Rng::seed_from_u64(NAMES.iter().position(|n| *n == name).unwrap() as u64);
    let mut weights = vec![0.0; model.map.len];
    for tensor in &model.map.tensors {
        let is_norm = tensor.spec.name.contains("norm");
        let width = match tensor.spec.layer {
            Some(_) if !is_norm => 0.13,
            _ => 0.3,
        };
        let middle = if is_norm { 1.0 } else { 0.0 };
        weights[tensor.range.clone()].iter_mut().for_each(|w| *w = middle + rng.random_range(-width..width));
    }
    model.map.save(&weights, &folder.join("model.safetensors")).unwrap();
    let config =
        AdapterConfig { r: 4, lora_alpha: 8.0, lora_dropout: 0.0, use_rslora: false, base_model_name_or_path: None };
    let mut random = |len: usize| (0..len).map(|_| rng.random_range(-0.12..0.12)).collect();
    let matrices = Targets::All.of(&shape).unwrap().into_iter().map(|target| {
        let [outputs, inputs] = [target.shape[0], target.shape[1]];
        AdapterMatrix { a: random(4 * inputs), b: random(outputs * 4), target }
    });
    Adapter { config, matrices: matrices.collect() }.write(&folder.join("adapter")).unwrap();
    assert_eq!(shape.family == Family::ChatGlm, name == "chatglm");
    shape
}

/// A written model.
pub fn load(file: &Path) -> generate::Model {
    generate::Model::load(&mut fs::File::open(file).unwrap(), &mut |_| std::ops::ControlFlow::Continue(())).unwrap()
}
