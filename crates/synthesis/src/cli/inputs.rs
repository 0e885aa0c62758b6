use super::arguments::{AllArguments, RoleArguments, RolegptSettings, Tongue};
use anyhow::{Context, Result, ensure};
use rolebench::{Sample, parse_samples};
use roles::{Exchange, Language, Role};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use synthesis::{Instruction, Material, Part, Profile, Sampler, parse_instructions, source::Source};

/// A role of a plan, and what it is made of.
pub struct Task {
    pub material: Material,
    pub finished: Option<Profile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Planned {
    #[serde(default)]
    role: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    sources: Vec<PathBuf>,
    language: Option<Tongue>,
    narrator: Option<String>,
    profile: Option<PathBuf>,
}

/// The roles of `all`, this shard's only.
pub fn tasks(arguments: &AllArguments) -> Result<Vec<Task>> {
    let Some(plan) = &arguments.plan else {
        return Ok(vec![Task { material: material(&arguments.role)?, finished: None }]);
    };
    let planned: Vec<Planned> =
        serde_json::from_str(&read(plan)?).with_context(|| format!("not a plan: {}", plan.display()))?;
    let folder = plan.parent().unwrap_or(Path::new("."));
    let shard = arguments.shard;
    let mut tasks = Vec::new();
    for planned in planned.into_iter().skip(shard.nth - 1).step_by(shard.of) {
        let finished = planned.profile.map(|path| profile(&folder.join(path))).transpose()?;
        let role = RoleArguments {
            role: finished.as_ref().map_or(planned.role, |profile| profile.role.name.clone()),
            aliases: planned.aliases,
            sources: planned.sources.iter().map(|path| folder.join(path)).collect(),
            language: planned.language,
            narrator: planned.narrator.unwrap_or_else(|| "Narrator".into()),
        };
        let mut material = material(&role)?;
        if let Some(profile) = &finished {
            material.role = profile.role.clone();
        }
        tasks.push(Task { material, finished });
    }
    let mut ids = BTreeSet::new();
    for task in &tasks {
        ensure!(ids.insert(&task.material.role.id), "the role \"{}\" is in the plan twice", task.material.role.name);
    }
    Ok(tasks)
}

/// What a role is made of.
pub fn material(arguments: &RoleArguments) -> Result<Material> {
    let sources = sources(&arguments.sources, &arguments.narrator)?;
    let has_card = sources.iter().any(|source| matches!(source, Source::Card(_)));
    let language: Option<Language> = arguments.language.map(Into::into);
    ensure!(has_card || !arguments.role.trim().is_empty(), "no role: give --role NAME or a character card as --source");
    Ok(Material::new(&arguments.role, &arguments.aliases, language, sources))
}

pub fn sources(paths: &[PathBuf], narrator: &str) -> Result<Vec<Source>> {
    let source = |path: &PathBuf| {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Source::read(&name, &bytes, narrator).with_context(|| format!("cannot use {}", path.display()))
    };
    paths.iter().map(source).collect()
}

/// A folder with `role.json`, and `dialogue.jsonl` where there is one.
pub fn profile(folder: &Path) -> Result<Profile> {
    let path = folder.join("role.json");
    let role = Role::from_json(&read(&path)?).with_context(|| format!("in {}", path.display()))?;
    let path = folder.join("dialogue.jsonl");
    let text = if path.exists() { read(&path)? } else { String::new() };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let exchange = |(at, line): (usize, &str)| {
        serde_json::from_str::<Exchange>(line).with_context(|| format!("line {} of {}", at + 1, path.display()))
    };
    let dialogue = lines.map(exchange).collect::<Result<_>>()?;
    Ok(Profile { role, dialogue })
}

/// Every folder of `folder` that holds a `role.json`, by name.
pub fn profiles(folder: &Path) -> Result<Vec<Profile>> {
    let cannot = || format!("cannot read {}", folder.display());
    let entries: std::io::Result<Vec<_>> = fs::read_dir(folder).with_context(cannot)?.collect();
    let mut folders: Vec<PathBuf> = entries.with_context(cannot)?.into_iter().map(|entry| entry.path()).collect();
    folders.retain(|folder| folder.join("role.json").exists());
    folders.sort();
    ensure!(!folders.is_empty(), "no ROLE/role.json in {}", folder.display());
    folders.iter().map(|folder| profile(folder)).collect()
}

/// Instructions of the languages that are needed, drawn.
pub fn instructions(settings: &RolegptSettings, languages: &BTreeSet<bool>) -> Result<Vec<(Language, Instruction)>> {
    let mut all = Vec::new();
    for path in &settings.instructions {
        let parsed = parse_instructions(&read(path)?).with_context(|| format!("in {}", path.display()))?;
        all.extend(parsed);
    }
    let sampler = Sampler { count: settings.sample, seed: settings.seed, nearness: settings.nearness };
    let mut drawn = Vec::new();
    for language in languages.iter().map(|&is_chinese| if is_chinese { Language::Zh } else { Language::En }) {
        let sampled = sampler.sample(&all, language);
        if !all.is_empty() {
            eprintln!(
                "{} instructions in {}; passed over: {} near-duplicates, {} too long, {} in another language",
                sampled.taken.len(),
                if language == Language::Zh { "Chinese" } else { "English" },
                sampled.near_duplicates,
                sampled.too_long,
                sampled.other_language
            );
        }
        drawn.extend(sampled.taken.into_iter().map(|instruction| (language, instruction)));
    }
    Ok(drawn)
}

pub fn tests(paths: &[PathBuf]) -> Result<Vec<Sample>> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(parse_samples(&read(path)?).with_context(|| format!("in {}", path.display()))?);
    }
    Ok(all)
}

/// The parts that runs of `all` left below a folder.
pub fn parts(folder: &Path) -> Result<Vec<(PathBuf, Part)>> {
    let folder = folder.join("parts");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let part = |path: PathBuf| {
        let part = serde_json::from_str(&read(&path)?).with_context(|| format!("in {}", path.display()))?;
        Ok((path, part))
    };
    paths.into_iter().map(part).collect()
}

pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
