//! Building the page: its wasm module, the engine's in two builds, their glue, and all that is served beside them.

use crate::process::run;
use crate::tools::{Simd, Tools, Wanted};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What wasm-opt may assume; the same features as in `.cargo/config.toml` and rustc's defaults for wasm32.
const FEATURES: [&str; 7] = [
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-mutable-globals",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
];

/// What visitors download, the model aside; of the engine's builds only one.
const FILES: [&str; 9] = [
    "index.html",
    "style.css",
    "page.js",
    "page_bg.wasm",
    "worker.js",
    "engine_relaxed.js",
    "engine_relaxed_bg.wasm",
    "engine.js",
    "engine_bg.wasm",
];

/// A wasm module of the page.
struct Module {
    package: &'static str,
    simd: Simd,
    /// The name of its files.
    name: &'static str,
    /// What wasm-opt aims at.
    goal: &'static [&'static str],
}

const SMALL: &[&str] = &["-Oz"];
/// Kernels stay functions of their own, or V8 compiles those that are not used along with those that are, in more memory.
const FAST: &[&str] = &["-O3", "--one-caller-inline-max-function-size=1000"];

const MODULES: [Module; 3] = [
    Module { package: "page", simd: Simd::Plain, name: "page", goal: SMALL },
    Module { package: "engine", simd: Simd::Plain, name: "engine", goal: FAST },
    Module { package: "engine", simd: Simd::Relaxed, name: "engine_relaxed", goal: FAST },
];

/// Builds the page into dist/. What stood there stays until everything is made.
pub fn build(root: &Path) -> Result<()> {
    let tools = Tools::find_or_install(Wanted::Page)?;
    build_with(root, &tools)
}

/// As [`build`], with tools at hand.
pub fn build_with(root: &Path, tools: &Tools) -> Result<()> {
    run(tools.wasm.cargo(root, "build", Simd::Plain).args(["--profile", "web", "-p", "page", "-p", "engine"]))?;
    run(tools.wasm.cargo(root, "build", Simd::Relaxed).args(["--profile", "web", "-p", "engine"]))?;
    let (made, dist) = (root.join("target/dist"), root.join("dist"));
    if made.exists() {
        std::fs::remove_dir_all(&made)?;
    }
    std::fs::create_dir_all(&made)?;
    for module in &MODULES {
        bind(root, tools, &made, module)?;
    }
    for (from, to) in [("web/style.css", "style.css"), ("web/worker.js", "worker.js")] {
        std::fs::copy(root.join(from), made.join(to)).with_context(|| format!("cannot copy {from}"))?;
    }
    let shell = std::fs::read_to_string(root.join("index.html"))?;
    std::fs::write(made.join("index.html"), without_trunk(&shell))?;
    for folder in ["data", "models"] {
        copy_folder(&root.join(folder), &made.join(folder))?;
    }
    let words = dictionary(root)?;
    std::fs::copy(&words, made.join("data/jieba.txt")).with_context(|| format!("cannot copy {}", words.display()))?;
    if dist.exists() {
        std::fs::remove_dir_all(&dist)?;
    }
    std::fs::rename(&made, &dist)?;
    print_sizes(&dist)
}

/// The Chinese dictionary, as jieba-rs brings it; the page fetches it when a rule needs it.
fn dictionary(root: &Path) -> Result<PathBuf> {
    let mut metadata = Command::new(env!("CARGO"));
    metadata.current_dir(root).args(["metadata", "--locked", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.output()?.stdout)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest =
        packages.filter(|package| package["name"] == "jieba-rs").find_map(|package| package["manifest_path"].as_str());
    let manifest = manifest.context("cargo metadata names no jieba-rs")?;
    Ok(Path::new(manifest).with_file_name("src").join("data/dict.txt"))
}

/// Makes the JavaScript glue of one module and optimizes it.
fn bind(root: &Path, tools: &Tools, made: &Path, module: &Module) -> Result<()> {
    let Module { package, simd, name, goal } = *module;
    let compiled = simd.target_folder(root).join(format!("wasm32-unknown-unknown/web/{package}.wasm"));
    let mut bindgen = Command::new(tools.bindgen.join("wasm-bindgen"));
    bindgen.args(["--target", "web", "--no-typescript", "--out-name", name, "--out-dir"]).arg(made).arg(compiled);
    run(&mut bindgen)?;
    let file = made.join(format!("{name}_bg.wasm"));
    let mut optimize = Command::new(&tools.wasm_opt);
    optimize.args(goal).args(FEATURES);
    if simd == Simd::Relaxed {
        optimize.arg("--enable-relaxed-simd");
    }
    run(optimize.arg(&file).arg("-o").arg(&file))
}

/// The page's shell without Trunk's directives, and with what Trunk would have put in their place.
fn without_trunk(shell: &str) -> String {
    const IN_PLACE: &str = "  <link rel=\"stylesheet\" href=\"style.css\">\n  \
        <link rel=\"modulepreload\" href=\"page.js\">\n  \
        <link rel=\"preload\" href=\"page_bg.wasm\" as=\"fetch\" type=\"application/wasm\" crossorigin>\n  \
        <script type=\"module\">import init from \"./page.js\"; init();</script>\n</head>";
    let kept: Vec<&str> = shell.lines().filter(|line| !line.contains("data-trunk")).collect();
    kept.join("\n").replacen("</head>", IN_PLACE, 1) + "\n"
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    let entries = std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn print_sizes(dist: &Path) -> Result<()> {
    let (mut raw, mut small) = (0, 0);
    eprintln!("{:<24} {:>12} {:>12}", "page", "bytes", "brotli");
    for name in FILES {
        let bytes = std::fs::read(dist.join(name)).with_context(|| format!("the build made no {name}"))?;
        let compressed = brotli_size(&bytes)?;
        eprintln!("{name:<24} {:>12} {compressed:>12}", bytes.len());
        if !["engine.js", "engine_bg.wasm"].contains(&name) {
            raw += bytes.len();
            small += compressed;
        }
    }
    eprintln!("{:<24} {raw:>12} {small:>12}", "one visit");
    Ok(())
}

/// How many bytes a server that compresses would send.
fn brotli_size(bytes: &[u8]) -> Result<usize> {
    let mut compressed = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams { quality: 9, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &*bytes, &mut compressed, &parameters)?;
    Ok(compressed.len())
}
