//! Messages of upstreams: what each answers, what it says of its upstream, and whether clients get it.

use dotgate_wire::{message_id, rcode};

use super::{Completed, Received, Upstreams};
use crate::attempts::Attempt;
use crate::counters::Count;
use crate::counters::labels::{Ending, Reason, Winner};
use crate::failure::{Failure, Misbehaviour};
use crate::health::NextStep;
use crate::keys::{ExchangeKey, SessionKey};
use crate::link::Link;
use crate::moment::Moment;
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
        let is_well_formed = self.incoming.load(message);
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
        match self.incoming.check(
            self.sessions.get(key),
            &mut self.questions,
            id,
            is_well_formed,
        ) {
            Ok((id, owner)) => self.accept(now, key, id, owner),
            Err(reason) => self.on_invalid(now, key, reason),
        }
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
        if let Some(tenths) = self
            .incoming
            .message()
            .edns()
            .and_then(|edns| edns.keepalive)
        {
            self.sessions.take_keepalive(key, tenths);
        }
        let is_right = matches!(
            self.incoming.message().rcode(),
            rcode::NOERROR | rcode::NXDOMAIN
        );
        let seen = (owner, is_right);
        let has_recovered = self.sessions.judge_health(now, upstream, round_trip, seen);
        self.on_opening_answered(now, key);
        if let Some(counters) = self.tally.upstream(upstream) {
            counters.add_response(self.incoming.message().rcode());
        }
        if let (QueryOwner::Exchange(_) | QueryOwner::Copy(_), Some(took)) = (owner, took) {
            self.forwarder().measure(now, upstream, took, owner);
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
        self.sessions.count_invalid(key, reason);
        if !self.sessions.get_mut(key).is_some_and(Session::on_invalid) {
            return Received::Nothing;
        }
        let failure = Failure::Misbehaved(Misbehaviour::Flood);
        if let Some(session) = self.sessions.close(key, Ending::Flood) {
            match session.link {
                Link::Tls => self.session_lost(now, key, &session, failure),
                Link::Tcp | Link::Datagrams => self.plain_flooded(now, &session, failure),
            }
        }
        Received::Nothing
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
        let (upstream, edns, sent_at) = (ended.upstream, ended.edns, ended.sent_at);
        self.tally.response(upstream, now.since(sent_at));
        self.clear_suspicion(key);
        if self.incoming.message().off_chain_count() > 0 {
            self.tally.count(Count::ResponsesOffChain);
        }
        self.sessions.note_answer(now, upstream);
        let is_truncated = self.incoming.message().flags().is_truncated()
            && !dotgate_wire::planted!("truncated-answer-is-not-asked-over-tcp");
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
        match judge(self.incoming.message(), edns) {
            Verdict::Deliver => {
                let shows_refusal = attempts.without_edns.has(upstream) && !edns;
                if shows_refusal {
                    self.sessions.note_edns_refused(now, upstream);
                }
                self.sessions.note_avoidable_errors(now, attempts, upstream);
                self.complete(now, key, &ended)
            }
            Verdict::Stands => self.complete(now, key, &ended),
            Verdict::WithoutEdns(failure) => {
                attempts.without_edns.add(upstream);
                attempts.note(failure, Some(upstream));
                self.tally.error(upstream, failure);
                self.sessions
                    .log_failed(now, &ended, &attempts.question, failure);
                self.sessions
                    .record(now, attempted, failure, NextStep::AskedDifferently);
                self.advance(now, key);
                None
            }
            Verdict::AskElsewhere(failure) => {
                attempts.answered_by.add(upstream);
                attempts.note(failure, Some(upstream));
                self.tally.error(upstream, failure);
                self.sessions
                    .log_failed(now, &ended, &attempts.question, failure);
                self.sessions
                    .record(now, attempted, failure, NextStep::AskedOthers);
                // If another one has the question already, its response is waited for as long as that of any other; not on a
                // session that is unresponsive.
                if !self.runs_elsewhere(now, key, None) {
                    self.advance(now, key);
                }
                None
            }
        }
    }

    /// An upstream answered a question in any way: it is no suspect.
    fn clear_suspicion(&mut self, key: ExchangeKey) {
        if let Some(attempts) = self.questions.get_mut(key)
            && attempts.clear_suspicion()
        {
            self.isolation.acquit(attempts.hash);
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
}
