//! config.json in its dialects, weights in several files, adapters with features that are not supported.

use checkpoint::{Adapter, Family, RotaryScaling, Shape, Targets, Weights, read_shape};
use serde_json::{Value, json};
use std::fs;

fn llama() -> Value {
    json!({
        "model_type": "llama", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 32, "rms_norm_eps": 1e-6,
    })
}

fn read(config: &Value) -> Result<Shape, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, config.to_string()).unwrap();
    read_shape(&path).map_err(|error| error.to_string())
}

fn with(field: &str, value: Value) -> Value {
    let mut config = llama();
    config[field] = value;
    config
}

#[test]
fn old_and_new_dialects_of_scaling_mean_the_same() {
    let fields = json!({ "factor": 4.0, "rope_type": "linear", "rope_theta": 500.0 });
    let new = read(&with("rope_parameters", fields)).unwrap();
    let mut old = with("rope_scaling", json!({ "factor": 4.0, "type": "linear" }));
    old["rope_theta"] = 500.0.into();
    assert_eq!(new, read(&old).unwrap());
    assert_eq!(new.rotary.scaling, RotaryScaling::Linear { factor: 4.0 });
    assert_eq!((new.family, new.num_key_value_heads, new.head_dim), (Family::Llama, 2, 4));
}

#[test]
fn what_cannot_be_computed_is_named() {
    let refused = [
        ("model_type", json!("mamba"), "mamba"),
        ("hidden_act", json!("gelu"), "hidden_act"),
        ("mlp_bias", json!(true), "mlp_bias"),
        ("sliding_window", json!(16), "sliding_window"),
        ("num_key_value_heads", json!(3), "divisor"),
        ("head_dim", json!(3), "even"),
        ("hidden_size", json!(0), "hidden_size"),
        ("rope_scaling", json!({ "type": "longrope", "factor": 2.0 }), "longrope"),
        ("rope_scaling", json!({ "type": "yarn" }), "factor"),
        ("tie_word_embeddings", json!("yes"), "tie_word_embeddings"),
    ];
    for (field, value, words) in refused {
        let error = read(&with(field, value)).unwrap_err();
        assert!(error.contains(words) && error.contains("config.json"), "{words}: {error}");
    }
}

#[test]
fn targets_are_names_that_the_model_has() {
    let shape = read(&llama()).unwrap();
    assert_eq!(Targets::All.of(&shape).unwrap().len(), 7);
    assert_eq!(Targets::Named(vec!["q_proj".into()]).of(&shape).unwrap().len(), 1);
    let error = Targets::Named(vec!["query_key_value".into()]).of(&shape).unwrap_err().to_string();
    assert!(error.contains("query_key_value") && error.contains("q_proj"), "{error}");
}

#[test]
fn an_index_that_names_a_missing_file_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    fs::write(index, json!({ "weight_map": { "a": "model-00002-of-00002.safetensors" } }).to_string()).unwrap();
    let error = Weights::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("model-00002-of-00002.safetensors"), "{error}");
}

#[test]
fn adapters_with_other_methods_are_refused() {
    let shape = read(&llama()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (config, words) in [
        (json!({ "peft_type": "IA3" }), "peft_type"),
        (json!({ "peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_dora": true }), "use_dora"),
        (json!({ "peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "all" }), "bias"),
        (json!({ "peft_type": "LORA", "r": 4, "lora_alpha": 8, "modules_to_save": ["lm_head"] }), "modules_to_save"),
        (json!({ "peft_type": "LORA", "r": 4, "lora_alpha": 8, "rank_pattern": { "q_proj": 2 } }), "rank_pattern"),
        (json!({ "peft_type": "LORA", "r": 0, "lora_alpha": 8 }), "at least 1"),
    ] {
        fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
        let error = Adapter::read(folder.path(), &shape).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}
