use std::sync::Arc;

use js_sys::{Array, Uint8Array};
use leptos::prelude::document;
use protocol::{ErrorKind, Failure};
use rolebench::{ParseError, Sample, parse_lines};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, File, HtmlAnchorElement, Url};

use crate::slices::Slices;

/// A file of rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Its name or address.
    pub name: String,
    /// The rows that can be read.
    pub rows: Arc<Vec<Sample>>,
    /// The lines that cannot.
    pub bad: Vec<ParseError>,
}

/// Reads JSON Lines, in slices.
pub async fn parse(name: String, bytes: &[u8]) -> Rows {
    let mut slices = Slices::start();
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for line in parse_lines(bytes) {
        match line {
            Ok(line) => rows.push(line.row),
            Err(error) => bad.push(error),
        }
        slices.breathe().await;
    }
    Rows { name, rows: Arc::new(rows), bad }
}

/// Reads a file of the reader.
///
/// # Errors
/// The browser cannot read it, or it holds no row.
pub async fn read(file: &File) -> Result<Rows, Failure> {
    let bytes = JsFuture::from(file.array_buffer()).await.map_err(|error| {
        let reason = error.dyn_ref::<js_sys::Error>().map_or_else(String::new, |error| String::from(error.message()));
        Failure::new(ErrorKind::InvalidRequest, format!("{}: {reason}", file.name()))
    })?;
    let bytes = Uint8Array::new(&bytes).to_vec();
    Slices::start().rest().await;
    some_rows(parse(file.name(), &bytes).await)
}

/// Rows, or why there are none.
///
/// # Errors
/// No line is a row.
pub fn some_rows(rows: Rows) -> Result<Rows, Failure> {
    if !rows.rows.is_empty() {
        return Ok(rows);
    }
    let first = rows.bad.first().map_or_else(|| "no rows".to_string(), ToString::to_string);
    Err(Failure::new(ErrorKind::InvalidRequest, format!("{}: {first}", rows.name)))
}

/// Offers `text` as a file to keep.
pub fn save(name: &str, kind: &str, text: &str) {
    let offer = || -> Result<(), JsValue> {
        let properties = BlobPropertyBag::new();
        properties.set_type(kind);
        let blob = Blob::new_with_str_sequence_and_options(&Array::of1(&text.into()), &properties)?;
        let url = Url::create_object_url_with_blob(&blob)?;
        let link: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
        link.set_href(&url);
        link.set_download(name);
        link.click();
        Url::revoke_object_url(&url)
    };
    if let Err(error) = offer() {
        leptos::logging::error!("{name} cannot be saved: {error:?}");
    }
}
