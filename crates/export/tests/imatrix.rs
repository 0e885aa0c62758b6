//! Importance matrices: what is collected, which files are read, and that the weights that matter lose less.

mod common;

use checkpoint::Base;
use common::write_base;
use decoder::part_paths;
use export::{Entry, GgufOptions, Imatrix, Source, Type, collect, write_gguf};
use std::fs;
use std::path::{Path, PathBuf};

const TEXT: &str =
    "Some words that the model reads, and some more of them: the sea, the ship, 老友 and a song of gold.";

fn write(base: &Path, kind: Type, imatrix: Option<Imatrix>, out: &str) -> PathBuf {
    let options = GgufOptions { kind, about: vec![], imatrix, part_bytes: None };
    let out = base.join(out);
    write_gguf(&Source::open(base, None).unwrap(), &options, &out).unwrap();
    out
}

fn values(base: &Base, gguf: &str) -> (Vec<f32>, usize) {
    let spec = base.shape().tensors().into_iter().find(|spec| spec.gguf == gguf).unwrap();
    (base.weights().unwrap().values(&spec).unwrap(), *spec.shape.last().unwrap())
}

#[test]
fn the_sums_are_those_of_what_the_matrices_read() {
    let folder = tempfile::tempdir().unwrap();
    write_base(folder.path(), "llama");
    let file = write(folder.path(), Type::F32, None, "model.gguf");
    let matrix = collect(&part_paths(&file), TEXT, 60).unwrap();
    // Every block's seven matrices; embedding and head have none.
    assert_eq!(matrix.entries.len(), 2 * 7);
    let model = common::load(&file);
    let tokens = model.tokenizer().encode(TEXT, false).unwrap();
    let bos = model.tokenizer().bos().filter(|_| model.tokenizer().add_bos());
    let tokens: Vec<u32> = bos.into_iter().chain(tokens.into_iter().take(60)).collect();
    // The first matrices read the normed embedding of each token.
    let base = Base::open(&file).unwrap();
    let ((embedding, width), (norm, _)) = (values(&base, "token_embd.weight"), values(&base, "blk.0.attn_norm.weight"));
    let mut sums = vec![0.0; width];
    for &token in &tokens {
        let x = &embedding[token as usize * width..][..width];
        let mean_square = x.iter().map(|x| x * x).sum::<f32>() / width as f32;
        let inverse = 1.0 / (mean_square + base.shape().rms_norm_eps as f32).sqrt();
        sums.iter_mut().zip(x).zip(&norm).for_each(|((sum, x), norm)| *sum += (x * inverse * norm).powi(2));
    }
    let found = &matrix.entries["blk.0.attn_q.weight"];
    assert_eq!(found.count as usize, tokens.len());
    for (found, wanted) in found.sums.iter().zip(&sums) {
        assert!((found - wanted).abs() <= 1e-3 * wanted, "{found} {wanted}");
    }
}

#[test]
fn the_weighted_error_of_every_low_bit_type_is_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    write_base(base, "llama");
    // A few inputs are much larger than the others, as in trained models.
    let importance = |column: usize| if column % 9 == 4 { 100.0 } else { 0.5 };
    let names = ["blk.0.attn_q.weight", "blk.1.ffn_down.weight"];
    let exact = Base::open(&write(base, Type::F32, None, "exact.gguf")).unwrap();
    let entries = names.map(|name| {
        let columns = values(&exact, name).1;
        (name.to_owned(), Entry { sums: (0..columns).map(|c| 3.0 * importance(c)).collect(), count: 3.0 })
    });
    let matrix = Imatrix { entries: entries.into(), chunks: 1, chunk_size: 512 };
    let error = |file: &Path, name: &str| {
        let ((found, columns), (wanted, _)) = (values(&Base::open(file).unwrap(), name), values(&exact, name));
        let errors = found.iter().zip(&wanted).enumerate();
        errors.map(|(i, (f, w))| importance(i % columns) * (f - w).powi(2)).sum::<f32>()
    };
    for kind in [Type::Q4_0, Type::Web, Type::Q2_K, Type::Q3_K_M, Type::Q4_K_M, Type::Q5_K_M] {
        let (plain, weighted) =
            (write(base, kind, None, "plain.gguf"), write(base, kind, Some(matrix.clone()), "w.gguf"));
        for name in names {
            let (plain, weighted) = (error(&plain, name), error(&weighted, name));
            assert!(weighted < 0.95 * plain, "{kind:?} {name}: {weighted} {plain}");
        }
    }
}

#[test]
fn files_are_read_as_they_were_written_and_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let entry = |columns: usize| Entry { sums: (0..columns).map(|i| i as f32 / 4.0).collect(), count: 4.0 };
    let entries = [("blk.0.attn_q.weight".to_owned(), entry(256)), ("blk.0.ffn_down.weight".to_owned(), entry(512))];
    let matrix = Imatrix { entries: entries.into(), chunks: 2, chunk_size: 512 };
    let path = at.join("imatrix.gguf");
    matrix.write("words.txt", &path).unwrap();
    assert_eq!(Imatrix::read(&path).unwrap(), matrix);
    assert_eq!(matrix.weights("blk.0.attn_q.weight").unwrap()[8], 0.5);
    assert_eq!(matrix.weights("output.weight"), None);

    // The older format: sizes, names, and sums over a number of calls.
    let mut bytes = 1i32.to_le_bytes().to_vec();
    bytes.extend((19i32).to_le_bytes());
    bytes.extend(b"blk.0.attn_q.weight");
    bytes.extend([4i32, 256].map(i32::to_le_bytes).concat());
    bytes.extend(entry(256).sums.iter().flat_map(|sum| sum.to_le_bytes()));
    let old = at.join("old.dat");
    fs::write(&old, &bytes).unwrap();
    assert_eq!(Imatrix::read(&old).unwrap().entries["blk.0.attn_q.weight"], entry(256));

    let refused = |bytes: &[u8], words: &str| {
        let path = at.join("refused");
        fs::write(&path, bytes).unwrap();
        let error = Imatrix::read(&path).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("refused"), "wanted {words:?}: {error}");
    };
    refused(&bytes[..bytes.len() - 1], "end is missing");
    refused(&0i32.to_le_bytes(), "no sums");
    refused(&i32::MAX.to_le_bytes(), "end is missing");
    refused(b"", "end is missing");
    write_base(&at.join("base"), "llama");
    let model = write(&at.join("base"), Type::F32, None, "model.gguf");
    refused(&fs::read(model).unwrap(), "general.type");

    // Other models': another width, other names.
    let source = Source::open(&at.join("base"), None).unwrap();
    let export = |matrix: Imatrix| {
        let options = GgufOptions { kind: Type::Q4_0, about: vec![], imatrix: Some(matrix), part_bytes: None };
        write_gguf(&source, &options, &at.join("out.gguf")).unwrap_err().to_string()
    };
    let narrow = Imatrix { entries: [("blk.0.attn_q.weight".to_owned(), entry(64))].into(), ..Imatrix::default() };
    assert!(export(narrow).contains("64 columns for blk.0.attn_q.weight"));
    let unknown = Imatrix { entries: [("blk.99.attn_q.weight".to_owned(), entry(256))].into(), ..Imatrix::default() };
    assert!(export(unknown).contains("another model's"));
    assert!(!at.join("out.gguf").exists());
}
