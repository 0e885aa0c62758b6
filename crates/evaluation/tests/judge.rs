//! Judges over HTTP: verdicts, both orders, retries, the journal, dry runs; and verdicts that cannot be read.

mod common;

use axum::{Router, body::Bytes, extract::State, routing::post};
use common::{evaluate, folder, role, stderr};
use evaluation::judge::{Better, PairVerdict, RankVerdict, read_pair, read_ranks, summarize_pairs, summarize_ranks};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

type Judge = Box<dyn Fn(&str, usize) -> String + Send + Sync>;

/// An endpoint that writes verdicts by a function of the prompt and of how often it was asked that.
struct Endpoint {
    judge: Judge,
    prompts: Mutex<Vec<String>>,
}

async fn answer(State(endpoint): State<Arc<Endpoint>>, body: Bytes) -> String {
    let request: Value = serde_json::from_slice(&body).expect("JSON");
    let prompt = request["messages"][1]["content"].as_str().expect("a prompt").to_string();
    let asked = {
        let mut prompts = endpoint.prompts.lock().expect("no test panicked");
        prompts.push(prompt.clone());
        prompts.iter().filter(|other| **other == prompt).count()
    };
    let text = (endpoint.judge)(&prompt, asked);
    json!({
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 50, "completion_tokens": 10},
    })
    .to_string()
}

/// Runs the program while the endpoint listens; returns what it printed and the prompts that were sent.
fn judged(folder: &Path, judge: Judge, more: &[&str]) -> (Output, Vec<String>) {
    let endpoint = Arc::new(Endpoint { judge, prompts: Mutex::default() });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/v1/chat/completions", post(answer)).with_state(Arc::clone(&endpoint));
    runtime.spawn(async move { axum::serve(listener, router).await });
    let teacher = format!("http://{address}/v1,model=judge,input-price=1,output-price=2");
    let arguments = ["judge", "--data", "test.jsonl", "--roles", "roles", "--out", "out", "--endpoint", &teacher];
    let systems = ["--system", "old=old.jsonl", "--system", "new=new.jsonl"];
    let output = evaluate(folder, &[&arguments[..], &systems, more].concat());
    let prompts = endpoint.prompts.lock().expect("no test panicked").clone();
    (output, prompts)
}

/// Four questions; the new system answers "better N", the old "worse N".
fn workplace() -> TempDir {
    let rows = |answer: &str| -> String {
        (0..4)
            .map(|n| {
                json!({"role": "A", "question": format!("q{n}"), "generated": [format!("{answer} {n}")]}).to_string()
                    + "\n"
            })
            .collect()
    };
    let (test, old, new, a) = (rows("the truth"), rows("worse"), rows("better"), role("A"));
    folder(&[
        ("test.jsonl", test.as_bytes()),
        ("old.jsonl", old.as_bytes()),
        ("new.jsonl", new.as_bytes()),
        ("roles/a/role.json", &a),
    ])
}

/// Which of the two answers of a prompt is the new system's.
fn place_of_better(prompt: &str) -> usize {
    if prompt.find("better ").expect("an answer") < prompt.find("worse ").expect("an answer") { 1 } else { 2 }
}

fn summary(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("out/summary.json")).expect("a summary")).expect("JSON")
}

#[test]
fn every_question_is_judged_in_both_orders_and_asked_once() {
    let folder = workplace();
    let fair = || -> Judge {
        Box::new(|prompt, _| {
            format!("```json\n{{\"reason\": \"style\", \"better\": {}}}\n```", place_of_better(prompt))
        })
    };
    let (output, prompts) = judged(folder.path(), fair(), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(prompts.len(), 8);
    assert!(prompts.iter().all(|prompt| prompt.contains("You are A.") && prompt.contains("the truth")), "{prompts:?}");
    assert!(!prompts.iter().any(|prompt| prompt.contains("new") || prompt.contains("old")), "the judge is told a name");
    let found = &summary(folder.path())[0]["summary"];
    assert_eq!((&found["wins"], &found["flip_rate"], &found["first_shown"]), (&json!(4), &json!(0.0), &json!(0.5)));
    assert_eq!(fs::read_to_string(folder.path().join("out/verdicts.jsonl")).expect("verdicts").lines().count(), 4);
    let (again, prompts) = judged(folder.path(), fair(), &[]);
    assert!(again.status.success() && prompts.is_empty(), "asked again: {prompts:?}");
    assert!(String::from_utf8_lossy(&again.stdout).contains("win rate     100.0 %"));
}

#[test]
fn a_judge_that_always_likes_the_first_answer_is_found_out() {
    let folder = workplace();
    let (output, _) = judged(folder.path(), Box::new(|_, _| "{\"better\": 1}".to_string()), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let found = &summary(folder.path())[0]["summary"];
    assert_eq!((&found["ties"], &found["flip_rate"], &found["first_shown"]), (&json!(4), &json!(1.0), &json!(1.0)));
    assert_eq!(found["win_rate"], 0.5);
}

#[test]
fn an_unreadable_verdict_is_asked_again_and_then_counts_for_nobody() {
    let folder = workplace();
    let shy: Judge = Box::new(|prompt, asked| match () {
        () if prompt.contains("q0") => "I would rather not say.".to_string(),
        () if prompt.contains("q1") && asked == 1 => "{\"better\": 3}".to_string(),
        () => format!("{{'better': {}}}", place_of_better(prompt)),
    });
    let (output, prompts) = judged(folder.path(), shy, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(prompts.iter().filter(|prompt| prompt.contains("q0")).count(), 6);
    assert_eq!(prompts.iter().filter(|prompt| prompt.contains("q1")).count(), 4);
    let found = &summary(folder.path())[0]["summary"];
    assert_eq!((&found["wins"], &found["losses"], &found["invalid"]), (&json!(3), &json!(0), &json!(1)));
}

#[test]
fn a_dry_run_asks_nothing_and_tells_the_cost() {
    let folder = workplace();
    let (output, prompts) = judged(folder.path(), Box::new(|_, _| String::new()), &["--dry-run"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && prompts.is_empty(), "{}", stderr(&output));
    assert!(text.contains("requests       8") && text.contains("cost"), "{text}");
    assert!(!folder.path().join("out").exists());
}

#[test]
fn a_budget_ends_the_judging_and_nothing_is_lost() {
    let folder = workplace();
    let judge = || -> Judge { Box::new(|prompt, _| format!("{{\"better\": {}}}", place_of_better(prompt))) };
    let (output, first) = judged(folder.path(), judge(), &["--max-cost", "0.0006"]);
    assert!(!output.status.success() && stderr(&output).contains("--max-cost"), "{}", stderr(&output));
    let (output, second) = judged(folder.path(), judge(), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(first.len() + second.len(), 8);
}

#[test]
fn a_ranking_covers_all_systems_in_both_orders() {
    let folder = workplace();
    let rank: Judge = Box::new(|prompt, _| {
        let best = place_of_better(prompt);
        format!(
            "[{{'answer': 1, 'reason': 'x', 'rank': {}}}, {{'answer': 2, 'reason': 'y', 'rank': {}}}]",
            best,
            3 - best
        )
    });
    let (output, prompts) = judged(folder.path(), rank, &["--mode", "ranking"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(prompts.len(), 8);
    let found = summary(folder.path());
    assert_eq!((&found[0]["summary"]["mean_rank"], &found[1]["summary"]["mean_rank"]), (&json!(2.0), &json!(1.0)));
    assert_eq!(found[1]["summary"]["win_rate"], 1.0);
}

#[test]
fn verdicts_are_read_leniently_and_never_guessed() {
    assert_eq!(
        read_pair("Sure! {\"reason\": \"r\", \"better\": \"2\"} Done."),
        Some((Better::Second, "r".to_string()))
    );
    assert_eq!(read_pair("{\"better\": 0}"), Some((Better::Neither, String::new())));
    for text in ["", "1", "better: 1", "{\"better\": 1.5}", "{\"better\": null}", "{\"better\": -1}", "}{"] {
        assert_eq!(read_pair(text), None, "{text:?}");
    }
    let ranks = |text: &str| read_ranks(text, 2);
    assert_eq!(ranks("[{\"answer\": 2, \"rank\": 1}, {\"answer\": 1, \"rank\": 2}]"), Some(vec![2, 1]));
    assert_eq!(ranks("[{\"answer\": 1, \"rank\": 1}, {\"answer\": 2, \"rank\": 1}]"), Some(vec![1, 1]));
    for text in [
        "[{\"answer\": 1, \"rank\": 1}]",
        "[{\"answer\": 1, \"rank\": 1}, {\"answer\": 1, \"rank\": 2}]",
        "[{\"answer\": 1, \"rank\": 2}, {\"answer\": 2, \"rank\": 2}]",
        "[{\"answer\": 0, \"rank\": 1}, {\"answer\": 2, \"rank\": 1}]",
        "[{\"answer\": 1, \"rank\": 1}, {\"answer\": 2, \"rank\": 3}]",
    ] {
        assert_eq!(ranks(text), None, "{text:?}");
    }
}

#[test]
fn summaries_count_orders_that_contradict_each_other_and_longer_answers() {
    let verdict = |orders, longer| PairVerdict {
        role: "A".into(),
        question: "q".into(),
        orders,
        reasons: Default::default(),
        longer,
    };
    let found = summarize_pairs(&[
        verdict([Some(1), Some(1)], 10),
        verdict([Some(1), Some(0)], -4),
        verdict([Some(1), Some(-1)], 0),
        verdict([Some(-1), Some(-1)], 6),
        verdict([Some(1), None], 0),
    ]);
    assert_eq!((found.questions, found.invalid, found.wins, found.ties, found.losses), (4, 1, 2, 1, 1));
    assert_eq!((found.win_rate, found.flip_rate, found.length_gap), (0.625, 0.25, 2.4));
    assert_eq!((found.first_shown, found.longer_wins), (5.0 / 7.0, 2.0 / 5.0));
    let ranks = |first: Option<Vec<usize>>, second| RankVerdict {
        role: "A".into(),
        question: "q".into(),
        orders: [first, second],
    };
    let (found, invalid) =
        summarize_ranks(&[ranks(Some(vec![2, 1]), Some(vec![1, 2])), ranks(None, Some(vec![1, 2]))], 2);
    assert_eq!((found[0].mean_rank, found[1].win_rate, found[1].flip_rate, invalid), (1.5, 0.5, 1.0, 1));
}
