//! Replacing sessions: the next one is open before the one before takes no more queries, so that no query waits for a
//! handshake.
//!
//! That happens at its maximum age, and at the end of the time for which it may be idle, if a question is expected soon. A
//! session that is not in use just ends, and the next query opens another one. If the next one cannot be opened, the one
//! before stays in use: availability comes before age. What failed is no evidence against the upstream while a session to it
//! responds, and is when that one ends shortly after (`sessions::evidence`).

use std::time::Duration;

use super::Sessions;
use crate::keys::{SessionKey, UpstreamId};
use crate::limits;
use crate::link::Link;
use crate::moment::Moment;
use crate::session::{Purpose, Session};

impl Sessions {
    /// The maximum age of one session: somewhat less than what is set.
    pub(super) fn age_limit(&mut self) -> Option<Duration> {
        let most = self
            .age_max
            .filter(|_| !dotgate_wire::planted!("sessions-never-age"))?;
        let spread = (most / limits::SESSION_AGE_SPREAD).as_nanos() as u64;
        let less = self.random.word() % spread.max(1);
        Some(most - Duration::from_nanos(less))
    }

    /// A session has reached its maximum age.
    pub(crate) fn on_aged(&mut self, now: Moment, key: SessionKey) {
        let Some(session) = self.table.get_mut(key) else {
            return;
        };
        session.on_aged(now);
        let (upstream, is_in_use) = (session.upstream, session.is_in_use(now));
        if !is_in_use
            || self.has_successor(key, upstream)
            || dotgate_wire::planted!("sessions-end-unreplaced")
        {
            self.drain_leaving(upstream);
            return;
        }
        let health = self.health(upstream);
        // One that is not healthy is tried at a pace of its own.
        if health.is_some_and(|health| health.is_healthy()) {
            self.open(now, upstream, 0);
        }
    }

    /// A session has been idle for its limit. True if the next one is being opened, because its upstream would close this
    /// one soon, and a question is expected.
    pub(crate) fn replace_idle(&mut self, now: Moment, key: SessionKey) -> bool {
        let Some(session) = self.table.get(key) else {
            return false;
        };
        let upstream = session.upstream;
        // One that no question came to is not replaced: else there would be no end to it.
        let is_of_use = session.link == Link::Tls
            && session.purpose == Purpose::Shared
            && session.carried() > 0
            && !session.is_draining()
            && !session.is_leaving();
        let pool = self.pools.get(upstream);
        let is_expected =
            pool.is_some_and(|pool| pool.health().is_healthy() && pool.expects_question());
        if !is_of_use
            || !is_expected
            || self.has_successor(key, upstream)
            || dotgate_wire::planted!("idle-sessions-end-unreplaced")
        {
            return false;
        }
        self.open(now, upstream, 0);
        let is_opening = self.is_opening(upstream);
        if is_opening && let Some(session) = self.table.get_mut(key) {
            session.await_successor();
            self.on_idle_limit_reached(upstream);
        }
        is_opening
    }

    /// The sessions to an upstream that are to be replaced take no more queries.
    pub(crate) fn drain_leaving(&mut self, upstream: UpstreamId) {
        let keys = self.pools.get(upstream).map(|pool| pool.keys().iter());
        for key in keys.into_iter().flatten() {
            let session = self.table.get_mut(*key);
            if let Some(session) = session.filter(|session| session.is_leaving()) {
                session.drain();
            }
        }
    }

    /// Whether there is another session that takes the queries of this one.
    fn has_successor(&self, key: SessionKey, upstream: UpstreamId) -> bool {
        let pool = self.pools.get(upstream);
        let sessions = pool.into_iter().flat_map(|pool| pool.keys());
        let others = sessions.filter(|other| **other != key);
        let mut others = others.filter_map(|key| self.table.get(*key));
        let is_fit = |session: &Session| {
            session.takes_queries()
                && !session.is_leaving()
                && session.in_flight() < limits::SESSION_BUSY
        };
        others.any(is_fit)
    }
}
