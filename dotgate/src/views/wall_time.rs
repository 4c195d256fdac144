//! The time of day at which something happened that the boot-time clock timed.

use std::time::{SystemTime, UNIX_EPOCH};

use dotgate_core::Moment;
use time::OffsetDateTime;

use crate::clock::now;

/// One moment by both clocks.
#[derive(Clone, Copy)]
pub(super) struct WallTime {
    moment: Moment,
    wall: SystemTime,
}

impl WallTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "people and other programs know no boot-time clock"
    )]
    pub(super) fn now() -> WallTime {
        WallTime {
            moment: now(),
            wall: SystemTime::now(),
        }
    }

    /// A moment that was not after this one, in seconds and nanoseconds since 1970.
    pub(super) fn since_1970(&self, at: Moment) -> (u64, u32) {
        let at = self.wall - self.moment.since(at);
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        (since.as_secs(), since.subsec_nanos())
    }

    /// The time of day of a moment that was not after this one, in UTC as in RFC 3339, to the millisecond.
    pub(super) fn text(&self, at: Moment) -> String {
        let at = OffsetDateTime::from(self.wall - self.moment.since(at));
        let (date, time) = (at.date(), at.time());
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let milli = time.millisecond();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_before_this_one_has_its_time_of_day() {
        let time = WallTime {
            moment: Moment::from_nanos(5_000_000_000),
            wall: UNIX_EPOCH + Duration::from_millis(1_709_251_199_999 + 2_000),
        };
        let text = time.text(Moment::from_nanos(3_000_000_000));
        assert_eq!(text, "2024-02-29T23:59:59.999Z");
    }
}
