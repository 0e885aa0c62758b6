//! Every chore of this repository: setup, build, serve, test, bench, tidy. Knows tools and processes; never models.

mod bench;
mod corpus;
mod page;
mod process;
mod role_chats;
mod serve;
mod steps;
mod tidy;
mod tools;
mod verify;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};

/// The repository's chores. Every command installs what it needs and says so.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Builds the page and serves it on this machine
    Serve {
        /// The port to listen on
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// Serves what dist/ holds already
        #[arg(long)]
        no_build: bool,
    },
    /// Builds the page into dist/ and prints its sizes
    Build,
    /// Installs the tools that the other chores need
    Setup,
    /// Runs every check: formatting, clippy, native tests, wasm tests, the page in headless Chromium
    Test,
    /// Measures speed, ours beside others'
    Bench {
        #[command(subcommand)]
        subject: bench::Subject,
    },
    /// Checks the repository's own rules
    Tidy,
    /// Turns the public text sets in a folder into training files
    Corpus {
        /// The folder that holds the sets, one folder each
        #[arg(long)]
        from: PathBuf,
        /// Where the JSONL files go
        #[arg(long)]
        out: PathBuf,
    },
    /// Turns our own role data into a file of training chats
    RoleChats {
        /// The folder with roles/ and rolebench-*/
        #[arg(long, default_value = "data")]
        data: PathBuf,
        /// The JSONL file to write
        #[arg(long)]
        out: PathBuf,
        /// How many shuffled passes over the data it holds
        #[arg(long, default_value_t = 8)]
        copies: u64,
        /// The most exchanges in a chat
        #[arg(long, default_value_t = 6)]
        most: usize,
        /// The seed of the shuffling
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> Result<()> {
    let root = root();
    match Arguments::parse().chore {
        Chore::Serve { port, no_build } => {
            if !no_build {
                page::build(&root)?;
            }
            serve::run(&root.join("dist"), port)
        }
        Chore::Build => page::build(&root),
        Chore::Setup => tools::Tools::find_or_install(tools::Wanted::Tests).map(|_| ()),
        Chore::Test => verify::all(&root),
        Chore::Bench { subject } => bench::run(&root, subject),
        Chore::Tidy => tidy::run(&root),
        Chore::Corpus { from, out } => corpus::convert(&from, &out),
        Chore::RoleChats { data, out, copies, most, seed } => role_chats::write(&data, &out, copies, most, seed),
    }
}

/// The repository's root, wherever the command was called.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/xtask lies two folders deep").to_path_buf()
}
