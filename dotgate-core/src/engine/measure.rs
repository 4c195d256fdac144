//! What the engine counts about the path of a query, each with one call where it happens.
//!
//! A query has exactly one outcome, and one RCODE unless it is ignored. Durations are differences of the
//! moments that the engine was told; what is answered within the turn it came in has none.

use super::Engine;
use crate::counters::Gauge;
use crate::counters::labels::{
    AttemptKind, ClientTransport, Handshake, Limit, Outcome, Reason, RecordType, Winner,
};
use crate::exchange::{Client, Waiter};
use crate::failure::Failure;
use crate::keys::ExchangeKey;
use crate::moment::Moment;
use crate::session::Session;

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
        self.counters
            .clients()
            .add_query(client.transport(), RecordType::Other, Outcome::Ignored);
    }

    /// A query that waits already, which gets one response.
    pub(super) fn count_repeated(&self, client: Client, asked: u16) {
        let asked = RecordType::of(asked);
        self.counters
            .clients()
            .add_query(client.transport(), asked, Outcome::Repeated);
    }

    /// A query that is answered in the turn in which it came.
    pub(super) fn count_at_once(&self, client: Client, asked: u16, outcome: Outcome, rcode: u16) {
        let clients = self.counters.clients();
        clients.add_query(client.transport(), RecordType::of(asked), outcome);
        clients.add_response(rcode);
    }

    /// A waiter that gets the loaded answer of an upstream.
    pub(super) fn count_answered(
        &self,
        now: Moment,
        waiter: &Waiter,
        key: ExchangeKey,
        upstream: usize,
    ) {
        self.count_waited(now, waiter, key, Outcome::Answered, self.answer.rcode());
        if let Some(counters) = self.counters.upstream(upstream) {
            counters.observe_total(now.since(waiter.asked_at));
        }
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
        self.counters.clients().add_failure(failure.into());
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
        let asked = exchange.map_or(0, |exchange| exchange.question.rtype());
        self.count_at_once(waiter.client, asked, outcome, rcode);
        let span = now.since(waiter.asked_at);
        self.counters
            .clients()
            .observe(waiter.client.transport(), outcome, span);
    }

    pub(super) fn count_limit(&self, limit: Limit) {
        self.counters.clients().add_limit(limit);
    }

    /// Something that an upstream did wrong.
    pub(super) fn count_error(&self, upstream: usize, reason: impl Into<Reason>) {
        if let Some(counters) = self.counters.upstream(upstream) {
            counters.add_error(reason.into());
        }
    }

    /// A session became open.
    pub(super) fn count_opened(&self, now: Moment, session: &Session) {
        if let Some(counters) = self.counters.upstream(session.upstream) {
            let kind = match session.is_resumed {
                true => Handshake::Resumed,
                false => Handshake::Full,
            };
            let began = session.connected.unwrap_or(session.started);
            counters.observe_handshake(kind, now.since(began));
        }
    }

    /// A question is sent; `reuses`: on a session that has carried one before.
    pub(super) fn count_attempt(&self, upstream: usize, kind: AttemptKind, reuses: bool) {
        if let Some(counters) = self.counters.upstream(upstream) {
            counters.add_attempt(kind, reuses);
        }
    }

    /// The right response to a question that was sent at `sent_at`.
    pub(super) fn count_response(&self, now: Moment, upstream: usize, sent_at: Moment) {
        if let Some(counters) = self.counters.upstream(upstream) {
            counters.observe_wait(now.since(sent_at));
        }
    }

    /// An answer that is delivered while another attempt runs: the one that was asked at `sent_at` has won.
    pub(super) fn count_race(&self, key: ExchangeKey, upstream: usize, sent_at: Moment) {
        let exchange = self.exchanges.get(key);
        if let Some(other) = exchange.and_then(|exchange| exchange.running().next())
            && let Some(counters) = self.counters.upstream(upstream)
        {
            counters.add_race(if other.sent_at < sent_at {
                Winner::Beside
            } else {
                Winner::First
            });
        }
    }

    /// Lets others read how much is in flight. To be called at the end of a turn.
    pub fn publish_load(&mut self) {
        // Those answered before their deadline are of no age.
        let oldest = self.drop_answered();
        let oldest = oldest.and_then(|key| self.waiters.get(key));
        self.memory.set_queries(self.number, self.waiters.len());
        let counters = &self.counters;
        counters.set(
            Gauge::OldestQuery,
            oldest.map_or(0, |waiter| waiter.asked_at.nanos().max(1)),
        );
        counters.set(Gauge::QueriesInFlight, self.waiters.len() as u64);
        counters.set(Gauge::QuestionsInFlight, self.inflight.len() as u64);
        counters.set(Gauge::Streams, self.streams.len() as u64);
        for (upstream, pool) in self.pools.all() {
            let keys = pool.keys().iter().copied();
            let keys = keys.chain(self.isolation.sessions_of(upstream));
            let sessions = keys.filter_map(|key| self.sessions.get(key));
            let (mut open, mut in_flight) = (0, 0);
            for session in sessions.filter(|session| session.is_open()) {
                open += 1;
                in_flight += u64::from(session.in_flight());
            }
            if let Some(counters) = counters.upstream(upstream) {
                counters.set_load(open, in_flight);
            }
        }
    }
}
