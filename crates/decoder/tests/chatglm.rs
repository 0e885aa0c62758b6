//! ChatGLM against candle's plain forward pass, on the same weights.

mod common;

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, quantized::gguf_file};
use candle_nn::VarBuilder;
use candle_transformers::models::chatglm::{Config, Model};
use common::{families, load_part, max_difference};
use decoder::{Alone, CacheType, Cpu, Session, Shard};
use std::io::Cursor;

const CONTEXT: usize = 256;

/// candle's name for a tensor of the GGUF.
fn candle_name(name: &str) -> String {
    let part = |rest: &str| {
        match rest {
            "attn_norm.weight" => "input_layernorm.weight",
            "attn_qkv.weight" => "self_attention.query_key_value.weight",
            "attn_qkv.bias" => "self_attention.query_key_value.bias",
            "attn_output.weight" => "self_attention.dense.weight",
            "ffn_norm.weight" => "post_attention_layernorm.weight",
            "ffn_up.weight" => "mlp.dense_h_to_4h.weight",
            "ffn_down.weight" => "mlp.dense_4h_to_h.weight",
            other => panic!("candle's ChatGLM has no {other}"),
        }
        .to_owned()
    };
    match name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        Some((block, rest)) => format!("transformer.encoder.layers.{block}.{}", part(rest)),
        None => match name {
            "token_embd.weight" => "transformer.embedding.word_embeddings.weight",
            "output_norm.weight" => "transformer.encoder.final_layernorm.weight",
            "output.weight" => "transformer.output_layer.weight",
            other => panic!("candle's ChatGLM has no {other}"),
        }
        .to_owned(),
    }
}

#[test]
fn chatglm_equals_candles_plain_forward_pass() {
    let models = families::models();
    let (_, model) = models.iter().find(|(name, _)| name == "chatglm-f32").expect("a family");
    let gguf = model.write();
    let mut reader = Cursor::new(&gguf);
    let content = gguf_file::Content::read(&mut reader).expect("candle reads its own file");
    let number = |key: &str| content.metadata[&format!("chatglm.{key}")].to_u32().expect("a number") as usize;
    let tensors: HashMap<String, Tensor> = content
        .tensor_infos
        .keys()
        .map(|name| {
            let tensor =
                content.tensor(&mut reader, name, &Device::Cpu).and_then(|tensor| tensor.dequantize(&Device::Cpu));
            (candle_name(name), tensor.expect("a tensor"))
        })
        .collect();
    let vocabulary = tensors["transformer.output_layer.weight"].dims()[0];
    let config = Config {
        num_layers: number("block_count"),
        padded_vocab_size: vocabulary,
        hidden_size: number("embedding_length"),
        ffn_hidden_size: number("feed_forward_length"),
        kv_channels: number("attention.key_length"),
        num_attention_heads: number("attention.head_count"),
        seq_length: CONTEXT,
        layernorm_epsilon: content.metadata["chatglm.attention.layer_norm_rms_epsilon"]
            .to_f32()
            .expect("a number")
            .into(),
        multi_query_group_num: number("attention.head_count_kv"),
        ..Config::glm3_6b()
    };
    let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let mut reference = Model::new(&config, builder).expect("candle takes every tensor");
    let prompt = families::prompt();
    for count in [1, 2, 33, prompt.len()] {
        let row =
            Tensor::new(&prompt[..count], &Device::Cpu).and_then(|row| row.unsqueeze(0)).expect("a row of tokens");
        reference.reset_kv_cache();
        let expected: Vec<f32> =
            reference.forward(&row).and_then(|logits| logits.flatten_all()?.to_vec1()).expect("candle computes");
        for cpu in Cpu::available() {
            let weights = load_part(&gguf, Shard::WHOLE, cpu).expect("the model loads");
            let mut session = Session::with_comm(weights, Box::new(Alone), CONTEXT, CacheType::F32);
            let logits = session.forward(&prompt[..count]).expect("the forward pass succeeds").to_vec();
            let difference = max_difference(&logits, &expected);
            assert!(difference <= 1e-4, "{count} tokens on {} differ by {difference}", cpu.name());
        }
    }
}
