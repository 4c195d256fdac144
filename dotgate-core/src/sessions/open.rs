//! Opening sessions: which kind, how many, and what their opening shows.

use super::Sessions;
use crate::counters::Count;
use crate::counters::labels::Ending;
use crate::key_exchange::{Handshake, KeyExchange};
use crate::keys::{SessionKey, UpstreamId};
use crate::link::{Link, Transport};
use crate::moment::Moment;
use crate::outbox::{Action, Event};
use crate::session::{Phase, Purpose, Session};

impl Sessions {
    /// Begins to open a session for `waiting` questions, unless one is being opened or there are enough. True if queries
    /// over UDP may be sent on it before it is open.
    pub(crate) fn open(&mut self, now: Moment, upstream: UpstreamId, waiting: usize) -> bool {
        let pool = self.pools.get(upstream);
        let is_wanted = pool.is_some_and(|pool| pool.wants_opening(&self.table, waiting));
        is_wanted && self.open_another(now, upstream)
    }

    /// The same even if one is being opened.
    pub(crate) fn open_another(&mut self, now: Moment, upstream: UpstreamId) -> bool {
        let Some(pool) = self.pools.get(upstream) else {
            return false;
        };
        if !pool.may_grow(&self.table) || self.descriptor_pause.is_some() {
            return false;
        }
        if pool.upstream.transport == Transport::Plain {
            let key = self.open_plain(now, upstream, Link::Datagrams);
            self.send_probe(now, key);
            return true;
        }
        let age_limit = self.age_limit();
        let Some(pool) = self.pools.get_mut(upstream) else {
            return false;
        };
        pool.forget_old_bound(now);
        let mut session = Session::new(upstream, Purpose::Shared, pool.alpn, now);
        session.idle_limit = pool.idle_limit();
        session.answers_max = pool.answers_max();
        session.age_limit = age_limit;
        session.handshake = pool.next_handshake(now, &self.table);
        if session.handshake.fallback.is_some() {
            self.tally.count(Count::HandshakesFellBack);
        }
        self.begin(session);
        false
    }

    /// Begins to open a session to a plain upstream: the one for its queries over UDP, or a TCP connection.
    pub(crate) fn open_plain(
        &mut self,
        now: Moment,
        upstream: UpstreamId,
        link: Link,
    ) -> SessionKey {
        let mut session = Session::new(upstream, Purpose::Shared, false, now);
        session.link = link;
        session.handshake.offer = KeyExchange::Classical;
        if let Some(pool) = self.pools.get(upstream) {
            session.idle_limit = pool.idle_limit();
            session.handshake.try_number = pool.tries;
        }
        self.begin(session)
    }

    /// Begins to open a session for suspects alone.
    pub(crate) fn open_isolated(
        &mut self,
        now: Moment,
        upstream: UpstreamId,
    ) -> Option<SessionKey> {
        let pool = self.pools.get(upstream)?;
        let mut session = Session::new(upstream, Purpose::Isolation, pool.alpn, now);
        session.handshake = Handshake {
            offer: pool.upstream.handshakes.next_of_isolated(now),
            fallback: None,
            try_number: pool.tries,
        };
        session.link = match pool.upstream.transport {
            Transport::Dot => Link::Tls,
            Transport::Plain => Link::Tcp,
        };
        self.tally.count(Count::SessionsIsolating);
        Some(self.begin(session))
    }

    fn begin(&mut self, mut session: Session) -> SessionKey {
        let (upstream, purpose, link) = (session.upstream, session.purpose, session.link);
        let (handshake, alpn) = (session.handshake, session.alpn);
        session.expected_round_trip = self.pools.get(upstream).and_then(|pool| pool.round_trip);
        let key = self.table.insert(session);
        if purpose == Purpose::Shared
            && let Some(pool) = self.pools.get_mut(upstream)
        {
            pool.add(key);
        }
        self.actions.push_back(Action::OpenSession {
            session: key,
            upstream,
            link,
            try_number: handshake.try_number,
            alpn,
            key_exchange: handshake.offer,
        });
        self.tally.count(Count::SessionsStarted);
        key
    }

    /// The TCP connection of a session is there; TLS begins.
    pub fn on_connected(&mut self, now: Moment, key: SessionKey) {
        if let Some(session) = self.table.get_mut(key) {
            session.phase = Phase::Handshaking;
            session.connected = Some(now);
            if let Some(counters) = self.tally.upstream(session.upstream) {
                counters.observe_connect(now.since(session.started));
            }
        }
    }

    /// The handshake that is about to be reported as done resumed an earlier session.
    pub fn on_resumed(&mut self, key: SessionKey) {
        if let Some(session) = self.table.get_mut(key) {
            session.is_resumed = true;
        }
    }

    /// A session's upstream is authenticated, or a plain one answers. Returns the session.
    pub(crate) fn on_open(&mut self, now: Moment, key: SessionKey) -> Option<&Session> {
        let session = self.table.get_mut(key)?;
        session.on_open(now);
        let (upstream, handshake) = (session.upstream, session.handshake);
        let is_plain = session.link != Link::Tls && session.purpose == Purpose::Shared;
        let (began, is_resumed) = (
            session.connected.unwrap_or(session.started),
            session.is_resumed,
        );
        if !is_plain {
            self.handshake_done(now, upstream, handshake);
            self.tally.opened(upstream, is_resumed, now.since(began));
        }
        self.tally.count(Count::SessionsOpened);
        if let Some(pool) = self.pools.get_mut(upstream) {
            pool.health().evidence().note_session_opened();
            pool.was_slow = false;
            pool.tries = 0;
            pool.failed_to_open = None;
            if is_plain {
                pool.probe_ordered = false;
            }
        }
        self.table.get(key)
    }

    /// Ends openings that became unnecessary because another one succeeded.
    pub(crate) fn close_other_openings(&mut self, upstream: UpstreamId, opened: SessionKey) {
        let pool = self.pools.get(upstream);
        let Some(pool) = pool.filter(|pool| pool.answers_max().is_none()) else {
            return;
        };
        let is_opening = |key: &SessionKey| {
            let session = self.table.get(*key);
            session.is_some_and(|session| !session.is_open())
        };
        let others = pool.keys().iter().copied();
        let others: Vec<SessionKey> = others
            .filter(|key| *key != opened && is_opening(key))
            .collect();
        for key in others {
            self.close(key, Ending::Stopped);
        }
    }

    /// Sends a probe on a new session, if one was requested or its upstream is not healthy.
    pub(crate) fn probe_if_wanted(&mut self, now: Moment, key: SessionKey, upstream: UpstreamId) {
        let Some(pool) = self.pools.get_mut(upstream) else {
            return;
        };
        let is_ordered = std::mem::take(&mut pool.probe_ordered);
        if is_ordered || !pool.health().is_healthy() {
            self.send_probe(now, key);
        }
    }

    /// Finds out whether an upstream answers. Where something is in flight to it already, that will show it. True if it has
    /// no session on which to ask, and will be asked on the next one.
    pub(crate) fn order_probe(&mut self, now: Moment, upstream: UpstreamId) -> bool {
        if !self.pools.is_configured(upstream) {
            return false;
        }
        let Some(pool) = self.pools.get_mut(upstream) else {
            return false;
        };
        let Some(key) = pool.with_room(&self.table, None) else {
            pool.probe_ordered = true;
            return true;
        };
        let session = self.table.get(key);
        if session.is_some_and(|session| session.in_flight() == 0) {
            self.send_probe(now, key);
        }
        false
    }

    /// An upstream rejected ALPN: no session offers it any more.
    pub(crate) fn stop_alpn(&mut self, upstream: UpstreamId) {
        if let Some(pool) = self.pools.get_mut(upstream)
            && std::mem::replace(&mut pool.alpn, false)
        {
            self.events.push_back(Event::AlpnRejected { upstream });
        }
    }

    /// A session for suspects takes long to open: others are asked at another upstream.
    pub(crate) fn note_slow_opening(&mut self, upstream: UpstreamId) {
        if let Some(pool) = self.pools.get_mut(upstream) {
            pool.was_slow = true;
        }
    }

    /// Whether the upstream has an address that was not tried since a session opened.
    pub(crate) fn has_next_address(&self, upstream: UpstreamId) -> bool {
        let pool = self.pools.get(upstream);
        pool.is_some_and(|pool| pool.upstream.handshakes.has_address_for(pool.tries))
    }

    /// An isolation session could not be opened: the next one goes to another address.
    pub(crate) fn try_next_address(&mut self, upstream: UpstreamId) {
        if let Some(pool) = self.pools.get_mut(upstream) {
            pool.tries = pool.tries.saturating_add(1);
        }
    }

    /// Whether some session to it is being opened.
    pub(crate) fn is_opening(&self, upstream: UpstreamId) -> bool {
        let pool = self.pools.get(upstream);
        pool.is_some_and(|pool| pool.is_opening(&self.table))
    }

    /// Claims the next try of an upstream that is not healthy.
    pub(crate) fn claim_try(&mut self, now: Moment, upstream: UpstreamId) -> bool {
        let random = self.random.word();
        let health = self.health(upstream);
        health.is_some_and(|health| health.claim_try(now, random))
    }

    /// Makes an isolation session one for all clients. False if there is one already, or it is not fit for it.
    pub(crate) fn share(&mut self, now: Moment, key: SessionKey) -> bool {
        let age_limit = self.age_limit();
        let Some(session) = self.table.get_mut(key) else {
            return false;
        };
        let is_fit = session.takes_queries() && session.retired() == 0;
        let upstream = session.upstream;
        let is_configured = self.pools.is_configured(upstream);
        let Some(pool) = self.pools.get_mut(upstream) else {
            return false;
        };
        if !is_fit || !is_configured || !pool.keys().is_empty() {
            return false;
        }
        session.purpose = Purpose::Shared;
        session.answers_max = pool.answers_max();
        session.idle_limit = pool.idle_limit();
        session.age_limit = age_limit;
        session.begin_to_age(now);
        pool.add(key);
        true
    }
}
