//! An OpenAI-compatible server that answers, fails and lies as it is told, and counts.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex},
    time::Duration,
};

/// What the server does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// 429 with Retry-After.
    TooMany,
    /// 500, and the complaint repeats the key.
    Broken,
    /// An answer that comes too late.
    Late,
    /// The connection ends inside the body.
    Cut,
    /// 200 and no JSON.
    NoJson,
}

/// Every fault that a server, and not the model, makes.
pub const FAULTS: [Fault; 5] = [Fault::TooMany, Fault::Broken, Fault::Late, Fault::Cut, Fault::NoJson];

type Write = dyn Fn(&Value, u64) -> String + Send + Sync;

/// What the server remembers of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// How often it came.
    pub asked: u64,
    /// How often its answer was written, and so would be billed; a repeated request is answered from memory.
    pub billed: u64,
    /// How often the whole answer was sent in time.
    pub delivered: u64,
}

pub struct Mock {
    write: Box<Write>,
    /// Chance of each fault, in percent.
    percent: u64,
    /// How long every answer takes.
    latency: Duration,
    /// How late a late answer is.
    lateness: Duration,
    seen: Mutex<HashMap<String, Seen>>,
    faults: Mutex<HashMap<Fault, usize>>,
}

impl Mock {
    /// A server whose model writes by `write`, given the request and a random number that is the request's own.
    pub fn new(percent: u64, write: impl Fn(&Value, u64) -> String + Send + Sync + 'static) -> Arc<Mock> {
        Mock::with_latency(Duration::ZERO, percent, write)
    }

    /// The same, with answers that take so long.
    pub fn with_latency(
        latency: Duration,
        percent: u64,
        write: impl Fn(&Value, u64) -> String + Send + Sync + 'static,
    ) -> Arc<Mock> {
        let (seen, faults) = (Mutex::default(), Mutex::default());
        Arc::new(Mock { write: Box::new(write), percent, latency, lateness: Duration::from_millis(600), seen, faults })
    }

    /// Starts to listen; returns the address up to `/v1`.
    pub async fn serve(self: &Arc<Mock>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/v1/chat/completions", post(answer)).with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/v1")
    }

    pub fn seen(&self) -> HashMap<String, Seen> {
        self.seen.lock().expect("no test panicked").clone()
    }

    pub fn faults(&self) -> HashMap<Fault, usize> {
        self.faults.lock().expect("no test panicked").clone()
    }

    fn fault(&self, key: &str, attempt: u64) -> Option<Fault> {
        let draw = random(&(key, attempt)) % 100;
        let fault = FAULTS.get((draw / self.percent.max(1)) as usize).copied().filter(|_| self.percent > 0)?;
        *self.faults.lock().expect("no test panicked").entry(fault).or_default() += 1;
        Some(fault)
    }

    fn note(&self, key: &str, change: impl FnOnce(&mut Seen)) -> Seen {
        let mut seen = self.seen.lock().expect("no test panicked");
        let entry = seen.entry(key.to_string()).or_default();
        change(entry);
        *entry
    }
}

pub fn random(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

async fn answer(State(mock): State<Arc<Mock>>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_string();
    let request: Value = serde_json::from_slice(&body).expect("the request is JSON");
    let key = match header("idempotency-key") {
        none if none.is_empty() => request.to_string(),
        key => key,
    };
    let attempt = mock.note(&key, |seen| seen.asked += 1).asked;
    let fault = mock.fault(&key, attempt);
    if fault == Some(Fault::TooMany) {
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")], "slow down").into_response();
    }
    if fault == Some(Fault::Broken) {
        let complaint = format!("cannot serve {}", header("authorization"));
        return (StatusCode::INTERNAL_SERVER_ERROR, complaint).into_response();
    }
    mock.note(&key, |seen| seen.billed = 1);
    let text = (mock.write)(&request, random(&key));
    let body = json!({
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20},
    })
    .to_string();
    tokio::time::sleep(mock.latency).await;
    match fault {
        Some(Fault::NoJson) => "<html>Bad gateway</html>".into_response(),
        Some(Fault::Cut) => {
            let half = Bytes::from(body.as_bytes()[..body.len() / 2].to_vec());
            let parts = [Ok(half), Err(std::io::Error::other("cut"))];
            Body::from_stream(futures_util::stream::iter(parts)).into_response()
        }
        Some(_) => {
            tokio::time::sleep(mock.lateness).await;
            body.into_response()
        }
        None => {
            mock.note(&key, |seen| seen.delivered += 1);
            body.into_response()
        }
    }
}
