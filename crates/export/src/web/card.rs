//! The model card of a folder.

use super::WebOptions;
use crate::Source;
use manifest::Manifest;
use roles::Role;
use std::fmt::Write as _;

/// What a card is written from.
pub struct Facts<'a> {
    pub source: &'a Source,
    pub options: &'a WebOptions,
    pub manifest: &'a Manifest,
    pub roles: &'a [Role],
    /// Bytes of the model's parts.
    pub bytes: u64,
}

/// README.md: what the model is, what it was made of, how it is opened.
pub fn text(facts: &Facts<'_>) -> String {
    let Facts { source, options, manifest, roles, bytes } = facts;
    let mut text = format!("# {}\n\n", options.name);
    // Writing to a String cannot fail.
    let mut line = |words: std::fmt::Arguments<'_>| {
        let _ = text.write_fmt(words);
    };
    if !options.description.is_empty() {
        line(format_args!("{}\n\n", options.description));
    }
    let count = manifest.model.len();
    let files = if count == 1 { "one file".to_owned() } else { format!("{count} files") };
    let parameters = manifest.parameters as f64 / 1e6;
    let megabytes = *bytes as f64 / 1e6;
    let architecture = source.base.shape().family.architecture();
    line(format_args!(
        "- Weights: {parameters:.1} million, architecture `{architecture}`, stored as {} in {files}, {megabytes:.1} MB\n",
        manifest.kind
    ));
    line(format_args!(
        "- Base: {}\n",
        source.base.path().file_name().map_or("unnamed".into(), |name| name.to_string_lossy())
    ));
    if let Some((adapter, folder)) = &source.adapter {
        let name = folder.file_name().map_or("unnamed".into(), |name| name.to_string_lossy());
        line(format_args!("- Merged into it: the LoRA {name}, rank {}\n", adapter.config.r));
    }
    for data in &options.data {
        line(format_args!("- Data: {data}\n"));
    }
    let licence = if options.licence.is_empty() {
        "not stated by whoever exported it; that of the base and of the data holds"
    } else {
        &options.licence
    };
    line(format_args!("- Licence: {licence}\n"));
    if !manifest.adapters.is_empty() {
        line(format_args!(
            "\n## Adapters\n\nSmall additions that lie beside the model and are changed between two messages.\n\n"
        ));
        for adapter in &manifest.adapters {
            let of = match adapter.roles.is_empty() {
                true => "no role in particular".to_owned(),
                false => adapter.roles.join(", "),
            };
            line(format_args!("- {} (`{}`): for {of}\n", adapter.name, adapter.file));
        }
    }
    if !roles.is_empty() {
        line(format_args!("\n## Roles\n\n"));
        for role in *roles {
            let tagline = if role.tagline.is_empty() { String::new() } else { format!(": {}", role.tagline) };
            line(format_args!("- {}{tagline}\n", role.name));
        }
    }
    let first = manifest.model.first().map_or("model.gguf", String::as_str);
    line(format_args!(
        "\n## How to open it\n\n\
         In the RoleLLM page: put this folder on any web server that lets other pages read it (CORS) and open the page with \
         `#/models?model=` and the folder's address, or drop the folder on the page's Models view. Every chunk of every file is \
         compared with `manifest.json` before it is used; `export check --web FOLDER` does the same.\n\n\
         In llama.cpp: `llama-cli -m {first}`"
    ));
    line(match manifest.adapters.first() {
        Some(_) => format_args!(", with `--lora` and the file of an adapter where one is wanted.\n"),
        None => format_args!(".\n"),
    });
    text
}
