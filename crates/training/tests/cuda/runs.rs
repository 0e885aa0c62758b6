//! Whole runs: stopping and going on, on the same device or on another one.

use crate::common::{model_of, tiny_config};
use crate::emulator::{Build, compile_with};
use clap::Parser;
use safetensors::SafeTensors;
use std::fs;
use std::path::Path;
use std::process::Command;
use training::config::ModelConfig;
use training::cuda::driver::Element;
use training::placement::{Place, Precision};
use training::rocit::{RocitOptions, rocit_at};
use training::tokenizer::Tokenizer;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    rocit: RocitOptions,
}

fn set_up(folder: &Path) {
    let texts: Vec<String> = (0..40).map(|i| format!("The {i} ships sail to the island of gold.")).collect();
    let tokenizer = Tokenizer::train(&texts, 280).unwrap();
    tokenizer.save(&folder.join("base")).unwrap();
    let config = ModelConfig { vocab_size: tokenizer.vocab_size(), ..tiny_config(true) };
    fs::write(folder.join("base/config.json"), serde_json::to_string(&config).unwrap()).unwrap();
    let (model, weights) = model_of(config.shape());
    model.map.save(&weights, &folder.join("base/model.safetensors")).unwrap();
    let chat = |i: usize| {
        serde_json::json!({ "messages": [
            { "role": "system", "content": "You are a pirate." },
            { "role": "user", "content": format!("Ship {i}?") },
            { "role": "assistant", "content": "Gold!" },
        ]})
        .to_string()
    };
    fs::write(folder.join("data.jsonl"), (0..12).map(chat).collect::<Vec<_>>().join("\n")).unwrap();
}

fn train(folder: &Path, out: &str, stop_at: u64, place: Place) {
    let [base, data, out] = ["base", "data.jsonl", out].map(|name| folder.join(name).display().to_string());
    let fixed = "train --steps 4 --batch 1 --max-length 128 --rank 2 --held-out 0.1 --samples 1 --threads 1";
    let stop_at = stop_at.to_string();
    let named = ["--base", &base, "--data", &data, "--out", &out, "--stop-at", &stop_at];
    let arguments = Arguments::parse_from(fixed.split(' ').chain(named));
    rocit_at(&arguments.rocit, place).unwrap();
}

fn gpu(values: Element) -> Place {
    let precision = if values == Element::F32 { Precision::F32 } else { Precision::Bf16 };
    Place::Cuda { driver: crate::driver(values), precision, tokens_at_once: 256 }
}

/// A buffer of the checkpoint.
fn saved(folder: &Path, out: &str, name: &str) -> Vec<f32> {
    let bytes = fs::read(folder.join(out).join("checkpoint/state.safetensors")).unwrap();
    let data = SafeTensors::deserialize(&bytes).unwrap().tensor(name).unwrap().data().to_vec();
    data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn a_stopped_run_goes_on_to_the_very_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    set_up(folder);
    train(folder, "whole", 4, gpu(Element::Bf16));
    train(folder, "stopped", 2, gpu(Element::Bf16));
    assert_ne!(saved(folder, "whole", "values"), saved(folder, "stopped", "values"));
    train(folder, "stopped", 4, gpu(Element::Bf16));
    for name in ["values", "first", "second"] {
        assert_eq!(saved(folder, "whole", name), saved(folder, "stopped", name), "{name}");
    }
    let record = fs::read_to_string(folder.join("whole/train.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!((&record["arguments"]["device"], &record["arguments"]["precision"]), (&"cuda".into(), &"bf16".into()));
}

#[test]
fn a_run_goes_on_on_another_device() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    set_up(folder);
    train(folder, "run", 2, gpu(Element::F32));
    train(folder, "run", 4, Place::Cpu);
    train(folder, "back", 2, Place::Cpu);
    train(folder, "back", 4, gpu(Element::F32));
    let error = crate::relative_error(&saved(folder, "run", "values"), &saved(folder, "back", "values"));
    assert!(error < 1e-3, "{error:.1e}");
}

/// The program itself, with libraries that stand in for NVIDIA's.
#[test]
fn the_program_trains_with_the_libraries_that_it_finds() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    set_up(folder);
    let run = |out: &str, more: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        command.args("rocit --base base --data data.jsonl --threads 1 --steps 4 --batch 1 --rank 2".split(' '));
        command.args("--max-length 128 --held-out 0.1 --samples 1".split(' '));
        command.args(["--out", out]).args(more.split(' ')).current_dir(folder);
        let output = command.env("LD_LIBRARY_PATH", folder).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        text
    };
    run("cpu", "--device cpu");
    for (values, precision, tolerance) in [(Element::F32, "f32", 1e-3), (Element::Bf16, "bf16", 0.1)] {
        let libraries = ["libcuda.so", "libnvrtc.so", "libcublas.so"].map(|name| folder.join(name));
        compile_with(Build::of(values), include_str!("libraries.cpp"), &libraries[0]);
        for library in &libraries[1..] {
            fs::copy(&libraries[0], library).unwrap();
        }
        let text = run(precision, &format!("--device cuda --precision {precision}"));
        assert!(text.contains("stand-in 40"), "{text}");
        let error = crate::relative_error(&saved(folder, precision, "values"), &saved(folder, "cpu", "values"));
        assert!(error < tolerance, "{precision}: {error:.1e}");
    }
    // SAFETY: a library's own initialisers.
    if unsafe { libloading::Library::new("libcublas.so") }.is_ok() {
        eprintln!("skipped: what a missing library gives; this machine has all of them");
        return;
    }
    fs::remove_file(folder.join("libcublas.so")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_train"))
        .args("rocit --base base --data data.jsonl --out none --device cuda".split(' '))
        .current_dir(folder)
        .env("LD_LIBRARY_PATH", folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("libcublas") && text.contains("LD_LIBRARY_PATH"), "{text}");
}
