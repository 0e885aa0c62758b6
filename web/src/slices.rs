//! Long work in slices: what takes more than some milliseconds lets the browser paint in between.

use futures_channel::oneshot;
use gloo::timers::callback::Timeout;
use leptos::prelude::window;

/// How long a slice lasts, in milliseconds; half a frame.
const SLICE: f64 = 8.0;

/// Measures the slices of one piece of work.
pub struct Slices {
    end: f64,
}

impl Slices {
    /// The first slice begins.
    pub fn start() -> Slices {
        Slices { end: now() + SLICE }
    }

    /// Lets the browser do other things if the slice is over, and says whether it was.
    pub async fn breathe(&mut self) -> bool {
        let over = now() >= self.end;
        if over {
            pause(0).await;
            self.end = now() + SLICE;
        }
        over
    }
}

/// Waits for some milliseconds.
pub async fn pause(milliseconds: u32) {
    let (sender, receiver) = oneshot::channel();
    Timeout::new(milliseconds, move || _ = sender.send(())).forget();
    let _ = receiver.await;
}

fn now() -> f64 {
    window().performance().map_or_else(js_sys::Date::now, |clock| clock.now())
}
