//! The memory of connections, and which of them are closed at the limit.
//!
//! Every change of a connection's cost goes through `charge`. Limits: `Settings::client_memory`.

use std::collections::BinaryHeap;

use slotmap::SecondaryMap;

use super::{Pending, Stream, Streams};
use crate::keys::{HolderKey, StreamKey};
use crate::limits;
use crate::moment::{Moment, earlier};

/// What the kernel buffers for a client's connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KernelBuffers {
    /// What it takes for it, in bytes, in both directions.
    pub bytes: usize,
    /// Whether it has bytes that the client has not acknowledged.
    pub is_sending: bool,
    /// How many bytes the client has acknowledged in all.
    pub acknowledged: u64,
}

impl Stream {
    /// What it costs, in bytes.
    fn cost(&self) -> usize {
        self.kind.bytes()
            + self.frames.capacity()
            + self.outgoing.capacity()
            + self.encrypted
            + self.driver_bytes
            + self.pending.bytes()
            + self.kernel_bytes
    }

    /// Records what the kernel buffers for the connection.
    fn on_measured(&mut self, now: Moment, measured: KernelBuffers) {
        self.kernel_bytes = measured.bytes;
        let is_moving = measured.acknowledged != self.acknowledged;
        self.acknowledged = measured.acknowledged;
        self.unread_since = match (measured.is_sending, self.unread_since) {
            (false, _) => None,
            (true, Some(since)) if !is_moving => Some(since),
            (true, _) => Some(now),
        };
    }

    /// Whether the client has read nothing of what waits for it for a while.
    fn is_stalled(&self, now: Moment) -> bool {
        let since = earlier(self.unsent_since, self.unread_since);
        since.is_some_and(|since| now.since(since) >= limits::STREAM_SHED_STALLED)
    }
}

impl Streams {
    /// Counts what a connection costs now.
    pub(crate) fn charge(&mut self, key: StreamKey) {
        let Some(stream) = self.map.get_mut(key) else {
            return;
        };
        let cost = stream.cost();
        let before = std::mem::replace(&mut stream.charged, cost);
        if cost != before {
            let holder = stream.holder;
            self.change_bytes(holder, before, cost);
        }
    }

    /// Records what the kernel buffers for a connection.
    pub(crate) fn on_measured(&mut self, now: Moment, key: StreamKey, measured: KernelBuffers) {
        if let Some(stream) = self.map.get_mut(key) {
            stream.on_measured(now, measured);
            self.charge(key);
        }
    }

    /// Counts a change of what one connection of this client costs.
    pub(super) fn change_bytes(&mut self, holder: HolderKey, before: usize, after: usize) {
        self.holders.change_bytes(holder, before, after);
        self.bytes = (self.bytes + after).saturating_sub(before);
        self.memory.set_streams(self.worker, self.bytes);
        let (used, max) = (self.memory.used(), self.memory.max());
        let is_far_beyond = used > max + max / limits::RELIEF_BEYOND;
        match self.relief_pause {
            Some(end) if used > max && !is_far_beyond => {
                self.relief_again = earlier(self.relief_again, Some(end));
            }
            Some(_) | None => {
                self.wants_relief |= used > max || (used > max / 2 && self.relief_again.is_none());
            }
        }
    }

    /// Whether this client may cost more than it does: anybody may while half of the memory is free, and one that has
    /// less than its share while there is any.
    pub(super) fn may_grow(&self, holder: HolderKey) -> bool {
        let (used, max) = (self.memory.used(), self.memory.max());
        used < max / 2
            || dotgate_wire::planted!("memory-of-clients-has-no-limit")
            || (used < max && self.holders.bytes_of(holder) < self.memory.share_of_client())
    }

    /// Whether a response may wait for a client: if it shares its answer with the one before it, and else if the client
    /// costs less than its share or may cost more.
    pub(crate) fn may_wait(&self, key: StreamKey, pending: &Pending) -> bool {
        self.map.get(key).is_some_and(|stream| {
            let share = self.memory.share_of_client();
            stream.pending.shares(&pending.answer)
                || self.holders.bytes_of(stream.holder) < share
                || self.may_grow(stream.holder)
        })
    }

    /// The connections that are to end. From half of the limit on: those whose clients have read nothing for a while,
    /// of each address that costs more than its share. Beyond the limit: as many as bring all workers together below
    /// seven eighths of it, unless those of other workers cost more; if there are not enough that read nothing, also
    /// others. The address that costs most comes first, with the connection that costs most.
    pub(crate) fn to_be_closed(&self, now: Moment) -> Vec<StreamKey> {
        let (used, max) = (self.memory.used(), self.memory.max());
        let mut closed = Vec::new();
        if used < max / 2 || dotgate_wire::planted!("largest-client-never-gives-way") {
            return closed;
        }
        let is_beyond = used > max && self.memory.is_among_largest(self.worker);
        let mut to_free = if is_beyond { used - max / 8 * 7 } else { 0 };
        let share = self.memory.share_of_client();
        let mut left = self.holders.by_bytes();
        let is_stalled = |stream: &Stream| stream.is_stalled(now);
        self.choose(
            &mut left,
            is_stalled,
            |of_client, cost| {
                let goes_on = to_free > 0 || of_client > share;
                to_free = to_free.saturating_sub(if goes_on { cost } else { 0 });
                goes_on
            },
            &mut closed,
        );
        if to_free > 0 {
            let is_left = |stream: &Stream| !stream.is_stalled(now);
            self.choose(
                &mut left,
                is_left,
                |_, cost| {
                    let goes_on = to_free > 0;
                    to_free = to_free.saturating_sub(cost);
                    goes_on
                },
                &mut closed,
            );
        }
        closed
    }

    /// Moves connections into `closed`, the most expensive one of the most expensive client each time, while
    /// `goes_on` says so of what the client and the connection cost. `clients` becomes the remaining cost of each.
    fn choose(
        &self,
        clients: &mut BinaryHeap<(usize, HolderKey)>,
        is_meant: impl Fn(&Stream) -> bool,
        mut goes_on: impl FnMut(usize, usize) -> bool,
        closed: &mut Vec<StreamKey>,
    ) {
        let mut connections: SecondaryMap<HolderKey, Vec<(usize, StreamKey)>> = SecondaryMap::new();
        let mut done = Vec::new();
        while let Some((of_client, holder)) = clients.pop() {
            let cheapest_first = match connections.entry(holder) {
                Some(entry) => entry.or_insert_with(|| self.cheapest_first(holder, &is_meant)),
                None => continue,
            };
            match cheapest_first.pop() {
                Some((cost, key)) if goes_on(of_client, cost) => {
                    closed.push(key);
                    clients.push((of_client.saturating_sub(cost), holder));
                }
                Some(_) => {
                    done.push((of_client, holder));
                    break;
                }
                None => done.push((of_client, holder)),
            }
        }
        clients.extend(done);
    }

    /// Those connections of a client that are meant, by what they cost.
    fn cheapest_first(
        &self,
        holder: HolderKey,
        is_meant: impl Fn(&Stream) -> bool,
    ) -> Vec<(usize, StreamKey)> {
        let streams = self.holders.streams_of(holder);
        let found = streams.filter_map(|key| Some((key, self.map.get(key)?)));
        let meant = found.filter(|(_, stream)| is_meant(stream));
        let mut meant: Vec<(usize, StreamKey)> =
            meant.map(|(key, stream)| (stream.charged, key)).collect();
        meant.sort_unstable();
        meant
    }

    /// Notes that a connection gets on once there is memory again.
    pub(crate) fn wait_for_memory(&mut self, key: StreamKey) {
        if let Some(stream) = self.map.get_mut(key)
            && !std::mem::replace(&mut stream.waits_for_memory, true)
        {
            self.waiting_for_memory.push(key);
        }
    }

    /// Takes the connections that wait for memory.
    pub(crate) fn take_waiting_for_memory(&mut self) -> Vec<StreamKey> {
        let waiting = std::mem::take(&mut self.waiting_for_memory);
        for key in &waiting {
            if let Some(stream) = self.map.get_mut(*key) {
                stream.waits_for_memory = false;
            }
        }
        waiting
    }

    /// Whether the driver is to measure and then call `Engine::free_client_memory`; forgets that it is.
    pub(crate) fn take_wants_relief(&mut self) -> bool {
        std::mem::take(&mut self.wants_relief)
    }

    /// When memory is looked at again, if it is scarce.
    pub(crate) fn relief_again(&self) -> Option<Moment> {
        self.relief_again
    }

    /// Memory is looked at now. That measures all connections, so a limit that is reached again at once waits for a
    /// while.
    pub(crate) fn begin_relief_pause(&mut self, now: Moment) {
        self.relief_pause = Some(now + limits::RELIEF_PAUSE);
        // What was measured may have been the reason for it, and is known now.
        self.wants_relief = false;
    }

    /// Schedules another check of memory, as long as it is scarce and connections here use some.
    pub(crate) fn plan_relief(&mut self, now: Moment) {
        let (used, max) = (self.memory.used(), self.memory.max());
        let is_due =
            (used > max / 2 && !self.map.is_empty()) || !self.waiting_for_memory.is_empty();
        let after = match used > max {
            true => limits::RELIEF_PAUSE,
            false => limits::RELIEF_EVERY,
        };
        self.relief_again = is_due.then(|| now + after);
    }

    /// Requests a check of memory if it is due.
    pub(crate) fn end_relief_pause(&mut self, now: Moment) {
        self.relief_pause.take_if(|end| *end <= now);
        if self.relief_again.is_some_and(|due| due <= now) {
            self.relief_again = None;
            self.wants_relief = true;
        }
    }
}
