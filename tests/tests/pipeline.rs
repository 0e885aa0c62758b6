//! From text to a scored model, with every program as a user starts it, on a model of a few thousand weights.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;

const TINY: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 700, "hidden_size": 64,
    "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
    "bos_token_id": 0, "eos_token_id": 1}"#;

/// Runs a program that must succeed and returns what it wrote to stdout.
fn succeed(name: &str, folder: &Path, arguments: &str) -> Result<String> {
    let output = tests::run(name, folder, arguments)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{name} {arguments}` failed:\n{errors}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn text_becomes_a_model_that_is_talked_to_and_scored() -> Result<()> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ lies in the repository")?.join("data");
    let data = data.display();
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    std::fs::write(at.join("config.json"), TINY)?;

    let rows = format!("{data}/rolebench-eng/role_specific/train.jsonl");
    succeed("train", at, &format!("tokenizer --data {rows} --roles {data}/roles --vocab-size 700 --out tokenizer"))?;
    succeed(
        "train",
        at,
        &format!(
            "pretrain --config config.json --tokenizer tokenizer --data {rows} --roles {data}/roles --out run \
             --steps 4 --batch 2 --context 256 --threads 1"
        ),
    )?;

    let mut sizes = Vec::new();
    for kind in ["F32", "F16", "Q8_0", "Q4_0"] {
        let file = format!("{kind}.gguf");
        succeed("export", at, &format!("gguf --model run --type {kind} --out {file} --name tiny"))?;
        sizes.push(std::fs::metadata(at.join(&file))?.len());
        let arguments = format!(
            "--model {file} --roles {data}/roles --role alice --prompt Hello --temperature 0 --max-tokens 5 --json"
        );
        let outcome: Value = serde_json::from_str(&succeed("chat", at, &arguments)?)?;
        for field in ["text", "prompt_tokens", "tokens", "load_ms", "prefill_ms", "decode_ms"] {
            ensure!(!outcome[field].is_null(), "{kind}: no {field} in {outcome}");
        }
        ensure!(outcome["prompt_tokens"].as_u64() > Some(50), "{kind}: the role's instruction is missing: {outcome}");
    }
    ensure!(sizes.is_sorted_by(|a, b| a > b), "fewer bits must give smaller files: {sizes:?}");

    let test = format!("{data}/rolebench-eng/role_specific/test.jsonl");
    let run = format!("run --model Q8_0.gguf --roles {data}/roles --data {test} --limit 3 --max-tokens 8 --out scored");
    succeed("evaluate", at, &run)?;
    let predictions = std::fs::read_to_string(at.join("scored/predictions.jsonl"))?;
    ensure!(predictions.lines().count() == 3, "3 rows were asked for:\n{predictions}");
    let score =
        format!("score --data {test} --predictions scored/predictions.jsonl --rule rouge-l/f1 --language en --json");
    let report: Value = serde_json::from_str(&succeed("evaluate", at, &score)?)?;
    ensure!(report["rule"] == "rouge-l/f1" && report["mean"].is_number(), "no score: {report}");
    Ok(())
}

#[test]
fn export_names_what_is_wrong_with_a_checkpoint() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let refuse = |words: &str| -> Result<()> {
        let output = tests::run("export", at, "gguf --model . --type Q8_0 --out model.gguf")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2) && errors.contains(words), "wanted {words:?}:\n{errors}");
        ensure!(!at.join("model.gguf").exists(), "a file was left behind");
        Ok(())
    };
    refuse("config.json")?;
    std::fs::write(at.join("config.json"), r#"{"model_type": "mamba"}"#)?;
    refuse("mamba")?;
    std::fs::write(at.join("config.json"), TINY)?;
    refuse("model.safetensors")
}
