//! A GGUF as a base is the very model of the folder that it was exported from.

mod common;

use checkpoint::{Adapter, Base};
use common::{NAMES, write_base};
use export::{GgufOptions, Source, Type, write_adapter, write_gguf};
use std::fs;
use std::path::{Path, PathBuf};
use training::base::read_model;
use training::lora::LoraMap;
use training::model::Pack;
use training::rocit::{LoraTrainer, TrainerOptions};

fn write(base: &Path, kind: Type, part_bytes: Option<u64>, out: &Path) -> PathBuf {
    let options = GgufOptions { kind, about: vec![], imatrix: None, part_bytes };
    write_gguf(&Source::open(base, None).unwrap(), &options, out).unwrap().files.pop().unwrap()
}

/// Loss and gradient of a step under the adapter in `adapter`.
fn step(base: &Path, adapter: &Path) -> (f64, Vec<f32>) {
    let base = Base::open(base).unwrap();
    let (model, weights) = read_model(&base, 64).unwrap();
    let adapter = Adapter::read(adapter, base.shape()).unwrap();
    let targets = adapter.matrices.iter().map(|matrix| matrix.target.clone()).collect();
    let map = LoraMap::new(&model.shape, &adapter.config, targets);
    let values = map.values_of(&adapter);
    let options = TrainerOptions { dropout: 0.0, seed: 0, recompute: false, at_once: 64, threads: 1 };
    let mut trainer = LoraTrainer::new(model, weights, map, values, options);
    let mut pack = Pack::default();
    pack.push((0..48).map(|i| i * 37 % 250), (1..49).map(|i| i * 37 % 250));
    let loss = trainer.gradient(&[pack]).loss;
    (loss, trainer.last_gradient().to_vec())
}

#[test]
fn a_step_on_a_gguf_has_the_loss_and_the_gradient_of_a_step_on_its_folder() {
    for name in NAMES {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        write_base(base, name);
        let whole = write(base, Type::F32, None, &base.join("whole.gguf"));
        // The last of several parts leads to all of them.
        let part = write(base, Type::F32, Some(500_000), &base.join("split.gguf"));
        assert!(part.to_str().unwrap().contains("-of-"), "{name}: not split");
        let adapter = base.join("adapter");
        let (loss, gradient) = step(base, &adapter);
        for gguf in [&whole, &part] {
            let (found, gradient_found) = step(gguf, &adapter);
            assert!((found - loss).abs() <= 1e-6, "{name}: {found} {loss}");
            let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
            let difference = gradient.iter().zip(&gradient_found).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
            assert!(difference <= 1e-5 * norm, "{name}: {difference} of {norm}");
        }
        let quantized = write(base, Type::Q8_0, None, &base.join("quantized.gguf"));
        assert!((step(&quantized, &adapter).0 - loss).abs() < 0.05, "{name}: quantized weights are other weights");
    }
}

#[test]
fn a_gguf_gives_the_files_that_its_folder_gives() {
    for name in NAMES {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        write_base(base, name);
        let gguf = write(base, Type::F32, None, &base.join("base.gguf"));
        let again = write(&gguf, Type::F32, None, &base.join("again.gguf"));
        assert!(fs::read(&gguf).unwrap() == fs::read(again).unwrap(), "{name}: model");
        let adapters = [base, gguf.as_path()].map(|base| {
            let (base, out) = (Base::open(base).unwrap(), base.with_extension("lora"));
            let adapter = Adapter::read(&folder.path().join("adapter"), base.shape()).unwrap();
            write_adapter(&adapter, base.shape(), candle_core::quantized::GgmlDType::F32, &[], &out).unwrap();
            fs::read(out).unwrap()
        });
        assert!(adapters[0] == adapters[1], "{name}: adapter");
        let vocabularies = [base, gguf.as_path()].map(|base| Base::open(base).unwrap().vocabulary().unwrap());
        let [folder, file] = vocabularies.map(|vocabulary| format!("{:?}", vocabulary.metadata()));
        assert_eq!(folder, file, "{name}");
    }
}

#[test]
fn a_gguf_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    write_base(base, "llama");
    let part = write(base, Type::F32, Some(500_000), &base.join("split.gguf"));
    let first = decoder::part_paths(&part).remove(0);
    fs::remove_file(&first).unwrap();
    let error = Base::open(&part).err().unwrap().to_string();
    assert!(error.contains(first.to_str().unwrap()), "{error}");
    let whole = write(base, Type::F32, None, &base.join("whole.gguf"));
    let merged = export::merge(&Source::open(&whole, Some(&base.join("adapter"))).unwrap(), &base.join("merged"));
    assert!(merged.unwrap_err().to_string().contains("whole.gguf"));
    assert!(!base.join("merged").exists());
    let bytes = fs::read(&whole).unwrap();
    fs::write(&whole, &bytes[..bytes.len() / 2]).unwrap();
    assert!(Base::open(&whole).err().unwrap().to_string().contains("whole.gguf"));
}
