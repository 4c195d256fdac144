//! What is counted of clients' queries; `tally` has the counters.

use super::Engine;
use crate::counters::Gauge;
use crate::counters::labels::{ClientTransport, Limit, Outcome};
use crate::exchange::{Client, Waiter};
use crate::failure::Failure;
use crate::keys::ExchangeKey;
use crate::moment::Moment;

impl Client {
    fn transport(self) -> ClientTransport {
        match self {
            Client::Datagram(_) => ClientTransport::Udp,
            Client::Stream(_) => ClientTransport::Tcp,
        }
    }
}

impl Engine {
    /// A message that gets no response.
    pub(super) fn count_ignored(&self, client: Client) {
        self.tally.ignored(client.transport());
    }

    /// A query that waits already, which gets one response.
    pub(super) fn count_repeated(&self, client: Client, qtype: u16) {
        self.tally.repeated(client.transport(), qtype);
    }

    /// A query that is answered in the turn in which it came.
    pub(super) fn count_at_once(
        &mut self,
        client: Client,
        qtype: u16,
        question: &[u8],
        outcome: Outcome,
        rcode: u16,
    ) {
        self.count_query(client, qtype, outcome, rcode);
        self.trace_query(client, question, outcome, rcode);
    }

    /// The same without the log.
    pub(super) fn count_query(&self, client: Client, qtype: u16, outcome: Outcome, rcode: u16) {
        self.tally
            .at_once(client.transport(), qtype, outcome, rcode);
    }

    /// A waiter that gets the response of an upstream.
    pub(super) fn count_answered(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        key: ExchangeKey,
        upstream: usize,
    ) {
        let rcode = self.upstreams.response().rcode();
        self.count_waited(now, waiter, key, (Outcome::Answered, rcode), Some(upstream));
        self.tally.total(upstream, now.since(waiter.asked_at));
    }

    /// A waiter that gets a failure.
    pub(super) fn count_failed(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        key: ExchangeKey,
        failure: Failure,
        upstream: Option<usize>,
    ) {
        let ended = (Outcome::Failed, failure.rcode());
        self.observe_waited(now, waiter, key, ended);
        self.log_waiter(now, waiter, key, ended, upstream, Some(failure));
        self.tally.failure(failure);
    }

    /// A waiter that gets an answer, of an upstream that may be known to another worker alone.
    pub(super) fn count_waited(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        key: ExchangeKey,
        ended: (Outcome, u16),
        upstream: Option<usize>,
    ) {
        self.observe_waited(now, waiter, key, ended);
        self.log_waiter(now, waiter, key, ended, upstream, None);
    }

    fn observe_waited(
        &self,
        now: Moment,
        waiter: &Waiter,
        key: ExchangeKey,
        (outcome, rcode): (Outcome, u16),
    ) {
        let exchange = self.exchanges.get(key);
        let qtype = exchange.map_or(0, |exchange| exchange.question.rtype());
        let span = now.since(waiter.asked_at);
        let transport = waiter.client.transport();
        self.tally.waited(transport, qtype, (outcome, rcode), span);
    }

    pub(super) fn count_limit(&self, limit: Limit) {
        self.tally.limit(limit);
    }

    /// Lets others read how much is in flight. To be called at the end of a turn.
    pub fn publish_load(&mut self) {
        // Those answered before their deadline are of no age.
        let oldest = self.drop_answered();
        let oldest = oldest.and_then(|key| self.waiters.get(key));
        self.memory.set_queries(self.number, self.waiters.len());
        let tally = &self.tally;
        tally.set(
            Gauge::OldestQuery,
            oldest.map_or(0, |waiter| waiter.asked_at.nanos().max(1)),
        );
        tally.set(Gauge::QueriesInFlight, self.waiters.len() as u64);
        tally.set(Gauge::QuestionsInFlight, self.inflight.len() as u64);
        tally.set(Gauge::Streams, self.streams.len() as u64);
        self.upstreams.publish_load();
    }
}
