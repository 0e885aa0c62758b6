use js_sys::{Function, Promise};
use protocol::{ErrorKind, Failure};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;
use web_sys::MessageChannel;

use crate::failure::js_message;

/// Lets the event loop take a turn, so that messages are seen in the middle of long work.
///
/// A message to oneself is a macrotask like those of the page; timers would wait 4 ms each.
pub struct Turn {
    channel: MessageChannel,
}

impl Turn {
    /// # Errors
    /// The browser refuses a message channel.
    pub fn new() -> Result<Self, JsValue> {
        Ok(Self { channel: MessageChannel::new()? })
    }

    /// Ready when all messages that wait now have been handled.
    ///
    /// # Errors
    /// The browser refuses a message.
    pub async fn pass(&self) -> Result<(), Failure> {
        self.try_pass().await.map_err(|error| Failure::new(ErrorKind::Other, js_message(&error)))
    }

    async fn try_pass(&self) -> Result<(), JsValue> {
        let turn = Promise::new(&mut |resolve: Function, _| {
            let resume = Closure::once_into_js(move || resolve.call0(&JsValue::NULL).map(drop));
            self.channel.port1().set_onmessage(Some(resume.unchecked_ref()));
        });
        self.channel.port2().post_message(&JsValue::NULL)?;
        JsFuture::from(turn).await.map(drop)
    }
}
