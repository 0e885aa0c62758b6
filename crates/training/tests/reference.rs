//! Bases and adapters of transformers and PEFT: the logits, the loss and the gradients that PyTorch computes.
//! The fixtures are made by reference/reference.py.

use checkpoint::{Adapter, Base};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::fs;
use std::path::{Path, PathBuf};
use training::base::read_model;
use training::lora::LoraMap;
use training::model::{IGNORE, LoraPass, Pack, Parameters, Workspace};
use training::rocit::{LoraTrainer, TrainerOptions};

const NAMES: [&str; 7] = ["llama", "llama3", "qwen2", "qwen3", "glm", "glm4", "chatglm"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name)
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(view.dtype(), Dtype::F32);
    view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn ids(file: &SafeTensors<'_>, name: &str) -> Vec<i32> {
    let data = file.tensor(name).unwrap().data().to_vec();
    data.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The document that PyTorch was given; its 64 positions are those of the bases.
fn pack(file: &SafeTensors<'_>) -> Pack {
    let mut pack = Pack::default();
    let targets = ids(file, "targets").into_iter().map(|t| u32::try_from(t).unwrap_or(IGNORE));
    pack.push(ids(file, "tokens").into_iter().map(|t| t as u32), targets);
    pack
}

fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max)
}

/// The base of a fixture under the adapter of a folder.
fn trainer(name: &str, adapter: &Path) -> LoraTrainer {
    let (model, weights) = read_model(&Base::open(&folder(name)).unwrap(), 64).unwrap();
    let adapter = Adapter::read(adapter, &model.shape).unwrap();
    let targets = adapter.matrices.iter().map(|matrix| matrix.target.clone()).collect();
    let map = LoraMap::new(&model.shape, &adapter.config, targets);
    let values = map.values_of(&adapter);
    let options = TrainerOptions { dropout: 0.0, seed: 0, recompute: false, at_once: 64, threads: 1 };
    LoraTrainer::new(model, weights, map, values, options)
}

fn logits(trainer: &LoraTrainer, pack: &Pack, with_adapter: bool) -> Vec<f32> {
    let lora = LoraPass { map: &trainer.map, values: &trainer.values, dropout: None };
    let p = Parameters { weights: &trainer.weights, lora: with_adapter.then_some(lora) };
    trainer.model.logits(&p, &mut Workspace::default(), pack)
}

#[test]
fn logits_loss_and_gradients_are_those_of_pytorch() {
    for name in NAMES {
        let bytes = fs::read(folder(name).join("expected.safetensors")).unwrap();
        let expected = SafeTensors::deserialize(&bytes).unwrap();
        let mut trainer = trainer(name, &folder(name).join("adapter"));
        let pack = pack(&expected);
        let base = worst(&logits(&trainer, &pack, false), &floats(&expected, "base_logits"));
        assert!(base <= 1e-4, "{name}: logits of the base differ by {base:.1e}");
        let tuned = worst(&logits(&trainer, &pack, true), &floats(&expected, "logits"));
        assert!(tuned <= 1e-4, "{name}: logits under the adapter differ by {tuned:.1e}");

        let report = trainer.gradient(std::slice::from_ref(&pack));
        let loss = (report.loss - f64::from(floats(&expected, "loss")[0])).abs();
        assert!(loss <= 1e-5, "{name}: the loss differs by {loss:.1e}");
        let gradient = trainer.last_gradient();
        let mut compared = 0;
        for slot in &trainer.map.slots {
            for (half, range) in [("A", &slot.a), ("B", &slot.b)] {
                let key = format!("base_model.model.{}.lora_{half}.weight", slot.target.module());
                let theirs = floats(&expected, &key);
                let norm = theirs.iter().map(|v| v * v).sum::<f32>().sqrt();
                let difference: f32 = gradient[range.clone()].iter().zip(&theirs).map(|(f, e)| (f - e).powi(2)).sum();
                let error = difference.sqrt() / norm;
                assert!(error <= 1e-3, "{name} {key}: relative error {error:.1e}");
                compared += 1;
            }
        }
        let theirs = expected.names().into_iter().filter(|name| name.contains("lora_")).count();
        assert_eq!(compared, theirs, "{name}: not every gradient was compared");
    }
}

/// Writes adapters of our own for `reference.py check`, which loads them into PEFT, and checks what comes back.
#[test]
fn a_written_adapter_is_read_back_unchanged() {
    let given = std::env::var_os("ADAPTERS_DIR").map(PathBuf::from);
    let temporary = tempfile::tempdir().unwrap();
    for name in NAMES {
        let out = given.as_deref().unwrap_or(temporary.path()).join(name);
        let (shape, bytes) = {
            let trainer = trainer(name, &folder(name).join("adapter"));
            (trainer.model.shape, fs::read(folder(name).join("expected.safetensors")).unwrap())
        };
        let mut adapter = Adapter::read(&folder(name).join("adapter"), &shape).unwrap();
        for (i, matrix) in adapter.matrices.iter_mut().enumerate() {
            matrix.a.iter_mut().chain(&mut matrix.b).enumerate().for_each(|(j, v)| *v += (i + j) as f32 % 7.0 * 0.02);
        }
        adapter.write(&out.join("ours")).unwrap();
        assert_eq!(Adapter::read(&out.join("ours"), &shape).unwrap(), adapter);
        let pack = pack(&SafeTensors::deserialize(&bytes).unwrap());
        let logits = logits(&trainer(name, &out.join("ours")), &pack, true);
        let tokens: Vec<u8> = pack.tokens.iter().flat_map(|&t| (t as i32).to_le_bytes()).collect();
        let values: Vec<u8> = logits.iter().flat_map(|v| v.to_le_bytes()).collect();
        let views = [
            ("tokens", TensorView::new(Dtype::I32, vec![pack.tokens.len()], &tokens).unwrap()),
            ("logits", TensorView::new(Dtype::F32, vec![pack.tokens.len(), shape.vocab_size], &values).unwrap()),
        ];
        safetensors::serialize_to_file(views, None, &out.join("ours.safetensors")).unwrap();
    }
}
