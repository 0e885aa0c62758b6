//! Long work in slices: what takes more than some milliseconds lets the browser paint in between.

use futures_channel::oneshot;
use gloo::timers::callback::Timeout;
use js_sys::Promise;
use leptos::prelude::window;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageChannel, Performance};

/// How long a slice lasts, in milliseconds; half a frame.
const SLICE: f64 = 8.0;

/// Measures the slices of one piece of work.
pub struct Slices {
    clock: Option<Performance>,
    end: f64,
}

impl Slices {
    /// The first slice begins.
    pub fn start() -> Slices {
        let mut slices = Slices { clock: window().performance(), end: 0.0 };
        slices.end = slices.now() + SLICE;
        slices
    }

    /// Lets the browser do other things if the slice is over, and says whether it was.
    pub async fn breathe(&mut self) -> bool {
        let over = self.now() >= self.end;
        if over {
            self.rest().await;
        }
        over
    }

    /// Lets the browser do other things.
    pub async fn rest(&mut self) {
        if turn().await.is_err() {
            pause(0).await;
        }
        self.end = self.now() + SLICE;
    }

    fn now(&self) -> f64 {
        self.clock.as_ref().map_or_else(js_sys::Date::now, Performance::now)
    }
}

/// Waits for some milliseconds.
pub async fn pause(milliseconds: u32) {
    let (sender, receiver) = oneshot::channel();
    Timeout::new(milliseconds, move || _ = sender.send(())).forget();
    let _ = receiver.await;
}

/// One round of the event loop. A timeout would take 4 ms at least, and a second in a hidden tab.
async fn turn() -> Result<(), JsValue> {
    let channel = MessageChannel::new()?;
    let port = channel.port1();
    let heard = Promise::new(&mut |resolve, _| port.set_onmessage(Some(&resolve)));
    channel.port2().post_message(&JsValue::NULL)?;
    JsFuture::from(heard).await?;
    port.close();
    Ok(())
}
