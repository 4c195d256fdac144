//! The threads of the floors: as many as the forwarders have, each with a worker of its own.

use std::thread;

use crate::Error;
use crate::forwarder::WORKERS;

/// Makes the workers one after another, and runs all of them until they end.
///
/// # Errors
/// That of the first worker that could not be made, or that ended with one.
pub(crate) fn run<W: Send>(
    make: impl Fn() -> Result<W, Error>,
    work: impl Fn(W) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let workers = (0..WORKERS)
        .map(|_| make())
        .collect::<Result<Vec<_>, Error>>()?;
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_worker_runs_and_the_first_error_is_that_of_all() {
        let made = AtomicUsize::new(0);
        let make = || Ok(made.fetch_add(1, Ordering::Relaxed));
        let sum = AtomicUsize::new(0);
        let outcome = run(make, |number| {
            sum.fetch_add(number + 1, Ordering::Relaxed);
            match number {
                0 => Ok(()),
                _ => Err(Error::NoForwarder),
            }
        });
        assert!(matches!(outcome, Err(Error::NoForwarder)), "{outcome:?}");
        assert_eq!(sum.into_inner(), WORKERS * (WORKERS + 1) / 2);
    }

    #[test]
    fn nothing_runs_if_a_worker_cannot_be_made() {
        let outcome = run(
            || Err::<(), _>(Error::NoForwarder),
            |()| Err(Error::SoakFailed),
        );
        assert!(matches!(outcome, Err(Error::NoForwarder)), "{outcome:?}");
    }
}
