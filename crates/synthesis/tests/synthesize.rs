//! The program as a user runs it: over HTTP, with a local model, killed and run again, in shards.

mod common;

use common::{Mock, random};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::RowAccessor,
};
use rolebench::parse_samples;
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const KEY: &str = "sk-test-0123456789-abcdefghij";
const SCRIPT: &str = "CHAPTER I\n\n“Where are we, captain?” asked Ned Land.\n\n“Ten leagues from the island of Crespo,” said Captain Orla.\n\n\
    The lamp swung above the chart of the forest under the sea.\n\n“And the rifles?” asked Ned Land.\n\n\
    “Air, not powder. The sea gives everything!” said Captain Orla.\n\nCHAPTER II\n\n“Do you never land?” asked Ned Land.\n\n\
    “Never,” said Captain Orla. “The sea gives everything!”\n";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn card() -> Value {
    json!({"spec": "chara_card_v2", "spec_version": "2.0", "data": {
        "name": "Captain Orla",
        "description": "You are Captain Orla, who sails a boat of brass under the sea, hates the land and is fond of \
                        music. You speak in short, proud sentences.",
        "mes_example": "<START>\n{{user}}: Hello!\n{{char}}: Welcome aboard.",
        "first_mes": "Welcome aboard.",
    }})
}

/// A folder with a card, a script, instructions and a plan of two roles.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let instructions: String = (0..30)
        .map(|nth| {
            format!(
                "{}\n",
                json!({"instruction": format!("What is {} worth, number {nth}?", random(&nth)), "answer": "x"})
            )
        })
        .collect();
    let plan = json!([
        {"sources": ["card.json", "script.txt"], "aliases": ["Orla"]},
        {"role": "Ned Land", "sources": ["script.txt"]},
    ]);
    fs::write(path("card.json"), card().to_string()).expect("written");
    fs::write(path("script.txt"), SCRIPT).expect("written");
    fs::write(path("instructions.jsonl"), instructions).expect("written");
    fs::write(path("plan.json"), plan.to_string()).expect("written");
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synthesize"));
    command.current_dir(folder).args(arguments).env("TEACHER_KEY", KEY).stdin(Stdio::null());
    command
}

async fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = command(folder, arguments);
    tokio::task::spawn_blocking(move || command.output().expect("the program runs")).await.expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stderr) + &text(&output.stdout)
}

fn rows(path: &Path) -> Vec<rolebench::Sample> {
    parse_samples(&fs::read_to_string(path).expect("a file of rows")).expect("rows of RoleBench")
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A teacher that does what it is asked, but for each kind of bad text one time in twenty.
fn teacher(request: &Value, number: u64) -> String {
    let prompt = request["messages"].as_array().and_then(|all| all.last()).map(|last| last["content"].to_string());
    let prompt = prompt.unwrap_or_default();
    let source = "The sea gives everything to the captain, the lamp and the chart of the island and the forest. ";
    if request["response_format"].is_object() {
        let items: Vec<Value> = (0..4)
            .map(|nth| {
                let rating = if nth == 3 { "Low" } else { "High" };
                let question =
                    format!("What of {} and {} and {}?", random(&(number, nth)), random(&(nth, number)), number / 3);
                json!({"question": question, "completeness": rating, "reason": "it says so", "answer": source.trim()})
            })
            .collect();
        let whole = json!({"items": items}).to_string();
        return match number % 20 {
            0 => format!("Here you are:\n```json\n{whole}\n```"),
            1 => whole[..whole.len() / 2].to_string(),
            2 => "I'm sorry, but I can't help with that.".into(),
            _ => whole,
        };
    }
    match number % 20 {
        _ if prompt.contains("catchphrases") => "1. The sea gives everything!\n2. Never.".into(),
        _ if prompt.contains("description") || prompt.contains("Describe") || prompt.contains("piece of a script") => {
            format!("You are one of whom {number} things are told. {source}{source}")
        }
        0 => "As an AI language model, I have no opinions.".into(),
        1 => "I'm sorry, but I can't help with that.".into(),
        2 => "这个回答是用另一种语言写的。".into(),
        3 => "Staying in character, I would say yes.".into(),
        4 => "I went down to the harbour and from there to".into(),
        _ => format!("Captain Orla: It is worth {number} pearls."),
    }
}

fn all<'a>(teacher: &'a str, out: &'a str) -> Vec<&'a str> {
    vec![
        "all",
        "--teacher",
        teacher,
        "--out",
        out,
        "--plan",
        "plan.json",
        "--instructions",
        "instructions.jsonl",
        "--sample",
        "12",
        "--references",
        "3",
        "--candidates",
        "40",
        "--per-request",
        "4",
        "--rounds",
        "30",
        "--segment-tokens",
        "60",
        "--test-share",
        "0.3",
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn all_over_a_failing_server_makes_a_clean_data_set_and_pays_once() {
    let folder = folder();
    let mock = Mock::new(5, teacher);
    let spec =
        format!("{},model=mock,key-env=TEACHER_KEY,timeout=0.5,input-price=1,output-price=2", mock.serve().await);
    let plan = succeeded(&run(folder.path(), &[&all(&spec, "out")[..], &["--dry-run"]].concat()).await);
    assert!(plan.contains("cost at most") && mock.seen().is_empty() && !folder.path().join("out").exists(), "{plan}");

    let mut log = succeeded(&run(folder.path(), &all(&spec, "out")).await);
    let out = folder.path().join("out");
    for part in ["general", "role_specific"] {
        let split = |name: &str| out.join("rolebench-eng").join(part).join(name);
        let (train, test) = (rows(&split("train.jsonl")), rows(&split("test.jsonl")));
        assert!(train.len() > 10 && test.len() > 2, "{part}: {} and {}", train.len(), test.len());
        let asked: HashSet<&str> = train.iter().map(|row| row.key().1).collect();
        assert!(test.iter().all(|row| !asked.contains(row.key().1)), "{part}: a test question is in training");
        for answer in train.iter().chain(&test).flat_map(|row| &row.generated) {
            let is_bad = ["AI language", "sorry", "另一种", "in character", "from there to"]
                .iter()
                .any(|bad| answer.contains(bad));
            assert!(!is_bad, "{answer}");
        }
        let own_name =
            |row: &&rolebench::Sample| row.generated.iter().any(|answer| answer.starts_with(&format!("{}:", row.role)));
        assert!(!train.iter().any(|row| own_name(&row)), "a role says its own name before it speaks");
        let reader = SerializedFileReader::new(File::open(split("train.parquet")).expect("a file")).expect("parquet");
        let first = reader.get_row_iter(None).expect("rows").next().expect("a row").expect("read");
        assert_eq!(reader.metadata().file_metadata().num_rows() as usize, train.len());
        let (role, answers) = (first.get_string(0).expect("a role"), first.get_list(2).expect("answers"));
        assert_eq!((role, answers.len()), (&train[0].role, train[0].generated.len()));
    }
    let specific = fs::read_to_string(out.join("rolebench-eng/role_specific/train.jsonl")).expect("rows");
    let first: Value = serde_json::from_str(specific.lines().next().expect("a row")).expect("JSON");
    assert!(first["provenance"]["model"] == "mock" && specific.contains("\"segment\":[\"script.txt\","), "{first}");
    let report = fs::read_to_string(out.join("report.html")).expect("a report");
    for words in
        ["says that it is an AI", "refuses to answer", "rated Low", "in the wrong language", "Captain Orla", "Ned Land"]
    {
        assert!(report.contains(words), "{words} is not in the report");
    }
    let dialogue = fs::read_to_string(out.join("roles/captain-orla/dialogue.jsonl")).expect("dialogue");
    assert!(dialogue.contains("Ten leagues") && dialogue.contains("Welcome aboard"), "{dialogue}");

    // The same again asks only for what was given up, and answers the same.
    let asked = |mock: &Mock| mock.seen().values().map(|seen| seen.asked).sum::<u64>();
    let failed = fs::read_to_string(out.join("journal.jsonl")).expect("a journal").matches("\n{\"failed\"").count();
    let before = asked(&mock);
    log += &succeeded(&run(folder.path(), &all(&spec, "out")).await);
    assert!(failed > 0 || asked(&mock) == before, "{} more requests", asked(&mock) - before);
    assert!(mock.seen().values().all(|seen| seen.billed <= 1 && seen.delivered <= 1));
    for path in files(folder.path()) {
        assert!(!text(&fs::read(&path).expect("a file")).contains(KEY), "the key is in {}", path.display());
    }
    assert!(!log.contains(KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_the_requests_exactly_and_shards_make_the_same_rows() {
    let folder = folder();
    // Well-formed answers only: what a rehearsal supposes.
    let mock = Mock::new(0, |request, number| teacher(request, number / 20 * 20 + 7));
    let spec = format!("{},model=mock", mock.serve().await);
    let plan = succeeded(&run(folder.path(), &[&all(&spec, "one")[..], &["--dry-run"]].concat()).await);
    let line = plan.lines().find(|line| line.starts_with("all ")).expect("a line of sums");
    let planned: usize = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
    succeeded(&run(folder.path(), &all(&spec, "one")).await);
    assert_eq!(mock.seen().len(), planned);

    for (shard, out) in [("1/2", "first"), ("2/2", "second")] {
        succeeded(&run(folder.path(), &[&all(&spec, out)[..], &["--shard", shard]].concat()).await);
    }
    let from = ["assemble", "--from", "first", "--from", "second", "--out", "both", "--test-share", "0.3"];
    succeeded(&run(folder.path(), &from).await);
    for part in
        ["general/train", "general/test", "general/rolegpt_baseline", "role_specific/train", "role_specific/test"]
    {
        let read = |out: &str| {
            fs::read_to_string(folder.path().join(out).join("rolebench-eng").join(part).with_extension("jsonl"))
                .expect("rows")
        };
        assert_eq!(read("one"), read("both"), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_twenty_times_loses_no_answer_and_pays_none_twice() {
    let folder = folder();
    let mock = Mock::with_latency(Duration::from_millis(15), 5, teacher);
    let spec = format!("{},model=mock,concurrency=8,timeout=0.5,key-env=TEACHER_KEY", mock.serve().await);
    let roles = repository().join("data/roles");
    let arguments = [
        "rolegpt",
        "--teacher",
        &spec,
        "--roles",
        roles.to_str().expect("a path"),
        "--instructions",
        "instructions.jsonl",
        "--references",
        "15",
        "--out",
        "out",
    ];
    let journal = folder.path().join("out/journal.jsonl");
    let mut in_doubt = 0;
    for life in 0..20u64 {
        let mut child = command(folder.path(), &arguments).stderr(Stdio::null()).spawn().expect("the program starts");
        // From the middle of a start to the middle of a run.
        tokio::time::sleep(Duration::from_millis(30 + random(&life) % 300)).await;
        assert!(child.try_wait().expect("a child").is_none(), "it ended before it was killed");
        child.kill().expect("killed");
        child.wait().expect("gone");
        in_doubt += asked_without_answer(&journal);
    }
    succeeded(&run(folder.path(), &arguments).await);
    assert_eq!(asked_without_answer(&journal), 0);
    let seen = mock.seen();
    // 7 English roles, 30 instructions, 15 references and 1 baseline.
    let english = rows(&folder.path().join("out/rolegpt_baseline.jsonl"))
        .iter()
        .map(|row| row.role.clone())
        .collect::<HashSet<_>>()
        .len();
    assert_eq!(seen.len(), english * 30 * 16);
    assert!(seen.values().all(|seen| seen.billed == 1), "a request is billed twice or never");
    let twice = seen.values().filter(|seen| seen.delivered > 1).count();
    assert!(twice <= in_doubt, "{twice} answers were sent twice, {in_doubt} requests were under way at a kill");
    let text = fs::read_to_string(&journal).expect("a journal");
    assert_eq!(text.matches("{\"answered\"").count() + failed(&text), seen.len());
    assert!(in_doubt > 0, "no kill fell into a request");
}

/// Requests of a journal that have neither an answer nor a failure after them.
fn asked_without_answer(journal: &Path) -> usize {
    let Ok(text) = fs::read_to_string(journal) else { return 0 };
    let mut open = HashSet::new();
    for entry in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some((kind, content)) = entry.as_object().and_then(|object| object.iter().next()) else { continue };
        let key = content["key"].to_string();
        if kind == "asked" {
            open.insert(key)
        } else {
            open.remove(&key)
        };
    }
    open.len()
}

/// Requests of a journal whose last word is a failure.
fn failed(text: &str) -> usize {
    let mut last = std::collections::HashMap::new();
    for entry in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some((kind, content)) = entry.as_object().and_then(|object| object.iter().next()) else { continue };
        last.insert(content["key"].to_string(), kind.clone());
    }
    last.values().filter(|kind| *kind == "failed").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_demo_model_makes_a_valid_data_set_of_a_card_and_a_book() {
    let folder = folder();
    let model = repository().join("models/rolellm-demo-q4_0.gguf");
    let arguments = [
        "all",
        "--teacher",
        model.to_str().expect("a path"),
        "--source",
        "card.json",
        "--source",
        "script.txt",
        "--alias",
        "Orla",
        "--instructions",
        "instructions.jsonl",
        "--sample",
        "4",
        "--references",
        "2",
        "--strategy",
        "rocit",
        "--candidates",
        "6",
        "--per-request",
        "3",
        "--rounds",
        "1",
        "--max-tokens",
        "40",
        "--out",
        "out",
    ];
    let log = succeeded(&run(folder.path(), &arguments).await);
    let out = folder.path().join("out");
    let role = roles::Role::from_json(&fs::read_to_string(out.join("roles/captain-orla/role.json")).expect("a role"))
        .expect("valid");
    // So small a model writes no description that holds on to its source; the card's stands in.
    assert!(role.description.contains("boat of brass"), "{}", role.description);
    assert_eq!(rows(&out.join("rolebench-eng/general/rolegpt_baseline.jsonl")).len(), 4);
    assert!(
        log.contains("role-specific:") && out.join("report.html").exists() && out.join("README.md").exists(),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_ends_with_code_2_and_a_spent_budget_with_code_1() {
    let folder = folder();
    let mock = Mock::new(0, teacher);
    let address = mock.serve().await;
    let cases: [(&[&str], &str); 5] = [
        (&["all", "--teacher", "http://a/v1", "--out", "o", "--source", "card.json"], "model=NAME"),
        (&["all", "--teacher", "none.gguf", "--out", "o", "--source", "card.json"], "none.gguf"),
        (&["all", "--teacher", "none.gguf", "--out", "o", "--source", "script.txt"], "--role"),
        (&["all", "--teacher", "none.gguf", "--out", "o", "--source", "missing.txt", "--role", "A"], "missing.txt"),
        (&["all", "--teacher", "none.gguf", "--out", "o", "--plan", "plan.json", "--shard", "3/2"], "K/N"),
    ];
    for (arguments, words) in cases {
        let output = run(folder.path(), arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(words), "{arguments:?}: {}", text(&output.stderr));
    }
    let no_key = format!("{address},model=mock,key-env=NO_SUCH_VARIABLE");
    let output = run(folder.path(), &all(&no_key, "o")).await;
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("NO_SUCH_VARIABLE"));
    let leaked = format!("{address},model=mock,key-env={KEY}");
    let output = run(folder.path(), &all(&leaked, "o")).await;
    assert!(output.status.code() == Some(2) && !text(&output.stderr).contains(KEY), "{}", text(&output.stderr));
    let priced = format!("{address},model=mock,output-price=1000");
    let output = run(folder.path(), &[&all(&priced, "o")[..], &["--max-cost", "2.5"]].concat()).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("raise --max-cost"));
    let paid = mock.seen().len();
    succeeded(&run(folder.path(), &all(&priced, "o")).await);
    assert!(paid > 0 && mock.seen().values().all(|seen| seen.delivered == 1), "an answer was paid twice");
}
