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
        self.wait(|| match self.check() {
            Ok(()) => look().map(Ok),
            Err(failure) => Some(Err(failure)),
        })
        .await
    }

    /// As [`Self::until`], for work that cannot end half-way.
    pub async fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        poll_fn(|context| match look() {
            Some(found) => Poll::Ready(found),
            None => {
                self.waiting.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}
