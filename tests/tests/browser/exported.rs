//! A folder for the page, made by the workspace's own programs: a tiny model, two adapters for two roles, parts of 40 kB.

use anyhow::{Context, Result, ensure};
use manifest::{FILE_NAME, Hasher, Manifest};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const TINY: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 700, "hidden_size": 64,
    "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
    "bos_token_id": 0, "eos_token_id": 1}"#;
/// Small, so that files of some kilobytes have several.
const CHUNK_BYTES: u64 = 4096;

/// A folder that `export web` wrote.
pub struct Exported {
    /// Where it lies.
    pub folder: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
    _place: tempfile::TempDir,
}

/// The folder that all tests read and none changes; made once.
pub fn folder() -> Result<&'static Exported> {
    static MADE: OnceLock<Exported> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made);
    }
    let made = make()?;
    Ok(MADE.get_or_init(|| made))
}

/// The repository's own data.
fn data() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ lies in the repository")?.join("data"))
}

fn make() -> Result<Exported> {
    let place = tempfile::tempdir()?;
    let at = place.path();
    let data = data()?;
    let data = data.display();
    fs::write(at.join("config.json"), TINY)?;
    let rows = format!("{data}/rolebench-eng/role_specific/train.jsonl --roles {data}/roles");
    succeed("train", at, &format!("tokenizer --data {rows} --vocab-size 700 --out tokenizer"))?;
    let pretrain = "--out base --steps 400 --batch 4 --context 256 --threads 2";
    succeed("train", at, &format!("pretrain --config config.json --tokenizer tokenizer --data {rows} {pretrain}"))?;
    for seed in [1, 2] {
        let options = format!("--out run{seed} --steps 40 --warmup 4 --lr 0.02 --rank 4 --batch 2 --max-length 256");
        let options = format!("{options} --threads 2 --eval-every 0 --checkpoint-every 0 --seed {seed}");
        succeed("train", at, &format!("rocit --base base --data {rows} {options}"))?;
    }
    succeed(
        "export",
        at,
        &format!(
            "web --model base --type web --name tiny --license MIT --shards 40K --roles {data}/roles \
             --adapters alice=run1/adapter nemo=run2/adapter --adapter-roles nemo=captain-nemo --out web"
        ),
    )?;
    let manifest = with_small_chunks(&at.join("web"))?;
    succeed("export", at, "check --web web")?;
    ensure!(manifest.model.len() > 1, "one part only: {:?}", manifest.model);
    Ok(Exported { folder: at.join("web"), manifest, _place: place })
}

/// Writes the folder's manifest anew.
fn with_small_chunks(folder: &Path) -> Result<Manifest> {
    let path = folder.join(FILE_NAME);
    let mut manifest = Manifest::read(&fs::read(&path)?)?;
    manifest.chunk_bytes = CHUNK_BYTES;
    for file in &mut manifest.files {
        let mut hasher = Hasher::new(CHUNK_BYTES);
        hasher.push(&fs::read(folder.join(&file.name))?);
        *file = hasher.finish(file.name.clone());
    }
    fs::write(path, manifest.to_json()?)?;
    Ok(manifest)
}

/// Runs a program that must succeed and returns what it wrote to stdout.
fn succeed(name: &str, folder: &Path, arguments: &str) -> Result<String> {
    let output = tests::run(name, folder, arguments)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{name} {arguments}` failed:\n{errors}");
    Ok(String::from_utf8(output.stdout)?)
}

impl Exported {
    /// The bytes of one of its files, by the path of an address.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join(path.trim_start_matches('/'))).ok()
    }

    /// What `chat` says at temperature 0, with the adapter of that name or without.
    pub fn native(&self, adapter: Option<&str>, role: &str, prompt: &str) -> Result<String> {
        let adapter = adapter.map_or(String::new(), |name| format!("--adapter adapters/{name}.gguf"));
        let (model, roles) = (&self.manifest.model[0], data()?.join("roles"));
        let arguments = format!(
            "--model {model} {adapter} --roles {} --role {role} --prompt {prompt} --temperature 0 --max-tokens 40 --json",
            roles.display()
        );
        let outcome: Value = serde_json::from_str(&succeed("chat", &self.folder, &arguments)?)?;
        Ok(outcome["text"].as_str().context("chat gives no text")?.to_owned())
    }
}
