//! A folder that any static host serves and the page opens: parts of a GGUF, adapters, roles, a card and a manifest.

mod card;
mod check;
mod error;
mod roles;
mod staging;

pub use check::{WebSummary, check_web};
pub use error::WebError;

use crate::{ExportError, GgufOptions, Imatrix, Source, Type, write_adapter, write_gguf};
use candle_core::quantized::GgmlDType;
use checkpoint::Adapter;
use manifest::{CHUNK_BYTES, FILE_NAME, FORMAT, Hasher, Manifest};
use staging::Staging;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What goes into a folder.
#[derive(Clone, Debug)]
pub struct WebOptions {
    /// How the model's matrices are stored.
    pub kind: Type,
    /// What low-bit types spare most.
    pub imatrix: Option<Imatrix>,
    /// The model's name, for people.
    pub name: String,
    /// The weights' licence; empty where nobody says.
    pub licence: String,
    /// A sentence on the model.
    pub description: String,
    /// Where the base comes from and what the adapters were trained on, as its maker says.
    pub data: Vec<String>,
    /// Most bytes of a part, about.
    pub part_bytes: u64,
    /// LoRA adapters that stay beside the model and are changed between messages.
    pub adapters: Vec<NamedAdapter>,
    /// A folder of roles: ID/role.json, or character cards.
    pub roles: Option<PathBuf>,
}

/// A PEFT folder with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedAdapter {
    /// The name, for people.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// Ids or names of the roles that it was made for; where there are none, the role of the adapter's own name.
    pub roles: Vec<String>,
}

/// Writes the folder `out`, which appears when it is complete.
pub fn write_web(source: &mut Source, options: &WebOptions, out: &Path) -> Result<WebSummary, ExportError> {
    let adapters = read_adapters(source, options)?;
    let roles = options.roles.as_deref().map(roles::read).transpose()?.unwrap_or_default();
    let bindings = roles::bind(&options.adapters, &roles)?;
    let staging = Staging::begin(out)?;

    let kind = Type::ALL.iter().find(|(kind, ..)| *kind == options.kind).map_or("GGUF", |(_, name, _)| name);
    let stem = format!("{}-{}", slug(&options.name, "model"), kind.to_lowercase());
    let texts = [("name", &options.name), ("license", &options.licence), ("description", &options.description)];
    let about: Vec<(String, String)> = texts
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(key, text)| (key.to_owned(), text.clone()))
        .collect();
    let (imatrix, part_bytes) = (options.imatrix.clone(), Some(options.part_bytes));
    let gguf = GgufOptions { kind: options.kind, about, imatrix, part_bytes };
    let written = write_gguf(source, &gguf, &staging.path(&format!("{stem}.gguf"))?)?;
    let model = written.files.iter().map(|path| staging.name(path)).collect();

    let mut entries = Vec::new();
    for ((adapter, named), roles) in adapters.iter().zip(&options.adapters).zip(bindings) {
        let file = format!("adapters/{}.gguf", slug(&named.name, "adapter"));
        let about = [("name".to_owned(), named.name.clone())];
        write_adapter(adapter, source.base.shape(), GgmlDType::F16, &about, &staging.path(&file)?)?;
        entries.push(manifest::Adapter { name: named.name.clone(), file, roles });
    }
    let mut languages: Vec<String> = Vec::new();
    let mut role_files = Vec::new();
    for role in &roles {
        let file = format!("roles/{}.json", role.id);
        staging.write(&file, &roles::to_json(role)?)?;
        let language = roles::language_code(role);
        if !languages.iter().any(|known| known == language) {
            languages.push(language.to_owned());
        }
        role_files.push(file);
    }
    let mut manifest = Manifest {
        format: FORMAT,
        name: options.name.clone(),
        kind: kind.to_owned(),
        parameters: written.parameters as u64,
        languages,
        licence: options.licence.clone(),
        card: "README.md".to_owned(),
        model,
        adapters: entries,
        roles: role_files,
        chunk_bytes: CHUNK_BYTES,
        files: Vec::new(),
    };
    let text = card::text(&card::Facts { source, options, manifest: &manifest, roles: &roles, bytes: written.bytes });
    staging.write(&manifest.card, &text)?;
    for name in staging.names()? {
        manifest.files.push(hash_file(&staging.path(&name)?, name, manifest.chunk_bytes)?);
    }
    let text = manifest.to_json().map_err(|reason| WebError::Manifest { reason, path: out.join(FILE_NAME) })?;
    staging.write(FILE_NAME, &text)?;
    staging.finish(out)?;
    Ok(WebSummary::of(&manifest))
}

/// Reads the adapters, and takes the chat template that they were trained with for the model's.
fn read_adapters(source: &mut Source, options: &WebOptions) -> Result<Vec<Adapter>, ExportError> {
    let mut names = BTreeSet::new();
    for named in &options.adapters {
        if !names.insert(slug(&named.name, "adapter")) {
            return Err(WebError::AdapterTwice { name: named.name.clone() }.into());
        }
    }
    let merged = source.adapter.iter().map(|(_, folder)| folder);
    let folders: Vec<&PathBuf> = merged.chain(options.adapters.iter().map(|named| &named.folder)).collect();
    let template = |folder: &Path| fs::read_to_string(folder.join("chat_template.jinja")).ok();
    if let Some((first, rest)) = folders.split_first() {
        let wanted = template(first);
        if let Some(other) = rest.iter().find(|other| template(other) != wanted) {
            return Err(WebError::Templates { first: first.to_path_buf(), other: other.to_path_buf() }.into());
        }
        source.template = Some(first.to_path_buf());
    }
    options.adapters.iter().map(|named| Ok(Adapter::read(&named.folder, source.base.shape())?)).collect()
}

/// The entry of a file, read piece by piece.
fn hash_file(path: &Path, name: String, chunk_bytes: u64) -> Result<manifest::File, ExportError> {
    let mut file = fs::File::open(path).map_err(ExportError::io(path))?;
    let (mut hasher, mut piece) = (Hasher::new(chunk_bytes), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece).map_err(ExportError::io(path))? {
            0 => return Ok(hasher.finish(name)),
            read => hasher.push(&piece[..read]),
        }
    }
}

/// A name for files: lower-case letters and digits of any script with hyphens between; `otherwise` where none are left.
fn slug(name: &str, otherwise: &str) -> String {
    let words: Vec<String> = name
        .split(|letter: char| !(letter.is_alphanumeric() || letter == '.'))
        .map(|word| word.trim_matches('.').to_lowercase())
        .filter(|word| !word.is_empty())
        .collect();
    let slug: String = words.join("-").chars().take(60).collect();
    if slug.is_empty() { otherwise.to_owned() } else { slug.trim_end_matches(['.', '-']).to_owned() }
}
