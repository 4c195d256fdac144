//! The time, for all that is not on the path of a query and for the worker that carries it.

use std::time::{SystemTime, UNIX_EPOCH};

use dotgate_core::Moment;

/// The time now, of the clock that also runs while the machine sleeps.
pub(crate) fn now() -> Moment {
    Moment::from_nanos(dotgate_net::boottime_nanos())
}

/// Seconds since 1970.
pub(crate) fn wall_clock_seconds() -> u64 {
    wall_clock() / 1_000
}

/// Milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the boot-time clock restarts with the machine, and a file does not"
)]
pub(crate) fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
