//! Plain upstreams: queries over UDP, each from a port of its own, and over TCP where UDP does not carry the response.
//!
//! An upstream has one session for all queries over UDP, and TCP connections in addition while truncated responses ask for
//! them. What is in flight fails with neither: no query there can be the cause, so nothing is isolated, and each is asked
//! again. Follows RFC 5452 (what a response must match), RFC 7766 section 5 (TC) and RFC 6891 section 6.2.5.

use dotgate_wire::message_id;

use super::{Received, Upstreams};
use crate::counters::Count;
use crate::counters::labels::{Ending, Limit, Reason};
use crate::failure::{ConnectFault, Failure, SessionEnd};
use crate::health::Health;
use crate::keys::{ExchangeKey, SessionKey, UpstreamId};
use crate::link::Link;
use crate::moment::Moment;
use crate::session::{CaseVerdict, Purpose, QueryOwner, Session, Timeout};
use crate::sessions::Attempted;

impl Upstreams {
    /// Takes a datagram that came on the socket of the query with this ID.
    pub(crate) fn receive_datagram(
        &mut self,
        now: Moment,
        key: SessionKey,
        id: u16,
        message: &[u8],
    ) -> Received {
        let Some(session) = self.sessions.get(key) else {
            return Received::Nothing;
        };
        if !session.awaits(id) {
            return Received::Nothing;
        }
        self.sessions.tap_response(key, message);
        let Some(session) = self.sessions.get(key) else {
            return Received::Nothing;
        };
        let received_id = message_id(message).filter(|received| *received == id);
        let is_well_formed = self.incoming.load(message);
        let was_full = session.is_full();
        let checked = self.incoming.check(
            self.sessions.get(key),
            &mut self.questions,
            received_id,
            is_well_formed,
        );
        let checked = checked.and_then(|found| self.check_case(key, found));
        let received = match checked {
            Ok((id, owner)) => self.accept(now, key, id, owner),
            Err(reason) => {
                self.sessions.count_invalid(key, reason);
                self.on_guess(now, key, id, reason);
                Received::Nothing
            }
        };
        let has_released = self.sessions.flush_released(key);
        if has_released && was_full && !self.waiting.is_empty() {
            self.serve_waiting(now);
        }
        received
    }

    /// An upstream that keeps the name case must send the one that was asked in.
    fn check_case(
        &mut self,
        key: SessionKey,
        (id, owner): (u16, QueryOwner),
    ) -> Result<(u16, QueryOwner), Reason> {
        match self
            .sessions
            .judge_case(key, id, self.incoming.message().question())
        {
            Some(CaseVerdict::Right) | None => Ok((id, owner)),
            Some(CaseVerdict::NotKept) => {
                if let Some(session) = self.sessions.get(key) {
                    let upstream = session.upstream;
                    self.tally.error(upstream, Reason::UpstreamCaseNotKept);
                }
                Ok((id, owner))
            }
            Some(CaseVerdict::Wrong) => Err(Reason::UpstreamWrongCase),
        }
    }

    /// A datagram does not answer the query on whose socket it came. Where somebody may be guessing, the question is asked
    /// over TCP, which is hard to spoof.
    fn on_guess(&mut self, now: Moment, key: SessionKey, id: u16, reason: Reason) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let are_too_many = session.on_invalid_for(id);
        if !are_too_many && reason != Reason::UpstreamWrongCase {
            return;
        }
        let upstream = session.upstream;
        let Some(QueryOwner::Exchange(exchange)) = session.owner(id) else {
            return;
        };
        session.retire(id, 0, now);
        if let Some(attempts) = self.questions.get_mut(exchange) {
            attempts.end(key, id);
            self.ask_over_tcp(now, exchange, upstream);
        }
    }

    /// Asks a question over TCP, in place of an attempt over UDP that has ended.
    pub(super) fn ask_over_tcp(&mut self, now: Moment, key: ExchangeKey, upstream: UpstreamId) {
        if let Some(attempts) = self.questions.get_mut(key) {
            if attempts.over_tcp != Some(upstream) {
                attempts.over_tcp = Some(upstream);
                attempts.take_back_one();
            }
            self.advance(now, key);
        }
    }

    /// A question was answered: if it was to show whether the upstream answers at all, it does.
    pub(super) fn on_opening_answered(&mut self, now: Moment, key: SessionKey) {
        let session = self.sessions.get(key);
        if session.is_some_and(|session| session.link == Link::Datagrams && !session.is_open()) {
            self.session_opened(now, key);
        }
    }

    /// What is different for plain upstreams when time passes. False if it is as for others.
    pub(super) fn on_plain_timeout(
        &mut self,
        now: Moment,
        key: SessionKey,
        timeout: Timeout,
    ) -> bool {
        let plain = |session: &&Session| session.purpose == Purpose::Shared;
        let Some(session) = self.sessions.get(key).filter(plain) else {
            return false;
        };
        let (upstream, since) = (session.upstream, session.no_response_since());
        match (session.link, timeout) {
            (Link::Tls, _) => return false,
            // A datagram may be lost.
            (Link::Datagrams, Timeout::OpeningIsSlow | Timeout::OpeningIsLate) => {
                self.sessions.send_probe(now, key);
                self.serve_waiting(now);
            }
            (Link::Datagrams, Timeout::Unanswered(key) | Timeout::UnansweredWithLater(key)) => {
                self.ask_again(now, key);
            }
            (Link::Datagrams, Timeout::Unresponsive) => {
                self.tally.count(Count::SessionsUnresponsive);
                let before = self.sessions.state(upstream);
                self.sessions.on_unresponsive_datagrams(now, upstream);
                let attempted = Attempted::unanswered(now, upstream, since);
                self.sessions
                    .record_reported(now, attempted, Failure::NoResponse, before);
                let health = self.sessions.health(upstream);
                if health.is_some_and(Health::is_unreachable) {
                    self.stop_asking(now, key, Failure::NoResponse);
                }
            }
            (Link::Tcp, Timeout::OpeningIsSlow | Timeout::OpeningIsLate) => {}
            (Link::Tcp, Timeout::Unresponsive) => self.stop_asking(now, key, Failure::NoResponse),
            (Link::Datagrams | Link::Tcp, Timeout::OpeningGivenUp) => {
                self.sessions.push_close(key);
                let end = SessionEnd::Connect(ConnectFault::TimedOut);
                self.session_closed(now, key, end);
            }
            (
                Link::Datagrams | Link::Tcp,
                Timeout::NoResponse
                | Timeout::UnresponsiveTooLong
                | Timeout::Unanswered(_)
                | Timeout::UnansweredWithLater(_)
                | Timeout::Aged
                | Timeout::Idle,
            ) => return false,
        }
        true
    }

    /// Asks a question once more that may be lost, from another port: with two attempts running, in place of the older.
    fn ask_again(&mut self, now: Moment, key: ExchangeKey) {
        let Some(attempts) = self.questions.get_mut(key) else {
            return;
        };
        if attempts.waiting_since.is_some() || attempts.is_suspect {
            return;
        }
        let oldest = attempts.oldest_to_replace();
        let hash = attempts.hash;
        if let Some(oldest) = oldest.filter(|oldest| self.sessions.is_over_udp(oldest.session)) {
            if let Some(attempts) = self.questions.get_mut(key) {
                attempts.end(oldest.session, oldest.id);
            }
            self.retire_id(now, &oldest, hash);
        }
        self.advance(now, key);
    }

    fn stop_asking(&mut self, now: Moment, key: SessionKey, failure: Failure) {
        if let Some(session) = self.sessions.close(key, Ending::Unresponsive) {
            self.plain_lost(now, &session, failure);
        }
    }

    /// A session to a plain upstream ended, or never came to be.
    pub(super) fn plain_ended(&mut self, now: Moment, session: &Session, end: SessionEnd) {
        let upstream = session.upstream;
        if end == SessionEnd::Connect(ConnectFault::NoDescriptor) {
            self.tally.count(Count::DescriptorsExhausted);
            self.tally.limit(Limit::Descriptors);
            self.sessions.pause_for_descriptors(now);
            self.forwarder().note_waiting(end.into(), upstream);
            self.ask_others(now, session, end.into());
            return;
        }
        let failure = match (end, session.link) {
            (SessionEnd::Connect(ConnectFault::TimedOut), Link::Datagrams) => Failure::NoResponse,
            (end, _) => end.into(),
        };
        let attempted = Attempted::session(now, session, failure);
        let before = self.sessions.state(upstream);
        match (session.link, session.is_open()) {
            (Link::Tcp, true) if session.in_flight() == 0 => {
                self.tally.count(Count::SessionsEndedIdle);
                return;
            }
            (_, true) => {
                self.tally.count(Count::SessionsLost);
                self.tally.error(upstream, failure);
                self.forwarder().charge_plain(now, session, failure);
                self.plain_lost(now, session, failure);
            }
            (_, false) => {
                self.tally.count(Count::SessionsFailed);
                self.tally.error(upstream, failure);
                self.forwarder().charge_plain(now, session, failure);
                self.plain_lost(now, session, failure);
                self.give_up_waiting_after_failure(now);
            }
        }
        self.sessions
            .record_reported(now, attempted, failure, before);
    }

    /// A TCP connection had too many messages that match no query. What it carried is asked again, elsewhere if possible.
    pub(super) fn plain_flooded(&mut self, now: Moment, session: &Session, failure: Failure) {
        self.tally.count(Count::SessionsLost);
        self.tally.error(session.upstream, failure);
        self.forwarder().charge_plain(now, session, failure);
        for key in session.unanswered() {
            if let Some(attempts) = self.questions.get_mut(key) {
                attempts.over_tcp = None;
            }
        }
        self.plain_lost(now, session, failure);
    }

    /// Retries the questions in flight on a session that has ended, and those that waited for a TCP connection.
    fn plain_lost(&mut self, now: Moment, session: &Session, failure: Failure) {
        if session.link == Link::Tcp && !session.is_open() {
            self.forwarder().fail_over_tcp(session.upstream, failure);
        }
        self.ask_others(now, session, failure);
        self.serve_waiting(now);
    }

    fn ask_others(&mut self, now: Moment, session: &Session, failure: Failure) {
        for key in session.unanswered() {
            let Some(attempts) = self.questions.get_mut(key) else {
                continue;
            };
            self.sessions.log_lost(now, attempts, failure);
            let is_gone = |key| !self.sessions.has(key);
            match session.link {
                Link::Datagrams => attempts.take_back_on(is_gone),
                Link::Tls | Link::Tcp => attempts.end_all_on(is_gone),
            }
            attempts.note(failure, Some(session.upstream));
            attempts.failed_at.add(session.upstream);
            if !attempts.is_running() && attempts.waiting_since.is_none() {
                self.advance(now, key);
            }
        }
    }
}
