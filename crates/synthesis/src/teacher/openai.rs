//! Any server that speaks OpenAI's chat completions over HTTP.

use super::{Reply, Replying, Teacher, TeacherError};
use crate::{Request, estimate_tokens};
use reqwest::{Client, Response, StatusCode, header::RETRY_AFTER};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

/// Most letters of a server's complaint that are repeated.
const COMPLAINT: usize = 300;

/// A key. It can be sent and hidden, never printed.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Keeps a key.
    pub fn new(key: impl Into<String>) -> Secret {
        Secret(key.into())
    }

    /// The text without the key, should a server repeat it, whole or in part.
    pub fn hide_in(&self, text: &str) -> String {
        let key = self.0.trim();
        if key.is_empty() {
            return text.to_string();
        }
        let mut hidden = text.replace(key, "[key]");
        // Servers like to quote the first and the last letters of a wrong key.
        let characters: Vec<char> = key.chars().collect();
        if characters.len() >= 12 {
            for part in [&characters[..8], &characters[characters.len() - 8..]] {
                hidden = hidden.replace(&part.iter().collect::<String>(), "[key]");
            }
        }
        hidden
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[key]")
    }
}

/// A model behind `…/chat/completions`.
#[derive(Debug)]
pub struct OpenAi {
    client: Client,
    address: String,
    model: String,
    key: Secret,
    /// Taken back when the server says that it knows no JSON mode.
    json_mode: AtomicBool,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Content,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

impl OpenAi {
    /// A teacher at `base`, the address that ends in `/v1`; each request is given up after `timeout`.
    ///
    /// # Errors
    /// The system offers no way to make HTTP connections.
    pub fn new(base: &str, model: &str, key: Secret, timeout: Duration) -> Result<OpenAi, TeacherError> {
        // A second installation is refused; the first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| TeacherError::Unusable { reason: format!("no HTTP client: {}", chain(&error)) })?;
        Ok(OpenAi {
            client,
            address: format!("{}/chat/completions", base.trim_end_matches('/')),
            model: model.to_string(),
            key,
            json_mode: AtomicBool::new(true),
        })
    }

    async fn once(&self, request: &Request) -> Result<Reply, TeacherError> {
        let json_mode = request.json && self.json_mode.load(Ordering::Relaxed);
        let mut sending = self
            .client
            .post(&self.address)
            .header("content-type", "application/json")
            // A server or gateway that knows this header answers a repeated request from its memory, unpaid.
            .header("idempotency-key", request.key(&self.model).to_string())
            .body(self.body(request, json_mode).to_string());
        if !self.key.0.is_empty() {
            sending = sending.bearer_auth(&self.key.0);
        }
        let response = sending.send().await.map_err(|error| self.unreachable(&error))?;
        let (status, after) = (response.status(), retry_after(&response));
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        if !status.is_success() {
            if json_mode && status == StatusCode::BAD_REQUEST && text.contains("response_format") {
                self.json_mode.store(false, Ordering::Relaxed);
                return Box::pin(self.once(request)).await;
            }
            return Err(self.complaint(status, after, &text));
        }
        let busy = |reason: String| TeacherError::Busy { reason, after: None, throttled: false };
        let completion: Completion = serde_json::from_str(&text)
            .map_err(|error| busy(format!("the reply is not a chat completion: {error}")))?;
        let choice = completion.choices.into_iter().next().ok_or_else(|| busy("the reply has no choices".into()))?;
        let text = choice.message.content.unwrap_or_default();
        let usage = completion.usage.unwrap_or(Usage { prompt_tokens: 0, completion_tokens: 0 });
        let counted = |count: u64, guess: u64| if count > 0 { count } else { guess };
        Ok(Reply {
            prompt_tokens: counted(usage.prompt_tokens, request.estimated_tokens()),
            reply_tokens: counted(usage.completion_tokens, estimate_tokens(&text)),
            complete: choice.finish_reason.as_deref() != Some("length"),
            text,
        })
    }

    fn body(&self, request: &Request, json_mode: bool) -> Value {
        let mut body = json!({
            "model": self.model,
            "messages": request.messages,
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "max_tokens": request.sampling.max_tokens,
            "frequency_penalty": 0,
            "presence_penalty": 0,
            "stream": false,
        });
        if json_mode {
            body["response_format"] = json!({"type": "json_object"});
        }
        body
    }

    fn unreachable(&self, error: &reqwest::Error) -> TeacherError {
        let reason = match error.is_timeout() {
            true => "no answer in time".to_string(),
            false => self.key.hide_in(&chain(error)),
        };
        TeacherError::Busy { reason, after: None, throttled: false }
    }

    fn complaint(&self, status: StatusCode, after: Option<Duration>, text: &str) -> TeacherError {
        let said: String = self.key.hide_in(text.trim()).chars().take(COMPLAINT).collect();
        let reason = format!("the server says {}: {said}", status.as_u16());
        match status.as_u16() {
            429 if text.contains("insufficient_quota") => TeacherError::Unusable { reason },
            408 | 409 | 425 | 429 | 500.. => TeacherError::Busy { reason, after, throttled: status.as_u16() == 429 },
            401 | 403 => TeacherError::Unusable { reason: format!("{reason}; look at the key (key-env=NAME)") },
            404 => TeacherError::Unusable { reason: format!("{reason}; look at the address and at model=NAME") },
            300..=399 => TeacherError::Unusable { reason: format!("{reason}; the address has moved") },
            _ => TeacherError::Refused { reason },
        }
    }
}

impl Teacher for OpenAi {
    fn model(&self) -> &str {
        &self.model
    }

    fn ask<'a>(&'a self, request: &'a Request) -> Replying<'a> {
        Box::pin(self.once(request))
    }
}

/// `Retry-After` as seconds or as a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
