//! The path of a query, put together: one engine per worker, which owns all state of its queries.
//!
//! `engine::intake` takes a query from the listener to its exchange; `engine::kept` is the cache's stage;
//! `upstreams` makes attempts, and `engine::sessions` hands on what sessions report; `engine::ending` delivers responses; `engine::shared_flight` waits for other workers; `engine::streams` serves client connections. The worker that receives a query owns it to the end.
//! The driver calls in with input and the time, then sends `datagrams`, carries out every `poll_action`,
//! hands on every `poll_event`, and calls `on_timeout` when `next_deadline` has come.

mod deliver;
mod ending;
mod intake;
mod kept;
mod limit_log;
mod measure;
mod places;
mod query_log;
mod reconfigure;
mod sessions;
mod shared_flight;
mod streams;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};

use dotgate_wire::write_shortened;
use slotmap::SlotMap;

use self::limit_log::LimitLog;
use crate::admit::Quotas;
use crate::cache::Cache;
use crate::counters::{Count, Counters};
use crate::due::DueQueue;
use crate::exchange::{Client, Exchange, Waiters};
use crate::failure::Failure;
use crate::flights::{Flights, Letter};
use crate::inflight::Inflight;
use crate::keys::{ExchangeKey, StreamKey, WaiterKey};
use crate::memory::ClientMemory;
use crate::moment::{Moment, earlier};
use crate::outbox::{Action, Event, LogDetail, Outbox, OutgoingDatagram};
use crate::path_limits::PathLimits;
use crate::quarantine::Quarantine;
use crate::random::Random;
use crate::respond::Transport;
use crate::root::root_servers;
use crate::settings::Settings;
use crate::stream::Streams;
use crate::tally::Tally;
use crate::upstreams::Upstreams;
use crate::zones::Zones;

/// What the engines of a process share.
#[derive(Clone)]
pub struct Shared {
    /// The answers kept.
    pub cache: Arc<Cache>,
    /// The questions in flight.
    pub flights: Arc<Flights>,
    /// The memory that clients cost.
    pub memory: Arc<ClientMemory>,
    /// The questions that proved harmful.
    pub quarantine: Arc<Quarantine>,
    /// The queries that clients have in flight.
    pub quotas: Arc<Quotas>,
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
            quarantine: Arc::new(Quarantine::new()),
            quotas: Arc::new(Quotas::new((0, 0))),
        }
    }
}

/// Everything one worker knows.
pub struct Engine {
    /// This worker's number, from 0, among those that share `flights`.
    number: usize,
    settings: Arc<Settings>,
    cache: Arc<Cache>,
    flights: Arc<Flights>,
    memory: Arc<ClientMemory>,
    tally: Tally,
    quotas: Arc<Quotas>,
    /// Keys of hashes that clients must not foresee.
    hash_keys: (u64, u64),
    zones: Zones,
    streams: Streams,
    inflight: Inflight,
    exchanges: SlotMap<ExchangeKey, Exchange>,
    waiters: Waiters,
    /// Deadlines of waiters, in order.
    deadlines: DueQueue<WaiterKey>,
    /// When the client response timer of those that wait for an exchange expires (RFC 8767 section 5).
    client_timers: DueQueue<ExchangeKey>,
    /// When exchanges for which no client waits are given up, in order.
    refreshes: DueQueue<ExchangeKey>,
    /// When exchanges that wait for another worker ask for themselves, in order.
    following: DueQueue<ExchangeKey>,
    /// What clients' queries have earned for prefetching.
    prefetch_credit: u32,
    /// Answers given from the cache, which give addresses in another order each time.
    turn: u32,
    /// What the links to clients carry.
    path_limits: PathLimits,
    upstreams: Upstreams,
    /// The answer that was taken from the cache last, or is about to be put there.
    kept: Vec<u8>,
    /// The answer that responses last waited for: others that wait for it share it.
    deferred: Weak<[u8]>,
    /// The servers of the root, as if kept long ago.
    root: Vec<u8>,
    outbox: Outbox,
    /// Room for shorter responses, empty but while these are made.
    shortened: Outbox,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    letters: VecDeque<(usize, Letter)>,
    dirty_streams: Vec<StreamKey>,
    limit_log: LimitLog,
    log_detail: LogDetail,
}

impl Engine {
    /// Makes the engine of worker `number`, which is below [`crate::WORKERS`] and its alone; an earlier engine
    /// of that number is gone. `seed` must be unpredictable in production.
    pub fn new(
        number: usize,
        settings: Arc<Settings>,
        shared: Shared,
        counters: Arc<Counters>,
        seed: [u8; 32],
    ) -> Engine {
        let Shared {
            cache,
            flights,
            memory,
            quarantine,
            quotas,
        } = shared;
        flights.forget(number);
        let mut random = Random::new(seed);
        let mut keys = || (random.word(), random.word());
        let (hash_keys, stream_keys) = (keys(), keys());
        let tally = Tally::new(counters);
        Engine {
            number,
            hash_keys,
            zones: Zones::default(),
            streams: Streams::new(&settings, stream_keys, number, Arc::clone(&memory)),
            inflight: Inflight::default(),
            exchanges: SlotMap::with_key(),
            waiters: SlotMap::with_key(),
            deadlines: DueQueue::default(),
            client_timers: DueQueue::default(),
            refreshes: DueQueue::default(),
            following: DueQueue::default(),
            prefetch_credit: 0,
            turn: 0,
            path_limits: PathLimits::default(),
            upstreams: Upstreams::new(
                Arc::clone(&settings),
                tally.clone(),
                random,
                cache.hasher(),
                quarantine,
            ),
            kept: Vec::new(),
            deferred: Weak::<[u8; 0]>::new(),
            root: root_servers(),
            outbox: Outbox::default(),
            shortened: Outbox::default(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            letters: VecDeque::new(),
            dirty_streams: Vec::new(),
            limit_log: LimitLog::default(),
            log_detail: LogDetail::Usual,
            settings,
            cache,
            flights,
            memory,
            quotas,
            tally,
        }
    }

    /// The next thing to do; flushes come late, and after them what must know their outcome.
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.upstreams.poll_action();
        if let Some(action) = action.or_else(|| self.actions.pop_front()) {
            return Some(action);
        }
        if let Some(session) = self.upstreams.poll_dirty() {
            return Some(Action::FlushSession(session));
        }
        let Some(stream) = self.dirty_streams.pop() else {
            let is_due = self.streams.take_wants_relief();
            return is_due.then_some(Action::MeasureStreams);
        };
        if let Some(state) = self.streams.get_mut(stream) {
            state.is_dirty = false;
        }
        Some(Action::FlushStream(stream))
    }

    /// The next thing worth a line in the log.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.upstreams.poll_event();
        event.or_else(|| self.events.pop_front())
    }

    /// The next letter to another worker, with that worker's number; there it goes into `on_letter`.
    pub fn poll_letter(&mut self) -> Option<(usize, Letter)> {
        self.letters.pop_front()
    }

    /// The responses to be sent by UDP, in the order made. Forget them with `clear_datagrams`.
    pub fn datagrams(&self) -> impl Iterator<Item = OutgoingDatagram<'_>> {
        self.outbox.iter()
    }

    /// How many responses wait to be sent by UDP.
    pub fn datagram_count(&self) -> usize {
        self.outbox.len()
    }

    /// Replaces the responses by those for clients to which the system did not send theirs: `refused` are numbers in
    /// the order of [`Self::datagrams`], with whether the response was too long for the link. Each is made as short as it
    /// can be, so that the client asks over TCP (RFC 2181 section 9). What cannot be shorter is left out.
    pub fn shorten_refused(&mut self, refused: &[(usize, bool)]) {
        let mut shorter = std::mem::take(&mut self.shortened);
        for (number, is_too_long) in refused {
            let Some(datagram) = self.outbox.get(*number) else {
                continue;
            };
            if !shorter.push_if(datagram.path, |out| write_shortened(out, datagram.bytes)) {
                continue;
            }
            self.tally.count(Count::DatagramsShortened);
            if *is_too_long {
                let client = datagram.path.peer.ip();
                self.path_limits.note_too_long(client, datagram.bytes.len());
            }
        }
        self.outbox.clear();
        self.shortened = std::mem::replace(&mut self.outbox, shorter);
    }

    /// Forgets the responses that were sent; their room is used again.
    pub fn clear_datagrams(&mut self) {
        self.outbox.clear();
    }

    /// When `on_timeout` must be called at the latest.
    pub fn next_deadline(&self) -> Option<Moment> {
        let mut next = self.deadlines.next();
        for queue in [&self.client_timers, &self.refreshes, &self.following] {
            next = earlier(next, queue.next());
        }
        next = earlier(next, self.upstreams.next_deadline());
        next = earlier(next, self.streams.next_alarm());
        earlier(next, self.streams.relief_again())
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
        self.lapse_streams(now);
        self.streams.end_relief_pause(now);
    }

    /// Queries that wait for an answer.
    pub fn queries_in_flight(&self) -> usize {
        self.waiters.len()
    }

    /// Questions that wait for an answer: several queries may ask the same, and a refresh is no query's.
    pub fn questions_in_flight(&self) -> usize {
        self.inflight.len()
    }

    /// Of these, questions that are asked for the cache alone, or were when a client began to wait for them too.
    pub fn refreshes_in_flight(&self) -> usize {
        let all = self.refreshes.keys();
        all.filter(|key| self.exchanges.contains_key(*key)).count()
    }

    /// Client connections.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Sessions in any phase.
    pub fn session_count(&self) -> usize {
        self.upstreams.session_count()
    }

    /// The block this engine counts in.
    pub fn counters(&self) -> &Arc<Counters> {
        self.tally.counters()
    }

    /// Answers every waiting query with SERVFAIL, as at the end of a stop or after a bug of ours.
    pub fn fail_all(&mut self, now: Moment) {
        let waiting: Vec<ExchangeKey> = self.exchanges.keys().collect();
        for key in waiting {
            self.fail_with(now, key, Failure::Internal);
        }
        self.settle(now);
    }

    fn count(&self, count: Count) {
        self.tally.count(count);
    }

    fn transport(&self, client: Client) -> Transport {
        match client {
            Client::Datagram(path) => Transport::Udp {
                max: self
                    .path_limits
                    .limit(path.peer.ip(), self.settings.udp_response_max),
            },
            Client::Stream(_) => Transport::Stream {
                idle: self.streams.told_idle(),
            },
        }
    }
}

impl Drop for Engine {
    /// Its sessions go with it, also after a bug.
    fn drop(&mut self) {
        self.memory.set_streams(self.number, 0);
        self.memory.set_queries(self.number, 0);
        for (_, waiter) in &self.waiters {
            self.quotas.release(waiter.client_id, waiter.client.via());
        }
    }
}

#[cfg(test)]
mod tests;
