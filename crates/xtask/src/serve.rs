//! A server for the page on this machine: cross-origin isolation, MIME types, ranges.

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use std::path::Path;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

/// The headers of every answer. The first three let the page share memory between its workers.
const HEADERS: [(&str, &str); 5] = [
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-cache"),
    ("x-content-type-options", "nosniff"),
];

/// Serves a folder until the process ends. With port 0 the system chooses one; the address is printed on stdout.
pub fn run(folder: &Path, port: u16) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let (address, server) = start(folder, port, Router::new()).await?;
        announce(&address);
        server.await
    })
}

/// Binds the port and returns the address with the server that answers there; `more` is served beside the folder.
pub async fn start(
    folder: &Path,
    port: u16,
    more: Router,
) -> Result<(String, impl Future<Output = Result<()>> + use<>)> {
    if !folder.join("index.html").exists() {
        bail!("there is no page in {}; build it with `cargo xtask build`", folder.display());
    }
    let mut router = more.fallback_service(ServeDir::new(folder));
    for (name, value) in HEADERS {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        router = router.layer(SetResponseHeaderLayer::overriding(name, value));
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .with_context(|| format!("cannot listen on port {port}; choose another with --port"))?;
    let address = format!("http://{}/", listener.local_addr()?);
    Ok((address, async move { Ok(axum::serve(listener, router).await?) }))
}

#[expect(clippy::print_stdout, reason = "the address is this command's result")]
fn announce(address: &str) {
    println!("{address}");
}
