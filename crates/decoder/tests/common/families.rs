//! Every family in every tensor type, as random models that llama.cpp reads, too.

use candle_core::quantized::{GgmlDType, gguf_file::Value};

use super::TinyModel;

const WIDTH: usize = 256;
const HIDDEN: usize = 512;
const VOCAB: usize = 32;
const BLOCKS: usize = 2;

/// What makes one family differ from the next.
#[derive(Clone, Copy)]
struct Family {
    name: &'static str,
    architecture: &'static str,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    rotated: usize,
    biases: bool,
    head_norms: bool,
    fused_attention: bool,
    fused_gate: bool,
    post_norms: bool,
    tied: bool,
}

const LLAMA: Family = Family {
    name: "llama",
    architecture: "llama",
    heads: 8,
    kv_heads: 2,
    head_dim: 32,
    rotated: 32,
    biases: false,
    head_norms: false,
    fused_attention: false,
    fused_gate: false,
    post_norms: false,
    tied: false,
};

const FAMILIES: [Family; 5] = [
    LLAMA,
    Family { name: "qwen2", architecture: "qwen2", biases: true, tied: true, ..LLAMA },
    Family { name: "qwen3", architecture: "qwen3", head_norms: true, head_dim: 64, rotated: 64, ..LLAMA },
    Family {
        name: "chatglm",
        architecture: "chatglm",
        rotated: 16,
        biases: true,
        fused_attention: true,
        fused_gate: true,
        ..LLAMA
    },
    Family {
        name: "glm4",
        architecture: "glm4",
        rotated: 16,
        biases: true,
        fused_gate: true,
        post_norms: true,
        ..LLAMA
    },
];

const TYPES: [(&str, GgmlDType); 13] = [
    ("f32", GgmlDType::F32),
    ("f16", GgmlDType::F16),
    ("bf16", GgmlDType::BF16),
    ("q4_0", GgmlDType::Q4_0),
    ("q4_1", GgmlDType::Q4_1),
    ("q5_0", GgmlDType::Q5_0),
    ("q5_1", GgmlDType::Q5_1),
    ("q8_0", GgmlDType::Q8_0),
    ("q2_k", GgmlDType::Q2K),
    ("q3_k", GgmlDType::Q3K),
    ("q4_k", GgmlDType::Q4K),
    ("q5_k", GgmlDType::Q5K),
    ("q6_k", GgmlDType::Q6K),
];

/// The models by name: `llama-q4_0` and so on, and LLaMA's ways of scaling RoPE.
pub fn models() -> Vec<(String, TinyModel)> {
    let mut models = Vec::new();
    for family in FAMILIES {
        for (name, dtype) in TYPES {
            models.push((format!("{}-{name}", family.name), model(family, dtype)));
        }
    }
    let scaled = |kind: &str| {
        let model = model(LLAMA, GgmlDType::F32).set("llama.rope.scaling.type", Value::String(kind.into()));
        model.set("llama.rope.scaling.factor", Value::F32(4.0))
    };
    let yarn = scaled("yarn").set("llama.rope.scaling.original_context_length", Value::U32(64));
    let factors = model(LLAMA, GgmlDType::F32).with_tensor("rope_freqs.weight", &[LLAMA.head_dim / 2]);
    models.push(("llama-f32-linear".into(), scaled("linear")));
    models.push(("llama-f32-yarn".into(), yarn));
    models.push(("llama-f32-factors".into(), factors));
    models
}

/// A few kilobytes of each family, with metadata of every kind.
pub fn seeds() -> Vec<(String, TinyModel)> {
    let types = [GgmlDType::F32, GgmlDType::Q4_0, GgmlDType::Q8_0, GgmlDType::Q5_1, GgmlDType::F16];
    let texts = ["a", "b", "\u{2581}c"].map(|text| Value::String(text.into())).to_vec();
    FAMILIES
        .into_iter()
        .zip(types)
        .map(|(family, dtype)| {
            let family = Family { heads: 2, kv_heads: 1, head_dim: 16, rotated: 16, ..family };
            let model = shaped(family, dtype, Shape { width: 32, hidden: 32, vocab: 4, blocks: 1 });
            let model = model.set("tokenizer.ggml.tokens", Value::Array(texts.clone()));
            let model = model.set("tokenizer.ggml.scores", Value::Array(vec![Value::F32(0.5); 3]));
            let model = model.set("tokenizer.ggml.token_type", Value::Array(vec![Value::I32(1); 3]));
            (family.name.to_owned(), model.set("general.alignment", Value::U32(32)))
        })
        .collect()
}

/// The prompt that all of them are given.
pub fn prompt() -> Vec<u32> {
    super::tokens(70, VOCAB as u32)
}

#[derive(Clone, Copy)]
struct Shape {
    width: usize,
    hidden: usize,
    vocab: usize,
    blocks: usize,
}

fn model(family: Family, dtype: GgmlDType) -> TinyModel {
    shaped(family, dtype, Shape { width: WIDTH, hidden: HIDDEN, vocab: VOCAB, blocks: BLOCKS })
}

fn shaped(family: Family, dtype: GgmlDType, shape: Shape) -> TinyModel {
    let key = |key: &str| format!("{}.{key}", family.architecture);
    let size = |name: &str, n: usize| (key(name), Value::U32(n as u32));
    let metadata = vec![
        ("general.architecture".to_owned(), Value::String(family.architecture.into())),
        ("tokenizer.ggml.model".to_owned(), Value::String("no_vocab".into())),
        size("vocab_size", shape.vocab),
        size("context_length", 256),
        size("embedding_length", shape.width),
        size("block_count", shape.blocks),
        size("feed_forward_length", shape.hidden),
        size("attention.head_count", family.heads),
        size("attention.head_count_kv", family.kv_heads),
        size("attention.key_length", family.head_dim),
        size("attention.value_length", family.head_dim),
        size("rope.dimension_count", family.rotated),
        (key("rope.freq_base"), Value::F32(10_000.0)),
        (key("attention.layer_norm_rms_epsilon"), Value::F32(1e-5)),
    ];
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), vec![shape.vocab, shape.width]),
        ("output_norm.weight".to_owned(), vec![shape.width]),
    ];
    if !family.tied {
        tensors.push(("output.weight".to_owned(), vec![shape.vocab, shape.width]));
    }
    for block in 0..shape.blocks {
        let mut add = |name: &str, shape: &[usize]| tensors.push((format!("blk.{block}.{name}"), shape.to_vec()));
        add_block(family, shape, &mut add);
    }
    TinyModel { dtype, metadata, tensors }
}

fn add_block(family: Family, shape: Shape, add: &mut dyn FnMut(&str, &[usize])) {
    let Shape { width, hidden, .. } = shape;
    let (queries, keys) = (family.heads * family.head_dim, family.kv_heads * family.head_dim);
    add("attn_norm.weight", &[width]);
    let products = match family.fused_attention {
        true => vec![("attn_qkv", queries + 2 * keys)],
        false => vec![("attn_q", queries), ("attn_k", keys), ("attn_v", keys)],
    };
    for (name, rows) in products {
        add(&format!("{name}.weight"), &[rows, width]);
        if family.biases {
            add(&format!("{name}.bias"), &[rows]);
        }
    }
    if family.head_norms {
        add("attn_q_norm.weight", &[family.head_dim]);
        add("attn_k_norm.weight", &[family.head_dim]);
    }
    add("attn_output.weight", &[width, queries]);
    add("ffn_norm.weight", &[width]);
    if family.fused_gate {
        add("ffn_up.weight", &[2 * hidden, width]);
    } else {
        add("ffn_gate.weight", &[hidden, width]);
        add("ffn_up.weight", &[hidden, width]);
    }
    add("ffn_down.weight", &[width, hidden]);
    if family.post_norms {
        add("post_attention_norm.weight", &[width]);
        add("post_ffw_norm.weight", &[width]);
    }
}
