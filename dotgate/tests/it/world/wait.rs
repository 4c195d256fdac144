//! Waiting for a condition, with a bound.

use std::time::Duration;

/// The bound of every wait: so long that only what never comes reaches it.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// How often a condition that nobody announces is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// The time since some moment of the past.
pub(crate) fn now() -> Duration {
    Duration::from_nanos(dotgate_net::boottime_nanos())
}

/// Waits until `is_met`, and fails with `what` at the bound.
pub(crate) fn until(what: &str, mut is_met: impl FnMut() -> bool) {
    let bound = now() + BOUND;
    while !is_met() {
        assert!(now() < bound, "timed out after {BOUND:?}: {what}");
        std::thread::sleep(LOOK);
    }
}
