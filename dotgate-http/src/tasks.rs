//! The requests of one HTTP/2 connection, which are driven by hand, and what says that something is to be driven.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake};

use futures_util::stream::{FuturesUnordered, Stream as _};
use hyper::rt::Executor;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes the requests that a connection has begun.
#[derive(Clone, Default)]
pub(crate) struct Begun(Arc<Mutex<Vec<Task>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Begun {
    fn execute(&self, task: F) {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.push(Box::pin(task));
    }
}

/// The requests under way.
pub(crate) struct Tasks {
    pub(crate) begun: Begun,
    all: FuturesUnordered<Task>,
}

impl Tasks {
    pub(crate) fn new(begun: Begun) -> Tasks {
        let all = FuturesUnordered::new();
        Tasks { begun, all }
    }

    /// Drives those that can proceed.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) {
        {
            let mut begun = self.begun.0.lock().unwrap_or_else(PoisonError::into_inner);
            self.all.extend(begun.drain(..));
        }
        while let Poll::Ready(Some(())) = Pin::new(&mut self.all).poll_next(context) {}
    }
}

/// Set when there is something to drive.
#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
    }
}
