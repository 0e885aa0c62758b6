//! Whole runs: learning, stopping and going on, and what other programs make of the folder.

mod common;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};
use checkpoint::Weights;
use common::{model_of, pack, tiny_config, tiny_model};
use std::fs;
use std::path::Path;
use training::Error;
use training::config::ModelConfig;
use training::model::{Model, Pack, Parameters, Workspace};
use training::optimizer::{Optimizer, Trainer, UpdateRule};
use training::placement::Placement;
use training::pretrain::{PretrainOptions, pretrain};
use training::tokenizer::Tokenizer;

const ADAMW: UpdateRule =
    UpdateRule { optimizer: Optimizer::Adamw, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.0, clip: 1.0 };
const MUON: UpdateRule = UpdateRule { optimizer: Optimizer::Muon, ..ADAMW };

#[test]
fn one_batch_is_learnt_by_heart() {
    for rule in [ADAMW, MUON] {
        let (model, weights) = tiny_model(true);
        let rows = [pack(50, 1)];
        let mut trainer = Trainer::new(model, weights, 1);
        let losses: Vec<f64> = (0..400).map(|_| trainer.train(&rows, rule, 1e-2).loss).collect();
        assert!(losses[0] > 3.0 && losses[399] < 0.05, "{:?}: {} to {}", rule.optimizer, losses[0], losses[399]);
    }
}

#[test]
fn threads_share_a_batch_without_changing_the_loss() {
    let (model, weights) = tiny_model(true);
    let rows: Vec<Pack> = (0..5).map(|seed| pack(50, seed)).collect();
    let mut alone = Trainer::new(model.clone(), weights.clone(), 1);
    let mut three = Trainer::new(model, weights, 3);
    for _ in 0..3 {
        let (a, b) = (alone.train(&rows, ADAMW, 1e-3), three.train(&rows, ADAMW, 1e-3));
        assert!((a.loss - b.loss).abs() < 1e-4, "{} {}", a.loss, b.loss);
        assert!((a.gradient_norm / b.gradient_norm - 1.0).abs() < 1e-3);
    }
}

#[test]
fn a_thread_without_a_row_helps_with_the_products_and_changes_no_bit() {
    let wide = ModelConfig { hidden_size: 128, intermediate_size: 512, head_dim: Some(32), ..tiny_config(true) };
    let (model, weights) = model_of(wide.shape());
    let rows = [pack(50, 1)];
    let trained = |threads: usize| {
        let mut trainer = Trainer::new(model.clone(), weights.clone(), threads);
        (0..3).for_each(|_| _ = trainer.train(&rows, ADAMW, 1e-3));
        trainer.weights
    };
    assert!(trained(1) == trained(3));
}

/// A folder with data, tokenizer, a role and a tiny shape; options that train on them.
fn set_up(folder: &Path) -> PretrainOptions {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    };
    let texts: Vec<String> = (0..60).map(|i| format!("The {i} monkeys went to the west and saw {i} clouds.")).collect();
    let lines: Vec<String> = texts.iter().map(|t| serde_json::json!({ "text": t }).to_string()).collect();
    write("text.jsonl", &lines.join("\n"));
    let rows: Vec<String> = (0..20)
        .map(|i| serde_json::json!({ "role": "Monkey", "question": format!("Who are you, {i}?"), "generated": ["I am!", "Ha!"] }))
        .map(|row| row.to_string())
        .collect();
    write("rows.jsonl", &rows.join("\n"));
    write(
        "roles/monkey/role.json",
        r#"{"id": "monkey", "name": "Monkey", "language": "en", "description": "You are Monkey."}"#,
    );
    let exchanges: Vec<String> =
        (0..8).map(|i| serde_json::json!({ "user": format!("Cloud {i}?"), "reply": "Away!" }).to_string()).collect();
    write("roles/monkey/dialogue.jsonl", &exchanges.join("\n"));
    let tokenizer = Tokenizer::train(&texts, 300).unwrap();
    tokenizer.save(&folder.join("tokenizer")).unwrap();
    write("config.json", &serde_json::to_string(&tiny_config(true)).unwrap());
    let source = |name: &str, weight: f64| format!("{}:{weight}", folder.join(name).display()).parse().unwrap();
    PretrainOptions {
        config: Some(folder.join("config.json")),
        preset: String::new(),
        init: None,
        tokenizer: folder.join("tokenizer"),
        data: vec![source("text.jsonl", 2.0), source("rows.jsonl", 1.0), "roles".parse().unwrap()],
        roles: Some(folder.join("roles")),
        out: folder.join("run"),
        steps: 10,
        stop_at: None,
        batch: 4,
        optimizer: Optimizer::Muon,
        context: 150,
        lr: 1e-2,
        warmup: 2,
        min_lr_ratio: 0.1,
        weight_decay: 0.1,
        clip: 1.0,
        seed: 5,
        held_out: 0.1,
        eval_every: 5,
        checkpoint_every: 3,
        threads: 2,
        placement: Placement::default(),
    }
}

/// `metrics.jsonl` without the speeds.
fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let mut lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("tokens_per_second");
    }
    lines
}

#[test]
fn a_continued_run_equals_an_uninterrupted_one_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let options = set_up(folder.path());
    let straight = pretrain(&options).unwrap();
    let stopped = PretrainOptions { out: folder.path().join("stopped"), ..options.clone() };
    pretrain(&PretrainOptions { stop_at: Some(5), ..stopped.clone() }).unwrap();
    // What a killed process leaves behind its last checkpoint.
    let path = stopped.out.join("metrics.jsonl");
    let left = fs::read_to_string(&path).unwrap() + "{\"step\": 6, \"loss\": 1}\n{\"step\": 7, \"lo";
    fs::write(&path, left).unwrap();
    let continued = pretrain(&stopped).unwrap();
    assert_eq!(continued, straight);
    for file in ["model.safetensors", "checkpoint/state.safetensors"] {
        let [a, b] = [&options.out, &stopped.out].map(|run| fs::read(run.join(file)).unwrap());
        assert!(a == b, "{file} differs");
    }
    assert_eq!(metrics(&options.out), metrics(&stopped.out));
    assert!(straight.held_out.len() == 3 && straight.held_out.values().all(|l| l.is_finite()), "{straight:?}");
}

#[test]
fn a_run_is_not_continued_with_other_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let options = PretrainOptions { stop_at: Some(2), ..set_up(folder.path()) };
    pretrain(&options).unwrap();
    let error = pretrain(&PretrainOptions { batch: 3, ..options.clone() }).unwrap_err();
    assert!(matches!(&error, Error::Resume { argument, .. } if argument == "--batch"), "{error}");
    fs::write(folder.path().join("text.jsonl"), "{\"text\": \"Other words.\"}\n{\"text\": \"More words.\"}").unwrap();
    let error = pretrain(&options).unwrap_err();
    assert!(error.to_string().contains("--data"), "{error}");
}

#[test]
fn a_run_may_start_from_another_runs_model() {
    let folder = tempfile::tempdir().unwrap();
    let options = set_up(folder.path());
    let first = pretrain(&options).unwrap();
    let second = pretrain(&PretrainOptions {
        config: None,
        init: Some(options.out.clone()),
        out: folder.path().join("second"),
        ..options
    })
    .unwrap();
    assert!(second.loss < first.loss, "{} then {}", first.loss, second.loss);
}

#[test]
fn chats_whose_answers_lie_beyond_the_context_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = pretrain(&PretrainOptions { context: 40, ..set_up(folder.path()) }).unwrap_err().to_string();
    assert!(error.contains("no document to train on within 40 tokens") && error.ends_with("rows.jsonl"), "{error}");
}

#[test]
fn bad_data_is_named_by_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let options = set_up(folder.path());
    fs::write(folder.path().join("text.jsonl"), "{\"text\": \"fine\"}\n{\"words\": 1}\n").unwrap();
    let error = pretrain(&options).unwrap_err().to_string();
    assert!(error.starts_with("line 2: ") && error.ends_with("text.jsonl"), "{error}");
    fs::write(folder.path().join("text.jsonl"), "").unwrap();
    let error = pretrain(&options).unwrap_err().to_string();
    assert!(error.contains("no document to train on"), "{error}");
}

#[test]
fn the_saved_folder_gives_the_same_logits_in_candle_transformers() {
    let folder = tempfile::tempdir().unwrap();
    let options = set_up(folder.path());
    pretrain(&options).unwrap();
    let config = fs::read_to_string(options.out.join("config.json")).unwrap();
    let weights_path = options.out.join("model.safetensors");
    let model = Model::new(serde_json::from_str::<ModelConfig>(&config).unwrap().shape());
    let weights = model.map.load(&Weights::open(&options.out).unwrap()).unwrap();
    let tokens: Vec<u32> = (0..40).map(|i| i * 7 % 260).collect();
    let mut pack = Pack::default();
    pack.push(tokens.clone(), tokens.clone());
    let found = model.logits(&Parameters::base(&weights), &mut Workspace::default(), &pack);

    let config = serde_json::from_str::<LlamaConfig>(&config).unwrap().into_config(false);
    let tensors = candle_core::safetensors::load(&weights_path, &Device::Cpu).unwrap();
    let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let llama = Llama::load(builder, &config).unwrap();
    // It gives the logits of the last position only.
    for end in [1, 7, 40] {
        let mut cache = Cache::new(false, DType::F32, &config, &Device::Cpu).unwrap();
        let ids = Tensor::new(&tokens[..end], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let expected = llama.forward(&ids, 0, &mut cache).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let found = &found[(end - 1) * expected.len()..end * expected.len()];
        let worst = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-4, "after {end} tokens: {worst}");
    }
}

#[test]
fn muons_update_is_nearly_orthogonal_and_of_adamws_size() {
    let (rows, columns) = (12, 30);
    let gradient: Vec<f32> = (0..rows * columns).map(|i| ((i * i * 31 + i * 7) % 101) as f32 / 50.0 - 1.0).collect();
    let transposed: Vec<f32> = (0..rows * columns).map(|i| gradient[i % rows * columns + i / rows]).collect();
    let update = |gradient: &[f32], shape: [usize; 2]| {
        let (mut weights, mut momentum) = (vec![0.0; gradient.len()], vec![0.0; gradient.len()]);
        training::muon::update(&mut weights, &mut momentum, gradient, shape, 1.0, 0.0);
        weights
    };
    let found = update(&gradient, [rows, columns]);
    // Singular values near 1 times 0.2 * sqrt(30): the rows are nearly orthogonal and of that length.
    let length = 0.2 * (columns as f32).sqrt();
    for a in 0..rows {
        for b in 0..rows {
            let product: f32 = (0..columns).map(|i| found[a * columns + i] * found[b * columns + i]).sum();
            let cosine = product / (length * length);
            let expected = if a == b { 0.4..1.6 } else { -0.4..0.4 };
            assert!(expected.contains(&cosine), "rows {a} and {b}: {cosine}");
        }
    }
    let other = update(&transposed, [columns, rows]);
    for (i, value) in other.iter().enumerate() {
        assert!((value - found[i % rows * columns + i / rows]).abs() < 1e-4, "the transpose has the transposed update");
    }
}
