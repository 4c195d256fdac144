//! Messages of upstreams: what each answers, what it says of its upstream, and whether clients get it.

use dotgate_wire::{message_id, rcode};

use super::{Completed, Received, Upstreams};
use crate::attempts::Attempt;
use crate::counters::Count;
use crate::counters::labels::{Ending, Reason, Winner};
use crate::failure::{Failure, Misbehaviour};
use crate::health::NextStep;
use crate::keys::{ExchangeKey, SessionKey, UpstreamId};
use crate::limits;
use crate::moment::Moment;
use crate::routes::RouteId;
use crate::session::{Purpose, QueryOwner, Session};
use crate::sessions::Attempted;
use crate::verdict::{Verdict, judge};

impl Upstreams {
    /// Takes the next message of a session out of `input`, which is cut anywhere, and records what it says. None if
    /// there is no whole message; `input` is empty then.
    pub(crate) fn receive(
        &mut self,
        now: Moment,
        key: SessionKey,
        input: &mut &[u8],
    ) -> Option<Received> {
        let message = self.sessions.next_message(key, input)?;
        let id = message_id(message);
        let is_well_formed = self.response.load(message).is_ok();
        Some(self.on_message(now, key, id, is_well_formed))
    }

    /// One complete message of a session, which is loaded if it is well formed.
    fn on_message(
        &mut self,
        now: Moment,
        key: SessionKey,
        id: Option<u16>,
        is_well_formed: bool,
    ) -> Received {
        match self.check(key, id, is_well_formed) {
            Ok((id, owner)) => self.accept(now, key, id, owner),
            Err(reason) => self.on_invalid(now, key, reason),
        }
    }

    /// Whether a message answers a question that was asked on its session, and which.
    pub(super) fn check(
        &mut self,
        key: SessionKey,
        id: Option<u16>,
        is_well_formed: bool,
    ) -> Result<(u16, QueryOwner), Reason> {
        let session = self.sessions.get(key);
        let owner = id.and_then(|id| Some((id, session?.owner(id)?)));
        let Some((id, owner)) = owner else {
            return Err(Reason::UpstreamUnknownId);
        };
        if !is_well_formed {
            self.questions
                .note_misbehaviour(owner, Misbehaviour::Malformed);
            return Err(Reason::UpstreamMalformed);
        }
        if !self.answers_question_of(owner) {
            self.questions
                .note_misbehaviour(owner, Misbehaviour::WrongQuestion);
            return Err(Reason::UpstreamWrongQuestion);
        }
        Ok((id, owner))
    }

    /// The loaded message answers a question that was asked on its session.
    pub(super) fn accept(
        &mut self,
        now: Moment,
        key: SessionKey,
        id: u16,
        owner: QueryOwner,
    ) -> Received {
        let Some(session) = self.sessions.get(key) else {
            return Received::Nothing;
        };
        let (upstream, purpose) = (session.upstream, session.purpose);
        let (took, round_trip) = self.sessions.on_response(now, key, id, owner);
        if let Some(tenths) = self.response.edns().and_then(|edns| edns.keepalive) {
            self.sessions.take_keepalive(key, tenths);
        }
        let is_right = matches!(self.response.rcode(), rcode::NOERROR | rcode::NXDOMAIN);
        let seen = (owner, is_right);
        let has_recovered = self.sessions.judge_health(now, upstream, round_trip, seen);
        self.on_opening_answered(now, key);
        if let Some(counters) = self.tally.upstream(upstream) {
            counters.add_response(self.response.rcode());
        }
        if let (QueryOwner::Exchange(_) | QueryOwner::Copy(_), Some(took)) = (owner, took) {
            self.measure(now, upstream, took, owner);
        }
        let mut received = Received::Nothing;
        match owner {
            QueryOwner::Retired(_) => self.tally.count(Count::ResponsesLate),
            QueryOwner::Copy(_) => self.tally.count(Count::ResponsesLate),
            QueryOwner::Probe(_) => self.sessions.log_probe(upstream, round_trip),
            QueryOwner::Exchange(exchange) => {
                self.tally.count(Count::Responses);
                if let Some(completed) = self.on_response(now, exchange, key, id) {
                    received = Received::Response(completed);
                }
            }
        }
        if purpose == Purpose::Isolation {
            self.isolation_answered(now, key);
        }
        if has_recovered {
            self.serve_waiting(now);
        }
        received
    }

    /// A message that matches no query is counted and ignored, until there are too many.
    fn on_invalid(&mut self, now: Moment, key: SessionKey, reason: Reason) -> Received {
        self.count_invalid(key, reason);
        if !self.sessions.get_mut(key).is_some_and(Session::on_invalid) {
            return Received::Nothing;
        }
        if let Some(session) = self.sessions.close(key, Ending::Flood) {
            self.session_lost(now, key, &session, Failure::Misbehaved(Misbehaviour::Flood));
        }
        Received::Nothing
    }

    pub(super) fn count_invalid(&mut self, key: SessionKey, reason: Reason) {
        self.tally.count(Count::ResponsesInvalid);
        if let Some(session) = self.sessions.get(key) {
            self.tally.error(session.upstream, reason);
        }
    }

    /// Whether the loaded answer is for the question that was asked (RFC 7766 section 7). Only an error may come
    /// without a question.
    fn answers_question_of(&self, owner: QueryOwner) -> bool {
        let exact = self.response.question();
        if exact.is_empty() {
            return self.response.rcode() != rcode::NOERROR
                && self.response.rcode() != rcode::NXDOMAIN;
        }
        match owner {
            QueryOwner::Exchange(key) => self.questions.get(key).is_some_and(|attempts| {
                attempts.question.matches(exact) || cfg!(planted = "any-question-matches")
            }),
            QueryOwner::Probe(hash) | QueryOwner::Copy(hash) | QueryOwner::Retired(hash) => {
                self.is_hash_of(hash, exact)
            }
        }
    }

    fn is_hash_of(&self, hash: u64, exact: &[u8]) -> bool {
        let Some(question) = dotgate_wire::Question::fold(exact) else {
            return false;
        };
        let key = self.hasher.key(&question, RouteId::DEFAULT, false, false);
        key.question_hash() == hash
    }

    /// A response to a question in flight. Returns what it completes, if its clients may have it.
    fn on_response(
        &mut self,
        now: Moment,
        key: ExchangeKey,
        session: SessionKey,
        id: u16,
    ) -> Option<Completed> {
        let ended = self.questions.end_attempt(key, session, id)?;
        let Attempt {
            upstream,
            edns,
            sent_at,
            ..
        } = ended;
        self.tally.response(upstream, now.since(sent_at));
        self.clear_suspicion(key);
        if self.response.off_chain_count() > 0 {
            self.tally.count(Count::ResponsesOffChain);
        }
        self.sessions.note_answer(now, upstream);
        let is_truncated = self.response.flags().is_truncated()
            && !cfg!(planted = "truncated-answer-is-not-asked-over-tcp");
        if is_truncated && self.sessions.is_over_udp(session) {
            self.ask_over_tcp(now, key, upstream);
            return None;
        }
        let attempts = self.questions.get_mut(key)?;
        let attempted = Attempted {
            upstream,
            took: now.since(sent_at),
            number: Some(attempts.made().into()),
        };
        match judge(&self.response, edns) {
            Verdict::Deliver => {
                let shows_refusal = attempts.without_edns.has(upstream) && !edns;
                if shows_refusal {
                    self.sessions.note_edns_refused(now, upstream);
                }
                self.note_avoidable_errors(now, key, upstream);
                self.complete(now, key, &ended)
            }
            Verdict::Stands => self.complete(now, key, &ended),
            Verdict::WithoutEdns(failure) => {
                attempts.without_edns.add(upstream);
                attempts.note(failure, Some(upstream));
                self.tally.error(upstream, failure);
                self.sessions
                    .record(now, attempted, failure, NextStep::AskedDifferently);
                self.advance(now, key);
                None
            }
            Verdict::AskElsewhere(failure) => {
                attempts.answered_by.add(upstream);
                attempts.note(failure, Some(upstream));
                // Another one has the question already, and its response is waited for as long as that of any other.
                let is_asked = attempts
                    .running()
                    .any(|it| it.sent_at + limits::HEDGE_AFTER > now);
                self.tally.error(upstream, failure);
                self.sessions
                    .record(now, attempted, failure, NextStep::AskedOthers);
                if !is_asked {
                    self.advance(now, key);
                }
                None
            }
        }
    }

    /// Ends the attempts for a question whose loaded response its clients get.
    fn complete(&mut self, now: Moment, key: ExchangeKey, ended: &Attempt) -> Option<Completed> {
        let upstream = ended.upstream;
        let attempts = self.questions.get(key)?;
        if let Some(other) = attempts.running().next() {
            let winner = match other.sent_at < ended.sent_at {
                true => Winner::Hedge,
                false => Winner::First,
            };
            self.tally.race(upstream, winner);
        }
        // Asked without EDNS it has no signatures, and is not for others who want them (RFC 4035 section 3.2.1).
        let lacks_signatures = attempts.dnssec_ok && attempts.without_edns.has(upstream);
        let pool = self.sessions.pool(upstream);
        let completed = Completed {
            exchange: key,
            upstream,
            took: now.since(ended.sent_at),
            attempts: attempts.made(),
            is_authenticated: pool.is_some_and(|pool| pool.upstream.is_authenticated),
            lacks_signatures,
        };
        self.end_answered(now, key, ended.kind);
        Some(completed)
    }

    /// An upstream has answered what others answered with an error; or not at all, while they answered no other client
    /// either.
    fn note_avoidable_errors(&mut self, now: Moment, key: ExchangeKey, answering: UpstreamId) {
        let Some(attempts) = self.questions.get(key) else {
            return;
        };
        let mut avoidable = attempts.answered_by;
        for attempt in attempts.running() {
            let pool = self.sessions.pool(attempt.upstream);
            let is_old = |last: Moment| last + limits::NO_ANSWER_FOR <= now;
            let answers_none = pool.is_some_and(|pool| pool.last_answer.is_none_or(is_old));
            let is_overdue = attempt.sent_at + limits::HEDGE_AFTER <= now;
            if attempt.upstream != answering && is_overdue && answers_none {
                avoidable.add(attempt.upstream);
            }
        }
        if avoidable.is_empty() {
            return;
        }
        let domain = self.domain_hash(attempts.question.name());
        let erring = self.sessions.pools().in_order(&attempts.group);
        let erring = erring.filter(|(upstream, _)| avoidable.has(*upstream));
        let down: Vec<UpstreamId> = erring
            .filter(|(_, pool)| pool.health().on_avoidable_error(now, domain))
            .map(|(upstream, _)| upstream)
            .collect();
        for upstream in down {
            let failure = Failure::Answered {
                rcode: rcode::SERVFAIL,
                ede: None,
            };
            self.sessions.report_down(upstream, failure);
            let attempted = Attempted::unanswered(now, upstream, None);
            self.sessions
                .record(now, attempted, failure, NextStep::MarkedDown);
        }
    }
}
