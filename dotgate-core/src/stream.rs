//! Client connections (TCP, TLS, QUIC): bytes in, complete messages out, responses back in any order (RFC 7766).
//!
//! It is at both ends of the path. Owns what a client has sent of its next message, what waits to be written
//! to it, and its clocks; only a complete message resets the idle clock (section 6.2.3). A client that has
//! too much in flight or does not read is not read from. Never looks into a message.
//! Limits: `Settings::stream*`, `limits::STREAM_*`.

mod budget;
mod handshake;
mod holders;
mod leaving;
mod pending;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use slotmap::SlotMap;

pub use self::budget::KernelBuffers;
pub(crate) use self::handshake::EndedHandshake;
pub use self::handshake::StreamKind;
use self::handshake::{Handshakes, IdleTimeouts};
use self::holders::{Activity, Holders};
pub(crate) use self::pending::{Pending, PendingEde, PendingQueue, ResponseTerms, with_cookie};
use crate::admit::ClientId;
use crate::counters::labels::StreamEnd;
use crate::frames::Frames;
use crate::keys::{HolderKey, StreamKey, WorkerId};
use crate::limits;
use crate::memory::ClientMemory;
use crate::moment::{Moment, earlier};
use crate::settings::Settings;

/// A connection as a listener accepts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AcceptedStream {
    /// The client.
    pub peer: IpAddr,
    /// The address of this host that it asks, where that is known.
    pub local: Option<IpAddr>,
    /// What it speaks.
    pub kind: StreamKind,
}

impl From<(IpAddr, StreamKind)> for AcceptedStream {
    /// Where it is not known, or of no interest, at which address of this host.
    fn from((peer, kind): (IpAddr, StreamKind)) -> AcceptedStream {
        let local = None;
        AcceptedStream { peer, local, kind }
    }
}

pub(crate) struct Stream {
    pub(crate) peer: IpAddr,
    /// The address of this host that it asks, where that is known.
    pub(crate) local: Option<IpAddr>,
    pub(crate) kind: StreamKind,
    /// Whether a balancer's header comes first, which has the time of a handshake.
    pub(crate) awaits_header: bool,
    /// Since when its TLS handshake is in progress, if it is.
    handshake_since: Option<Moment>,
    holder: HolderKey,
    pub(crate) frames: Frames,
    /// Responses that the system has not taken yet.
    pub(crate) outgoing: Vec<u8>,
    /// Bytes that the driver has encrypted, or is to, and that the system has not taken yet.
    pub(crate) encrypted: usize,
    /// What else the driver holds for the connection, in bytes.
    pub(crate) driver_bytes: usize,
    /// Responses behind them; each still counts as in flight.
    pub(crate) pending: PendingQueue,
    /// What the kernel buffers of the connection take, as far as known.
    pub(crate) kernel_bytes: usize,
    /// What the client had acknowledged when that was measured, and since when that has not changed although something
    /// waits to be acknowledged.
    acknowledged: u64,
    unread_since: Option<Moment>,
    /// What the connection costs as counted last.
    charged: usize,
    waits_for_memory: bool,
    pub(crate) is_dirty: bool,
    pub(crate) in_flight: usize,
    /// Whether the client has sent its last byte; it still gets its responses (section 6.2.4).
    pub(crate) has_ended: bool,
    /// Whether the driver was asked to stop reading.
    pub(crate) is_paused: bool,
    /// Messages that it has carried.
    pub(crate) queries: u32,
    opened: Moment,
    /// Since when it is to close, because it has reached its number of queries or its age.
    leaving_since: Option<Moment>,
    /// Whether nothing more that the client sent is looked at.
    pub(crate) is_cut: bool,
    pub(crate) empty_frames: u32,
    /// Messages that were answered with FORMERR, NOTIMP or BADVERS.
    pub(crate) rejected: u32,
    /// Why it ends when it has nothing more to read or to write.
    pub(crate) end: StreamEnd,
    last_message: Moment,
    partial_since: Option<Moment>,
    unsent_since: Option<Moment>,
    /// The earliest entry in the timer queue.
    timer: Moment,
}

impl Stream {
    /// As it was accepted.
    pub(crate) fn accepted(&self) -> AcceptedStream {
        AcceptedStream {
            peer: self.peer,
            local: self.local,
            kind: self.kind,
        }
    }

    /// Whether it can neither receive nor send any more.
    pub(crate) fn is_finished(&self) -> bool {
        if self.is_leaving() && dotgate_wire::planted!("retired-connections-lose-their-queries") {
            return true;
        }
        (self.has_ended || self.may_leave()) && self.in_flight == 0 && self.unsent() == 0
    }

    /// Bytes that the system has not taken yet.
    pub(crate) fn unsent(&self) -> usize {
        self.outgoing.len() + self.encrypted
    }

    /// Whether the TLS handshake is in progress.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.handshake_since.is_some()
    }

    pub(crate) fn may_read(&self, queries_max: usize) -> bool {
        let has_room = self.in_flight < queries_max && self.unsent() < limits::STREAM_UNSENT_BYTES;
        has_room || dotgate_wire::planted!("full-stream-is-read-on")
    }

    pub(crate) fn on_message(&mut self, now: Moment) {
        self.last_message = now;
    }

    /// Records what has not been processed after a read.
    pub(crate) fn on_read(&mut self, now: Moment, queries_max: usize) {
        // An incomplete message of a client above its share of memory still waits for the client.
        let has_message = self.frames.has_message();
        let waits_for_us = self.is_paused && (has_message || !self.may_read(queries_max));
        self.partial_since = match (self.frames.is_empty() || waits_for_us, self.partial_since) {
            (true, _) => None,
            (false, Some(since)) if since >= self.last_message => Some(since),
            (false, _) => Some(now),
        };
    }

    /// Records what the client has taken, or of a response that waits for it.
    pub(crate) fn on_unsent(&mut self, took_some: bool, now: Moment) {
        self.unsent_since = match (self.unsent() == 0, self.unsent_since) {
            (true, _) => None,
            (false, Some(since)) if !took_some => Some(since),
            (false, _) => Some(now),
        };
    }

    fn activity(&self) -> Activity {
        Activity {
            last_message: self.last_message,
            is_idle: self.in_flight == 0 && self.unsent() == 0,
        }
    }

    /// When it is to be closed if nothing happens; none while only responses are awaited.
    fn deadline(&self, idle: Duration, age_max: Option<Duration>) -> Option<Moment> {
        if let Some(since) = self.handshake_since
            && !dotgate_wire::planted!("handshake-has-no-deadline")
        {
            return Some(since + limits::STREAM_HANDSHAKE);
        }
        let stalled = self
            .unsent_since
            .map(|since| since + limits::STREAM_STALLED);
        let partial = self
            .partial_since
            .map(|since| since + limits::STREAM_MESSAGE_WAIT);
        let Activity {
            last_message,
            is_idle,
        } = self.activity();
        earlier(
            earlier(self.leaving_deadline(age_max), earlier(stalled, partial)),
            is_idle.then(|| last_message + idle),
        )
    }
}

/// All client connections of one engine.
pub(crate) struct Streams {
    map: SlotMap<StreamKey, Stream>,
    holders: Holders,
    max: usize,
    per_client_max: usize,
    handshakes: Handshakes,
    idle: IdleTimeouts,
    age_max: Option<Duration>,
    queries_total: Option<NonZeroU32>,
    queries_max: usize,
    /// This worker's number, under which it publishes its cost.
    worker: WorkerId,
    memory: Arc<ClientMemory>,
    /// What all connections cost.
    bytes: usize,
    wants_relief: bool,
    relief_again: Option<Moment>,
    /// Until when a limit that is reached again is no reason to look at once.
    relief_pause: Option<Moment>,
    /// Connections that are not read or written because memory is scarce.
    waiting_for_memory: Vec<StreamKey>,
    timers: BinaryHeap<Reverse<(Moment, StreamKey)>>,
}

impl Streams {
    pub(crate) fn new(
        settings: &Settings,
        keys: (u64, u64),
        worker: WorkerId,
        memory: Arc<ClientMemory>,
    ) -> Streams {
        memory.set_max(settings.client_memory);
        Streams {
            map: SlotMap::with_key(),
            holders: Holders::new(keys),
            max: settings.streams_max,
            per_client_max: settings.streams_per_client_max,
            handshakes: Handshakes::default(),
            idle: IdleTimeouts::of(settings),
            age_max: settings.stream_age_max,
            queries_total: settings.stream_queries_total,
            queries_max: settings.stream_queries_max,
            worker,
            memory,
            bytes: 0,
            wants_relief: false,
            relief_again: None,
            relief_pause: None,
            waiting_for_memory: Vec::new(),
            timers: BinaryHeap::new(),
        }
    }

    /// Switches to other settings. Connected clients stay, with the current idle timeout.
    pub(crate) fn reconfigure(&mut self, settings: &Settings) {
        self.per_client_max = settings.streams_per_client_max;
        self.max = settings.streams_max;
        self.idle = IdleTimeouts::of(settings);
        self.age_max = settings.stream_age_max;
        self.queries_total = settings.stream_queries_total;
        self.queries_max = settings.stream_queries_max;
        self.memory.set_max(settings.client_memory);
        for key in self.keys() {
            self.watch(key);
        }
    }

    /// Takes a new connection, unless this client or all together have too many. A balancer's header may come first.
    pub(crate) fn open(
        &mut self,
        AcceptedStream { peer, local, kind }: AcceptedStream,
        awaits_header: bool,
        now: Moment,
    ) -> Option<StreamKey> {
        let is_one_too_many = !kind.is_shared() && self.has_its_share(peer);
        if self.map.len() >= self.max || is_one_too_many {
            return None;
        }
        let holder = self.holders.add(ClientId::of(peer));
        let begins_handshake = awaits_header || kind.has_handshake();
        let timer = now
            + match begins_handshake {
                false => self.idle.for_kind(kind),
                true => limits::STREAM_HANDSHAKE,
            };
        let key = self.map.insert(Stream {
            peer,
            local,
            kind,
            awaits_header,
            handshake_since: None,
            holder,
            frames: Frames::default(),
            outgoing: Vec::new(),
            encrypted: 0,
            driver_bytes: 0,
            pending: PendingQueue::default(),
            kernel_bytes: 0,
            acknowledged: 0,
            unread_since: None,
            charged: 0,
            waits_for_memory: false,
            is_dirty: false,
            in_flight: 0,
            has_ended: false,
            is_paused: false,
            queries: 0,
            opened: now,
            leaving_since: None,
            is_cut: false,
            empty_frames: 0,
            rejected: 0,
            end: StreamEnd::Finished,
            last_message: now,
            partial_since: None,
            unsent_since: None,
            timer,
        });
        self.set_timer(timer, key);
        let map = &self.map;
        let is_open = |key| map.contains_key(key);
        self.holders.enter(holder, key, now, is_open);
        if begins_handshake {
            self.begin_handshake(now, key);
        }
        self.charge(key);
        // Its age may end before its idle time.
        if self.age_max.is_some() {
            self.watch(key);
        }
        Some(key)
    }

    /// Whether a client has as many connections as one may have.
    pub(crate) fn has_its_share(&self, peer: IpAddr) -> bool {
        self.holders.connections_of(ClientId::of(peer)) >= self.per_client_max
    }

    /// Whether memory is scarce and this client has its share of it, or more.
    pub(crate) fn costs_its_share(&self, peer: IpAddr) -> bool {
        let cost = self.holders.bytes_of_client(ClientId::of(peer));
        self.memory.used() >= self.memory.max() / 2 && cost >= self.memory.share_of_client()
    }

    /// Whether more may be read from a client.
    pub(crate) fn may_read(&self, key: StreamKey) -> bool {
        self.map
            .get(key)
            .is_some_and(|stream| stream.may_read(self.queries_max) && self.may_grow(stream.holder))
    }

    /// Whether the next response to a client is to wait until others are written.
    pub(crate) fn is_full(&self, key: StreamKey) -> bool {
        self.map.get(key).is_some_and(|stream| {
            !stream.pending.is_empty()
                || stream.unsent() >= limits::STREAM_UNSENT_BYTES
                || !self.may_grow(stream.holder)
        })
    }

    /// Whether a response that waits may be written out now. If memory is in the way, it is once there is some.
    pub(crate) fn may_write_out(&mut self, key: StreamKey) -> bool {
        let Some(stream) = self.map.get(key) else {
            return false;
        };
        if stream.pending.is_empty() || stream.unsent() >= limits::STREAM_UNSENT_BYTES {
            return false;
        }
        let may_grow = self.may_grow(stream.holder);
        if !may_grow {
            self.wait_for_memory(key);
        }
        may_grow
    }

    pub(crate) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.map.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.map.get_mut(key)
    }

    pub(crate) fn remove(&mut self, key: StreamKey) -> Option<Stream> {
        self.end_handshake(key);
        let stream = self.map.remove(key)?;
        self.change_bytes(stream.holder, stream.charged, 0);
        self.holders.remove(stream.holder);
        Some(stream)
    }

    pub(crate) fn keys(&self) -> Vec<StreamKey> {
        self.map.keys().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// The current idle timeouts: a quarter when three quarters of the connections are taken (RFC 9210 section 4.5).
    fn idle_limits(&self) -> IdleTimeouts {
        if self.map.len() > self.max / 4 * 3 {
            self.idle.quarter()
        } else {
            self.idle
        }
    }

    /// The idle timeout advertised to a client: none when the next connection would have to displace one, or when this one is to
    /// close, which asks the client to close it (RFC 7828 section 3.4).
    pub(crate) fn advertised_idle(&self, key: StreamKey, kind: StreamKind) -> Duration {
        if self.map.len() >= self.max || self.is_last_query(key) {
            Duration::ZERO
        } else {
            self.idle_limits().for_kind(kind)
        }
    }

    /// Sets the timer for a stream whose deadline may have moved closer.
    pub(crate) fn watch(&mut self, key: StreamKey) {
        let idle = self.idle_limits();
        if let Some(stream) = self.map.get_mut(key)
            && let Some(deadline) = stream.deadline(idle.for_kind(stream.kind), self.age_max)
            && deadline < stream.timer
        {
            stream.timer = deadline;
            self.set_timer(deadline, key);
        }
    }

    /// Enters a connection's timer in the queue. What the queue has of connections that are closed, or of timers that were set
    /// again, leaves it when it is more than the rest.
    fn set_timer(&mut self, timer: Moment, key: StreamKey) {
        self.timers.push(Reverse((timer, key)));
        if self.timers.len() > 2 * self.map.len() + OUTDATED_TIMERS {
            let map = &self.map;
            let is_set = |timer, key| map.get(key).is_some_and(|stream| stream.timer == timer);
            self.timers
                .retain(|Reverse((timer, key))| is_set(*timer, *key));
        }
    }

    /// The next stream that has timed out at `now`, if any.
    pub(crate) fn poll_expired(&mut self, now: Moment) -> Option<StreamKey> {
        let idle = self.idle_limits();
        while let Some(&Reverse((timer, key))) = self.timers.peek() {
            if timer > now {
                return None;
            }
            self.timers.pop();
            let Some(stream) = self.map.get_mut(key).filter(|stream| stream.timer == timer) else {
                continue;
            };
            let idle = idle.for_kind(stream.kind);
            match stream.deadline(idle, self.age_max) {
                Some(deadline) if deadline <= now => return Some(key),
                deadline => {
                    stream.timer = deadline.unwrap_or(now + idle).max(now + MIN_TIMER);
                    self.timers.push(Reverse((stream.timer, key)));
                }
            }
        }
        None
    }

    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.timers.peek().map(|Reverse((timer, _))| *timer)
    }

    /// The connection that is displaced by a new one of `newcomer` when all are taken. The clients with most connections
    /// lose one first, each the connection that was active least recently; one that has long been idle comes
    /// before any that is in use. None if no client has clearly more than the newcomer.
    pub(crate) fn displaced_by(&mut self, newcomer: IpAddr, now: Moment) -> Option<StreamKey> {
        let map = &self.map;
        let look = |key| map.get(key).map(Stream::activity);
        let largest: Vec<(usize, HolderKey)> = self
            .holders
            .by_connections()
            .take(limits::STREAM_SHED_CLIENTS)
            .collect();
        let newcomer_has = self.holders.connections_of(ClientId::of(newcomer));
        let mut idle: Option<(usize, Moment, StreamKey)> = None;
        let mut in_use = None;
        for (connections, holder) in largest {
            if idle.is_some_and(|(of_its_client, ..)| of_its_client > connections) {
                break;
            }
            let Some((key, activity)) = self.holders.least_active(holder, look) else {
                continue;
            };
            let since = activity.last_message;
            if activity.is_idle && now.since(since) >= limits::STREAM_SHED_IDLE {
                if idle.is_none_or(|(_, earliest, other)| (since, key) < (earliest, other)) {
                    idle = Some((connections, since, key));
                }
            } else if connections > newcomer_has + 1 {
                in_use = in_use.or(Some(key));
            }
        }
        let displaced = idle.map(|(.., key)| key).or(in_use);
        displaced.filter(|_| !dotgate_wire::planted!("idle-clients-are-never-displaced"))
    }
}

/// Entries of the timer queue without a connection that are never too many.
const OUTDATED_TIMERS: usize = 64;

/// A timer is never set closer than this, so that every turn moves on.
const MIN_TIMER: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
