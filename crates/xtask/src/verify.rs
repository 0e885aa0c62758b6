//! `cargo xtask test`: every check, in the order in which failures are cheapest to learn.

use crate::process::{command, run};
use crate::steps::Steps;
use crate::tools::{Simd, Tools, Wanted, has_target};
use crate::{page, serve, tidy};
use anyhow::Result;
use std::path::Path;

/// What the decoder's NEON kernels are compiled for.
const ARM: &str = "aarch64-unknown-linux-gnu";

/// Runs every check and prints the time of each step.
pub fn all(root: &Path) -> Result<()> {
    let mut steps = Steps::default();
    let cargo = |arguments: &str| {
        let mut cargo = command(env!("CARGO"), arguments);
        cargo.current_dir(root);
        cargo
    };
    steps.step("tidy", || tidy::run(root))?;
    steps.step("formatting", || run(&mut cargo("fmt --all --check")))?;
    let tools = steps.step("tools", || Tools::find_or_install(Wanted::Tests))?;
    steps.step("clippy, native", || {
        let features = "--features training/cuda,decoder/gpu";
        run(&mut cargo(&format!("clippy --quiet --locked --workspace {features} --all-targets -- -D warnings")))
    })?;
    // Kernels that no other step compiles on this machine; their tests need an emulator: see the decoder's cpu/neon.rs.
    if has_target(ARM) {
        steps.step("clippy, aarch64", || {
            run(&mut cargo(&format!("clippy --quiet --locked -p decoder --target {ARM} -- -D warnings")))
        })?;
    }
    steps.step("programs", || {
        run(&mut cargo("build --quiet --locked --bins -p chat -p training -p export -p evaluation"))
    })?;
    steps.step("tests, native", || run(&mut cargo("test --quiet --locked --workspace --exclude page")))?;
    // As a part of the workspace, so that no dependency is built with other features again.
    steps.step("CUDA, on an emulated GPU", || {
        let tests = "--features training/cuda --test cuda --test rocit";
        run(&mut cargo(&format!("test --quiet --locked --workspace --exclude page {tests}")))
    })?;
    steps.step("forward pass, on an emulated GPU", || {
        run(&mut cargo("test --quiet --locked --workspace --exclude page --features decoder/gpu --test gpu"))
    })?;
    steps.step("fuzzing of model files", || {
        let mut fuzz = cargo("test --quiet --locked -p decoder --test fuzz");
        run(fuzz.env("FUZZ_SECONDS", "120"))
    })?;
    steps.step("clippy, wasm", || {
        let mut clippy = tools.wasm.cargo(root, "clippy", Simd::Plain);
        run(clippy.args(["--quiet", "--profile", "web", "-p", "page", "-p", "engine", "--", "-D", "warnings"]))
    })?;
    steps.step("tests, wasm", || wasm_tests(root, &tools))?;
    steps.step("page", || page::build_with(root, &tools))?;
    steps.step("tests, browser", || browser_tests(root))?;
    steps.print();
    Ok(())
}

/// Tests of the text crates and of the kernels, compiled to wasm and run in headless Chromium.
fn wasm_tests(root: &Path, tools: &Tools) -> Result<()> {
    let test = |simd: Simd, arguments: &str| {
        let mut test = tools.wasm.cargo(root, "test", simd);
        test.args(arguments.split(' '));
        test.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", tools.bindgen.join("wasm-bindgen-test-runner"));
        test.env("WASM_BINDGEN_USE_BROWSER", "1").env("CHROMEDRIVER", "/usr/bin/chromedriver");
        // An unoptimised tokenizer needs more than the runner's 20 s to read a vocabulary.
        test.env("WASM_BINDGEN_TEST_TIMEOUT", "300");
        run(&mut test)
    };
    for simd in [Simd::Plain, Simd::Relaxed] {
        test(simd, "-p decoder --lib --test logits")?;
    }
    test(Simd::Plain, "-p rouge --test *")?;
    // A browser has no files, so the vocabularies go into the program, where there are any.
    let embedded = if std::env::var_os("FIXTURES_DIR").is_some() { " --features embedded-fixtures" } else { "" };
    test(Simd::Plain, &format!("-p generate --test tokenizer --test template --test layouts --test guard{embedded}"))
}

/// The page in a real browser, against this repository's own server.
fn browser_tests(root: &Path) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (address, server) = runtime.block_on(serve::start(&root.join("dist"), 0, axum::Router::new()))?;
    runtime.spawn(server);
    let mut test = command(env!("CARGO"), "test --locked -p tests --test browser -- --test-threads=1 --nocapture");
    run(test.current_dir(root).env("ROLELLM_PAGE", address))
}
