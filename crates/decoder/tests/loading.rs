//! What is refused, in which words; that nothing panics; progress and sizes.

mod common;

use std::{io::Cursor, ops::ControlFlow};

use candle_core::quantized::{GgmlDType, gguf_file::Value};
use common::{TinyModel, load};
use decoder::{CacheType, Gguf, LoadError, Session, Weights};
use proptest::prelude::*;

/// Bytes of a header under construction.
#[derive(Default)]
struct Header(Vec<u8>);

impl Header {
    fn new(tensors: u64, metadata: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(3).u64(tensors).u64(metadata)
    }

    fn u32(mut self, n: u32) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn u64(mut self, n: u64) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn text(mut self, text: &str) -> Self {
        self = self.u64(text.len() as u64);
        self.0.extend(text.bytes());
        self
    }

    /// A tensor of two dimensions, given innermost first.
    fn tensor(self, name: &str, columns: u64, rows: u64, dtype: u32, offset: u64) -> Self {
        self.text(name).u32(2).u64(columns).u64(rows).u32(dtype).u64(offset)
    }

    fn padded(mut self) -> Self {
        self.0.resize(self.0.len() + 256, 0);
        self
    }
}

fn assert_refused(gguf: &[u8], words: &[&str]) {
    let error = load(gguf).expect_err("the file is refused").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
}

#[test]
fn files_that_are_no_gguf_are_called_what_they_look_like() {
    for (bytes, words) in [
        (&b""[..], "an empty file"),
        (b"<!DOCTYPE html><html><head>", "an HTML page"),
        (b"\n<html lang=en>", "an HTML page"),
        (b"{\"error\": 404}", "JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (b"PK\x03\x04rest", "a ZIP archive"),
        (b"\x10\x02\x00\x00\x00\x00\x00\x00{\"a\":", "a safetensors file"),
        (b"tjgg\x03\x00\x00\x00", "from before GGUF"),
        ("你好，世界。这是一个文本文件。".as_bytes(), "text that starts with \"你好"),
        (b"\xff\xfe\x00\x01", "binary data that starts with [ff, fe, 00, 01]"),
    ] {
        assert_refused(bytes, &["not a GGUF model", words]);
    }
}

#[test]
fn absurd_headers_are_refused_before_they_cost_memory() {
    let huge = u64::MAX / 3;
    let cases = [
        (Header::new(huge, 0), "truncated: a header of"),
        (Header::new(0, huge), "truncated: a header of"),
        (Header::new(0, 1).u64(huge).padded(), "a string of"),
        (Header::new(0, 1).u64(1 << 20).padded(), "truncated: a string of 1048576 bytes"),
        (Header::new(0, 1).text("k").u32(99).padded(), "\"k\" has the unknown type 99"),
        (Header::new(0, 1).text("k").u32(7).u32(2).padded(), "\"k\" is the boolean 2"),
        (Header::new(0, 1).text("k").u32(9).u32(0).u64(huge).padded(), "\"k\" has"),
        (Header::new(0, 1).text("k").u32(9).u32(8).u64(1 << 20).padded(), "truncated: an array of 1048576"),
        (Header::new(0, 1).text("k").u32(9).u32(9).u64(1).padded(), "\"k\" is an array of arrays"),
        (Header::new(0, 2).text("k").u32(4).u32(1).text("k").u32(4).u32(1).padded(), "\"k\" occurs twice"),
        (Header::new(0, 1).text("general.alignment").u32(4).u32(0).padded(), "not a small power of two"),
        (Header::new(1, 0).text("t").u32(5).padded(), "5 dimensions"),
        (Header::new(1, 0).tensor("t", 1 << 40, 1 << 40, 0, 0).padded(), "impossible for F32"),
        (Header::new(1, 0).tensor("t", 33, 1, 8, 0).padded(), "impossible for Q8_0"),
        (Header::new(1, 0).tensor("t", 32, 32, 0, 0).padded(), "truncated: tensor \"t\""),
        (Header::new(1, 0).tensor("t", 1, 1, 0, u64::MAX - 31).padded(), "truncated: tensor \"t\""),
        (Header::new(1, 0).tensor("t", 1, 1, 0, 7).padded(), "not a multiple of 32"),
        (Header::new(2, 0).tensor("t", 1, 1, 0, 0).tensor("t", 1, 1, 0, 0).padded(), "\"t\" occurs twice"),
    ];
    for (header, words) in cases {
        assert_refused(&header.0, &[words]);
    }
}

#[test]
fn versions_and_truncation_give_both_sides() {
    let mut gguf = TinyModel::small().write();
    let len = gguf.len();
    for cut in [4, 7, 23, 100, len - 1000, len - 1] {
        assert_refused(&gguf[..cut], &["truncated", &format!("the file has {cut}")]);
    }
    gguf[4] = 1;
    assert_refused(&gguf, &["GGUF version 1", "2 and 3"]);
}

#[test]
fn what_the_architecture_needs_and_does_not_know_is_named() {
    let model = TinyModel::small;
    let text = |text: &str| Value::String(text.into());
    let cases = [
        (model().set("general.architecture", text("mamba")), vec!["\"mamba\"", "supported: llama"]),
        (model().without_key("general.architecture"), vec!["no metadata key \"general.architecture\""]),
        (model().without_key("llama.block_count"), vec!["no metadata key \"llama.block_count\""]),
        (model().set("llama.block_count", text("two")), vec!["llama.block_count", "integer", "found a string"]),
        (model().set("llama.block_count", Value::U32(u32::MAX)), vec!["no tensor \"blk.2.attn_norm.weight\""]),
        (model().set("llama.embedding_length", Value::U32(0)), vec!["llama.embedding_length", "at least 1"]),
        (model().set("llama.embedding_length", Value::U32(64)), vec!["token_embd", "[16, 64]", "[16, 32]"]),
        (model().set("llama.attention.head_count", Value::U32(7)), vec!["head_count", "is 7", "divide"]),
        (model().set("llama.attention.head_count_kv", Value::U32(3)), vec!["head_count_kv", "is 3", "divide"]),
        (model().set("llama.attention.head_count", Value::U32(u32::MAX)), vec!["head_count"]),
        (model().set("llama.rope.dimension_count", Value::U32(6)), vec!["rope.dimension_count", "up to 4"]),
        (model().set("llama.rope.dimension_count", Value::U32(3)), vec!["rope.dimension_count", "even"]),
        (model().set("llama.rope.freq_base", Value::F32(f32::NAN)), vec!["rope.freq_base", "NaN"]),
        (model().set("llama.expert_count", Value::U32(8)), vec!["8 experts", "not supported"]),
        (model().set("llama.rope.scaling.type", text("longrope")), vec!["RoPE scaling of type \"longrope\""]),
        (model().set("split.count", Value::U16(3)), vec!["split into 3 files, 1 were given"]),
        (model().without_tensor("blk.1.ffn_up.weight"), vec!["no tensor \"blk.1.ffn_up.weight\""]),
        (model().with_tensor("blk.1.ffn_up.weight", &[8, 32]), vec!["ffn_up", "[64, 32]", "[8, 32]"]),
        (model().with_tensor("blk.0.attn_sinks.weight", &[32]), vec!["\"blk.0.attn_sinks.weight\"", "does not know"]),
    ];
    for (model, words) in cases {
        assert_refused(&model.write(), &words);
    }
}

#[test]
fn an_unsupported_tensor_type_is_named() {
    let mut gguf = TinyModel::small().write();
    let name = b"blk.0.attn_q.weight";
    let at = gguf.windows(name.len()).position(|window| window == name).expect("the tensor") + name.len() + 4 + 16;
    gguf[at] = 20;
    assert_refused(&gguf, &["\"blk.0.attn_q.weight\"", "IQ4_NL", "Q8_0"]);
    gguf[at] = 200;
    assert_refused(&gguf, &["\"blk.0.attn_q.weight\"", "ggml type 200"]);
}

#[test]
fn progress_counts_up_to_the_total_and_can_cancel() {
    let gguf = TinyModel::new(GgmlDType::Q8_0).write();
    let mut reader = Cursor::new(&gguf);
    let header = Gguf::read(&mut reader).expect("a header");
    let mut seen = Vec::new();
    let weights = Weights::load(&header, &mut reader, &mut |progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    })
    .expect("the model loads");
    assert!(seen.windows(2).all(|pair| pair[0].loaded < pair[1].loaded));
    let last = seen.last().expect("progress");
    assert_eq!(last.loaded, last.total);
    assert_eq!(weights.memory_bytes(), last.total);
    // Keys and values, 2 blocks, 4 heads of 32, 64 tokens (whole blocks of 32), 4 or 2 bytes.
    assert_eq!(weights.config().kv_bytes(64, CacheType::F32), 2 * 2 * 4 * 32 * 64 * 4);
    assert_eq!(weights.config().kv_bytes(33, CacheType::F16), 2 * 2 * 4 * 32 * 64 * 2);

    let mut calls = 0;
    let cancelled = Weights::load(&header, &mut reader, &mut |_| {
        calls += 1;
        if calls == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(cancelled, Err(LoadError::Cancelled)));
    assert_eq!(calls, 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn mutated_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
        header_only in any::<bool>(),
    ) {
        let mut gguf = TinyModel::small().write();
        let reach = if header_only { 1500 } else { gguf.len() };
        for (index, byte) in changes {
            let index = index.index(reach);
            gguf[index] = byte;
        }
        if let Some(cut) = cut {
            gguf.truncate(cut.index(gguf.len()));
        }
        if let Ok(weights) = load(&gguf) {
            Session::new(weights, 8).forward(&[0, 1]).expect("two tokens fit");
        }
    }
}
