//! How long an upstream keeps an idle session, as all workers have learned it.
//!
//! Serves `pool`. A session that the upstream closed while it was idle teaches that it keeps none for longer; later ones are
//! closed a little earlier, and that time grows slowly while the upstream closes none. A close right behind an answer teaches
//! nothing: it is a limit of answers, or a restart. The program remembers it over reloads and restarts.
//! Limits: `limits::SESSION_IDLE`, `SESSION_IDLE_SHORTEST`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::limits;

/// What all workers know about how long one upstream keeps idle sessions. Times are in milliseconds; 0 if nothing is known.
#[derive(Debug, Default)]
pub struct IdleTimeout {
    /// After what time an idle session is closed.
    limit: AtomicU64,
    /// After what time the upstream closed one.
    seen: AtomicU64,
}

impl IdleTimeout {
    /// After what time an idle session is closed.
    pub fn limit(&self) -> Duration {
        match self.limit.load(Relaxed) {
            0 => limits::SESSION_IDLE,
            millis => Duration::from_millis(millis),
        }
    }

    /// The same if the upstream taught it; none if it is the usual time.
    pub fn learned(&self) -> Option<Duration> {
        let limit = self.limit();
        (limit < limits::SESSION_IDLE).then_some(limit)
    }

    /// After what time the upstream closes an idle session; none if it was not seen to, or not for long. Changes by little
    /// are not followed, so that a file is not written for them.
    pub fn seen(&self) -> Option<Duration> {
        let millis = self.seen.load(Relaxed);
        (millis != 0).then(|| Duration::from_millis(millis))
    }

    /// Takes what was learned before; what no upstream could have taught is ignored.
    pub fn restore(&self, seen: Duration) {
        self.on_closed_by_peer(seen);
    }

    /// The upstream closed a session that had been idle for so long: the next one is closed a little earlier.
    pub(crate) fn on_closed_by_peer(&self, idle: Duration) {
        let is_likely =
            (limits::SESSION_IDLE_SHORTEST..=limits::SESSION_IDLE_LONGEST).contains(&idle);
        if !is_likely || dotgate_wire::planted!("idle-timeouts-are-not-shared") {
            return;
        }
        let limit = (idle * 9 / 10).clamp(limits::SESSION_IDLE_SHORTEST, self.limit());
        self.limit.store(millis(limit), Relaxed);
        let (before, now) = (self.seen.load(Relaxed), millis(idle));
        if before.abs_diff(now) > before / 4 {
            self.seen.store(now, Relaxed);
        }
    }

    /// A session was idle for the limit, and the upstream had not closed it: the limit may grow again.
    pub(crate) fn on_limit_reached(&self) {
        let grown = self.limit() * 33 / 32;
        match grown < limits::SESSION_IDLE {
            true => self.limit.store(millis(grown), Relaxed),
            false => {
                self.limit.store(0, Relaxed);
                self.seen.store(0, Relaxed);
            }
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_timeout_of_a_peer_is_learned_and_slowly_forgotten() {
        let timeout = IdleTimeout::default();
        assert_eq!(
            (timeout.limit(), timeout.seen()),
            (limits::SESSION_IDLE, None)
        );
        timeout.on_closed_by_peer(Duration::from_secs(4));
        timeout.on_closed_by_peer(Duration::from_secs(6));
        assert_eq!(
            timeout.limit(),
            Duration::from_millis(3_600),
            "the shortest counts"
        );
        timeout.on_closed_by_peer(limits::SESSION_IDLE_SHORTEST);
        assert_eq!(timeout.limit(), limits::SESSION_IDLE_SHORTEST);
        for _ in 0..70 {
            timeout.on_limit_reached();
        }
        assert_eq!(
            (timeout.limit(), timeout.seen()),
            (limits::SESSION_IDLE, None)
        );
    }

    #[test]
    fn a_close_right_behind_an_answer_or_after_very_long_teaches_nothing() {
        let timeout = IdleTimeout::default();
        timeout.restore(Duration::from_millis(999));
        timeout.restore(Duration::ZERO);
        timeout.restore(Duration::MAX);
        assert_eq!(
            (timeout.limit(), timeout.seen()),
            (limits::SESSION_IDLE, None)
        );
    }

    #[test]
    fn what_is_remembered_changes_seldom() {
        let timeout = IdleTimeout::default();
        for millis in [4_000, 4_900, 3_100, 4_000] {
            timeout.on_closed_by_peer(Duration::from_millis(millis));
            assert_eq!(timeout.seen(), Some(Duration::from_secs(4)));
        }
        timeout.on_closed_by_peer(Duration::from_secs(2));
        assert_eq!(timeout.seen(), Some(Duration::from_secs(2)));
    }
}
