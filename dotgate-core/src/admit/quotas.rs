//! The queries that each client address has in flight, over all workers, and what was released to it of late.
//!
//! UDP and TCP are counted apart: a source over UDP can be forged, and must not use up what its owner has over TCP.
//! Limits: `Settings::queries_per_client_max` of each; `limits::RELEASE_BYTES` in `limits::RELEASE_WINDOW`.

use std::sync::PoisonError;

use hashbrown::HashTable;

use super::{ClientId, hash};
use crate::limits;
use crate::moment::Moment;
use crate::sync::{Mutex, MutexGuard};

/// Locks, enough that workers rarely wait for one another.
const SHARDS: usize = 64;

/// How a client's query came, as far as its quota goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Via {
    Datagram,
    Stream,
}

struct Entry {
    client: ClientId,
    datagrams: u32,
    streams: u32,
    /// The window in which something was released last, by its number, and how many bytes that were.
    window: u64,
    released: u32,
}

impl Entry {
    fn count(&mut self, via: Via) -> &mut u32 {
        match via {
            Via::Datagram => &mut self.datagrams,
            Via::Stream => &mut self.streams,
        }
    }
}

/// The clients that have queries in flight, shared by the engines of a process.
pub struct Quotas {
    keys: (u64, u64),
    shards: Box<[Mutex<HashTable<Entry>>]>,
}

impl Quotas {
    /// For clients that are hashed with `keys`, which must be unpredictable in production.
    pub fn new(keys: (u64, u64)) -> Quotas {
        Quotas {
            keys,
            shards: (0..SHARDS).map(|_| Mutex::new(HashTable::new())).collect(),
        }
    }

    /// Counts one more query of the client, unless it has `max` already.
    pub(crate) fn take(&self, client: ClientId, via: Via, max: usize) -> bool {
        let keys = self.keys;
        let (hash, Some(mut shard)) = self.shard(client) else {
            return true;
        };
        let entry = shard.entry(
            hash,
            |entry| entry.client == client,
            |entry| self::hash(keys, entry.client),
        );
        let make = || Entry {
            client,
            datagrams: 0,
            streams: 0,
            window: 0,
            released: 0,
        };
        let count = entry.or_insert_with(make).into_mut().count(via);
        let is_free = (*count as usize) < max;
        *count += u32::from(is_free);
        is_free
    }

    /// Counts one query of the client less.
    pub(crate) fn release(&self, client: ClientId, via: Via) {
        let (hash, Some(mut shard)) = self.shard(client) else {
            return;
        };
        if let Ok(mut found) = shard.find_entry(hash, |entry| entry.client == client) {
            let entry = found.get_mut();
            let count = entry.count(via);
            *count = count.saturating_sub(1);
            if (entry.datagrams, entry.streams) == (0, 0) {
                found.remove();
            }
        }
    }

    /// Whether another response may leave for a client that has queries in flight.
    pub(crate) fn may_release(&self, now: Moment, client: ClientId) -> bool {
        let (hash, Some(shard)) = self.shard(client) else {
            return true;
        };
        let entry = shard.find(hash, |entry| entry.client == client);
        entry.is_none_or(|entry| {
            entry.window != window(now) || entry.released < limits::RELEASE_BYTES
        })
    }

    /// Notes that a response of so many bytes leaves for the client.
    pub(crate) fn note_released(&self, now: Moment, client: ClientId, bytes: usize) {
        let (hash, Some(mut shard)) = self.shard(client) else {
            return;
        };
        if let Some(entry) = shard.find_mut(hash, |entry| entry.client == client) {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            if entry.window != window(now) {
                (entry.window, entry.released) = (window(now), 0);
            }
            entry.released = entry.released.saturating_add(bytes);
        }
    }

    fn shard(&self, client: ClientId) -> (u64, Option<MutexGuard<'_, HashTable<Entry>>>) {
        let hash = hash(self.keys, client);
        // The table itself uses the other end of the hash.
        let shard = self.shards.get((hash >> 32) as usize % SHARDS);
        (hash, shard.map(lock))
    }

    #[cfg(test)]
    pub(crate) fn clients(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}

fn lock(shard: &Mutex<HashTable<Entry>>) -> MutexGuard<'_, HashTable<Entry>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of the window of time that `now` is in.
fn window(now: Moment) -> u64 {
    now.nanos() / limits::RELEASE_WINDOW.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_counted_by_transport_and_forgotten_at_zero() {
        let quotas = Quotas::new((1, 2));
        let (a, b) = (ClientId(1), ClientId(2));
        let take = |client, via| quotas.take(client, via, 2);
        assert!(take(a, Via::Datagram) && take(a, Via::Datagram) && !take(a, Via::Datagram));
        assert!(take(a, Via::Stream), "forged sources do not count here");
        assert!(take(b, Via::Datagram));
        quotas.release(a, Via::Datagram);
        assert!(take(a, Via::Datagram) && !take(a, Via::Datagram));
        for via in [Via::Datagram, Via::Datagram, Via::Stream] {
            quotas.release(a, via);
        }
        quotas.release(b, Via::Datagram);
        assert_eq!(quotas.clients(), 0);
    }

    #[test]
    fn what_leaves_for_a_client_in_one_window_is_bounded() {
        let quotas = Quotas::new((1, 2));
        let (client, other) = (ClientId(1), ClientId(2));
        let now = Moment::from_nanos(1_000_000_000);
        for client in [client, other] {
            assert!(quotas.take(client, Via::Datagram, 2));
        }
        quotas.note_released(now, client, limits::RELEASE_BYTES as usize - 1);
        assert!(quotas.may_release(now, client));
        quotas.note_released(now, client, 1_232);
        assert!(!quotas.may_release(now, client));
        assert!(quotas.may_release(now, other));
        assert!(quotas.may_release(now + limits::RELEASE_WINDOW, client));
    }
}
