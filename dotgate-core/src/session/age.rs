//! How long a session stays open: until it is idle for its limit, has reached its maximum age, or has nothing left to drain.

use std::time::Duration;

use super::Session;
use crate::counters::labels::Ending;
use crate::limits;
use crate::link::Link;
use crate::moment::{Moment, earlier};

impl Session {
    /// The time since something was in flight; zero while something is.
    pub(crate) fn idle_for(&self, now: Moment) -> Duration {
        if self.in_flight == 0 {
            now.since(self.idle_since)
        } else {
            Duration::ZERO
        }
    }

    /// Whether it takes no more queries, and is closed when those in flight are answered.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Takes no more queries and closes when those in flight are answered.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// From now on its age counts.
    pub(crate) fn begin_to_age(&mut self, now: Moment) {
        self.replace_at = self.age_limit.map(|limit| now + limit);
    }

    /// Whether it is to be replaced, so that it ends when another session is open.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaves_for.is_some()
    }

    /// It has reached its maximum age. If it is not replaced now, that is tried again.
    pub(crate) fn on_aged(&mut self, now: Moment) {
        self.leaves_for = Some(Ending::Age);
        self.replace_at = Some(now + limits::REPLACE_AGAIN_AFTER);
    }

    /// It has been idle for its limit, and stays open until the next one is, if that does not take long.
    pub(crate) fn await_successor(&mut self) {
        self.leaves_for = Some(Ending::Idle);
    }

    /// Whether clients use it, so that the next one is open before it ends. One that has carried nothing is itself the next
    /// one of another, and needs none: else sessions would follow each other without end.
    pub(crate) fn is_in_use(&self, now: Moment) -> bool {
        self.carried > 0 && self.idle_for(now) < limits::TRAFFIC_WITHIN
    }

    /// When it is to be replaced, unless it ends already.
    pub(super) fn replacement_due(&self) -> Option<Moment> {
        self.replace_at.filter(|_| !self.is_draining)
    }

    /// When it is next closed, or replaced.
    pub(super) fn next_ending(&self) -> Option<Moment> {
        let idle = (self.in_flight == 0).then(|| match self.is_draining {
            true => self.idle_since,
            false => self.idle_since + self.idle_limit + self.extension(),
        });
        // Without a connection, closing it when idle would free nothing.
        let idle = idle.filter(|_| self.is_draining || self.link != Link::Datagrams);
        let idle = idle.filter(|_| {
            self.is_draining || !dotgate_wire::planted!("idle-session-is-never-closed")
        });
        earlier(idle, self.replacement_due())
    }

    /// How much longer it may be idle because it is being replaced.
    fn extension(&self) -> Duration {
        match self.leaves_for {
            Some(Ending::Idle) => limits::HANDSHAKE_HEDGE_AFTER,
            _ => Duration::ZERO,
        }
    }

    /// Why it ends, where nothing is left in flight on it.
    pub(crate) fn quiet_ending(&self) -> Ending {
        self.leaves_for.unwrap_or(Ending::Idle)
    }
}
