//! What a server answers, piece by piece.

use js_sys::{ArrayBuffer, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamByobReader, ReadableStreamDefaultReader, Response};

/// A piece has at most so many bytes where it is ours to say.
const PIECE: u32 = 1 << 20;

/// The body of an answer.
pub struct Body(Reader);

enum Reader {
    /// Fills the same buffer each time. Buffers of the browser's making would wait in tens of MB until JavaScript looks for garbage.
    Filling(ReadableStreamByobReader, ArrayBuffer),
    Giving(ReadableStreamDefaultReader),
}

impl Body {
    /// Each piece is good until the next one is asked for. `None` where the answer has no content.
    pub fn of(response: &Response) -> Option<Self> {
        let stream = response.body()?;
        Some(Self(match ReadableStreamByobReader::new(&stream) {
            Ok(reader) => Reader::Filling(reader, ArrayBuffer::new(PIECE)),
            Err(_) => Reader::Giving(stream.get_reader().unchecked_into()),
        }))
    }

    /// Each piece may be kept. `None` where the answer has no content.
    pub fn to_keep(response: &Response) -> Option<Self> {
        Some(Self(Reader::Giving(response.body()?.get_reader().unchecked_into())))
    }

    /// What comes next; `None` at the end.
    ///
    /// # Errors
    /// The connection broke, or a wish to stop.
    pub async fn next(&mut self) -> Result<Option<Uint8Array>, JsValue> {
        let reading = match &self.0 {
            Reader::Filling(reader, buffer) => reader.read_with_array_buffer_view(&Uint8Array::new(buffer)),
            Reader::Giving(reader) => reader.read(),
        };
        let result = JsFuture::from(reading).await?;
        if Reflect::get(&result, &"done".into())?.is_truthy() {
            return Ok(None);
        }
        let piece: Uint8Array = Reflect::get(&result, &"value".into())?.dyn_into()?;
        if let Reader::Filling(_, buffer) = &mut self.0 {
            *buffer = piece.buffer();
        }
        Ok(Some(piece))
    }

    /// The rest is not wanted.
    pub fn cancel(&self) {
        let _ = match &self.0 {
            Reader::Filling(reader, _) => reader.cancel(),
            Reader::Giving(reader) => reader.cancel(),
        };
    }
}
