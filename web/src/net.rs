//! Small files from the page's own server.

use gloo::net::http::Request;
use serde::de::DeserializeOwned;

/// The text at `path`, relative to the page.
///
/// # Errors
/// A line that names the path and what went wrong.
pub async fn text(path: &str) -> Result<String, String> {
    let response = Request::get(path).send().await.map_err(|error| format!("{path}: {error}"))?;
    if !response.ok() {
        return Err(format!("{path}: {} {}", response.status(), response.status_text()).trim_end().to_string());
    }
    response.text().await.map_err(|error| format!("{path}: {error}"))
}

/// The JSON value at `path`, relative to the page.
///
/// # Errors
/// As [`text`], and JSON of another shape.
pub async fn json<T: DeserializeOwned>(path: &str) -> Result<T, String> {
    serde_json::from_str(&text(path).await?).map_err(|error| format!("{path}: {error}"))
}
