//! What sessions report: that they opened, what they received, how they ended, that time passed.

use super::Upstreams;
use crate::attempts::Attempts;
use crate::counters::Count;
use crate::counters::labels::Ending;
use crate::failure::{ConnectFault, Failure, SessionEnd, TlsFault};
use crate::keys::{ExchangeKey, SessionKey, UpstreamId};
use crate::link::Link;
use crate::moment::Moment;
use crate::session::{Phase, Purpose, Session, Timeout};

impl Upstreams {
    /// A session's upstream is authenticated, or a plain one answers: from now on it carries queries.
    pub(crate) fn session_opened(&mut self, now: Moment, key: SessionKey) {
        let Some(session) = self.sessions.on_open(now, key) else {
            return;
        };
        let (upstream, purpose, link) = (session.upstream, session.purpose, session.link);
        match (purpose, link) {
            (Purpose::Isolation, _) => self.isolation_opened(now, key),
            (Purpose::Shared, Link::Tls) => {
                self.sessions.close_other_openings(upstream, key);
                self.sessions.drain_leaving(upstream);
                self.serve_waiting(now);
                self.sessions.probe_if_wanted(now, key, upstream);
                self.forwarder().copy_waiting(now);
            }
            (Purpose::Shared, Link::Tcp | Link::Datagrams) => self.serve_waiting(now),
        }
    }

    /// A session ended, or never came to be. The engine removes it.
    pub(crate) fn session_closed(&mut self, now: Moment, key: SessionKey, end: SessionEnd) {
        let is_idle = self
            .sessions
            .get(key)
            .is_some_and(|session| session.in_flight() == 0);
        let ending = match is_idle {
            true => Ending::IdlePeer,
            false => Ending::of_lost(end),
        };
        let Some(session) = self.sessions.remove(key, ending) else {
            return;
        };
        if session.link != Link::Tls && session.purpose == Purpose::Shared {
            self.plain_ended(now, &session, end);
        } else if !session.is_open() {
            self.opening_failed(now, key, &session, end);
        } else if session.in_flight() == 0 {
            self.tally.count(Count::SessionsEndedIdle);
            let idle = session.idle_for(now);
            self.sessions.on_idle_closed_by_peer(&session, idle);
            self.sessions.on_session_left(now, session.upstream);
            self.serve_few_answers(now, session.upstream);
        } else {
            self.session_lost(now, key, &session, end.into());
        }
    }

    /// Closes all sessions in good order, as at the end of a stop.
    pub(crate) fn close_all_sessions(&mut self) {
        self.isolation.stop();
        self.sessions.close_all();
    }

    /// Does what is due on all sessions.
    pub(super) fn expire_sessions(&mut self, now: Moment) {
        // A query that ends on one session may be the last on another session, which drains.
        loop {
            let due = self.sessions.due(now);
            if due.is_empty() {
                return;
            }
            for key in due {
                while let Some(timeout) = self.sessions.poll_timeout(now, key) {
                    self.on_session_timeout(now, key, timeout);
                }
                self.sessions.flush_released(key);
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
                self.forwarder().race(now, key);
                self.isolation_opens_slowly(now, key);
            }
            Timeout::OpeningIsLate => {
                let shared = self.sessions.get(key);
                let shared = shared.filter(|session| session.purpose == Purpose::Shared);
                let upstream = shared.map(|session| session.upstream);
                let is_alone = |upstream: &UpstreamId| {
                    let pool = self.sessions.pool(*upstream);
                    pool.is_some_and(|pool| pool.openings(self.sessions.table()).count() == 1)
                };
                if let Some(upstream) = upstream.filter(is_alone)
                    && self.waiting.count_for(upstream) > 0
                    && self.sessions.open_another(now, upstream)
                {
                    self.forwarder().ask_on_opening(now, upstream);
                }
            }
            Timeout::OpeningGivenUp => {
                let end = match self.sessions.get(key).map(|session| session.phase) {
                    Some(Phase::Connecting) => SessionEnd::Connect(ConnectFault::TimedOut),
                    _ => SessionEnd::Tls(TlsFault::TimedOut),
                };
                self.sessions.push_close(key);
                self.session_closed(now, key, end);
            }
            Timeout::NoResponse => self.sessions.send_probe(now, key),
            Timeout::Unresponsive => self.on_unresponsive(now, key),
            Timeout::UnresponsiveTooLong => {
                if let Some(session) = self.sessions.close(key, Ending::Unresponsive) {
                    self.session_lost(now, key, &session, Failure::NoResponse);
                }
            }
            Timeout::Unanswered(attempts) => self.hedge(now, attempts),
            Timeout::UnansweredWithLater(key) => {
                if let Some(attempts) = self.questions.get_mut(key) {
                    attempts.fresh_after = Some(now);
                }
                self.hedge(now, key);
            }
            Timeout::Aged => self.sessions.on_aged(now, key),
            Timeout::Idle if self.sessions.replace_idle(now, key) => {}
            Timeout::Idle => {
                let session = self.sessions.get(key);
                let ending = session.map_or(Ending::Idle, Session::quiet_ending);
                if let Some(session) = self.sessions.close(key, ending) {
                    self.tally.count(Count::SessionsEndedIdle);
                    self.isolation.end(key);
                    if !session.is_draining() && !session.is_leaving() {
                        self.sessions.on_idle_limit_reached(session.upstream);
                    }
                    self.serve_few_answers(now, session.upstream);
                }
            }
        }
    }

    fn hedge(&mut self, now: Moment, key: ExchangeKey) {
        let attempts = self.questions.get(key);
        let never_hedged =
            |e: &Attempts| dotgate_wire::planted!("nothing-is-hedged") && e.is_running();
        let is_free = |e: &Attempts| e.waiting_since.is_none() && !e.is_suspect && !never_hedged(e);
        if attempts.is_some_and(is_free) {
            self.advance(now, key);
        } else {
            self.isolate_elsewhere(now, key);
        }
    }
}
