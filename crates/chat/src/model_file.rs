//! Opening a model: one file or the parts of a split one, over as many threads as there are cores.

use std::{
    fs::File,
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use decoder::{Gguf, load_threaded_with_adapters, part_paths};
use generate::{Generator, Outline};

use crate::arguments::Arguments;

/// Loads the model of `file`; of a split model, any part leads to the others.
pub fn open(file: &Path, arguments: &Arguments) -> Result<Generator> {
    let parts = parts(file)?;
    let mut readers = Vec::new();
    for part in &parts {
        readers.push(File::open(part).with_context(|| format!("cannot open {}", part.display()))?);
    }
    let in_file = || format!("cannot load {}", file.display());
    let gguf = Gguf::read_parts(&mut readers).with_context(in_file)?;
    let outline = Outline::from_gguf(&gguf).with_context(in_file)?;
    let open_all = move || parts.iter().map(File::open).collect::<io::Result<Vec<_>>>();
    let adapters = arguments.adapters.clone();
    for adapter in &adapters {
        File::open(adapter).with_context(|| format!("cannot open {}", adapter.display()))?;
    }
    let open_adapters = move || adapters.iter().map(File::open).collect::<io::Result<Vec<_>>>();
    let (cache_type, threads) = (arguments.cache_type(), arguments.threads());
    let mut go_on = |_| ControlFlow::Continue(());
    let loaded = load_threaded_with_adapters(&gguf, open_all, open_adapters, threads, cache_type, &mut go_on);
    let (weights, comm) = loaded.with_context(in_file)?;
    let mut model = outline.with_weights(weights);
    if let Some(name) = &arguments.template {
        model.use_template(name)?;
    }
    if arguments.no_thinking {
        model.template_mut().set_thinking(false);
    }
    let mut generator = Generator::with_comm(Arc::new(model), comm, arguments.context, cache_type);
    if !arguments.adapters.is_empty() {
        generator.use_adapter(Some(0))?;
    }
    Ok(generator)
}

/// The files of a model; a missing one is named.
fn parts(file: &Path) -> Result<Vec<PathBuf>> {
    let parts = part_paths(file);
    match parts.iter().find(|part| parts.len() > 1 && !part.exists()) {
        Some(missing) => {
            bail!("{} is one of {} files, and {} is missing", file.display(), parts.len(), missing.display())
        }
        None => Ok(parts),
    }
}
