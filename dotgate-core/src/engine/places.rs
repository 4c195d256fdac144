//! Places for queries that wait: who gets one, and who gives way when all are taken.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use dotgate_wire::Question;
use siphasher::sip::SipHasher13;

use super::Engine;
use crate::admit::ClientId;
use crate::counters::labels::Limit;
use crate::domain;
use crate::exchange::Client;
use crate::failure::Failure;
use crate::keys::{ExchangeKey, WaiterKey, ZoneKey};
use crate::limits;
use crate::moment::Moment;

impl Engine {
    /// The queries that may be in flight: what is set, as far as the memory for clients goes.
    pub(super) fn queries_max(&self) -> usize {
        self.settings.queries_max.min(self.memory.queries_max())
    }

    /// Takes a place for a query of this client, which is to wait for `exchange` if there is one already. An error if it is to be turned away at a limit.
    pub(super) fn take_place(
        &mut self,
        now: Moment,
        client: Client,
        peer: IpAddr,
        exchange: Option<ExchangeKey>,
    ) -> Result<ClientId, Limit> {
        let exchange = exchange.and_then(|key| self.exchanges.get(key));
        let waiting = exchange.map_or(0, |exchange| exchange.waiting_clients());
        if waiting >= limits::WAITERS_PER_QUESTION {
            return Err(Limit::Queries);
        }
        let client_id = ClientId::of(peer);
        let is_exempt = self.settings.exempt.allows(peer) || cfg!(planted = "quota-is-ignored");
        let max = match is_exempt {
            true => usize::MAX,
            false => self.settings.queries_per_client_max,
        };
        if !self.quotas.take(client_id, client.via(), max) {
            return Err(Limit::QueriesPerClient);
        }
        if self.waiters.len() >= self.queries_max() && !self.make_place(now) {
            self.quotas.release(client_id, client.via());
            return Err(Limit::Queries);
        }
        Ok(client_id)
    }

    /// Whether the same query waits already: over UDP clients send a query again when its response is late.
    pub(super) fn waits_already(&self, key: ExchangeKey, client: Client, id: u16) -> bool {
        let exchange = self.exchanges.get(key);
        let peer = client.peer();
        exchange.zip(peer).is_some_and(|(exchange, peer)| {
            let sender = hash_sender(self.hash_keys, peer, id);
            exchange.has_waiter((peer, id), sender, &self.waiters)
        })
    }

    /// The registrable domain that a query counts for from now on, if many wait.
    pub(super) fn zone_of(&mut self, question: &Question) -> Option<ZoneKey> {
        if self.waiters.len() < self.queries_max() / 2 {
            return None;
        }
        let mut hasher = SipHasher13::new_with_keys(self.hash_keys.0, self.hash_keys.1);
        hasher.write(domain::registrable(question.name()));
        Some(self.zones.join(hasher.finish()))
    }

    /// Has the query give way that has waited longest at the domain with most that wait, or, if no domain has two,
    /// longest of all. False if it has not waited for long.
    fn make_place(&mut self, now: Moment) -> bool {
        let waiters = &self.waiters;
        let of_largest = self
            .zones
            .oldest_of_largest(|key| waiters.contains_key(key));
        let Some(key) = of_largest.or_else(|| self.longest_waiting()) else {
            return false;
        };
        let waiter = self.waiters.get(key);
        let has_waited = |asked_at| now.since(asked_at) >= limits::GIVE_WAY_AFTER;
        match waiter.map(|waiter| (waiter.exchange, waiter.asked_at)) {
            Some((exchange, asked_at))
                if has_waited(asked_at) && !cfg!(planted = "nobody-gives-way") =>
            {
                self.give_way(now, key, exchange);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Drops deadlines of those who have been answered. Returns who waits until the first that is left.
    pub(super) fn drop_answered(&mut self) -> Option<WaiterKey> {
        let waiters = &self.waiters;
        self.deadlines.first_left(|key| !waiters.contains_key(key))
    }

    fn longest_waiting(&self) -> Option<WaiterKey> {
        let mut oldest_first = self.deadlines.keys();
        oldest_first.find(|key| self.waiters.contains_key(*key))
    }

    fn give_way(&mut self, now: Moment, key: WaiterKey, exchange: ExchangeKey) {
        let state = self.exchanges.get_mut(exchange);
        let Some(waiter) = state.and_then(|state| state.take(key, &mut self.waiters)) else {
            return;
        };
        if let Some(peer) = self.address_of(waiter.client) {
            self.hit_limit(now, Limit::Queries, peer);
        }
        let cause = self.upstreams.cause(exchange);
        let upstream = cause.and_then(|cause| cause.upstream);
        self.fail_waiter(now, &waiter, exchange, (Failure::Overload, upstream));
        let state = self.exchanges.get(exchange);
        if state.is_some_and(|state| state.first_waiter().is_none()) {
            self.remove_exchange(now, exchange, None);
            self.settle(now);
        }
    }

    fn address_of(&self, client: Client) -> Option<IpAddr> {
        match client {
            Client::Datagram(path) => Some(path.peer.ip()),
            Client::Stream(key) => self.streams.get(key).map(|stream| stream.peer),
        }
    }
}

/// A keyed hash of what tells one query over UDP from another one for the same question.
pub(super) fn hash_sender(keys: (u64, u64), peer: SocketAddr, id: u16) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(keys.0, keys.1);
    peer.hash(&mut hasher);
    hasher.write_u16(id);
    hasher.finish()
}
