//! How fast the dispatcher is and how much memory it takes: requests over HTTP to a server in the same process.
//!
//! `cargo run --release -p synthesis --example throughput -- 60000`

use axum::{Router, routing::post};
use roles::{Message, Speaker};
use std::{fs, time::Duration, time::Instant};
use synthesis::{
    Dispatcher, Durability, Endpoint, Journal, Request, Retries, Sampling, Stage,
    teacher::{OpenAi, Secret},
};

const AT_ONCE: usize = 64;
const BATCH: usize = 10_000;
const LATENCY: Duration = Duration::from_millis(30);

#[expect(clippy::print_stdout, reason = "an example shows its figures")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(60_000), |count| count.parse())?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}/v1", listener.local_addr()?);
    let router = Router::new().route("/v1/chat/completions", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir()?;
    let teacher = OpenAi::new(&address, "mock", Secret::default(), Duration::from_secs(10))?;
    let journal = Journal::open(&folder.path().join("journal.jsonl"), Durability::Second)?;
    let endpoint = Endpoint::new(Box::new(teacher), AT_ONCE);
    let dispatcher = Dispatcher::new(vec![endpoint], journal, None, Retries::default());
    println!("{AT_ONCE} at once, answers take {LATENCY:?}");
    println!("{:>9} {:>12} {:>16}", "requests", "a second", "resident, MiB");
    for start in (0..count).step_by(BATCH) {
        let requests: Vec<Request> = (start..count.min(start + BATCH)).map(request).collect();
        let began = Instant::now();
        let answers = dispatcher.ask_all(&requests).await;
        let rate = answers.iter().filter(|answer| answer.is_ok()).count() as f64 / began.elapsed().as_secs_f64();
        println!("{:>9} {rate:>12.0} {:>16.1}", start + requests.len(), resident_mib());
    }
    Ok(())
}

async fn answer() -> String {
    tokio::time::sleep(LATENCY).await;
    serde_json::json!({"choices": [{"message": {"content": "word ".repeat(60)}, "finish_reason": "stop"}]}).to_string()
}

fn request(number: usize) -> Request {
    let question = format!("Question {number}: {}", "word ".repeat(150));
    Request {
        stage: Stage::Reference,
        messages: vec![Message::new(Speaker::User, question)],
        sampling: Sampling::paper(200),
        json: false,
        sample: 0,
    }
}

fn resident_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
