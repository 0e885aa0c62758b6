use std::cell::Cell;

use js_sys::{Array, Reflect, Uint8Array};
use protocol::{ErrorKind, Failure};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, DedicatedWorkerGlobalScope, ReadableStreamDefaultReader, Response};

use crate::failure::js_message;

/// Downloaded bytes are handed to the browser as a `Blob` of this size at a time; it may keep them on disk.
const PART: u64 = 16 << 20;
/// Bytes between two reports of progress.
const REPORT: u64 = 256 << 10;

/// Fetches `url` into a `Blob`; `progress` hears the bytes so far and, where the server says so, altogether.
///
/// # Errors
/// No connection, a status other than success, a page of HTML instead of a file, `cancelled` set in between.
pub async fn download(
    scope: &DedicatedWorkerGlobalScope,
    url: &str,
    cancelled: &Cell<bool>,
    mut progress: impl FnMut(u64, Option<u64>),
) -> Result<Blob, Failure> {
    let response = JsFuture::from(scope.fetch_with_str(url)).await;
    let response: Response = response.map_err(|error| unreachable_url(url, &error))?.unchecked_into();
    refuse_what_is_no_file(url, &response)?;
    let total = content_length(&response);
    let stream = response.body().ok_or_else(|| failure(url, "answered without content"))?;
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut parts = Parts::default();
    let mut reported = 0;
    progress(0, total);
    while let Some(chunk) = next_chunk(&reader).await.map_err(|error| unreachable_url(url, &error))? {
        if cancelled.get() {
            let _ = reader.cancel();
            return Err(Failure::new(ErrorKind::Cancelled, format!("the download of {url} was stopped")));
        }
        parts.push(&chunk)?;
        if parts.bytes - reported >= REPORT {
            reported = parts.bytes;
            progress(parts.bytes, total);
        }
    }
    if let Some(total) = total.filter(|&total| total != parts.bytes) {
        return Err(failure(url, &format!("broke off after {} of {total} bytes", parts.bytes)));
    }
    progress(parts.bytes, total);
    parts.into_blob()
}

fn refuse_what_is_no_file(url: &str, response: &Response) -> Result<(), Failure> {
    if !response.ok() {
        return Err(failure(url, format!("answered {} {}", response.status(), response.status_text()).trim_end()));
    }
    let is_html = header(response, "content-type").is_some_and(|kind| kind.starts_with("text/html"));
    if is_html {
        return Err(failure(url, "answered with a web page (text/html) instead of a file; use the file's own address"));
    }
    Ok(())
}

/// The length in bytes; not of compressed answers, whose header counts other bytes than the stream.
fn content_length(response: &Response) -> Option<u64> {
    match header(response, "content-encoding") {
        Some(_) => None,
        None => header(response, "content-length")?.parse().ok(),
    }
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).ok().flatten()
}

async fn next_chunk(reader: &ReadableStreamDefaultReader) -> Result<Option<Uint8Array>, JsValue> {
    let result = JsFuture::from(reader.read()).await?;
    let value = Reflect::get(&result, &"value".into())?;
    Ok(value.dyn_into().ok())
}

fn failure(url: &str, what: &str) -> Failure {
    Failure::new(ErrorKind::Download, format!("{url} {what}"))
}

fn unreachable_url(url: &str, error: &JsValue) -> Failure {
    let reason = js_message(error);
    failure(
        url,
        &format!("cannot be downloaded ({reason}): no connection, or that server does not allow other sites (CORS)"),
    )
}

#[derive(Default)]
struct Parts {
    blobs: Array,
    chunks: Array,
    chunk_bytes: u64,
    bytes: u64,
}

impl Parts {
    fn push(&mut self, chunk: &Uint8Array) -> Result<(), Failure> {
        self.chunks.push(chunk);
        self.chunk_bytes += u64::from(chunk.length());
        self.bytes += u64::from(chunk.length());
        if self.chunk_bytes >= PART {
            self.seal()?;
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<(), Failure> {
        self.blobs.push(&blob_of(&self.chunks)?.into());
        self.chunks = Array::new();
        self.chunk_bytes = 0;
        Ok(())
    }

    fn into_blob(mut self) -> Result<Blob, Failure> {
        self.seal()?;
        blob_of(&self.blobs)
    }
}

fn blob_of(parts: &Array) -> Result<Blob, Failure> {
    Blob::new_with_u8_array_sequence(parts).map_err(|error| {
        Failure::new(ErrorKind::OutOfMemory, format!("no room for the download: {}", js_message(&error)))
    })
}
