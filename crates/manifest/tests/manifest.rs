//! Manifests: what comes back, what is refused, what hashes find.

use manifest::{Adapter, CHUNK_BYTES, File, Hash, Hasher, Manifest, ManifestError, check_name};
use proptest::prelude::*;
use serde_json::{Value, json};

fn file(name: &str, bytes: &[u8], chunk_bytes: u64) -> File {
    let mut hasher = Hasher::new(chunk_bytes);
    hasher.push(bytes);
    hasher.finish(name)
}

fn sample() -> Manifest {
    Manifest {
        format: manifest::FORMAT,
        name: "Tiny".into(),
        kind: "web".into(),
        parameters: 12,
        languages: vec!["en".into()],
        licence: "MIT".into(),
        card: "README.md".into(),
        model: vec!["tiny.gguf".into()],
        adapters: vec![Adapter {
            name: "poet".into(),
            file: "adapters/poet.gguf".into(),
            roles: vec!["li-bai".into()],
        }],
        roles: vec!["roles/li-bai.json".into()],
        chunk_bytes: 4096,
        files: ["tiny.gguf", "adapters/poet.gguf", "roles/li-bai.json", "README.md"]
            .map(|name| file(name, &[7; 10_000], 4096))
            .into(),
    }
}

fn changed(change: impl FnOnce(&mut Value)) -> Result<Manifest, ManifestError> {
    let mut value = serde_json::to_value(sample()).unwrap();
    change(&mut value);
    Manifest::read(value.to_string().as_bytes())
}

#[test]
fn what_was_written_is_read() {
    let manifest = sample();
    assert_eq!(Manifest::read(manifest.to_json().unwrap().as_bytes()).unwrap(), manifest);
    assert_eq!(manifest.adapter_for("li-bai").map(|adapter| adapter.name.as_str()), Some("poet"));
    assert_eq!(manifest.adapter_for("alice"), None);
    let weights: Vec<&str> = manifest.weights().map(|file| file.name.as_str()).collect();
    assert_eq!(weights, ["tiny.gguf", "adapters/poet.gguf"]);
}

#[test]
fn hashes_are_those_of_sha256() {
    let entry = file("abc", b"abc", CHUNK_BYTES);
    let published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(entry.sha256.to_string(), published);
    assert_eq!(entry.chunks, [published.parse::<Hash>().unwrap()]);
    assert_eq!(file("nothing", b"", CHUNK_BYTES).chunks, []);
}

#[test]
fn hostile_manifests_are_refused_by_what_is_wrong() {
    let mut wrong: Vec<(&str, Result<Manifest, ManifestError>)> = vec![
        ("not the JSON", Manifest::read(b"<html>")),
        ("format is 2", changed(|value| value["format"] = json!(2))),
        ("not the JSON", changed(|value| value["files"] = json!("all"))),
        ("names no model", changed(|value| value["model"] = json!([]))),
        ("does not list it", changed(|value| value["model"] = json!(["other.gguf"]))),
        ("does not list it", changed(|value| value["card"] = json!("CARD.md"))),
        ("does not list it", changed(|value| value["roles"] = json!(["roles/x.json"]))),
        ("twice", changed(|value| value["model"] = json!(["tiny.gguf", "tiny.gguf"]))),
        ("twice", changed(|value| value["files"][1]["name"] = json!("TINY.gguf"))),
        ("twice", changed(|value| value["files"][3]["name"] = json!("manifest.json"))),
        ("2 chunks", changed(|value| value["files"][0]["chunks"].as_array_mut().unwrap().truncate(2))),
        ("makes 4", changed(|value| value["files"][0]["bytes"] = json!(16_384))),
        ("64 hexadecimal", changed(|value| value["files"][0]["sha256"] = json!("zz"))),
        ("allowed", changed(|value| value["chunkBytes"] = json!(0))),
        ("allowed", changed(|value| value["chunkBytes"] = json!(u64::MAX))),
        ("empty or another", changed(|value| value["adapters"][0]["name"] = json!(" "))),
        ("makes", changed(|value| value["files"][0]["bytes"] = json!(u64::MAX))),
    ];
    for name in ["../tiny.gguf", "/etc/passwd", "a/../b", "a//b", "C:\\x", "a\\b", "", ".", "a/.hidden", "x?y", "x%2e"]
    {
        wrong.push(("file", changed(|value| value["files"][0]["name"] = json!(name))));
    }
    for (words, result) in wrong {
        let error = result.expect_err(words).to_string();
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }
}

#[test]
fn lengths_that_no_computer_holds_are_refused() {
    let mut manifest = sample();
    manifest.chunk_bytes = 64 << 20;
    for file in &mut manifest.files {
        (file.bytes, file.chunks) = (1 << 32, vec![file.sha256; 64]);
    }
    assert!(manifest.to_json().is_ok());
    // Entries of nothing but a length would need a manifest longer than any that is read; the sum is looked at anyway.
    manifest.files[0].bytes = u64::MAX;
    assert!(matches!(manifest.to_json(), Err(ManifestError::Chunks { .. })));
    assert!(matches!(Manifest::read(&vec![b' '; manifest::MOST_BYTES + 1]), Err(ManifestError::TooLong { .. })));
}

#[test]
fn a_damaged_chunk_is_named() {
    let mut bytes: Vec<u8> = (0..10_000u32).map(|number| number as u8).collect();
    let entry = file("model.gguf", &bytes, 4096);
    assert_eq!(entry.check(&bytes, 4096), Ok(()));
    assert_eq!(entry.chunk_range(2, 4096), 8192..10_000);
    bytes[5000] ^= 1;
    let mismatch = entry.check(&bytes, 4096).unwrap_err();
    assert_eq!(mismatch.index, 1);
    assert!(mismatch.to_string().starts_with("chunk 2 of 3 of \"model.gguf\" is damaged"), "{mismatch}");
    bytes[5000] ^= 1;
    assert_eq!(entry.check(&bytes[..9999], 4096).unwrap_err().index, 2);
    assert_eq!(entry.check(&bytes[..4096], 4096).unwrap_err().index, 1);
    bytes.resize(20_000, 0);
    assert!(entry.check(&bytes, 4096).is_err());
}

proptest! {
    #[test]
    fn pieces_hash_as_the_whole(bytes in prop::collection::vec(any::<u8>(), 0..20_000), cuts in prop::collection::vec(0usize..5000, 0..8)) {
        let whole = file("f", &bytes, 4096);
        let (mut hasher, mut rest) = (Hasher::new(4096), &bytes[..]);
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            hasher.push(now);
            rest = later;
        }
        hasher.push(rest);
        prop_assert_eq!(hasher.finish("f"), whole);
    }

    #[test]
    fn a_name_that_passes_stays_in_its_folder(name in "[a-zA-Z0-9./\\\\: %?世-]{0,12}") {
        if check_name(&name).is_ok() {
            let path = std::path::Path::new(&name);
            prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            prop_assert!(!name.contains(['\\', '?', '%', ':']));
        }
    }

    #[test]
    fn no_text_is_more_than_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..2000, with in any::<u8>()) {
        let _ = Manifest::read(&bytes);
        let mut text = sample().to_json().unwrap().into_bytes();
        if let Some(byte) = text.get_mut(at) {
            *byte = with;
        }
        // What is read can be written: it is consistent.
        if let Ok(manifest) = Manifest::read(&text) {
            prop_assert!(manifest.to_json().is_ok());
        }
    }
}
