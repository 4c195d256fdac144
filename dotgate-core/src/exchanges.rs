//! The questions in flight of one worker, their waiters and their deadlines.
//!
//! Stage `inflight`: knows which questions are out, here or in another worker, and who waits for them. Does not know how
//! they are asked, nor how a client gets its response. Limits: `limits::WAITERS_PER_QUESTION`, `limits::REFRESHES`.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dotgate_wire::Question;
use siphasher::sip::SipHasher13;
use slotmap::SlotMap;

use crate::attempts::Cause;
use crate::domain;
use crate::due::DueQueue;
use crate::exchange::{Client, Exchange, Lookup, Synthesis, Waiter, Waiters};
use crate::flights::{FlightMessage, Flights, Followers, Role};
use crate::groups::Groups;
use crate::inflight::Inflight;
use crate::keys::{ExchangeKey, WaiterKey, WorkerId};
use crate::limits;
use crate::moment::{Moment, earlier};
use crate::settings::GroupSettings;
use crate::zones::Zones;

/// The questions in flight of one worker.
pub(crate) struct Exchanges {
    /// This worker, among those that share `flights`.
    worker: WorkerId,
    flights: Arc<Flights>,
    /// Keys of hashes that clients must not foresee.
    hash_keys: (u64, u64),
    map: SlotMap<ExchangeKey, Exchange>,
    inflight: Inflight,
    waiters: Waiters,
    zones: Zones,
    /// Deadlines of waiters.
    deadlines: DueQueue<WaiterKey>,
    /// When the client response timer of those that wait for an exchange expires (RFC 8767 section 5).
    client_timers: DueQueue<ExchangeKey>,
    /// When exchanges for which no client waits are given up.
    refreshes: DueQueue<ExchangeKey>,
    /// When exchanges that wait for another worker ask for themselves.
    following: DueQueue<ExchangeKey>,
    messages: VecDeque<(WorkerId, FlightMessage)>,
}

impl Exchanges {
    pub(crate) fn new(worker: WorkerId, flights: Arc<Flights>, hash_keys: (u64, u64)) -> Exchanges {
        flights.forget(worker);
        Exchanges {
            worker,
            flights,
            hash_keys,
            map: SlotMap::with_key(),
            inflight: Inflight::default(),
            waiters: SlotMap::with_key(),
            zones: Zones::default(),
            deadlines: DueQueue::default(),
            client_timers: DueQueue::default(),
            refreshes: DueQueue::default(),
            following: DueQueue::default(),
            messages: VecDeque::new(),
        }
    }

    pub(crate) fn get(&self, key: ExchangeKey) -> Option<&Exchange> {
        self.map.get(key)
    }

    /// Finds the exchange of a question.
    pub(crate) fn find(&self, lookup: &Lookup<'_>) -> Option<ExchangeKey> {
        self.inflight.find(&self.map, &lookup.key, lookup.question)
    }

    /// Finds the exchange of a flight.
    pub(crate) fn find_flight(&self, flight: u64) -> Option<ExchangeKey> {
        self.inflight.find_flight(&self.map, flight)
    }

    /// Other groups are configured from now on.
    pub(crate) fn renew_groups(&mut self, groups: &Groups) {
        for (_, exchange) in &mut self.map {
            groups.renew(&mut exchange.group);
        }
    }

    /// Notes what upstreams are asked in place of the question of an exchange; none if they are asked that again.
    pub(crate) fn synthesize(&mut self, key: ExchangeKey, synthesis: Option<Synthesis>) {
        if let Some(exchange) = self.map.get_mut(key) {
            exchange.synthesis = synthesis;
        }
    }

    pub(crate) fn keys(&self) -> Vec<ExchangeKey> {
        self.map.keys().collect()
    }

    /// Queries that wait.
    pub(crate) fn queries(&self) -> usize {
        self.waiters.len()
    }

    /// Questions in flight.
    pub(crate) fn questions(&self) -> usize {
        self.inflight.len()
    }

    /// Of these, questions sent only to refresh the cache, or that began that way before a client joined.
    pub(crate) fn refreshes(&self) -> usize {
        let all = self.refreshes.keys();
        all.filter(|key| self.map.contains_key(*key)).count()
    }

    /// Whether there is room for one more exchange that no client waits for.
    pub(crate) fn may_refresh(&self) -> bool {
        self.refreshes.len() < limits::REFRESHES
    }

    /// Whether one more client may wait for a question.
    pub(crate) fn has_room(&self, key: Option<ExchangeKey>) -> bool {
        let exchange = key.and_then(|key| self.map.get(key));
        exchange.is_none_or(|exchange| exchange.waiting_clients() < limits::WAITERS_PER_QUESTION)
    }

    /// Whether the same query waits already: over UDP clients send a query again when its response is late.
    pub(crate) fn waits_already(
        &self,
        key: ExchangeKey,
        client: Client,
        id: u16,
        has_alias: bool,
    ) -> bool {
        let exchange = self.map.get(key);
        let is_sought = !dotgate_wire::planted!("repeated-queries-are-answered-each");
        let peer = client.peer().filter(|_| is_sought);
        exchange.zip(peer).is_some_and(|(exchange, peer)| {
            let sender = hash_sender(self.hash_keys, peer, id);
            exchange.has_waiter((peer, id, has_alias), sender, &self.waiters)
        })
    }

    /// Makes an exchange for a question that a client asks; its flight may be led by another worker.
    pub(crate) fn begin(&mut self, lookup: &Lookup<'_>, group: &Arc<GroupSettings>) -> ExchangeKey {
        let role = self.flights.join(lookup.key.hash(), self.worker);
        self.insert(Exchange::new(lookup, Arc::clone(group), role))
    }

    /// Makes an exchange for which no client waits. None if the question is out already, here or in another worker, whose
    /// answer will be in the cache.
    pub(crate) fn begin_refresh(
        &mut self,
        lookup: &Lookup<'_>,
        group: &Arc<GroupSettings>,
        given_up_at: Moment,
    ) -> Option<ExchangeKey> {
        if self.find(lookup).is_some() || !self.may_refresh() {
            return None;
        }
        let flight = lookup.key.hash();
        if self.flights.join(flight, self.worker) == Role::Follows {
            self.flights.leave(flight, self.worker);
            return None;
        }
        let key = self.insert(Exchange::new(lookup, Arc::clone(group), Role::Leads));
        self.go_on_as_refresh(key, given_up_at);
        Some(key)
    }

    fn insert(&mut self, exchange: Exchange) -> ExchangeKey {
        let hash = exchange.key.hash();
        let key = self.map.insert(exchange);
        self.inflight.insert(&self.map, hash, key);
        key
    }

    /// Adds a client to an exchange. With `counts_domain`, its query counts for the registrable domain of its name.
    pub(crate) fn join(
        &mut self,
        mut waiter: Waiter,
        deadline: Option<Moment>,
        client_timer: Option<Moment>,
        counts_domain: bool,
    ) {
        let key = waiter.exchange;
        let Some(exchange) = self.map.get_mut(key) else {
            return;
        };
        if counts_domain {
            let hash = hash_domain(self.hash_keys, &exchange.question);
            waiter.zone = Some(self.zones.join(hash));
        }
        let zone = waiter.zone;
        let waiter = self.waiters.insert(waiter);
        let waiters = &mut self.waiters;
        if let Some(zone) = zone {
            self.zones
                .enter(zone, waiter, |key| waiters.contains_key(key));
        }
        if let Some(deadline) = deadline {
            self.deadlines.push(deadline, waiter);
        }
        if let Some(timer) = client_timer {
            self.client_timers.push(timer, key);
        }
        exchange.join(waiter, waiters);
        let keys = self.hash_keys;
        exchange.note_senders(waiters, |peer, id| hash_sender(keys, peer, id));
    }

    /// The query that is shed at the limit: the one that has waited longest, of the domain with most that wait,
    /// or, if no domain has two, longest of all. None if it has not waited for long.
    pub(crate) fn longest_waiting(&mut self, now: Moment) -> Option<(WaiterKey, ExchangeKey)> {
        let waiters = &self.waiters;
        let of_largest = self
            .zones
            .oldest_of_largest(|key| waiters.contains_key(key));
        let mut oldest_first = self.deadlines.keys();
        let key = of_largest.or_else(|| oldest_first.find(|key| waiters.contains_key(*key)))?;
        let waiter = waiters.get(key)?;
        let has_waited = now.since(waiter.asked_at) >= limits::GIVE_WAY_AFTER;
        let gives_way = has_waited && !dotgate_wire::planted!("nobody-gives-way");
        gives_way.then_some((key, waiter.exchange))
    }

    /// Takes a waiter out.
    pub(crate) fn take(&mut self, waiter: WaiterKey, key: ExchangeKey) -> Option<Waiter> {
        let exchange = self.map.get_mut(key)?;
        let waiter = exchange.take(waiter, &mut self.waiters)?;
        Some(self.left(waiter))
    }

    /// Takes the client out that has waited longest for an exchange.
    pub(crate) fn take_first(&mut self, key: ExchangeKey) -> Option<Waiter> {
        let exchange = self.map.get_mut(key)?;
        let waiter = self.waiters.remove(exchange.first_waiter()?)?;
        exchange.drop_first(waiter.next);
        Some(self.left(waiter))
    }

    /// The same if it has waited for `timer`.
    pub(crate) fn take_first_after(
        &mut self,
        key: ExchangeKey,
        now: Moment,
        timer: Duration,
    ) -> Option<Waiter> {
        let first = self.map.get(key)?.first_waiter()?;
        let is_due = self.waiters.get(first)?.asked_at + timer <= now;
        if is_due { self.take_first(key) } else { None }
    }

    fn left(&mut self, waiter: Waiter) -> Waiter {
        if let Some(zone) = waiter.zone {
            self.zones.leave(zone);
        }
        waiter
    }

    pub(crate) fn has_waiters(&self, key: ExchangeKey) -> bool {
        let exchange = self.map.get(key);
        exchange.is_some_and(|exchange| exchange.first_waiter().is_some())
    }

    /// Lets an exchange continue for the cache alone, if no client waits for it and it does not already. False if
    /// there is no room for that.
    pub(crate) fn go_on_as_refresh(&mut self, key: ExchangeKey, given_up_at: Moment) -> bool {
        let may_refresh = self.may_refresh();
        let Some(exchange) = self.map.get_mut(key) else {
            return true;
        };
        if exchange.first_waiter().is_some() || exchange.is_refresh {
            return true;
        }
        if may_refresh {
            exchange.is_refresh = true;
            self.refreshes.push(given_up_at, key);
        }
        may_refresh
    }

    /// The next waiter whose deadline has passed, with its exchange.
    pub(crate) fn pop_expired(&mut self, now: Moment) -> Option<(WaiterKey, ExchangeKey)> {
        while let Some(key) = self.deadlines.pop_due(now) {
            if let Some(waiter) = self.waiters.get(key) {
                return Some((key, waiter.exchange));
            }
        }
        self.oldest_query();
        None
    }

    /// Gives a waiter another deadline: a planted fault.
    pub(crate) fn extend(&mut self, waiter: WaiterKey, deadline: Moment) {
        self.deadlines.push(deadline, waiter);
    }

    /// The next exchange whose clients' response timer has expired.
    pub(crate) fn pop_client_timer(&mut self, now: Moment) -> Option<ExchangeKey> {
        self.client_timers.pop_due(now)
    }

    /// Moves all client response timers: clients get a stale answer as long after they asked as is set now.
    pub(crate) fn move_client_timers(&mut self, change: impl Fn(Moment) -> Moment) {
        self.client_timers.move_all(change);
    }

    /// The next exchange without a client that has expired. One that a client has joined continues.
    pub(crate) fn pop_refresh(&mut self, now: Moment) -> Option<ExchangeKey> {
        while let Some(key) = self.refreshes.pop_due(now) {
            if let Some(exchange) = self.map.get_mut(key) {
                exchange.is_refresh = false;
                if exchange.first_waiter().is_none() {
                    return Some(key);
                }
            }
        }
        None
    }

    /// Waits for the worker that leads an exchange's flight, until `until`.
    pub(crate) fn follow(&mut self, key: ExchangeKey, until: Moment) {
        self.following.push(until, key);
    }

    /// The next exchange whose flight message did not come in time. It is asked for itself from now on.
    pub(crate) fn pop_follower(&mut self, now: Moment) -> Option<ExchangeKey> {
        while let Some(key) = self.following.pop_due(now) {
            if let Some(exchange) = self.map.get_mut(key)
                && exchange.role == Role::Follows
            {
                exchange.role = Role::Alone;
                self.flights.leave(exchange.key.hash(), self.worker);
                return Some(key);
            }
        }
        None
    }

    /// Takes part in the flight of an exchange once more, after its leader has failed.
    pub(crate) fn join_flight(&mut self, key: ExchangeKey) {
        if let Some(exchange) = self.map.get_mut(key) {
            exchange.role = self.flights.join(exchange.key.hash(), self.worker);
        }
    }

    /// Ends the flight of an exchange that leads one. Returns who follows it.
    pub(crate) fn end_flight(&mut self, key: ExchangeKey) -> Followers {
        let Some(exchange) = self.map.get_mut(key) else {
            return Followers::default();
        };
        match exchange.role {
            Role::Leads => {
                exchange.role = Role::Alone;
                self.flights.complete(exchange.key.hash(), self.worker)
            }
            Role::Follows => {
                self.flights.leave(exchange.key.hash(), self.worker);
                Followers::default()
            }
            Role::Alone => Followers::default(),
        }
    }

    /// Sends a response, as it is cached, to the workers that follow.
    pub(crate) fn send_answered(
        &mut self,
        flight: u64,
        followers: Followers,
        bytes: &Arc<[u8]>,
        is_authenticated: bool,
    ) {
        if dotgate_wire::planted!("followers-get-no-flight-message") {
            return;
        }
        for worker in followers.ids() {
            let message = FlightMessage::Answered {
                flight,
                bytes: Arc::clone(bytes),
                is_authenticated,
            };
            self.messages.push_back((worker, message));
        }
    }

    /// Removes an exchange. If it has no answer, the workers that follow it get the reason.
    pub(crate) fn remove(&mut self, key: ExchangeKey, cause: Option<Cause>) {
        let followers = self.end_flight(key);
        let Some(exchange) = self.map.remove(key) else {
            return;
        };
        let flight = exchange.key.hash();
        self.inflight.remove(flight, key);
        let Some(cause) = cause else {
            return;
        };
        for worker in followers.ids() {
            let message = FlightMessage::Failed {
                flight,
                failure: cause.failure,
                upstream: cause.upstream,
                is_final: cause.is_final,
            };
            self.messages.push_back((worker, message));
        }
    }

    pub(crate) fn poll_flight_message(&mut self) -> Option<(WorkerId, FlightMessage)> {
        self.messages.pop_front()
    }

    /// When the oldest query that still waits came.
    pub(crate) fn oldest_query(&mut self) -> Option<Moment> {
        let waiters = &self.waiters;
        // Those answered before their deadline are of no age.
        let oldest = self
            .deadlines
            .first_left(|key| !waiters.contains_key(key))?;
        Some(waiters.get(oldest)?.asked_at)
    }

    /// When time changes something here.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let mut next = self.deadlines.next();
        for queue in [&self.client_timers, &self.refreshes, &self.following] {
            next = earlier(next, queue.next());
        }
        next
    }

    /// All who wait, at the end.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.values()
    }

    #[cfg(test)]
    pub(crate) fn has_client_timers(&self) -> bool {
        self.client_timers.next().is_some()
    }
}

/// A keyed hash of what distinguishes two UDP queries for the same question.
fn hash_sender(keys: (u64, u64), peer: SocketAddr, id: u16) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(keys.0, keys.1);
    peer.hash(&mut hasher);
    hasher.write_u16(id);
    hasher.finish()
}

/// A keyed hash of the registrable domain of a question's name.
fn hash_domain(keys: (u64, u64), question: &Question) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(keys.0, keys.1);
    hasher.write(domain::registrable(question.name()));
    hasher.finish()
}
