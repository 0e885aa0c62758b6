//! Pages in headless Chromium, served by this repository's own server with the models beside them.

use super::models::Model;
use crate::serve;
use anyhow::{Context, Result, bail};
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use browser::Browser;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Runtime;
use tower_http::services::{ServeDir, ServeFile};

/// How long one script may take: a large model on a slow engine.
const PATIENCE: Duration = Duration::from_secs(3600);
const WIDTH: u32 = 1024;
/// Where wllama's page and packages are served.
pub const WLLAMA: &str = "bench/wllama";

/// A server for everything that the pages need.
pub struct Chromium {
    runtime: Runtime,
    address: String,
}

impl Chromium {
    /// Serves our page, the models and wllama's packages.
    pub fn start(dist: &Path, models: &[Model], packages: &[PathBuf]) -> Result<Chromium> {
        crate::tools::browser()?;
        let mut more = Router::new().route(&format!("/{WLLAMA}"), get(|| async { Html(include_str!("wllama.html")) }));
        for (at, model) in models.iter().enumerate() {
            more = more.route_service(&format!("/{}", model_path(at)), ServeFile::new(&model.path));
        }
        for (at, package) in packages.iter().enumerate() {
            more = more.nest_service(&format!("/{WLLAMA}/{at}"), ServeDir::new(package));
        }
        let runtime = Runtime::new()?;
        let (address, server) = runtime.block_on(serve::start(dist, 0, more))?;
        runtime.spawn(server);
        Ok(Chromium { runtime, address })
    }

    /// Lets `visit` use a page of this server in a fresh browser.
    pub fn visit<T>(&self, page: &str, visit: impl AsyncFnOnce(&Browser) -> Result<T>) -> Result<T> {
        self.runtime.block_on(async {
            let browser = Browser::open_for(&format!("{}{page}", self.address), WIDTH, PATIENCE).await?;
            let outcome = visit(&browser).await;
            browser.close().await;
            outcome
        })
    }
}

/// Where a model is served.
pub fn model_path(at: usize) -> String {
    format!("bench/models/{at}.gguf")
}

/// Runs a script and refuses what it throws.
pub async fn script(browser: &Browser, body: &str, arguments: Vec<Value>) -> Result<Value> {
    let value = browser.script(body, arguments).await?;
    match value["error"].as_str() {
        Some(error) => bail!("{error}"),
        None => Ok(value),
    }
}

/// A number in a script's answer.
pub fn number(value: &Value, name: &str) -> Result<f64> {
    value[name].as_f64().with_context(|| format!("no number {name} in {value}"))
}

/// A count in a script's answer.
pub fn count(value: &Value, name: &str) -> Result<usize> {
    let count = value[name].as_u64().with_context(|| format!("no count {name} in {value}"))?;
    Ok(usize::try_from(count)?)
}
