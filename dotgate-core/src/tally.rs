//! What is counted about the path of a query, each with one call where it happens.
//!
//! Counts from values that are handed in. A query has exactly one outcome, and one RCODE unless it is ignored. Durations
//! are differences of the times that the engine was given; what is answered within the turn it came in has none.

use std::sync::Arc;
use std::time::Duration;

use crate::counters::labels::{
    AttemptKind, ClientTransport, CookieResult, Dns64, Filtering, Handshake, Hedging, Limit,
    Outcome, ProxyResult, Reason, RecordType, Winner,
};
use crate::counters::{Count, Counters, Gauge, UpstreamCounters};
use crate::failure::Failure;
use crate::keys::UpstreamId;

/// The counters of one engine, as its stages use them.
#[derive(Clone)]
pub(crate) struct Tally(Arc<Counters>);

impl Tally {
    pub(crate) fn new(counters: Arc<Counters>) -> Tally {
        Tally(counters)
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.0
    }

    pub(crate) fn count(&self, count: Count) {
        self.0.add(count);
    }

    pub(crate) fn count_many(&self, count: Count, times: u64) {
        self.0.add_many(count, times);
    }

    /// A client was rejected at a limit, or something was truncated to it.
    pub(crate) fn limit(&self, limit: Limit) {
        self.0.clients().add_limit(limit);
    }

    /// A response that was replaced or blocked.
    pub(crate) fn filtered(&self, why: Filtering) {
        self.0.clients().add_filtered(why);
    }

    /// What DNS64 did for a question.
    pub(crate) fn dns64(&self, result: Dns64) {
        self.0.clients().add_dns64(result);
    }

    /// What a balancer sent in place of a PROXY header.
    pub(crate) fn proxy(&self, result: ProxyResult) {
        self.0.clients().add_proxy(result);
    }

    /// What a client's cookie shows.
    pub(crate) fn cookie(&self, result: CookieResult) {
        self.0.clients().add_cookie(result);
    }

    /// A message that gets no response.
    pub(crate) fn ignored(&self, transport: ClientTransport) {
        self.0
            .clients()
            .add_query(transport, RecordType::Other, Outcome::Ignored);
    }

    /// A query that gets no response.
    pub(crate) fn unanswered(&self, transport: ClientTransport, qtype: u16, outcome: Outcome) {
        self.0
            .clients()
            .add_query(transport, RecordType::of(qtype), outcome);
    }

    /// A query that waits already, which gets one response.
    pub(crate) fn repeated(&self, transport: ClientTransport, qtype: u16) {
        self.0
            .clients()
            .add_query(transport, RecordType::of(qtype), Outcome::Repeated);
    }

    /// A query that is answered in the turn in which it came.
    pub(crate) fn at_once(
        &self,
        transport: ClientTransport,
        qtype: u16,
        outcome: Outcome,
        rcode: u16,
    ) {
        let clients = self.0.clients();
        clients.add_query(transport, RecordType::of(qtype), outcome);
        clients.add_response(rcode);
    }

    /// A query that has waited so long.
    pub(crate) fn waited(
        &self,
        transport: ClientTransport,
        qtype: u16,
        (outcome, rcode): (Outcome, u16),
        span: Duration,
    ) {
        self.at_once(transport, qtype, outcome, rcode);
        self.0.clients().observe(transport, outcome, span);
    }

    /// The reason of a failure that a client got.
    pub(crate) fn failure(&self, failure: Failure) {
        self.0.clients().add_failure(failure.into());
    }

    /// How long a client waited for the response of an upstream.
    pub(crate) fn total(&self, upstream: UpstreamId, span: Duration) {
        if let Some(counters) = self.upstream(upstream) {
            counters.observe_total(span);
        }
    }

    /// Something that an upstream did wrong.
    pub(crate) fn error(&self, upstream: UpstreamId, reason: impl Into<Reason>) {
        if let Some(counters) = self.upstream(upstream) {
            counters.add_error(reason.into());
        }
    }

    /// A session became open, so long after its TCP connection was established.
    pub(crate) fn opened(&self, upstream: UpstreamId, is_resumed: bool, span: Duration) {
        if let Some(counters) = self.upstream(upstream) {
            let kind = match is_resumed {
                true => Handshake::Resumed,
                false => Handshake::Full,
            };
            counters.observe_handshake(kind, span);
        }
    }

    /// A question is sent; `reuses`: on a session that has carried one before.
    pub(crate) fn attempt(&self, upstream: UpstreamId, kind: AttemptKind, reuses: bool) {
        if let Some(counters) = self.upstream(upstream) {
            counters.add_attempt(kind, reuses);
        }
    }

    /// The right response to a question that was sent so long ago.
    pub(crate) fn response(&self, upstream: UpstreamId, span: Duration) {
        if let Some(counters) = self.upstream(upstream) {
            counters.observe_wait(span);
        }
    }

    /// An answer that is delivered while another attempt runs.
    pub(crate) fn race(&self, upstream: UpstreamId, winner: Winner) {
        if let Some(counters) = self.upstream(upstream) {
            counters.add_race(winner);
        }
    }

    /// What became of a query for which this upstream was late.
    pub(crate) fn hedging(&self, late: UpstreamId, what: Hedging) {
        if let Some(counters) = self.upstream(late) {
            counters.add_hedging(what);
        }
    }

    pub(crate) fn upstream(&self, upstream: UpstreamId) -> Option<&UpstreamCounters> {
        self.0.upstream(upstream)
    }

    pub(crate) fn set(&self, gauge: Gauge, value: u64) {
        self.0.set(gauge, value);
    }
}
