//! The path of a query, put together: one engine per worker, which owns all state of its queries.
//!
//! Each part of the state has an owner with private fields: `clients`, the cache stage, `exchanges` and `upstreams`.
//! Calls go from the engine to an owner, never from one owner to another. `engine::path` takes a query from the
//! listener to its attempts, `engine::answered` ends exchanges; `engine::streams` takes the queries of connections, and
//! `engine::sessions` the responses of upstreams. What concerns one owner alone is a method of that owner, which the engine
//! lends to its driver. The worker that receives a query owns it to the end. The driver calls in with input and the
//! time; `engine::drive` has the order of everything after that.

mod answered;
mod dns64;
mod drive;
mod path;
mod sessions;
mod streams;

use std::fmt;
use std::sync::Arc;

pub use self::drive::{Driver, carry_out, drive};
use crate::admit::{MalformedClients, Quotas, Rates};
use crate::cache::{Cache, CacheStage};
use crate::clients::Clients;
use crate::cookies::WallClock;
use crate::counters::{Counters, Gauge};
use crate::exchanges::Exchanges;
use crate::failure::Failure;
use crate::flights::{FlightMessage, Flights};
use crate::groups::Groups;
use crate::keys::WorkerId;
use crate::loops::OwnQueries;
use crate::memory::ClientMemory;
use crate::moment::{Moment, earlier};
use crate::nat64::Nat64;
use crate::outbox::{Action, Event};
use crate::quarantine::Quarantine;
use crate::random::Random;
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::tally::Tally;
use crate::tap::TappedMessage;
use crate::upstreams::Upstreams;

/// What the engines of a process share.
#[derive(Clone)]
pub struct Shared {
    /// The cache stage.
    pub cache: Arc<Cache>,
    /// The questions in flight.
    pub flights: Arc<Flights>,
    /// The memory that clients cost.
    pub memory: Arc<ClientMemory>,
    /// The clients that send malformed messages over TCP.
    pub malformed: Arc<MalformedClients>,
    /// The questions that proved harmful.
    pub quarantine: Arc<Quarantine>,
    /// The queries that clients have in flight.
    pub quotas: Arc<Quotas>,
    /// How often clients ask and connect.
    pub rates: Arc<Rates>,
    /// The queries that were sent lately to plain upstreams.
    pub own_queries: Arc<OwnQueries>,
    /// The time of day, for cookies.
    pub wall_clock: Arc<WallClock>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Of a process with one worker and without a cache.
    pub fn alone() -> Shared {
        Shared {
            cache: Arc::new(Cache::new(0, (0, 0))),
            flights: Arc::new(Flights::new(1)),
            memory: Arc::new(ClientMemory::new(1)),
            malformed: Arc::new(MalformedClients::new()),
            quarantine: Arc::new(Quarantine::new()),
            quotas: Arc::new(Quotas::new((0, 0))),
            rates: Arc::new(Rates::new((0, 0))),
            own_queries: Arc::default(),
            wall_clock: Arc::default(),
        }
    }
}

/// How much of everything an engine has in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// Queries that wait for an answer.
    pub queries: usize,
    /// Questions that wait for an answer: several queries may ask the same, and a refresh is no query's.
    pub questions: usize,
    /// Of these, questions sent only to refresh the cache, or that began that way before a client joined.
    pub refreshes: usize,
    /// Client connections.
    pub streams: usize,
    /// Sessions in any phase.
    pub sessions: usize,
}

/// Everything one worker knows.
pub struct Engine {
    settings: Arc<Settings>,
    /// Of the settings: whether queries pass the stage `local`.
    has_local_stage: bool,
    tally: Tally,
    clients: Clients,
    cache: CacheStage,
    exchanges: Exchanges,
    groups: Groups,
    upstreams: Upstreams,
    nat64: Nat64,
}

impl Engine {
    /// Makes the engine of a worker; an earlier engine of that worker is gone. `seed` must be unpredictable in production.
    pub fn new(
        worker: WorkerId,
        settings: Arc<Settings>,
        shared: Shared,
        counters: Arc<Counters>,
        seed: [u8; 32],
    ) -> Engine {
        let Shared {
            cache,
            flights,
            memory,
            malformed,
            quarantine,
            quotas,
            rates,
            own_queries,
            wall_clock,
        } = shared;
        let mut random = Random::new(seed);
        let mut keys = || (random.word(), random.word());
        let (query_keys, client_keys) = (keys(), keys());
        let tally = Tally::new(counters);
        let to_own = || (Arc::clone(&settings), tally.clone());
        let for_clients = to_own();
        let cache = CacheStage::new(cache, Arc::clone(&settings));
        Engine {
            clients: Clients::new(
                worker,
                for_clients,
                memory,
                (quotas, malformed, rates),
                (wall_clock, client_keys),
            ),
            groups: Groups::new(&settings),
            nat64: Nat64::default(),
            exchanges: Exchanges::new(worker, flights, query_keys),
            upstreams: Upstreams::new(
                (&settings, tally.clone()),
                random,
                cache.hasher(),
                (quarantine, own_queries),
            ),
            cache,
            has_local_stage: settings.has_local_stage(),
            settings,
            tally,
        }
    }

    /// Uses other settings from now on. No query and no client's connection is lost. Existing deadlines stay;
    /// a shorter one is for those who ask from now on. The cache keeps what it has, also of upstreams that are gone: it was
    /// right, and it ends with its TTL. Call `on_timeout` afterwards if `next_deadline` says so.
    pub fn reconfigure(&mut self, now: Moment, settings: Arc<Settings>) {
        // Clients that wait for a stale answer get it as long after they asked as is set now.
        let before = self.settings.cache.stale_after.as_nanos() as u64;
        let after = settings.cache.stale_after;
        self.exchanges.move_client_timers(|due| {
            Moment::from_nanos(due.nanos().saturating_sub(before)) + after
        });
        self.clients.reconfigure(&settings);
        self.cache.reconfigure(&settings);
        self.groups = Groups::new(&settings);
        self.exchanges.renew_groups(&self.groups);
        self.upstreams.reconfigure(now, &settings, &self.groups);
        self.has_local_stage = settings.has_local_stage();
        self.nat64 = Nat64::default();
        self.settings = settings;
        self.settle(now);
    }

    /// The clients of this worker.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The same, for what a driver reports of their connections.
    pub fn clients_mut(&mut self) -> &mut Clients {
        &mut self.clients
    }

    /// The sessions of this worker, for what a driver reports of them.
    pub fn sessions_mut(&mut self) -> &mut Sessions {
        self.upstreams.sessions_mut()
    }

    /// Copies each message from now on, or none any more.
    pub fn set_tapping(&mut self, is_on: bool) {
        self.clients.tap().set(is_on);
        self.sessions_mut().tap().set(is_on);
    }

    /// Calls `take` with the messages that were copied, then forgets them. Returns how many had no room.
    pub fn take_tapped(&mut self, mut take: impl FnMut(TappedMessage<'_>)) -> u64 {
        let mut dropped = 0;
        for tap in [self.clients.tap(), self.upstreams.sessions_mut().tap()] {
            tap.messages().for_each(&mut take);
            dropped += tap.clear();
        }
        dropped
    }

    /// The next thing to do; flushes come late, and after them what must know their outcome.
    pub fn poll_action(&mut self) -> Option<Action> {
        let (clients, sessions) = (&mut self.clients, self.upstreams.sessions_mut());
        let action = sessions.poll_action().or_else(|| clients.poll_action());
        let action = action.or_else(|| sessions.poll_dirty().map(Action::FlushSession));
        action.or_else(|| clients.poll_late_action())
    }

    /// The next event for the log.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.sessions_mut().poll_event();
        event.or_else(|| self.clients.poll_event())
    }

    /// The next message to another worker, with that worker's number; there it goes into `on_flight_message`.
    pub fn poll_flight_message(&mut self) -> Option<(WorkerId, FlightMessage)> {
        self.exchanges.poll_flight_message()
    }

    /// When `on_timeout` must be called at the latest.
    pub fn next_deadline(&self) -> Option<Moment> {
        let next = earlier(self.exchanges.next_deadline(), self.clients.next_deadline());
        earlier(next, self.upstreams.next_deadline())
    }

    /// Does everything that is due at `now`. Afterwards `next_deadline` lies after `now`.
    pub fn on_timeout(&mut self, now: Moment) {
        self.upstreams.resume(now);
        self.settle(now);
        self.serve_stale(now);
        self.expire_waiters(now);
        self.end_refreshes(now);
        self.stop_following(now);
        self.upstreams.on_timeout(now);
        self.settle(now);
        self.clients.on_timeout(now);
    }

    /// How much is in flight.
    pub fn load(&self) -> Load {
        Load {
            queries: self.exchanges.queries(),
            questions: self.exchanges.questions(),
            refreshes: self.exchanges.refreshes(),
            streams: self.clients.stream_count(),
            sessions: self.upstreams.sessions().count(),
        }
    }

    /// The block this engine counts in.
    pub fn counters(&self) -> &Arc<Counters> {
        self.tally.counters()
    }

    /// Lets others read how much is in flight. To be called at the end of a turn.
    pub fn publish_load(&mut self) {
        let oldest = self.exchanges.oldest_query();
        let queries = self.exchanges.queries();
        self.clients.publish_queries(queries);
        let oldest = oldest.map_or(0, |came| came.nanos().max(1));
        let questions = self.exchanges.questions() as u64;
        self.tally.set(Gauge::OldestQuery, oldest);
        self.tally.set(Gauge::QueriesInFlight, queries as u64);
        self.tally.set(Gauge::QuestionsInFlight, questions);
        self.tally
            .set(Gauge::Streams, self.clients.stream_count() as u64);
        self.upstreams.publish_load();
    }

    /// Answers every waiting query with SERVFAIL, as at the end of a stop or after a bug in dotgate.
    pub fn fail_all(&mut self, now: Moment) {
        for key in self.exchanges.keys() {
            self.fail_with(now, key, Some(Failure::Internal));
        }
        self.settle(now);
    }
}

impl Drop for Engine {
    /// What its queries took is given back, also after a bug.
    fn drop(&mut self) {
        for waiter in self.exchanges.waiters() {
            self.clients.release_quota(waiter.client_id, waiter.client);
        }
    }
}

#[cfg(test)]
mod tests;
