//! Folders for the page: what they hold, what a reader finds out, what is left when something is wrong.

mod common;

use common::write_base;
use decoder::Gguf;
use export::{ExportError, NamedAdapter, Source, Type, WebError, WebOptions, check_web, write_web};
use generate::{Generator, Model, Options, Prompt};
use manifest::Manifest;
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn options(at: &Path) -> WebOptions {
    let adapter = |name: &str, roles: &[&str]| NamedAdapter {
        name: name.into(),
        folder: at.join("base/adapter"),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
    };
    WebOptions {
        imatrix: None,
        kind: Type::Web,
        name: "Tiny two".into(),
        licence: "MIT".into(),
        description: "A model that knows nothing.".into(),
        data: vec!["no data at all".into()],
        part_bytes: 300_000,
        adapters: vec![adapter("poet", &["李白"]), adapter("alice", &[])],
        roles: Some(at.join("roles")),
    }
}

/// A base with its adapter, and three roles: two of files, one of a card.
fn workplace(at: &Path) {
    write_base(&at.join("base"), "llama");
    let role = |id: &str, name: &str, language: &str| {
        let folder = at.join("roles").join(id);
        fs::create_dir_all(&folder).unwrap();
        let text =
            serde_json::json!({ "id": id, "name": name, "language": language, "description": "You are somebody." });
        fs::write(folder.join("role.json"), text.to_string()).unwrap();
    };
    role("li-bai", "李白", "zh");
    role("alice", "Alice", "en");
    let card = r#"{"spec": "chara_card_v2", "data": {"name": "Tom Sailor", "description": "A sailor.", "first_mes": "Ahoy, {{user}}!"}}"#;
    fs::write(at.join("roles/tom.json"), card).unwrap();
    fs::write(at.join("roles/index.json"), r#"["li-bai", "tom-sailor"]"#).unwrap();
}

fn write(at: &Path, options: &WebOptions) -> Result<Manifest, ExportError> {
    write_web(&mut Source::open(&at.join("base"), None)?, options, &at.join("web"))?;
    Ok(Manifest::read(&fs::read(at.join("web/manifest.json")).unwrap()).unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_holds_parts_adapters_roles_card_and_manifest_and_passes_its_check() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    workplace(at);
    let manifest = write(at, &options(at)).unwrap();
    assert!(manifest.model.len() > 2, "{:?}", manifest.model);
    assert!(manifest.model[0].starts_with("tiny-two-web-00001-of-000"), "{:?}", manifest.model);
    assert_eq!(manifest.roles, ["roles/li-bai.json", "roles/tom-sailor.json", "roles/alice.json"]);
    assert_eq!(manifest.languages, ["zh", "en"]);
    // Bound by a name in Chinese, and by the adapter's own name.
    assert_eq!(manifest.adapter_for("li-bai").unwrap().file, "adapters/poet.gguf");
    assert_eq!(manifest.adapter_for("alice").unwrap().name, "alice");
    assert_eq!(manifest.adapter_for("tom-sailor"), None);
    let card = fs::read_to_string(at.join("web/README.md")).unwrap();
    for words in
        ["# Tiny two", "MIT", "no data at all", "adapters/poet.gguf", "llama-cli -m tiny-two-web-00001", "李白"]
    {
        assert!(card.contains(words), "{words:?} is not on the card:\n{card}");
    }
    let summary = check_web(&at.join("web")).unwrap();
    assert_eq!((summary.parts, summary.roles, summary.files), (manifest.model.len(), 3, manifest.files.len()));
    assert_eq!(names(at), ["base", "roles", "web"]);
}

#[test]
fn what_was_damaged_is_named_by_file_and_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    workplace(at);
    let manifest = write(at, &options(at)).unwrap();
    let damage = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = at.join("web").join(name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        change(&mut bad);
        fs::write(&path, bad).unwrap();
        let error = check_web(&at.join("web")).unwrap_err().to_string();
        fs::write(&path, good).unwrap();
        error
    };
    let part = manifest.model[1].as_str();
    let error = damage(part, &|bytes| bytes[1000] ^= 1);
    assert!(error.contains("chunk 1 of 1") && error.contains(part), "{error}");
    let error = damage("adapters/poet.gguf", &|bytes| bytes.truncate(bytes.len() - 1));
    assert!(error.contains("the manifest says") && error.contains("poet"), "{error}");
    let error = damage("README.md", &|bytes| bytes.push(b'!'));
    assert!(error.contains("the manifest says") && error.contains("README.md"), "{error}");
    let error = damage("manifest.json", &|bytes| bytes.truncate(20));
    assert!(error.contains("manifest"), "{error}");
    fs::remove_file(at.join("web/roles/alice.json")).unwrap();
    let error = check_web(&at.join("web")).unwrap_err().to_string();
    assert!(error.contains("alice.json"), "{error}");
}

#[test]
fn what_cannot_be_exported_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    workplace(at);
    let refused = |change: &dyn Fn(&mut WebOptions), words: &str| {
        let mut options = options(at);
        change(&mut options);
        let error = write(at, &options).unwrap_err().to_string();
        assert!(error.contains(words), "{words:?} is not in {error:?}");
        assert_eq!(names(at), ["base", "roles"], "{words}");
    };
    refused(&|options| options.adapters[0].roles = vec!["nobody".into()], "alice");
    refused(&|options| options.adapters[1].name = "Poet".into(), "name of its own");
    refused(&|options| options.adapters[1].folder = at.join("base"), "adapter_config.json");
    refused(&|options| options.roles = Some(at.join("base/adapter")), "adapter_config.json");
    // A tensor that is not there is found out half way.
    let config = fs::read_to_string(at.join("base/config.json")).unwrap();
    fs::write(at.join("base/config.json"), config.replace("\"num_hidden_layers\":2", "\"num_hidden_layers\":3"))
        .unwrap();
    refused(&|_| (), "model.layers.2");
    fs::write(at.join("base/config.json"), config).unwrap();

    // A folder with something in it is not touched, an empty one is taken.
    fs::create_dir(at.join("web")).unwrap();
    fs::write(at.join("web/mine.txt"), "mine").unwrap();
    let error = write(at, &options(at)).unwrap_err();
    assert!(matches!(error, ExportError::Web(WebError::NotEmpty { .. })), "{error}");
    assert_eq!(names(&at.join("web")), ["mine.txt"]);
    fs::remove_file(at.join("web/mine.txt")).unwrap();
    write(at, &options(at)).unwrap();
}

#[test]
fn a_model_has_the_template_of_its_adapters_and_they_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    workplace(at);
    let other = at.join("other");
    fs::create_dir(&other).unwrap();
    for name in names(&at.join("base/adapter")) {
        fs::copy(at.join("base/adapter").join(&name), other.join(&name)).unwrap();
    }
    let template = "{{ 'the template of the adapters' }}";
    fs::write(other.join("chat_template.jinja"), template).unwrap();
    let mut options = options(at);
    options.adapters[1].folder = other.clone();
    let error = write(at, &options).unwrap_err();
    assert!(matches!(error, ExportError::Web(WebError::Templates { .. })), "{error}");
    options.adapters[0].folder = other;
    let manifest = write(at, &options).unwrap();
    let first = fs::read(at.join("web").join(&manifest.model[0])).unwrap();
    assert!(first.windows(template.len()).any(|bytes| bytes == template.as_bytes()));
}

#[test]
fn an_adapter_is_added_to_a_model_that_has_been_talking() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    workplace(at);
    let manifest = write(at, &WebOptions { part_bytes: u64::MAX, ..options(at) }).unwrap();
    let mut go_on = |_| std::ops::ControlFlow::Continue(());
    let mut file = fs::File::open(at.join("web").join(&manifest.model[0])).unwrap();
    let mut model = Model::load(&mut file, &mut go_on).unwrap();
    let write = |model: Model, adapter: Option<usize>| {
        let mut generator = Generator::new(Arc::new(model), 0);
        generator.use_adapter(adapter).unwrap();
        let options = Options { temperature: 0.0, max_tokens: 12, ..Options::default() };
        generator.start(&Prompt::Text("some text".into()), options).unwrap();
        while generator.step().unwrap().is_some() {}
        let text = generator.finish().text;
        (generator.into_model().expect("nobody else has the model"), text)
    };
    let before;
    (model, before) = write(model, None);
    let mut file = fs::File::open(at.join("web/adapters/poet.gguf")).unwrap();
    let gguf = Gguf::read(&mut file).unwrap();
    assert_eq!(model.add_adapter(&gguf, &mut file).unwrap(), 0);
    let (model, with) = write(model, Some(0));
    let (model, without) = write(model, None);
    assert_ne!(before, with);
    assert_eq!(before, without);
    // Whoever else reads the weights must not see them change.
    let model = Arc::new(model);
    let held = Arc::clone(&model);
    assert!(Generator::new(model, 0).into_model().is_none());
    drop(held);
}
