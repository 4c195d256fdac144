//! What sessions report: that they opened, what they received, how they ended, that time passed.

use std::time::Duration;

use dotgate_wire::{message_id, rcode};

use super::Engine;
use crate::cache::ROUTE;
use crate::counters::Count;
use crate::counters::labels::{Ending, Limit, Reason};
use crate::exchange::{Attempt, ExchangeKey};
use crate::failure::{ConnectFault, Failure, Misbehaviour, SessionEnd, TlsFault};
use crate::frames::Next;
use crate::limits;
use crate::moment::Moment;
use crate::outbox::{Action, Event};
use crate::pool::Pool;
use crate::session::{Asker, Lapse, Phase, Session, SessionKey};
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
        let upstream = session.upstream;
        self.count(Count::SessionsOpened);
        if let Some(session) = self.sessions.get(key) {
            self.count_opened(now, session);
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
            .filter(|session| session.is_open())
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
            self.opening_failed(now, &session, end);
        } else if session.in_flight() == 0 {
            self.count(Count::SessionsEndedIdle);
            if let Some(pool) = self.pools.get_mut(session.upstream) {
                pool.on_idle_closed_by_peer(session.idle_for(now));
            }
        } else {
            self.session_lost(now, &session, end.into());
        }
    }

    /// Closes all sessions in good order, as at the end of a stop.
    pub fn close_all_sessions(&mut self) {
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
        let Some(pool) = self.pools.get(upstream) else {
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

    fn opening_failed(&mut self, now: Moment, session: &Session, end: SessionEnd) {
        self.count(Count::SessionsFailed);
        let upstream = session.upstream;
        match end {
            SessionEnd::Tls(TlsFault::AlpnRefused) if session.alpn => {
                if let Some(pool) = self.pools.get_mut(upstream)
                    && std::mem::replace(&mut pool.alpn, false)
                {
                    self.events.push_back(Event::AlpnRefused { upstream });
                }
                self.count_error(upstream, TlsFault::AlpnRefused);
                self.open_session(now, upstream);
                return;
            }
            SessionEnd::Connect(ConnectFault::NoDescriptor) => {
                self.count(Count::DescriptorsExhausted);
                self.count_limit(Limit::Descriptors);
                self.descriptor_pause = Some(now + limits::DESCRIPTOR_PAUSE);
                self.note_waiting(end.into(), upstream);
                return;
            }
            SessionEnd::Closed
            | SessionEnd::Connect(_)
            | SessionEnd::Reset
            | SessionEnd::Tls(_) => {}
        }
        let failure = match (end, session.phase) {
            (SessionEnd::Closed | SessionEnd::Reset, Phase::Handshaking) => {
                Failure::Tls(TlsFault::Closed)
            }
            (end, _) => end.into(),
        };
        self.count_error(upstream, failure);
        self.upstream_failed_to_open(now, upstream, failure);
        self.serve_waiting(now);
        self.give_up_waiting_after_failure(now);
    }

    /// An upstream that still answers on another session is not down because one more could not be opened.
    fn upstream_failed_to_open(&mut self, now: Moment, upstream: usize, failure: Failure) {
        self.note_waiting(failure, upstream);
        let answers_still = self
            .pools
            .get(upstream)
            .is_some_and(|pool| pool.with_room(&self.sessions, None).is_some());
        if answers_still {
            self.note_error(now, upstream, failure);
            // Those who wait for a fresh session would have it try again at once, and in vain.
            if let Some(pool) = self.pools.get_mut(upstream) {
                pool.paused_until = Some(now + limits::TRY_EVERY);
            }
        } else if self
            .pools
            .get(upstream)
            .is_some_and(|pool| pool.health().on_open_failed(now, failure))
        {
            self.tell_down(upstream, failure);
        }
    }

    /// A session ended with queries in flight: each goes elsewhere at once. One that ended without a single
    /// response is as good as one that could not be opened.
    fn session_lost(&mut self, now: Moment, session: &Session, failure: Failure) {
        self.count(Count::SessionsLost);
        self.count_error(session.upstream, failure);
        if session.responses == 0 {
            self.upstream_failed_to_open(now, session.upstream, failure);
        } else {
            self.note_error(now, session.upstream, failure);
        }
        let unanswered = session.unanswered();
        for key in &unanswered {
            let Some(exchange) = self.exchanges.get_mut(*key) else {
                continue;
            };
            exchange.end_all_on(|key| !self.sessions.contains_key(key));
            exchange.failed_at.add(session.upstream);
            exchange.fresh_after = Some(now);
            exchange.note(failure, Some(session.upstream));
        }
        for key in unanswered {
            // One that runs elsewhere too needs no further attempt yet: it will be asked beside in time.
            // Where that time is over already, nobody else would ask again.
            if self
                .exchanges
                .get(key)
                .is_some_and(|exchange| !exchange.has_young_attempt(now))
            {
                self.advance(now, key);
            }
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
            Asker::Retired(_) => session.on_late_response(),
            Asker::Exchange(_) | Asker::Probe(_) => session.on_response(id, now),
        }
        let round_trip = session.round_trip();
        self.take_keepalive(key);
        self.judge_health(now, upstream, round_trip, asker);
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
            self.session_lost(now, &session, Failure::Misbehaved(Misbehaviour::Flood));
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
            Asker::Exchange(key) => self
                .exchanges
                .get(key)
                .is_some_and(|exchange| exchange.question.matches(exact)),
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
            session.drain();
            return;
        }
        let told = Duration::from_millis(u64::from(tenths) * 100) * 9 / 10;
        session.idle_limit = told.min(limits::SESSION_IDLE_LONGEST);
    }

    fn judge_health(
        &mut self,
        now: Moment,
        upstream: usize,
        round_trip: Option<Duration>,
        asker: Asker,
    ) {
        let Some(health) = self.pools.get(upstream).map(Pool::health) else {
            return;
        };
        let has_recovered = match (self.answer.rcode(), asker) {
            (rcode::NOERROR | rcode::NXDOMAIN, _) => {
                health.evidence().note_response(now, round_trip);
                health.on_right_response(now)
            }
            // An error to a client's question may be the question's; the probe has a right answer.
            (rcode, Asker::Probe(_)) => {
                let failure = Failure::Answered { rcode, ede: None };
                health.evidence().note_error(now, failure);
                health.on_error_response(now)
            }
            (_, Asker::Exchange(_) | Asker::Retired(_)) => health.on_error_response(now),
        };
        if has_recovered {
            self.events.push_back(Event::UpstreamWell { upstream });
            if let Some(pool) = self.pools.get_mut(upstream) {
                pool.tries = 0;
            }
        }
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
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if self.answer.strays() > 0 {
            self.counters.add(Count::ResponsesStray);
        }
        match judge(&self.answer, edns) {
            Verdict::Deliver => {
                let avoided = exchange.answered_by;
                let shows_refusal = exchange.without_edns.has(upstream) && !edns;
                if shows_refusal && let Some(pool) = self.pools.get_mut(upstream) {
                    pool.without_edns_until = Some(now + limits::WITHOUT_EDNS_FOR);
                }
                self.count_race(key, upstream, sent_at);
                self.answer_all(now, key, upstream);
                if !avoided.is_empty() {
                    self.note_avoidable_errors(now, avoided);
                }
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

    fn note_error(&self, now: Moment, upstream: usize, failure: Failure) {
        if let Some(pool) = self.pools.get(upstream) {
            pool.health().evidence().note_error(now, failure);
        }
    }

    fn note_avoidable_errors(&mut self, now: Moment, upstreams: crate::exchange::UpstreamSet) {
        let erring = self.pools.in_order();
        let erring = erring.filter(|(upstream, _)| upstreams.has(*upstream));
        let down: Vec<usize> = erring
            .filter(|(_, pool)| pool.health().on_avoidable_error(now))
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
            Lapse::OpeningIsSlow => self.serve_waiting(now),
            Lapse::OpeningIsLate => {
                let upstream = self.sessions.get(key).map(|session| session.upstream);
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
            Lapse::Suspect => self.on_suspect(now, key),
            Lapse::SilentTooLong => {
                if let Some(session) = self.remove_session(key, Ending::Silent) {
                    self.actions.push_back(Action::CloseSession(key));
                    self.session_lost(now, &session, Failure::Silent);
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
                    if let Some(pool) = self.pools.get_mut(session.upstream) {
                        pool.on_idle_limit_reached();
                    }
                }
            }
        }
    }

    fn ask_beside(&mut self, now: Moment, key: ExchangeKey) {
        let exchange = self.exchanges.get(key);
        if exchange.is_some_and(|exchange| exchange.waiting_since.is_none()) {
            self.advance(now, key);
        }
    }

    /// A session fell silent: what it carries is asked elsewhere beside, on another upstream or a fresh session.
    fn on_suspect(&mut self, now: Moment, key: SessionKey) {
        self.count(Count::SessionsSuspect);
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let (upstream, unanswered) = (session.upstream, session.unanswered());
        if self
            .pools
            .get(upstream)
            .is_some_and(|pool| pool.health().on_silent_session(now))
        {
            self.tell_down(upstream, Failure::Silent);
        }
        for key in unanswered {
            if let Some(exchange) = self.exchanges.get_mut(key) {
                exchange.fresh_after = Some(now);
                self.advance(now, key);
            }
        }
    }
}
