//! The driver's time as QUIC counts it.

use std::time::{Duration, Instant};

use dotgate_core::Moment;

/// Where the clocks of the driver and of QUIC are matched. The time itself is never read here: the one instant that is, which cannot
/// be had otherwise, stands for an arbitrary origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuicClock {
    origin: Instant,
}

impl QuicClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "an instant cannot be had otherwise"
    )]
    pub(crate) fn new() -> QuicClock {
        QuicClock {
            origin: Instant::now(),
        }
    }

    pub(crate) fn instant(self, now: Moment) -> Instant {
        self.origin + Duration::from_nanos(now.nanos())
    }

    pub(crate) fn moment(self, instant: Instant) -> Moment {
        Moment::from_nanos(0) + instant.saturating_duration_since(self.origin)
    }
}
