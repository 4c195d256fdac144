//! A thread that writes what workers recorded. It gets settings while it runs, and the end of the program waits for it.
//!
//! Limit: `END_WAIT` for the end.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;
use std::{fmt, io};

use crate::clock::now;

/// How long the end of the program waits for the last records to be written: a blocked pipe must not delay it further.
pub(super) const END_WAIT: Duration = Duration::from_millis(500);

/// The thread, for its owner. When this is dropped, the thread writes the remaining records and ends.
pub(super) struct ViewThread<S> {
    orders: Arc<Orders<S>>,
    handle: JoinHandle<()>,
}

/// What the thread is to do.
pub(super) struct Orders<S> {
    /// The settings that the thread has not taken yet.
    next: Mutex<Option<S>>,
    is_ending: AtomicBool,
}

impl<S> Orders<S> {
    /// The settings since the last call; none if they are the same.
    pub(super) fn take_settings(&self) -> Option<S> {
        let next = self.next.lock();
        next.unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the thread is to write the remaining records and to end.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Relaxed)
    }
}

impl<S: Send + 'static> ViewThread<S> {
    /// Starts a thread, which runs until [`Orders::is_ending`].
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        name: &str,
        run: impl FnOnce(&Orders<S>) + Send + 'static,
    ) -> io::Result<ViewThread<S>> {
        let orders = Arc::new(Orders {
            next: Mutex::default(),
            is_ending: AtomicBool::new(false),
        });
        let own = Arc::clone(&orders);
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&own))?;
        Ok(ViewThread { orders, handle })
    }
}

impl<S> ViewThread<S> {
    /// Gives other settings to the thread, and wakes it.
    pub(super) fn set(&self, settings: S) {
        let next = self.orders.next.lock();
        *next.unwrap_or_else(PoisonError::into_inner) = Some(settings);
        self.thread().unpark();
    }

    pub(super) fn thread(&self) -> &Thread {
        self.handle.thread()
    }
}

impl<S> Drop for ViewThread<S> {
    fn drop(&mut self) {
        self.orders.is_ending.store(true, Relaxed);
        self.thread().unpark();
        let given_up = now() + END_WAIT;
        while !self.handle.is_finished() && now() < given_up {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl<S> fmt::Debug for ViewThread<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewThread").finish_non_exhaustive()
    }
}
