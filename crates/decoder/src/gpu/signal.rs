use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// That the processor has come to an end of what it was given.
#[derive(Clone, Default)]
pub struct Signal(Arc<State>);

#[derive(Default)]
struct State {
    is_given: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Signal {
    pub fn give(&self) {
        self.0.is_given.store(true, Ordering::Release);
        if let Some(waker) = self.waiting().take() {
            waker.wake();
        }
    }

    pub fn is_given(&self) -> bool {
        self.0.is_given.load(Ordering::Acquire)
    }

    pub fn poll(&self, context: &Context<'_>) -> Poll<()> {
        self.waiting().replace(context.waker().clone());
        if self.is_given() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
