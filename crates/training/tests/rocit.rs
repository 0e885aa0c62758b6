//! LoRA runs by the real program: learning, being killed and going on, refusing what makes no sense.

mod common;

use checkpoint::{Adapter, AdapterConfig, Base, Targets, Weights, read_shape};
use common::{model_of, tiny_config};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use training::base::{ChatEncoder, Layout, read_model};
use training::config::ModelConfig;
use training::document::Encoder;
use training::lora::LoraMap;
use training::model::Pack;
use training::optimizer::{Optimizer, UpdateRule};
use training::rocit::{LoraTrainer, TrainerOptions};
use training::tokenizer::Tokenizer;

/// A folder with a tiny base, and questions that two roles answer differently.
fn set_up(folder: &Path) {
    let base = folder.join("base");
    let texts: Vec<String> = (0..80).map(|i| format!("The {i} ships sail to the island of gold and song.")).collect();
    let tokenizer = Tokenizer::train(&texts, 300).unwrap();
    tokenizer.save(&base).unwrap();
    let config = ModelConfig {
        vocab_size: tokenizer.vocab_size(),
        max_position_embeddings: 256,
        initializer_range: 0.1,
        ..tiny_config(true)
    };
    fs::write(base.join("config.json"), serde_json::to_string(&config).unwrap()).unwrap();
    let (model, weights) = model_of(config.shape());
    model.map.save(&weights, &base.join("model.safetensors")).unwrap();
    let line = |i: usize| {
        serde_json::json!({ "messages": [
            { "role": "system", "content": if i.is_multiple_of(2) { "You are a pirate." } else { "You are a poet." } },
            { "role": "user", "content": format!("Where is ship {i}?") },
            { "role": "assistant", "content": if i.is_multiple_of(2) { "Ahoy, gold!" } else { "In a song." } },
        ]})
        .to_string()
    };
    fs::write(folder.join("data.jsonl"), (0..40).map(line).collect::<Vec<_>>().join("\n")).unwrap();
}

fn command(folder: &Path, out: &str, more: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.current_dir(folder);
    command.args(["rocit", "--base", "base", "--data", "data.jsonl", "--out", out, "--threads", "2"]);
    command.args(["--rank", "4", "--lr", "1e-2", "--warmup", "2", "--held-out", "0.1"]);
    if !more.contains("--max-length") {
        command.args(["--max-length", "96"]);
    }
    command.args(more.split_whitespace());
    command
}

fn run(folder: &Path, out: &str, more: &str) -> Output {
    command(folder, out, more).output().unwrap()
}

fn succeed(folder: &Path, out: &str, more: &str) {
    let output = run(folder, out, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_killed_run_goes_on_to_the_very_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    set_up(at);
    let more = "--steps 60 --checkpoint-every 5 --eval-every 10 --dropout 0.1 --recompute";
    succeed(at, "whole", more);
    // Killed again and again, each time a little later, wherever it stands.
    let mut patience = Duration::from_millis(80);
    let mut kills = 0;
    loop {
        let mut child = command(at, "killed", more).spawn().unwrap();
        let started = Instant::now();
        let ended = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if started.elapsed() > patience => break None,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        match ended {
            Some(status) => {
                assert!(status.success());
                break;
            }
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
                patience += Duration::from_millis(60);
            }
        }
    }
    assert!(kills > 0, "the run was never killed");
    for file in ["adapter/adapter_model.safetensors", "best/adapter_model.safetensors", "checkpoint/state.safetensors"]
    {
        let [whole, killed] = ["whole", "killed"].map(|run| fs::read(at.join(run).join(file)).unwrap());
        assert!(whole == killed, "{file} differs after {kills} kills");
    }
    let samples = ["whole", "killed"].map(|run| fs::read_to_string(at.join(run).join("samples.jsonl")).unwrap());
    assert!(samples[0] == samples[1] && !samples[0].is_empty(), "samples.jsonl differs after {kills} kills");
    for file in
        ["train.json", "metrics.jsonl", "loss.svg", "adapter/adapter_config.json", "adapter/chat_template.jinja"]
    {
        assert!(at.join("whole").join(file).is_file(), "{file} is missing");
    }
}

#[test]
fn one_batch_is_learnt_by_heart() {
    let (model, mut weights) = model_of(tiny_config(true).shape());
    // The frozen head of so narrow a model cannot be sure of anything.
    weights[model.map.head.clone()].iter_mut().for_each(|weight| *weight *= 3.0);
    let config =
        AdapterConfig { r: 16, lora_alpha: 32.0, lora_dropout: 0.0, use_rslora: false, base_model_name_or_path: None };
    let map = LoraMap::new(&model.shape, &config, Targets::All.of(&model.shape).unwrap());
    let values = map.initialize(1);
    let options = TrainerOptions { dropout: 0.0, seed: 1, recompute: false, at_once: 512, threads: 1 };
    let mut trainer = LoraTrainer::new(model, weights.clone(), map, values, options);
    let mut row = Pack::default();
    row.push(0..20, (0..20).map(|i| i * i * 7 % 50));
    let rule = UpdateRule { optimizer: Optimizer::Adamw, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, clip: 1.0 };
    let losses: Vec<f64> =
        (0..400).map(|_| trainer.train(std::slice::from_ref(&row), rule, 5e-3).unwrap().loss).collect();
    assert!(losses[0] > 3.0 && losses[399] < 0.05, "{} to {}", losses[0], losses[399]);
    assert_eq!(trainer.weights, weights, "the base must stay as it is");
}

#[test]
fn a_run_teaches_answers_and_its_adapter_can_be_read_and_trained_further() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    set_up(at);
    succeed(at, "run", "--steps 40 --checkpoint-every 0 --targets q_proj v_proj down_proj");
    let metrics = fs::read_to_string(at.join("run/metrics.jsonl")).unwrap();
    let losses: Vec<f64> = metrics
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64())
        .collect();
    assert!(losses.len() == 40 && losses[39] < 0.5 * losses[0], "{losses:?}");
    let samples = fs::read_to_string(at.join("run/samples.jsonl")).unwrap();
    let sample: serde_json::Value = serde_json::from_str(samples.lines().last().unwrap()).unwrap();
    let known = sample["reference"] == "Ahoy, gold!" || sample["reference"] == "In a song.";
    assert!(known, "{sample}");
    let number = sample["question"].as_str().unwrap().strip_prefix("Where is ship ").and_then(|n| n.strip_suffix('?'));
    assert!(number.is_some_and(|n| n.parse::<u32>().is_ok()), "the question as the user asks it: {sample}");
    assert!(sample["rule"] == "rouge-l/f1" && sample["rouge_l"].as_f64().unwrap() > 0.5, "{sample}");
    assert!(metrics.lines().last().unwrap().contains("sample_rouge_l"), "{metrics}");
    let shape = read_shape(&at.join("base/config.json")).unwrap();
    let adapter = Adapter::read(&at.join("run/adapter"), &shape).unwrap();
    assert_eq!(adapter.matrices.len(), 2 * 3);
    succeed(at, "further", "--steps 3 --samples 0");
    assert_eq!(fs::read_to_string(at.join("further/samples.jsonl")).unwrap(), "");
    let output = Command::new(env!("CARGO_BIN_EXE_train"))
        .current_dir(at)
        .args("rocit --base base --data data.jsonl --out again --steps 1 --max-length 96 --init run/adapter".split(' '))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let first = fs::read_to_string(at.join("again/metrics.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert!(first["loss"].as_f64().unwrap() < losses[0], "the adapter's knowledge is lost");
}

#[test]
fn only_answers_are_trained_in_both_layouts() {
    let folder = tempfile::tempdir().unwrap();
    set_up(folder.path());
    let base = folder.path().join("base");
    for layout in [Layout::Rocit, Layout::Chat] {
        let encoder = ChatEncoder::read(&Base::open(&base).unwrap(), layout).unwrap();
        let message = |speaker, text: &str| roles::Message::new(speaker, text);
        let messages = [
            message(roles::Speaker::System, "You are a pirate."),
            message(roles::Speaker::User, "Where is the gold?"),
            message(roles::Speaker::Assistant, "On the island."),
            message(roles::Speaker::User, "</s> Which?"),
            message(roles::Speaker::Assistant, "Of song."),
        ];
        let document = encoder.chat(&messages).unwrap();
        let trained: Vec<u32> =
            (0..document.tokens.len()).filter(|&i| document.trained[i]).map(|i| document.tokens[i]).collect();
        let ends = trained.iter().filter(|&&token| Some(token) == encoder.tokenizer().eos()).count();
        assert_eq!(ends, 2, "each answer ends once, and what a person spells is no end");
        let words: Vec<u32> = trained.into_iter().filter(|&t| Some(t) != encoder.tokenizer().eos()).collect();
        assert_eq!(encoder.tokenizer().decode(&words), "On the island.Of song.");
        assert!(document.prefix > 0 && document.prefix < document.tokens.len() / 2);
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    set_up(at);
    fs::write(at.join("empty.jsonl"), "").unwrap();
    let refuse = |more: &str, words: &str| {
        let output = run(at, "refused", more);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(words), "wanted {words:?}:\n{errors}");
        assert!(!at.join("refused").exists(), "a folder was left behind");
    };
    refuse("--steps 1 --targets q_proj k_prj", "k_prj");
    refuse("--steps 1 --data empty.jsonl", "empty.jsonl");
    refuse("--steps 1 --data missing.jsonl", "missing.jsonl");
    refuse("--steps 1 --max-length 100000", "max_position_embeddings");
    refuse("--steps 1 --max-length 4", "no document");
    refuse("--steps 0", "--steps");
    succeed(at, "run", "--steps 2");
    let output = run(at, "run", "--steps 2 --alpha 3");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--alpha"));

    // An adapter of another base.
    let wider = ModelConfig { intermediate_size: 60, ..tiny_config(true) };
    let error = Adapter::read(&at.join("run/adapter"), &wider.shape()).unwrap_err().to_string();
    assert!(error.contains("does not fit the base"), "{error}");

    // A damaged weight file.
    let weights = at.join("base/model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    assert!(Weights::open(&at.join("base")).is_err());
    assert!(
        read_model(&Base::open(&at.join("base")).unwrap(), 96).unwrap_err().to_string().contains("model.safetensors")
    );
}

#[test]
fn a_gpu_that_is_not_there_is_refused_with_the_remedy() {
    #[cfg(feature = "cuda")]
    if training::cuda::Nvidia::open(training::cuda::driver::Element::F32).is_ok() {
        eprintln!("skipped: there is a GPU");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    set_up(folder.path());
    let remedy = if cfg!(feature = "cuda") { "--device cuda" } else { "--features cuda" };
    for (more, word) in [("--device cuda", remedy), ("--precision bf16", "--precision bf16 needs --device cuda")] {
        let output = run(folder.path(), "out", more);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with("error: ") && text.contains(word), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!folder.path().join("out").exists());
    }
    let output = run(folder.path(), "out", "--device auto --steps 1");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let record = fs::read_to_string(folder.path().join("out/train.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!((&record["arguments"]["device"], &record["arguments"]["precision"]), (&"cpu".into(), &"f32".into()));
}

#[test]
fn a_plan_has_the_data_and_the_loss_mask_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    set_up(at);
    let plan = |trainer: &str, out: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_train"))
            .current_dir(at)
            .args(["plan", "--for", trainer, "--base", "base", "--data", "data.jsonl", "--out", out])
            .args(["--max-length", "96", "--held-out", "0.1", "--targets", "q_proj", "v_proj"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    plan("torchrun", "torchrun");
    let rows = fs::read_to_string(at.join("torchrun/train.jsonl")).unwrap();
    let held_out = fs::read_to_string(at.join("torchrun/eval.jsonl")).unwrap();
    assert_eq!(rows.lines().count() + held_out.lines().count(), 40);
    let row: serde_json::Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    let trained: Vec<u32> = serde_json::from_value::<Vec<i64>>(row["labels"].clone())
        .unwrap()
        .into_iter()
        .filter_map(|label| u32::try_from(label).ok())
        .collect();
    let encoder = ChatEncoder::read(&Base::open(&at.join("base")).unwrap(), Layout::Rocit).unwrap();
    let said = encoder.tokenizer().decode(&trained);
    assert!(said.starts_with("Ahoy, gold!") || said.starts_with("In a song."), "{said:?}");
    assert!(at.join("torchrun/train.py").is_file());
    plan("axolotl", "axolotl");
    let config = fs::read_to_string(at.join("axolotl/axolotl.yaml")).unwrap();
    assert!(config.contains("lora_target_modules: [\"q_proj\",\"v_proj\"]"), "{config}");
    assert!(config.contains("### Instruction:"), "the layout is the template");
    plan("llamafactory", "llamafactory");
    assert!(at.join("llamafactory/dataset_info.json").is_file());
}

#[test]
fn a_plan_gives_each_source_its_share_of_the_tokens_by_its_weight() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    set_up(at);
    let longer = fs::read_to_string(at.join("data.jsonl")).unwrap().replace("Where is", "Over which sea sails");
    let longer = longer.lines().take(12).collect::<Vec<_>>().join("\n");
    fs::write(at.join("longer.jsonl"), longer).unwrap();
    let plan = |data: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_train"))
            .current_dir(at)
            .args(["plan", "--for", "torchrun", "--base", "base", "--out", "plan", "--held-out", "0", "--data"])
            .args(data)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let rows = fs::read_to_string(at.join("plan/train.jsonl")).unwrap();
        let length =
            |row: &str| serde_json::from_str::<serde_json::Value>(row).unwrap()["labels"].as_array().unwrap().len();
        (rows.lines().map(|row| (row.to_owned(), length(row))).collect::<Vec<_>>(), said)
    };
    let tokens = |rows: &[(String, usize)]| rows.iter().map(|(_, length)| length - 1).sum::<usize>() as f64;
    let [(all, _), (few, _)] = [plan(&["data.jsonl"]), plan(&["longer.jsonl"])];
    assert_eq!((all.len(), few.len()), (40, 12), "a source alone is written once");

    let (mixed, said) = plan(&["data.jsonl:1", "longer.jsonl:3"]);
    let (repeated, drawn): (Vec<_>, Vec<_>) = mixed.into_iter().partition(|row| few.contains(row));
    let total = tokens(&all) + tokens(&few);
    let near = |found: f64, wanted: f64| (found / wanted - 1.0).abs() < 0.05;
    assert!(near(tokens(&drawn), total / 4.0) && near(tokens(&repeated), total * 3.0 / 4.0), "{said}");
    assert!(drawn.len() < 40 && drawn.iter().all(|row| all.contains(row)), "{said}");
    let copies: Vec<usize> = few.iter().map(|row| repeated.iter().filter(|other| *other == row).count()).collect();
    assert!(
        copies.iter().all(|&n| n > 1) && copies.iter().max().unwrap() - copies.iter().min().unwrap() <= 1,
        "{copies:?}"
    );
    let line =
        format!("longer.jsonl: 75 % of the tokens by its weight: 12 chats in {} rows of train.jsonl", repeated.len());
    assert!(said.contains(&line), "{said}");
}
