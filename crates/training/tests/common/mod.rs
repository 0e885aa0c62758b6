//! What the tests share: a tiny model with grouped heads, and packed documents.
#![allow(dead_code)]

use checkpoint::{AdapterConfig, Shape, Targets};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use training::config::ModelConfig;
use training::lora::LoraMap;
use training::model::{IGNORE, Model, Pack};

/// Two blocks, four query heads on two key heads, a feed-forward width that fills no vector.
pub fn tiny_config(tied: bool) -> ModelConfig {
    ModelConfig {
        hidden_size: 24,
        intermediate_size: 44,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: Some(6),
        max_position_embeddings: 160,
        tie_word_embeddings: tied,
        initializer_range: 0.3,
        ..ModelConfig::preset("1m", 50).unwrap()
    }
}

/// A model with weights away from their special values: the norms' too.
pub fn tiny_model(tied: bool) -> (Model, Vec<f32>) {
    let config = tiny_config(tied);
    model_of(config.shape())
}

/// A model of `shape` with such weights.
pub fn model_of(shape: Shape) -> (Model, Vec<f32>) {
    let model = Model::new(shape);
    let mut weights = model.map.initialize(0.3, 7);
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for weight in &mut weights[model.map.decay_len..] {
        *weight += rng.random_range(-0.3..0.3);
    }
    (model, weights)
}

/// Documents of 1, 9, 130 (more than one group of queries) and 5 tokens; a third of the targets is ignored.
pub fn pack(vocab: u32, seed: u64) -> Pack {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pack = Pack::default();
    for length in [1, 9, 130, 5] {
        let tokens: Vec<u32> = (0..length).map(|_| rng.random_range(0..vocab)).collect();
        let targets: Vec<u32> =
            (0..length).map(|_| if rng.random_bool(0.33) { IGNORE } else { rng.random_range(0..vocab) }).collect();
        pack.push(tokens, targets);
    }
    pack
}

/// An adapter on every projection whose B is not zero any more.
pub fn adapter(model: &Model) -> (LoraMap, Vec<f32>) {
    let config =
        AdapterConfig { r: 3, lora_alpha: 6.0, lora_dropout: 0.0, use_rslora: true, base_model_name_or_path: None };
    let map = LoraMap::new(&model.shape, &config, Targets::All.of(&model.shape).unwrap());
    let mut values = map.initialize(1);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    values.iter_mut().for_each(|value| *value += rng.random_range(-0.1..0.1));
    (map, values)
}
