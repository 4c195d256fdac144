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
    pub(super) fn count_at_once(&self, client: Client, qtype: u16, outcome: Outcome, rcode: u16) {
        self.tally
            .at_once(client.transport(), qtype, outcome, rcode);
    }

    /// A waiter that gets the response of an upstream.
    pub(super) fn count_answered(
        &self,
        now: Moment,
        waiter: &Waiter,
        key: ExchangeKey,
        upstream: usize,
    ) {
        let rcode = self.upstreams.response().rcode();
        self.count_waited(now, waiter, key, Outcome::Answered, rcode);
        self.tally.total(upstream, now.since(waiter.asked_at));
    }

    /// A waiter that gets a failure.
    pub(super) fn count_failed(
        &self,
        now: Moment,
        waiter: &Waiter,
        key: ExchangeKey,
        failure: Failure,
    ) {
        self.count_waited(now, waiter, key, Outcome::Failed, failure.rcode());
        self.tally.failure(failure);
    }

    pub(super) fn count_waited(
        &self,
        now: Moment,
        waiter: &Waiter,
        key: ExchangeKey,
        outcome: Outcome,
        rcode: u16,
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
