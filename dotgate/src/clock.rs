//! The time, for all that is not on the path of a query and for the worker that carries it.

use dotgate_core::Moment;

/// The time now, of the clock that also runs while the machine sleeps.
pub(crate) fn now() -> Moment {
    Moment::from_nanos(dotgate_net::boottime_nanos())
}
