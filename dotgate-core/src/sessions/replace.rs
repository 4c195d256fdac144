//! Replacing sessions: the next one is open before the one before takes no more queries, so that no query waits for a
//! handshake.
//!
//! A session that is not in use just ends, and the next query opens another one. If the next one cannot be opened, the one
//! before stays in use: availability comes before age. What failed is no evidence against the upstream while a session to it
//! responds, and is when that one ends shortly after (`sessions::evidence`).

use std::time::Duration;

use super::Sessions;
use crate::keys::{SessionKey, UpstreamId};
use crate::limits;
use crate::moment::Moment;
use crate::session::Session;

impl Sessions {
    /// The maximum age of one session: somewhat less than what is set.
    pub(super) fn age_limit(&mut self) -> Option<Duration> {
        let most = self
            .age_max
            .filter(|_| !cfg!(planted = "sessions-never-age"))?;
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
        if !is_in_use || self.has_successor(upstream) || cfg!(planted = "sessions-end-unreplaced") {
            self.drain_aged(upstream);
            return;
        }
        let health = self.health(upstream);
        // One that is not healthy is tried at a pace of its own.
        if health.is_some_and(|health| health.is_healthy()) {
            self.open(now, upstream, 0);
        }
    }

    /// The sessions to an upstream that have reached their maximum age take no more queries.
    pub(crate) fn drain_aged(&mut self, upstream: UpstreamId) {
        let keys = self.pools.get(upstream).map(|pool| pool.keys().iter());
        for key in keys.into_iter().flatten() {
            let session = self.table.get_mut(*key);
            if let Some(session) = session.filter(|session| session.is_aged()) {
                session.drain();
            }
        }
    }

    /// Whether there is a session that takes the queries of those that have reached their maximum age.
    fn has_successor(&self, upstream: UpstreamId) -> bool {
        let pool = self.pools.get(upstream);
        let sessions = pool.into_iter().flat_map(|pool| pool.keys());
        let mut sessions = sessions.filter_map(|key| self.table.get(*key));
        let is_fit = |session: &Session| {
            session.takes_queries()
                && !session.is_aged()
                && session.in_flight() < limits::SESSION_BUSY
        };
        sessions.any(is_fit)
    }
}
