//! The tools beside cargo: found where they are, installed where they are not.
//!
//! Tools of a pinned version live in a cache of the user's, one folder a version, so that a second run costs nothing.

use crate::process::{command, output, run};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Must equal the version of the `wasm-bindgen` crate in the root Cargo.toml; `cargo xtask tidy` checks it.
pub const WASM_BINDGEN: &str = "0.2.130";
/// Debian's binaryen 108 breaks the output of this wasm-bindgen, so the version is ours to choose.
const BINARYEN: &str = "132.0.0";
const DEBIAN_RUST: [&str; 6] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "rust-web-clippy", "lld-22"];

/// Which chores the tools are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Building the page.
    Page,
    /// Building it and testing it in a browser.
    Tests,
}

/// Where the tools are.
pub struct Tools {
    /// The compiler for wasm32.
    pub wasm: WasmRust,
    /// The folder with `wasm-bindgen` and `wasm-bindgen-test-runner`.
    pub bindgen: PathBuf,
    /// `wasm-opt`, of the pinned version.
    pub wasm_opt: PathBuf,
}

/// For which browsers wasm is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Simd {
    /// All: simd128, as `.cargo/config.toml` says.
    Plain,
    /// Those that have relaxed SIMD too.
    Relaxed,
}

/// How wasm32's standard library is had.
pub enum WasmRust {
    /// From rustup, for the toolchain in use.
    Rustup,
    /// Debian's own compiler and the standard library's source, built along with the page.
    Debian,
}

impl Tools {
    /// Finds every wanted tool and installs those that are missing.
    pub fn find_or_install(wanted: Wanted) -> Result<Tools> {
        let wasm = wasm_rust()?;
        let bindgen = bindgen()?;
        let wasm_opt = binaryen()?;
        if wanted == Wanted::Tests {
            browser()?;
            vulkan()?;
        }
        Ok(Tools { wasm, bindgen, wasm_opt })
    }
}

impl WasmRust {
    /// A cargo command that builds for wasm32 into its own target folder: `subcommand`, then the caller's arguments.
    pub fn cargo(&self, root: &Path, subcommand: &str, simd: Simd) -> Command {
        let mut cargo = match self {
            WasmRust::Rustup => Command::new(env!("CARGO")),
            WasmRust::Debian => {
                // cargo would find rustup's clippy in its own folder before Debian's.
                let program = if subcommand == "clippy" { "/usr/bin/cargo-clippy" } else { "/usr/bin/cargo" };
                let mut cargo = Command::new(program);
                let path = std::env::var("PATH").unwrap_or_default();
                cargo.env("PATH", format!("/usr/bin:{path}"));
                for name in ["RUSTUP_TOOLCHAIN", "RUSTC", "CARGO", "RUSTDOC"] {
                    cargo.env_remove(name);
                }
                cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-22");
                cargo
            }
        };
        cargo.current_dir(root).args([subcommand, "--locked", "--target", "wasm32-unknown-unknown"]);
        cargo.arg("--target-dir").arg(simd.target_folder(root));
        if simd == Simd::Relaxed {
            cargo.args(["--config", "target.wasm32-unknown-unknown.rustflags=['-Ctarget-feature=+relaxed-simd']"]);
        }
        if matches!(self, WasmRust::Debian) {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        cargo
    }
}

impl Simd {
    /// Each has a folder of its own: in a common one each would throw away what the other compiled.
    pub fn target_folder(self, root: &Path) -> PathBuf {
        root.join(match self {
            Simd::Plain => "target/wasm",
            Simd::Relaxed => "target/wasm-relaxed",
        })
    }
}

/// Has rustup installed this target's standard library?
pub fn has_target(target: &str) -> bool {
    let has = |list: String| list.lines().any(|line| line.trim() == target);
    output(&mut command("rustup", "target list --installed")).is_some_and(has)
}

fn wasm_rust() -> Result<WasmRust> {
    if has_target("wasm32-unknown-unknown") {
        return Ok(WasmRust::Rustup);
    }
    let debian = || Path::new("/usr/bin/cargo").exists() && DEBIAN_RUST.iter().all(|name| is_installed(name));
    if debian() {
        return Ok(WasmRust::Debian);
    }
    eprintln!("installing the wasm32-unknown-unknown target by rustup");
    if run(&mut command("rustup", "target add wasm32-unknown-unknown")).is_ok() {
        return Ok(WasmRust::Rustup);
    }
    eprintln!("rustup has none here; taking Debian's compiler for the page");
    apt(&DEBIAN_RUST)
        .context("the page needs a compiler for wasm32-unknown-unknown; try `rustup target add` by hand")?;
    Ok(WasmRust::Debian)
}

fn bindgen() -> Result<PathBuf> {
    let home = cache()?.join(format!("wasm-bindgen-{WASM_BINDGEN}"));
    let folder = home.join("bin");
    if !folder.join("wasm-bindgen-test-runner").exists() {
        eprintln!("installing wasm-bindgen-cli {WASM_BINDGEN} into {} (a few minutes, once)", home.display());
        let mut install = command(env!("CARGO"), "install --quiet wasm-bindgen-cli --version");
        install.arg(WASM_BINDGEN).arg("--root").arg(&home);
        // The tool runs for a second; building it for its own speed would take minutes more.
        for setting in ["opt-level=1", "lto=false", "codegen-units=16", "debug=false"] {
            install.arg("--config").arg(format!("profile.release.{setting}"));
        }
        run(&mut install)?;
    }
    Ok(folder)
}

fn binaryen() -> Result<PathBuf> {
    let home = cache()?.join(format!("binaryen-{BINARYEN}"));
    let wasm_opt = home.join("node_modules/.bin/wasm-opt");
    if !wasm_opt.exists() {
        if output(&mut command("npm", "--version")).is_none() {
            apt(&["nodejs", "npm"])?;
        }
        eprintln!("installing binaryen {BINARYEN} into {}", home.display());
        std::fs::create_dir_all(&home)?;
        let mut npm = command("npm", "install --silent --no-fund --no-audit --prefix");
        run(npm.arg(&home).arg(format!("binaryen@{BINARYEN}")))?;
    }
    Ok(wasm_opt)
}

/// A program that stands in for a GPU, for those who ask Vulkan for one.
fn vulkan() -> Result<()> {
    if !is_installed("mesa-vulkan-drivers") {
        apt(&["mesa-vulkan-drivers"])?;
    }
    Ok(())
}

/// Chromium and its driver.
pub fn browser() -> Result<()> {
    if output(&mut command("chromedriver", "--version")).is_none()
        || output(&mut command("chromium", "--version")).is_none()
    {
        apt(&["chromium", "chromium-driver"])?;
    }
    Ok(())
}

fn is_installed(package: &str) -> bool {
    output(command("dpkg-query", "--show --showformat=${db:Status-Abbrev}").arg(package))
        .is_some_and(|status| status.starts_with("ii"))
}

/// Installs Debian packages, as root or through sudo.
fn apt(packages: &[&str]) -> Result<()> {
    if output(&mut command("apt-get", "--version")).is_none() {
        bail!("this machine has no apt-get; install by hand what these Debian packages hold: {}", packages.join(" "));
    }
    eprintln!("installing Debian packages: {}", packages.join(" "));
    let is_root = output(&mut command("id", "-u")).is_some_and(|id| id.trim() == "0");
    for arguments in ["update --quiet=2", "install --quiet=2 --yes --no-install-recommends"] {
        let mut apt = if is_root { Command::new("apt-get") } else { command("sudo", "apt-get") };
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(arguments.split_whitespace());
        if arguments.starts_with("install") {
            apt.args(packages);
        }
        // apt's progress is no news; what matters reaches stderr.
        run(apt.stdout(std::process::Stdio::null()))?;
    }
    Ok(())
}

/// The folder of tools that several checkouts share.
fn cache() -> Result<PathBuf> {
    let folder = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => bail!("neither XDG_CACHE_HOME nor HOME is set: there is no place for tools"),
    };
    Ok(folder.join("rolellm"))
}
