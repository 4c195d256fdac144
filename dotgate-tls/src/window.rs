//! Until when the sessions of full handshakes may be resumed.
//! It serves *session*: a verifier narrows it, and it is checked when a session is opened. A certificate is looked at in
//! full handshakes alone, so without a bound one that has ended, or one accepted by a clock that was wrong, would be
//! believed as long as tickets last, and each resumption brings new ones. RFC 8446 section 4.6.1 allows 7 days.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustls::pki_types::UnixTime;

/// The longest time from a full handshake to the last resumption that builds on it, in seconds.
pub(super) const LONGEST: u64 = 24 * 60 * 60;

/// A span of wall-clock time, in seconds since 1970. It is open on both sides until the first full handshake, and gets
/// narrower with each.
#[derive(Debug)]
pub(super) struct Window {
    from: AtomicU64,
    until: AtomicU64,
}

impl Window {
    pub(super) const fn new() -> Window {
        Window {
            from: AtomicU64::new(0),
            until: AtomicU64::new(u64::MAX),
        }
    }

    /// A full handshake was done at `now` with a certificate that ends at `end`.
    pub(super) fn narrow(&self, now: UnixTime, end: u64) {
        let now = now.as_secs();
        // A clock that stands before this moment later was wrong now or is wrong then.
        self.from.fetch_max(now, Relaxed);
        self.until
            .fetch_min(end.min(now.saturating_add(LONGEST)), Relaxed);
    }

    /// Whether what was accepted can still be relied on.
    pub(super) fn has(&self, now: UnixTime) -> bool {
        (self.from.load(Relaxed)..=self.until.load(Relaxed)).contains(&now.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_window_ends_with_the_certificate_or_a_day_later_and_does_not_reach_back() {
        let window = Window::new();
        assert!(window.has(at(0)) && window.has(at(u64::MAX)));
        window.narrow(at(1_000), u64::MAX);
        let last = 1_000 + LONGEST;
        assert!(window.has(at(1_000)) && window.has(at(last)));
        assert!(!window.has(at(999)) && !window.has(at(last + 1)));
        window.narrow(at(2_000), 5_000);
        assert!(window.has(at(5_000)) && !window.has(at(5_001)));
        // A later certificate does not lengthen what an earlier one began.
        window.narrow(at(3_000), u64::MAX);
        assert!(!window.has(at(5_001)));
    }
}
