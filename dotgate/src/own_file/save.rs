//! Saving in a thread of its own, for which the control thread waits only so long: a disk may hang.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Refused;

/// Why a file was not saved.
#[derive(Debug, Error)]
pub(crate) enum Unsaved {
    /// The file is not this process's, or could not be written.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The system has no thread left.
    #[error("no thread could be started: {0}")]
    NoThread(io::Error),
    /// The thread panicked, which is logged.
    #[error("a bug: see the line before")]
    Panicked,
    /// The thread still writes.
    #[error("writing it takes more than {} s: name a file on a faster disk", .0.as_secs())]
    TooSlow(Duration),
}

/// Whether the one who waited for a save has given up.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    /// Nobody waits any more.
    pub(crate) fn set(&self) {
        self.0.store(true, Relaxed);
    }

    /// Ends the save with an error if nobody waits for it any more.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.0.load(Relaxed) {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }
}

/// Runs `save` in a thread of this name; waits for it, but no longer than `wait_max`.
pub(crate) async fn save_in_thread<T: Send + 'static>(
    name: &str,
    wait_max: Duration,
    save: impl FnOnce(&GivenUp) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Unsaved> {
    let given_up = GivenUp::default();
    let (done, outcome) = oneshot::channel();
    let is_given_up = given_up.clone();
    // The receiver may have given up.
    let work = move || drop(done.send(save(&is_given_up)));
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map_err(Unsaved::NoThread)?;
    match timeout(wait_max, outcome).await {
        Ok(Ok(saved)) => Ok(saved?),
        Ok(Err(_)) => Err(Unsaved::Panicked),
        Err(_) => {
            given_up.set();
            Err(Unsaved::TooSlow(wait_max))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_save_ends_with_its_result_or_with_the_reason_why_there_is_none() {
        let saved = save_in_thread("test", Duration::MAX, |_| Ok(7)).await;
        assert!(matches!(saved, Ok(7)));
        let refused =
            save_in_thread("test", Duration::MAX, |_| Err::<(), _>(Refused::NoFile)).await;
        assert!(matches!(refused, Err(Unsaved::Refused(Refused::NoFile))));
        let panicked = save_in_thread("test", Duration::MAX, |_| -> Result<(), _> {
            std::panic::panic_any("as the test wants")
        });
        assert!(matches!(panicked.await, Err(Unsaved::Panicked)));
    }

    #[tokio::test]
    async fn a_save_that_takes_too_long_is_not_waited_for_and_knows_it() {
        let (has_given_up, goes_on) = mpsc::channel::<()>();
        let (reports, reported) = mpsc::channel();
        let save = move |given_up: &GivenUp| {
            reports.send(given_up.check().is_ok()).unwrap();
            goes_on.recv().unwrap();
            reports.send(given_up.check().is_ok()).unwrap();
            Ok(())
        };
        let saved = save_in_thread("test", Duration::from_millis(1), save).await;
        assert!(matches!(saved, Err(Unsaved::TooSlow(_))));
        has_given_up.send(()).unwrap();
        let answers: Vec<bool> = reported.iter().collect();
        assert!(!answers[1], "it goes on");
    }
}
