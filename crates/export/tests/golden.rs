//! What llama.cpp writes with exported files, token by token: every type, split and whole, base and adapter.
//! The golden tokens come from golden/golden.py, over the very files that this test writes.

mod common;

use candle_core::quantized::GgmlDType;
use checkpoint::Adapter;
use common::{NAMES, write_base};
use decoder::{CacheType, Gguf, Session, load_threaded_with_adapters};
use export::{GgufOptions, Source, Type, compare, merge, write_adapter, write_gguf};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PROMPT: [u32; 10] = [0, 40, 77, 101, 35, 200, 91, 150, 7, 64];

fn options(kind: Type, part_bytes: Option<u64>) -> GgufOptions {
    GgufOptions { kind, about: vec![("name".into(), "tiny".into())], imatrix: None, part_bytes }
}

fn session(files: &[PathBuf], adapters: &[PathBuf], threads: usize) -> Session {
    let mut readers: Vec<File> = files.iter().map(|file| File::open(file).unwrap()).collect();
    let gguf = Gguf::read_parts(&mut readers).unwrap();
    let open = |files: &[PathBuf]| {
        let files = files.to_vec();
        move || files.iter().map(File::open).collect::<io::Result<Vec<_>>>()
    };
    let mut go_on = |_| ControlFlow::Continue(());
    let loaded = load_threaded_with_adapters(&gguf, open(files), open(adapters), threads, CacheType::F16, &mut go_on);
    let (weights, comm) = loaded.unwrap();
    Session::with_comm(Arc::new(weights), comm, 64, CacheType::F16)
}

/// Walks along llama.cpp's tokens: each must be the likeliest here, too. These models are random, and so the two
/// likeliest tokens are sometimes as good as one another: then it may be the other one, but not often.
fn assert_golden(session: &mut Session, golden: &[u32], what: &str) {
    session.truncate(0).unwrap();
    let mut next = PROMPT.to_vec();
    let mut ties = 0;
    for (place, &token) in golden.iter().enumerate() {
        let logits = session.forward(&next).unwrap();
        let (least, most) = logits.iter().fold((f32::MAX, f32::MIN), |(a, b), &l| (a.min(l), b.max(l)));
        let behind = (most - logits[token as usize]) / (most - least);
        assert!(behind < 0.02, "{what}: token {place} is {token} there, and {:.1} % behind here", 100.0 * behind);
        ties += usize::from(behind > 0.0);
        next = vec![token];
    }
    assert!(ties <= 2, "{what}: {ties} of {} tokens differ", golden.len());
}

/// All that is exported for a base, by name; kept where GOLDEN_DIR says so, for golden.py.
fn export_all(at: &Path, name: &str) -> BTreeMap<String, Vec<PathBuf>> {
    let base = at.join(name);
    let shape = write_base(&base, name);
    let source = Source::open(&base, None).unwrap();
    let mut files = BTreeMap::new();
    let few = [Type::F32, Type::Q8_0, Type::Q4_K_M, Type::Web];
    for (kind, label, _) in Type::ALL.into_iter().filter(|(kind, ..)| name == "llama" || few.contains(kind)) {
        let out = at.join(format!("{name}-{label}.gguf"));
        files.insert(label.to_owned(), write_gguf(&source, &options(kind, None), &out).unwrap().files);
    }
    let split =
        write_gguf(&source, &options(Type::F16, Some(500_000)), &at.join(format!("{name}-split.gguf"))).unwrap();
    assert!(split.files.len() > 2, "{:?}", split.files);
    files.insert("split".into(), split.files);
    let tuned = Source::open(&base, Some(&base.join("adapter"))).unwrap();
    let out = at.join(format!("{name}-merged.gguf"));
    files.insert("merged".into(), write_gguf(&tuned, &options(Type::F32, None), &out).unwrap().files);
    let adapter = Adapter::read(&base.join("adapter"), &shape).unwrap();
    let out = at.join(format!("{name}-adapter.gguf"));
    write_adapter(&adapter, &shape, GgmlDType::F16, &[], &out).unwrap();
    files.insert("adapter".into(), vec![out]);
    files
}

#[test]
fn llama_cpp_writes_the_same_tokens_with_every_export() {
    let temporary = tempfile::tempdir().unwrap();
    let given = std::env::var_os("GOLDEN_DIR").map(PathBuf::from);
    let at = given.as_deref().unwrap_or(temporary.path());
    let golden = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/golden.json"));
    let golden: BTreeMap<String, Vec<u32>> =
        golden.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default();
    for name in NAMES {
        let files = export_all(at, name);
        if given.is_some() {
            continue;
        }
        let adapter = &files["adapter"];
        for (label, paths) in files.iter().filter(|(label, _)| *label != "adapter") {
            let expected = &golden[&format!("{name}-{label}")];
            assert_golden(&mut session(paths, &[], 1), expected, &format!("{name} {label}"));
        }
        // The adapter is put on the quantized base and taken off again, between messages and over several threads.
        let (with, without) = (&golden[&format!("{name}-adapter")], &golden[&format!("{name}-Q8_0")]);
        assert_ne!(with, without, "{name}: the adapter must change the text");
        for threads in [1, 3] {
            let mut session = session(&files["Q8_0"], adapter, threads);
            assert_golden(&mut session, without, &format!("{name} before, {threads} threads"));
            session.use_adapter(Some(0)).unwrap();
            assert_golden(&mut session, with, &format!("{name} with the adapter, {threads} threads"));
            session.use_adapter(None).unwrap();
            assert_golden(&mut session, without, &format!("{name} after, {threads} threads"));
            assert!(session.use_adapter(Some(1)).is_err());
        }
    }
}

#[test]
fn an_adapter_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (llama, qwen) = (export_all(at, "llama3"), export_all(at, "qwen2"));
    let mut file = File::open(&llama["web"][0]).unwrap();
    let gguf = Gguf::read(&mut file).unwrap();
    let mut weights = decoder::Weights::load(&gguf, &mut file, &mut |_| ControlFlow::Continue(())).unwrap();
    for (path, words) in [(&qwen["adapter"][0], "qwen2"), (&llama["web"][0], "not a LoRA")] {
        let mut file = File::open(path).unwrap();
        let gguf = Gguf::read(&mut file).unwrap();
        let error = weights.add_adapter(&gguf, &mut file).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn merging_first_or_on_the_way_gives_the_same_file_and_check_says_how_near_types_are() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for name in ["glm4", "chatglm"] {
        let files = export_all(at, name);
        let base = at.join(name);
        let tuned = Source::open(&base, Some(&base.join("adapter"))).unwrap();
        assert_eq!(merge(&tuned, &at.join("merged")).unwrap(), 1);
        let merged = Source::open(&at.join("merged"), None).unwrap();
        let out = at.join("merged.gguf");
        write_gguf(&merged, &options(Type::F32, None), &out).unwrap();
        assert!(fs::read(&out).unwrap() == fs::read(&files["merged"][0]).unwrap(), "{name}");

        let text = "Some text that nobody has seen before, to compare them on.";
        let exact = compare(&files["split"], &files["F32"], text, 40).unwrap();
        let rough = compare(&files["Q4_K_M"], &files["F32"], text, 40).unwrap();
        assert!(exact.divergence < 1e-4 && exact.agreement > 0.9, "{exact:?}");
        assert!(rough.divergence > exact.divergence && rough.divergence < 1.0, "{rough:?}");
        assert!(exact.reference_perplexity == rough.reference_perplexity && exact.perplexity.is_finite());
    }
}

#[test]
fn what_fails_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_base(&at.join("base"), "llama");
    let source = Source::open(&at.join("base"), None).unwrap();
    let out = at.join("missing/model.gguf");
    assert!(write_gguf(&source, &options(Type::Q8_0, None), &out).is_err());
    // A tensor that is not there is found out half way.
    let config = fs::read_to_string(at.join("base/config.json")).unwrap();
    fs::write(at.join("base/config.json"), config.replace("\"num_hidden_layers\":2", "\"num_hidden_layers\":3"))
        .unwrap();
    let source = Source::open(&at.join("base"), None).unwrap();
    let error = write_gguf(&source, &options(Type::Q8_0, None), &at.join("model.gguf")).unwrap_err().to_string();
    assert!(error.contains("model.layers.2"), "{error}");
    let left: Vec<String> =
        fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(left, ["base"]);
}
