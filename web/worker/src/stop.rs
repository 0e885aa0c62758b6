use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Poll, Waker},
};

use protocol::{ErrorKind, Failure};
use wasm_bindgen::JsValue;
use web_sys::{AbortController, AbortSignal};

/// The page's wish that the work end, and whatever else the work may have to wait for.
pub struct Stop {
    wanted: Cell<bool>,
    requests: RefCell<AbortController>,
    waiting: RefCell<Option<Waker>>,
}

impl Stop {
    /// Nobody wants anything to end.
    ///
    /// # Errors
    /// The browser cannot end requests.
    pub fn new() -> Result<Self, JsValue> {
        let requests = RefCell::new(AbortController::new()?);
        Ok(Self { wanted: Cell::new(false), requests, waiting: RefCell::new(None) })
    }

    /// New work begins.
    pub fn reset(&self) {
        self.wanted.set(false);
        if let Ok(requests) = AbortController::new() {
            self.requests.replace(requests);
        }
    }

    /// The work shall end.
    pub fn demand(&self) {
        self.wanted.set(true);
        self.requests.borrow().abort();
        self.wake();
    }

    /// Shall the work end?
    pub fn is_wanted(&self) -> bool {
        self.wanted.get()
    }

    /// For requests, which are then ended too.
    pub fn signal(&self) -> AbortSignal {
        self.requests.borrow().signal()
    }

    /// # Errors
    /// The work shall end.
    pub fn check(&self) -> Result<(), Failure> {
        match self.is_wanted() {
            true => Err(Failure::new(ErrorKind::Cancelled, "loading was stopped")),
            false => Ok(()),
        }
    }

    /// Something changed: [`Self::until`] looks again.
    pub fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Waits until `look` finds something, without keeping the event loop from anything.
    ///
    /// # Errors
    /// The work shall end.
    pub async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> Result<T, Failure> {
        poll_fn(|context| {
            if let Err(failure) = self.check() {
                return Poll::Ready(Err(failure));
            }
            if let Some(found) = look() {
                return Poll::Ready(Ok(found));
            }
            self.waiting.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }
}
