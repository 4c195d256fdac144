//! What sessions report: that they opened, what they received, how they ended, that time passed.

use std::time::Duration;

use dotgate_wire::{message_id, rcode};

use super::Engine;
use crate::cache::ROUTE;
use crate::counters::Count;
use crate::counters::labels::{Ending, Reason};
use crate::exchange::{Attempt, Exchange};
use crate::failure::{ConnectFault, Failure, Misbehaviour, SessionEnd, TlsFault};
use crate::frames::Next;
use crate::isolation::Isolation;
use crate::keys::{ExchangeKey, SessionKey};
use crate::limits;
use crate::moment::Moment;
use crate::outbox::{Action, Event};
use crate::pool::Pool;
use crate::session::{Asker, Lapse, Phase, Purpose, Session};
use crate::verdict::{Verdict, judge};

impl Engine {
    /// The TCP connection of a session is there; TLS begins.
    pub fn session_connected(&mut self, now: Moment, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.phase = Phase::Handshaking;
            session.connected = Some(now);
            if let Some(counters) = self.counters.upstream(session.upstream) {
                counters.observe_connect(now.since(session.started));
            }
        }
    }

    /// The handshake that is about to be reported as done resumed an earlier session.
    pub fn session_resumed(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.is_resumed = true;
        }
    }

    /// A session's upstream is authenticated: from now on it carries queries.
    pub fn session_opened(&mut self, now: Moment, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.on_open(now);
        let (upstream, handshake) = (session.upstream, session.handshake);
        self.handshake_done(now, upstream, handshake);
        self.count(Count::SessionsOpened);
        let mut is_isolation = false;
        if let Some(session) = self.sessions.get(key) {
            self.count_opened(now, session);
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

    /// Takes decrypted octets of a session, cut anywhere.
    pub fn session_bytes(&mut self, now: Moment, key: SessionKey, bytes: &[u8]) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let mut frames = std::mem::take(&mut session.frames);
        frames.feed(bytes, |message| self.on_message(now, key, message));
        if let Some(session) = self.sessions.get_mut(key) {
            session.frames = frames;
        }
    }

    /// The frames that wait for a session's TLS, to be drained from the front. None once it is forgotten, and
    /// while it is not open: not one octet leaves before the upstream is authenticated (RFC 8310 section 6.6).
    pub fn session_output(&mut self, key: SessionKey) -> Option<&mut Vec<u8>> {
        self.sessions
            .get_mut(key)
            .filter(|session| session.is_open() || cfg!(planted = "sent-before-authentication"))
            .map(|session| &mut session.outgoing)
    }

    /// A session ended, or never came to be. The engine forgets it.
    pub fn session_closed(&mut self, now: Moment, key: SessionKey, end: SessionEnd) {
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
        if !session.is_open() {
            self.opening_failed(now, key, &session, end);
        } else if session.in_flight() == 0 {
            self.count(Count::SessionsEndedIdle);
            if let Some(pool) = self.pools.get_mut(session.upstream) {
                pool.on_idle_closed_by_peer(session.idle_for(now));
            }
            self.serve_few_answers(now, session.upstream);
        } else {
            self.session_lost(now, key, &session, end.into());
        }
    }

    /// Closes all sessions in good order, as at the end of a stop.
    pub fn close_all_sessions(&mut self) {
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
            && let Some(counters) = self.counters.upstream(session.upstream)
        {
            counters.add_ending(ending);
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

    /// One complete message of a session.
    fn on_message(&mut self, now: Moment, key: SessionKey, message: &[u8]) -> Next {
        let Some(session) = self.sessions.get_mut(key) else {
            return Next::Pause;
        };
        let asker = message_id(message).and_then(|id| session.asker(id).map(|asker| (id, asker)));
        let Some((id, asker)) = asker else {
            return self.on_invalid(now, key, Reason::UpstreamUnknownId);
        };
        if self.answer.load(message).is_err() {
            self.note_misbehaviour(asker, Misbehaviour::Malformed);
            return self.on_invalid(now, key, Reason::UpstreamMalformed);
        }
        if !self.answers_question_of(asker) {
            self.note_misbehaviour(asker, Misbehaviour::WrongQuestion);
            return self.on_invalid(now, key, Reason::UpstreamWrongQuestion);
        }
        let Some(session) = self.sessions.get_mut(key) else {
            return Next::Pause;
        };
        let upstream = session.upstream;
        match asker {
            Asker::Retired(_) => session.on_late_response(id),
            Asker::Exchange(_) | Asker::Probe(_) => session.on_response(id, now),
        }
        let (round_trip, purpose) = (session.round_trip(), session.purpose);
        if let Some(pool) = self.pools.get_mut(upstream) {
            pool.last_response = Some(now);
        }
        self.take_keepalive(key);
        let has_recovered = self.judge_health(now, upstream, round_trip, asker);
        if let Some(counters) = self.counters.upstream(upstream) {
            counters.add_response(self.answer.rcode());
        }
        match asker {
            Asker::Retired(_) => self.count(Count::ResponsesLate),
            Asker::Probe(_) => {}
            Asker::Exchange(exchange) => {
                self.count(Count::Responses);
                self.on_response(now, exchange, key, id);
            }
        }
        if purpose == Purpose::Isolation {
            self.isolation_answered(now, key);
        }
        if has_recovered {
            self.serve_waiting(now);
        }
        Next::Continue
    }

    /// A message that answers nothing: counted, and the wait goes on, until there are too many.
    fn on_invalid(&mut self, now: Moment, key: SessionKey, reason: Reason) -> Next {
        self.count(Count::ResponsesInvalid);
        if let Some(session) = self.sessions.get(key) {
            self.count_error(session.upstream, reason);
        }
        if !self.sessions.get_mut(key).is_some_and(Session::on_invalid) {
            return Next::Continue;
        }
        if let Some(session) = self.remove_session(key, Ending::Flood) {
            self.actions.push_back(Action::CloseSession(key));
            self.session_lost(now, key, &session, Failure::Misbehaved(Misbehaviour::Flood));
        }
        Next::Pause
    }

    fn note_misbehaviour(&mut self, asker: Asker, fault: Misbehaviour) {
        if let Asker::Exchange(key) = asker
            && let Some(exchange) = self.exchanges.get_mut(key)
        {
            exchange.note(Failure::Misbehaved(fault), None);
        }
    }

    /// Whether the loaded answer is for the question that was asked (RFC 7766 section 7). Only an error may come
    /// without a question.
    fn answers_question_of(&self, asker: Asker) -> bool {
        let exact = self.answer.question();
        if exact.is_empty() {
            return self.answer.rcode() != rcode::NOERROR && self.answer.rcode() != rcode::NXDOMAIN;
        }
        match asker {
            Asker::Exchange(key) => self.exchanges.get(key).is_some_and(|exchange| {
                exchange.question.matches(exact) || cfg!(planted = "any-question-matches")
            }),
            Asker::Probe(hash) | Asker::Retired(hash) => self.is_hash_of(hash, exact),
        }
    }

    fn is_hash_of(&self, hash: u64, exact: &[u8]) -> bool {
        let Some(question) = dotgate_wire::Question::fold(exact) else {
            return false;
        };
        [(false, false), (false, true), (true, false), (true, true)]
            .into_iter()
            .any(|(dnssec_ok, cd)| self.cache.key(&question, ROUTE, dnssec_ok, cd).hash() == hash)
    }

    /// RFC 7828 section 3.2.2: close before the peer does; at 0 send nothing more.
    fn take_keepalive(&mut self, key: SessionKey) {
        let Some(tenths) = self.answer.edns().and_then(|edns| edns.keepalive) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if tenths == 0 {
            if !cfg!(planted = "keepalive-zero-is-ignored") {
                session.drain();
            }
            return;
        }
        let told = Duration::from_millis(u64::from(tenths) * 100) * 9 / 10;
        session.idle_limit = told.min(limits::SESSION_IDLE_LONGEST);
    }

    /// Takes note of what a response says of its upstream. True if it was down and is not any more.
    fn judge_health(
        &mut self,
        now: Moment,
        upstream: usize,
        round_trip: Option<Duration>,
        asker: Asker,
    ) -> bool {
        let Some(health) = self.pools.get(upstream).map(Pool::health) else {
            return false;
        };
        let is_right = matches!(self.answer.rcode(), rcode::NOERROR | rcode::NXDOMAIN);
        if is_right || matches!(asker, Asker::Probe(_)) {
            health.evidence().note_response(now, round_trip);
        }
        // An error to a client's question may be the question's, so it proves life and no more.
        let has_recovered = match asker {
            Asker::Exchange(_) if is_right => health.on_right_response(now),
            Asker::Exchange(_) | Asker::Probe(_) | Asker::Retired(_) => health.on_response(now),
        };
        if has_recovered {
            self.events.push_back(Event::UpstreamWell { upstream });
            if let Some(pool) = self.pools.get_mut(upstream) {
                pool.tries = 0;
            }
        }
        has_recovered
    }

    /// A response to an exchange in flight.
    fn on_response(&mut self, now: Moment, key: ExchangeKey, session: SessionKey, id: u16) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let Some(Attempt {
            upstream,
            edns,
            sent_at,
            ..
        }) = exchange.end(session, id)
        else {
            return;
        };
        self.count_response(now, upstream, sent_at);
        self.clear_suspicion(key);
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if self.answer.strays() > 0 {
            self.counters.add(Count::ResponsesStray);
        }
        if let Some(pool) = self.pools.get_mut(upstream) {
            pool.last_answer = Some(now);
        }
        match judge(&self.answer, edns) {
            Verdict::Deliver => {
                let shows_refusal = exchange.without_edns.has(upstream) && !edns;
                if shows_refusal && let Some(pool) = self.pools.get_mut(upstream) {
                    pool.without_edns_until = Some(now + limits::WITHOUT_EDNS_FOR);
                }
                self.count_race(key, upstream, sent_at);
                self.note_avoidable_errors(now, key, upstream);
                self.answer_all(now, key, upstream);
            }
            Verdict::Stands => {
                self.count_race(key, upstream, sent_at);
                self.answer_all(now, key, upstream);
            }
            Verdict::WithoutEdns(failure) => {
                exchange.without_edns.add(upstream);
                exchange.note(failure, Some(upstream));
                self.count_error(upstream, failure);
                self.advance(now, key);
            }
            Verdict::AskElsewhere(failure) => {
                exchange.answered_by.add(upstream);
                exchange.note(failure, Some(upstream));
                self.count_error(upstream, failure);
                self.advance(now, key);
            }
        }
    }

    pub(super) fn note_error(&self, now: Moment, upstream: usize, failure: Failure) {
        if let Some(pool) = self.pools.get(upstream) {
            pool.health().evidence().note_error(now, failure);
        }
    }

    /// An upstream has answered what others answered with an error; or not at all, while they answered no other client
    /// either.
    fn note_avoidable_errors(&mut self, now: Moment, key: ExchangeKey, answering: usize) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let mut avoidable = exchange.answered_by;
        for attempt in exchange.running() {
            let pool = self.pools.get(attempt.upstream);
            let is_old = |last: Moment| last + limits::NO_ANSWER_FOR <= now;
            let answers_none = pool.is_some_and(|pool| pool.last_answer.is_none_or(is_old));
            let is_overdue = attempt.sent_at + limits::BESIDE_AFTER <= now;
            if attempt.upstream != answering && is_overdue && answers_none {
                avoidable.add(attempt.upstream);
            }
        }
        if avoidable.is_empty() {
            return;
        }
        let domain = self.domain_hash(exchange.question.name());
        let erring = self.pools.in_order();
        let erring = erring.filter(|(upstream, _)| avoidable.has(*upstream));
        let down: Vec<usize> = erring
            .filter(|(_, pool)| pool.health().on_avoidable_error(now, domain))
            .map(|(upstream, _)| upstream)
            .collect();
        for upstream in down {
            let failure = Failure::Answered {
                rcode: rcode::SERVFAIL,
                ede: None,
            };
            self.tell_down(upstream, failure);
        }
    }

    /// Does what is due on all sessions.
    pub(super) fn lapse_sessions(&mut self, now: Moment) {
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
            while let Some(lapse) = self.sessions.get_mut(key).and_then(|s| s.poll_lapse(now)) {
                self.on_lapse(now, key, lapse);
            }
        }
    }

    fn on_lapse(&mut self, now: Moment, key: SessionKey, lapse: Lapse) {
        match lapse {
            Lapse::OpeningIsSlow => {
                self.serve_waiting(now);
                self.isolation_opens_slowly(now, key);
            }
            Lapse::OpeningIsLate => {
                let shared = self.sessions.get(key);
                let shared = shared.filter(|session| session.purpose == Purpose::Shared);
                let upstream = shared.map(|session| session.upstream);
                let is_alone = |upstream: &usize| {
                    self.pools
                        .get(*upstream)
                        .is_some_and(|pool| pool.openings(&self.sessions).count() == 1)
                };
                if let Some(upstream) = upstream.filter(is_alone)
                    && !self.waiting.is_empty()
                {
                    self.open_another_session(now, upstream);
                }
            }
            Lapse::OpeningGivenUp => {
                let end = match self.sessions.get(key).map(|session| session.phase) {
                    Some(Phase::Connecting) => SessionEnd::Connect(ConnectFault::TimedOut),
                    _ => SessionEnd::Tls(TlsFault::TimedOut),
                };
                self.actions.push_back(Action::CloseSession(key));
                self.session_closed(now, key, end);
            }
            Lapse::NoResponse => self.send_probe(now, key),
            Lapse::Unresponsive => self.on_unresponsive(now, key),
            Lapse::UnresponsiveTooLong => {
                if let Some(session) = self.remove_session(key, Ending::Silent) {
                    self.actions.push_back(Action::CloseSession(key));
                    self.session_lost(now, key, &session, Failure::Silent);
                }
            }
            Lapse::Unanswered(exchange) => self.ask_beside(now, exchange),
            Lapse::UnansweredWithLater(key) => {
                if let Some(exchange) = self.exchanges.get_mut(key) {
                    exchange.fresh_after = Some(now);
                }
                self.ask_beside(now, key);
            }
            Lapse::Idle => {
                if let Some(session) = self.remove_session(key, Ending::Idle) {
                    self.actions.push_back(Action::CloseSession(key));
                    self.count(Count::SessionsEndedIdle);
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
        let exchange = self.exchanges.get(key);
        let never_hedged =
            |e: &Exchange| cfg!(planted = "nothing-is-asked-beside") && e.is_running();
        let is_free = |e: &Exchange| e.waiting_since.is_none() && !e.is_suspect && !never_hedged(e);
        if exchange.is_some_and(is_free) {
            self.advance(now, key);
        } else {
            self.isolate_elsewhere(now, key);
        }
    }
}
