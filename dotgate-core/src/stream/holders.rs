//! What each client address holds of the connections: how many, how much memory, and which one was active least
//! recently.
//!
//! Selects the client that loses a connection when there is no room. Opening and closing a connection costs a
//! logarithm of the number of clients. Entries of closed connections leave a client's queue lazily; a queue never has
//! more than twice as many entries as there are connections.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use hashbrown::HashTable;
use slotmap::SlotMap;

use crate::admit::{ClientId, hash};
use crate::keys::{HolderKey, StreamKey};
use crate::moment::Moment;

/// Connections in use that are looked at before the search for an idle one of the same client ends.
const BUSY_CONNECTIONS: usize = 8;

/// The data of a connection that decides which one is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Activity {
    /// When the last complete message came.
    pub(super) last_message: Moment,
    /// Whether nothing is asked on it and nothing waits to be written to it.
    pub(super) is_idle: bool,
}

struct Holder {
    client: ClientId,
    connections: u32,
    handshakes: u32,
    bytes: usize,
    /// Its connections by the last message that was seen when the entry was made, which may be out of date.
    by_age: BinaryHeap<Reverse<(Moment, StreamKey)>>,
}

/// The clients that have connections.
pub(super) struct Holders {
    keys: (u64, u64),
    index: HashTable<(ClientId, HolderKey)>,
    holders: SlotMap<HolderKey, Holder>,
    by_connections: BTreeSet<(u32, HolderKey)>,
}

impl Holders {
    pub(super) fn new(keys: (u64, u64)) -> Holders {
        Holders {
            keys,
            index: HashTable::new(),
            holders: SlotMap::with_key(),
            by_connections: BTreeSet::new(),
        }
    }

    /// How many connections a client has.
    pub(super) fn connections_of(&self, client: ClientId) -> usize {
        self.find(client)
            .map_or(0, |holder| holder.connections as usize)
    }

    /// Counts one more connection of a client.
    pub(super) fn add(&mut self, client: ClientId) -> HolderKey {
        let keys = self.keys;
        let hash = hash(keys, client);
        let entry = self.index.entry(
            hash,
            |entry| entry.0 == client,
            |entry| self::hash(keys, entry.0),
        );
        let holders = &mut self.holders;
        let make = || {
            let holder = Holder {
                client,
                connections: 0,
                handshakes: 0,
                bytes: 0,
                by_age: BinaryHeap::new(),
            };
            (client, holders.insert(holder))
        };
        let key = entry.or_insert_with(make).get().1;
        self.change_connections(key, |connections| connections.saturating_add(1));
        key
    }

    /// Notes a client's new connection, counted by `add`. `is_open` tells which connections still are.
    pub(super) fn enter(
        &mut self,
        key: HolderKey,
        stream: StreamKey,
        now: Moment,
        is_open: impl Fn(StreamKey) -> bool,
    ) {
        if let Some(holder) = self.holders.get_mut(key) {
            holder.by_age.push(Reverse((now, stream)));
            if holder.by_age.len() > 2 * holder.connections as usize {
                holder
                    .by_age
                    .retain(|Reverse((_, stream))| is_open(*stream));
            }
        }
    }

    /// Counts one connection less.
    pub(super) fn remove(&mut self, key: HolderKey) {
        self.change_connections(key, |connections| connections.saturating_sub(1));
        let Some(holder) = self.holders.get(key) else {
            return;
        };
        if holder.connections > 0 {
            return;
        }
        let client = holder.client;
        self.by_connections.remove(&(0, key));
        self.holders.remove(key);
        let hash = hash(self.keys, client);
        if let Ok(entry) = self.index.find_entry(hash, |entry| entry.0 == client) {
            entry.remove();
        }
    }

    /// How many TLS handshakes of a client are in progress.
    pub(super) fn handshakes_of(&self, client: ClientId) -> usize {
        self.find(client)
            .map_or(0, |holder| holder.handshakes as usize)
    }

    /// Counts so many more handshakes of a client, or less.
    pub(super) fn change_handshakes(&mut self, key: HolderKey, by: i32) {
        if let Some(holder) = self.holders.get_mut(key) {
            holder.handshakes = holder.handshakes.saturating_add_signed(by);
        }
    }

    /// What the connections of a client cost.
    pub(super) fn bytes_of(&self, key: HolderKey) -> usize {
        self.holders.get(key).map_or(0, |holder| holder.bytes)
    }

    /// The same of a client that may have none.
    pub(super) fn bytes_of_client(&self, client: ClientId) -> usize {
        self.find(client).map_or(0, |holder| holder.bytes)
    }

    /// Counts a change of what one connection costs.
    pub(super) fn change_bytes(&mut self, key: HolderKey, before: usize, after: usize) {
        if let Some(holder) = self.holders.get_mut(key) {
            holder.bytes = (holder.bytes + after).saturating_sub(before);
        }
    }

    /// What the connections of each client cost.
    pub(super) fn by_bytes(&self) -> BinaryHeap<(usize, HolderKey)> {
        let all = self.holders.iter();
        all.map(|(key, holder)| (holder.bytes, key)).collect()
    }

    /// The connections of a client, and perhaps some that are closed.
    pub(super) fn streams_of(&self, key: HolderKey) -> impl Iterator<Item = StreamKey> {
        let queue = self.holders.get(key).map(|holder| holder.by_age.iter());
        let entries = queue.into_iter().flatten();
        entries.map(|Reverse((_, stream))| *stream)
    }

    /// The clients with most connections first.
    pub(super) fn by_connections(&self) -> impl Iterator<Item = (usize, HolderKey)> {
        let all = self.by_connections.iter().rev();
        all.map(|(connections, key)| (*connections as usize, *key))
    }

    /// The connection of a client that was active least recently, idle ones before those in use.
    pub(super) fn least_active(
        &mut self,
        key: HolderKey,
        look: impl Fn(StreamKey) -> Option<Activity>,
    ) -> Option<(StreamKey, Activity)> {
        let queue = &mut self.holders.get_mut(key)?.by_age;
        let mut looked_at = Vec::new();
        let mut found: Option<(StreamKey, Activity)> = None;
        while let Some(Reverse((noted, stream))) = queue.pop() {
            match look(stream) {
                None => {}
                Some(activity) if activity.last_message > noted => {
                    queue.push(Reverse((activity.last_message, stream)));
                }
                Some(activity) => {
                    looked_at.push(Reverse((noted, stream)));
                    if activity.is_idle {
                        found = Some((stream, activity));
                        break;
                    }
                    found = found.or(Some((stream, activity)));
                    if looked_at.len() == BUSY_CONNECTIONS {
                        break;
                    }
                }
            }
        }
        queue.extend(looked_at);
        found
    }

    fn find(&self, client: ClientId) -> Option<&Holder> {
        let hash = hash(self.keys, client);
        let (_, key) = self.index.find(hash, |entry| entry.0 == client)?;
        self.holders.get(*key)
    }

    fn change_connections(&mut self, key: HolderKey, change: impl FnOnce(u32) -> u32) {
        if let Some(holder) = self.holders.get_mut(key) {
            self.by_connections.remove(&(holder.connections, key));
            holder.connections = change(holder.connections);
            self.by_connections.insert((holder.connections, key));
        }
    }

    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        assert_eq!(self.index.len(), self.holders.len());
        assert_eq!(self.by_connections.len(), self.holders.len());
        self.holders.len()
    }
}
