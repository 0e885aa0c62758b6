use super::{
    arguments::{
        AllArguments, AssembleArguments, ContextArguments, DatasetSettings, ProfileArguments, RolegptArguments,
    },
    inputs::{self, Task},
    session,
};
use anyhow::{Context, Result, ensure};
use roles::Language;
use std::{collections::BTreeSet, env, path::Path, sync::Arc};
use synthesis::{
    Counts, Dispatcher, Failure, Instruction, Part, Pipeline, Row, Tally, in_order,
    report::{Circumstances, card, html},
    source::{Names, Script, Source},
    write_file, write_role,
};

/// Roles that are worked on at once.
const ROLES_AT_ONCE: usize = 8;

pub async fn profile(arguments: &ProfileArguments) -> Result<()> {
    let material = inputs::material(&arguments.role)?;
    let pipeline = Pipeline::default();
    let work = |dispatcher: Arc<Dispatcher>| -> session::Work<'_, _> {
        let material = &material;
        Box::pin(async move { pipeline.within(dispatcher.context()).profiler.make(&dispatcher, material).await })
    };
    let Some(((profile, counts), _)) = session::run(&arguments.teacher, 1, work).await? else { return Ok(()) };
    write_role(&arguments.teacher.out.join("roles"), &profile)?;
    tell(&profile.role.name, &counts);
    eprintln!("{} lines of dialogue, {} catchphrases", profile.dialogue.len(), profile.role.catchphrases.len());
    Ok(())
}

pub async fn context_instruct(arguments: &ContextArguments) -> Result<()> {
    let profile = inputs::profile(&arguments.profile)?;
    let scripts: Vec<Script> =
        inputs::sources(&arguments.sources, "Narrator")?.into_iter().filter_map(script).collect();
    let names = Names::new(&profile.role.name, &arguments.aliases);
    let mut pipeline = Pipeline::default();
    arguments.settings.apply(&mut pipeline);
    let work = |dispatcher: Arc<Dispatcher>| -> session::Work<'_, _> {
        let (profile, scripts, names) = (&profile, &scripts, &names);
        Box::pin(async move {
            let fitted = pipeline.within(dispatcher.context());
            let segments = fitted.segments(scripts, names);
            fitted.context_instruct.ask(&dispatcher, profile, &segments).await
        })
    };
    let Some((specific, _)) = session::run(&arguments.teacher, arguments.settings.per_request, work).await? else {
        return Ok(());
    };
    tell(&profile.role.name, &specific.counts);
    write_rows(&arguments.teacher.out.join("role_specific.jsonl"), &specific.rows)
}

fn script(source: Source) -> Option<Script> {
    match source {
        Source::Script(script) => Some(script),
        Source::Card(_) => None,
    }
}

pub async fn rolegpt(arguments: &RolegptArguments) -> Result<()> {
    let profiles = inputs::profiles(&arguments.roles)?;
    let languages = profiles.iter().map(|profile| profile.role.language == Language::Zh).collect();
    let instructions = inputs::instructions(&arguments.settings, &languages)?;
    ensure!(!instructions.is_empty(), "no instructions: give --instructions FILE");
    let mut pipeline = Pipeline::default();
    arguments.settings.apply(&mut pipeline);
    let work = |dispatcher: Arc<Dispatcher>| -> session::Work<'_, _> {
        let (profiles, instructions) = (&profiles, &instructions);
        Box::pin(async move {
            let rolegpt = pipeline.within(dispatcher.context()).rolegpt;
            let mut all = Vec::new();
            for profile in profiles {
                let asked = of_language(instructions, profile.role.language);
                all.push(rolegpt.answer(&dispatcher, profile, &asked).await?);
            }
            Ok(all)
        })
    };
    let Some((all, _)) = session::run(&arguments.teacher, 1, work).await? else { return Ok(()) };
    for (profile, general) in profiles.iter().zip(&all) {
        tell(&profile.role.name, &general.counts);
    }
    let rows: Vec<Row> = all.iter().flat_map(|general| general.rows.iter().cloned()).collect();
    let baseline: Vec<Row> = all.into_iter().flat_map(|general| general.baseline).collect();
    write_rows(&arguments.teacher.out.join("general.jsonl"), &rows)?;
    write_rows(&arguments.teacher.out.join("rolegpt_baseline.jsonl"), &baseline)
}

pub async fn all(arguments: &AllArguments) -> Result<()> {
    let tasks = inputs::tasks(arguments)?;
    let tests = inputs::tests(&arguments.dataset.tests)?;
    let languages: BTreeSet<bool> = tasks.iter().map(|task| task.material.role.language == Language::Zh).collect();
    let instructions = inputs::instructions(&arguments.rolegpt, &languages)?;
    let mut pipeline = Pipeline::default();
    arguments.context.apply(&mut pipeline);
    arguments.rolegpt.apply(&mut pipeline);
    let work = |dispatcher: Arc<Dispatcher>| -> session::Work<'_, _> {
        let (tasks, instructions) = (&tasks, &instructions);
        Box::pin(async move { run_tasks(&pipeline, &dispatcher, tasks, instructions).await })
    };
    let Some((parts, dispatcher)) = session::run(&arguments.teacher, arguments.context.per_request, work).await? else {
        return Ok(());
    };
    let out = &arguments.teacher.out;
    for part in &parts {
        let path = out.join("parts").join(format!("{}.json", part.profile.role.id));
        write_file(&path, &serde_json::to_string(part)?)?;
    }
    finish(out, parts, instructions, &tests, arguments.rolegpt.seed, &arguments.dataset, dispatcher.tally())
}

async fn run_tasks(
    pipeline: &Pipeline,
    dispatcher: &Dispatcher,
    tasks: &[Task],
    instructions: &[(Language, Instruction)],
) -> Result<Vec<Part>, Failure> {
    let run = |task: &'_ Task| {
        let asked = of_language(instructions, task.material.role.language);
        let (finished, material) = (task.finished.clone(), task.material.clone());
        async move { pipeline.run(dispatcher, &material, finished, &asked).await }
    };
    // Not to be broken off at the first failure: requests under way are paid, and their answers must be kept.
    in_order(tasks.iter().map(run), ROLES_AT_ONCE).await.into_iter().collect()
}

pub fn assemble(arguments: &AssembleArguments) -> Result<()> {
    let mut parts: Vec<Part> = Vec::new();
    for folder in &arguments.from {
        for (path, part) in inputs::parts(folder)? {
            let is_new = parts.iter().all(|known| known.profile.role.id != part.profile.role.id);
            ensure!(is_new, "the role \"{}\" is there twice: {}", part.profile.role.name, path.display());
            parts.push(part);
        }
    }
    parts.sort_by(|a, b| a.profile.role.id.cmp(&b.profile.role.id));
    // The plain answers are in the shards' own folders; here the questions are what counts.
    let asked: BTreeSet<(bool, String)> = parts
        .iter()
        .flat_map(|part| {
            part.general.rows.iter().map(|row| (part.profile.role.language == Language::Zh, row.question.clone()))
        })
        .collect();
    let instructions = asked.into_iter().map(|(is_chinese, instruction)| {
        (if is_chinese { Language::Zh } else { Language::En }, Instruction { instruction, answer: String::new() })
    });
    let tests = inputs::tests(&arguments.dataset.tests)?;
    let instructions = instructions.collect();
    finish(&arguments.out, parts, instructions, &tests, arguments.seed, &arguments.dataset, Tally::default())
}

fn finish(
    out: &Path,
    parts: Vec<Part>,
    instructions: Vec<(Language, Instruction)>,
    tests: &[rolebench::Sample],
    seed: u64,
    settings: &DatasetSettings,
    tally: Tally,
) -> Result<()> {
    let share = settings.test_share;
    ensure!((0.0..1.0).contains(&share), "--test-share is {share}, expected 0 or more and less than 1");
    let dataset = settings.assembly(seed).assemble(parts, instructions, tests);
    dataset.write(out)?;
    let command = env::args().collect::<Vec<_>>().join(" ");
    let about = Circumstances { title: settings.title.clone(), licence: settings.licence.clone(), tally, command };
    write_file(&out.join("report.html"), &html(&dataset, &about))?;
    write_file(&out.join("README.md"), &card(&dataset, &about))?;
    for part in &dataset.parts {
        let name = &part.profile.role.name;
        tell(&format!("{name}, profile"), &part.profile_counts);
        tell(&format!("{name}, role-specific"), &part.specific.counts);
        tell(&format!("{name}, general"), &part.general.counts);
    }
    eprintln!("the report is {}", out.join("report.html").display());
    Ok(())
}

fn of_language(instructions: &[(Language, Instruction)], language: Language) -> Vec<Instruction> {
    instructions.iter().filter(|(of, _)| *of == language).map(|(_, instruction)| instruction.clone()).collect()
}

fn write_rows(path: &Path, rows: &[Row]) -> Result<()> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(row)?);
        text.push('\n');
    }
    write_file(path, &text).context("the rows are lost, the journal is not")?;
    eprintln!("{} rows in {}", rows.len(), path.display());
    Ok(())
}

fn tell(what: &str, counts: &Counts) {
    let Counts { requests, found, kept, rejects } = counts;
    let rejects: Vec<String> = rejects.iter().map(|(reason, count)| format!("{count} {}", reason.in_words())).collect();
    let rejects = if rejects.is_empty() { "none".to_string() } else { rejects.join(", ") };
    eprintln!("{what}: {requests} requests, {found} found, {kept} kept; dropped: {rejects}");
}
