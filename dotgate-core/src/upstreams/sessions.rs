//! What sessions report: that they opened, what they received, how they ended, that time passed.

use super::Upstreams;
use crate::attempts::Attempts;
use crate::counters::Count;
use crate::counters::labels::Ending;
use crate::failure::{ConnectFault, Failure, SessionEnd, TlsFault};
use crate::isolation::Isolation;
use crate::keys::{ExchangeKey, SessionKey};
use crate::link::Link;
use crate::moment::Moment;
use crate::outbox::Action;
use crate::session::{Phase, Purpose, Session, Timeout};

impl Upstreams {
    /// The TCP connection of a session is there; TLS begins.
    pub(crate) fn session_connected(&mut self, now: Moment, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.phase = Phase::Handshaking;
            session.connected = Some(now);
            if let Some(counters) = self.tally.upstream(session.upstream) {
                counters.observe_connect(now.since(session.started));
            }
        }
    }

    /// The handshake that is about to be reported as done resumed an earlier session.
    pub(crate) fn session_resumed(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.is_resumed = true;
        }
    }

    /// A session's upstream is authenticated: from now on it carries queries.
    pub(crate) fn session_opened(&mut self, now: Moment, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.on_open(now);
        let (upstream, handshake) = (session.upstream, session.handshake);
        if session.link != Link::Tls && session.purpose == Purpose::Shared {
            self.plain_opened(now, upstream);
            return;
        }
        self.handshake_done(now, upstream, handshake);
        self.tally.count(Count::SessionsOpened);
        let mut is_isolation = false;
        if let Some(session) = self.sessions.get(key) {
            let began = session.connected.unwrap_or(session.started);
            self.tally
                .opened(upstream, session.is_resumed, now.since(began));
            is_isolation = session.purpose == Purpose::Isolation;
        }
        if is_isolation {
            if let Some(pool) = self.pools.get(upstream) {
                pool.health().evidence().note_session_opened();
            }
            self.isolation_opened(now, key);
            return;
        }
        self.close_other_openings(upstream, key);
        self.serve_waiting(now);
        let Some(pool) = self.pools.get_mut(upstream) else {
            return;
        };
        pool.health().evidence().note_session_opened();
        let is_ordered = std::mem::take(&mut pool.probe_ordered);
        if is_ordered || !pool.health().is_well() {
            self.send_probe(now, key);
        }
    }

    /// The frames that wait for a session's TLS, to be drained from the front. None once it is forgotten, and
    /// while it is not open: not one byte leaves before the upstream is authenticated (RFC 8310 section 6.6).
    pub(crate) fn session_output(&mut self, key: SessionKey) -> Option<&mut Vec<u8>> {
        self.sessions
            .get_mut(key)
            .filter(|session| {
                session.is_open()
                    || session.link == Link::Datagrams
                    || cfg!(planted = "sent-before-authentication")
            })
            .map(|session| &mut session.outgoing)
    }

    /// A session ended, or never came to be. The engine forgets it.
    pub(crate) fn session_closed(&mut self, now: Moment, key: SessionKey, end: SessionEnd) {
        let is_idle = self
            .sessions
            .get(key)
            .is_some_and(|session| session.in_flight() == 0);
        let ending = match is_idle {
            true => Ending::IdlePeer,
            false => Ending::of_lost(end),
        };
        let Some(session) = self.remove_session(key, ending) else {
            return;
        };
        if session.link != Link::Tls && session.purpose == Purpose::Shared {
            self.plain_ended(now, &session, end);
        } else if !session.is_open() {
            self.opening_failed(now, key, &session, end);
        } else if session.in_flight() == 0 {
            self.tally.count(Count::SessionsEndedIdle);
            if let Some(pool) = self.pools.get_mut(session.upstream) {
                pool.on_idle_closed_by_peer(session.idle_for(now));
            }
            self.serve_few_answers(now, session.upstream);
        } else {
            self.session_lost(now, key, &session, end.into());
        }
    }

    /// Closes all sessions in good order, as at the end of a stop.
    pub(crate) fn close_all_sessions(&mut self) {
        self.isolation = Isolation::new();
        let keys: Vec<SessionKey> = self.sessions.keys().collect();
        for key in keys {
            self.remove_session(key, Ending::Stopped);
            self.actions.push_back(Action::CloseSession(key));
        }
    }

    /// `ending` is why it ends, should it be open.
    pub(super) fn remove_session(&mut self, key: SessionKey, ending: Ending) -> Option<Session> {
        let session = self.sessions.remove(key)?;
        if session.is_open()
            && let Some(counters) = self.tally.upstream(session.upstream)
        {
            counters.add_ending(ending);
            self.log_session_ended(&session, ending);
        }
        if let Some(pool) = self.pools.get_mut(session.upstream) {
            pool.remove(key);
            if session.is_open() {
                pool.health().evidence().note_session_ended();
            }
        }
        Some(session)
    }

    /// Ends openings that were begun beside one that has succeeded.
    fn close_other_openings(&mut self, upstream: usize, opened: SessionKey) {
        let pool = self.pools.get(upstream);
        let Some(pool) = pool.filter(|pool| pool.answers_max().is_none()) else {
            return;
        };
        let is_opening = |key: &SessionKey| {
            self.sessions
                .get(*key)
                .is_some_and(|session| !session.is_open())
        };
        let others: Vec<SessionKey> = pool
            .keys()
            .iter()
            .copied()
            .filter(|key| *key != opened && is_opening(key))
            .collect();
        for key in others {
            self.remove_session(key, Ending::Stopped);
            self.actions.push_back(Action::CloseSession(key));
        }
    }

    /// Does what is due on all sessions.
    pub(super) fn expire_sessions(&mut self, now: Moment) {
        let due: Vec<SessionKey> = self
            .sessions
            .iter()
            .filter(|(_, session)| {
                session
                    .next_deadline()
                    .is_some_and(|deadline| deadline <= now)
            })
            .map(|(key, _)| key)
            .collect();
        for key in due {
            while let Some(timeout) = self.sessions.get_mut(key).and_then(|s| s.poll_timeout(now)) {
                self.on_session_timeout(now, key, timeout);
            }
            if self.sessions.get(key).is_some_and(Session::has_released) {
                self.mark_dirty(key);
            }
        }
    }

    fn on_session_timeout(&mut self, now: Moment, key: SessionKey, timeout: Timeout) {
        if self.on_plain_timeout(now, key, timeout) {
            return;
        }
        match timeout {
            Timeout::OpeningIsSlow => {
                self.serve_waiting(now);
                self.isolation_opens_slowly(now, key);
            }
            Timeout::OpeningIsLate => {
                let shared = self.sessions.get(key);
                let shared = shared.filter(|session| session.purpose == Purpose::Shared);
                let upstream = shared.map(|session| session.upstream);
                let is_alone = |upstream: &usize| {
                    self.pools
                        .get(*upstream)
                        .is_some_and(|pool| pool.openings(&self.sessions).count() == 1)
                };
                if let Some(upstream) = upstream.filter(is_alone)
                    && self.waiting.count_for(upstream) > 0
                {
                    self.open_another_session(now, upstream);
                }
            }
            Timeout::OpeningGivenUp => {
                let end = match self.sessions.get(key).map(|session| session.phase) {
                    Some(Phase::Connecting) => SessionEnd::Connect(ConnectFault::TimedOut),
                    _ => SessionEnd::Tls(TlsFault::TimedOut),
                };
                self.actions.push_back(Action::CloseSession(key));
                self.session_closed(now, key, end);
            }
            Timeout::NoResponse => self.send_probe(now, key),
            Timeout::Unresponsive => self.on_unresponsive(now, key),
            Timeout::UnresponsiveTooLong => {
                if let Some(session) = self.remove_session(key, Ending::Unresponsive) {
                    self.actions.push_back(Action::CloseSession(key));
                    self.session_lost(now, key, &session, Failure::NoResponse);
                }
            }
            Timeout::Unanswered(attempts) => self.ask_beside(now, attempts),
            Timeout::UnansweredWithLater(key) => {
                if let Some(attempts) = self.attempts.get_mut(key) {
                    attempts.fresh_after = Some(now);
                }
                self.ask_beside(now, key);
            }
            Timeout::Idle => {
                if let Some(session) = self.remove_session(key, Ending::Idle) {
                    self.actions.push_back(Action::CloseSession(key));
                    self.tally.count(Count::SessionsEndedIdle);
                    self.isolation.end(key);
                    if let Some(pool) = self.pools.get_mut(session.upstream) {
                        pool.on_idle_limit_reached();
                    }
                    self.serve_few_answers(now, session.upstream);
                }
            }
        }
    }

    fn ask_beside(&mut self, now: Moment, key: ExchangeKey) {
        let attempts = self.attempts.get(key);
        let never_hedged =
            |e: &Attempts| cfg!(planted = "nothing-is-asked-beside") && e.is_running();
        let is_free = |e: &Attempts| e.waiting_since.is_none() && !e.is_suspect && !never_hedged(e);
        if attempts.is_some_and(is_free) {
            self.advance(now, key);
        } else {
            self.isolate_elsewhere(now, key);
        }
    }
}
