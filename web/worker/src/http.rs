//! What a server says of a file, and the file's bytes by ranges.

use std::{
    io::{Error, Result},
    ops::Range,
};

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Response, XmlHttpRequest, XmlHttpRequestResponseType};

use crate::{failure::js_message, part::Remote};

/// The bytes of `range`, waited for.
///
/// # Errors
/// No connection, a server that does not answer ranges, a file that is no longer the same.
pub fn range(remote: &Remote, range: Range<u64>) -> Result<Uint8Array> {
    let request = ask(remote, &range)
        .map_err(|error| Error::other(format!("{} cannot be reached ({})", remote.url, js_message(&error))))?;
    let status = request.status().unwrap_or_default();
    if status != 206 {
        return Err(Error::other(format!("{} answered {status} to a request for a range of bytes", remote.url)));
    }
    let header = |name: &str| request.get_response_header(name).ok().flatten();
    let validator = validator(header);
    if remote.validator.is_some() && validator.is_some() && validator != remote.validator {
        return Err(Error::other(format!("{} has changed on the server; load it again", remote.url)));
    }
    let bytes = request.response().ok().and_then(|body| body.dyn_into::<ArrayBuffer>().ok());
    let bytes =
        bytes.map(|body| Uint8Array::new(&body)).filter(|bytes| u64::from(bytes.length()) == range.end - range.start);
    bytes.ok_or_else(|| Error::other(format!("{} broke off within bytes {range:?}", remote.url)))
}

fn ask(remote: &Remote, range: &Range<u64>) -> std::result::Result<XmlHttpRequest, JsValue> {
    let request = XmlHttpRequest::new()?;
    request.open_with_async("GET", &remote.url, false)?;
    request.set_response_type(XmlHttpRequestResponseType::Arraybuffer);
    request.set_request_header("Range", &format!("bytes={}-{}", range.start, range.end - 1))?;
    request.send()?;
    Ok(request)
}

/// By what an unchanged file is known again; other sites show the second header only, unless they say otherwise.
pub fn validator(header: impl Fn(&str) -> Option<String>) -> Option<String> {
    header("etag").or_else(|| header("last-modified"))
}

/// A header of an answer.
pub fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).ok().flatten()
}

/// The length in bytes; not of compressed answers, whose header counts other bytes than the stream.
pub fn content_length(response: &Response) -> Option<u64> {
    match header(response, "content-encoding") {
        Some(_) => None,
        None => header(response, "content-length")?.parse().ok(),
    }
}

/// The address of a file of a manifest, in the folder of this address.
pub fn in_folder(folder: &str, name: &str) -> String {
    let encoded = name.split('/').map(|segment| String::from(js_sys::encode_uri_component(segment)));
    format!("{folder}{}", encoded.collect::<Vec<_>>().join("/"))
}

/// The last segment of an address's path.
pub fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').find(|segment| !segment.is_empty()).unwrap_or(url)
}
