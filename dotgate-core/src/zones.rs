//! Which registrable domains the queries in flight are for, so that one of the domain with most can be shed.
//!
//! Kept for queries that come while more than half of the places are taken, and for no others. Entries of queries that
//! have ended leave a domain's queue lazily; it never has more than twice as many as queries wait.

use std::collections::{BTreeSet, VecDeque};

use hashbrown::HashTable;
use slotmap::SlotMap;

use crate::keys::{WaiterKey, ZoneKey};

struct Zone {
    hash: u64,
    waiting: u32,
    /// The queries that wait, oldest first.
    queue: VecDeque<WaiterKey>,
}

/// The registrable domains for which queries wait, each known by a keyed hash.
#[derive(Default)]
pub(crate) struct Zones {
    index: HashTable<(u64, ZoneKey)>,
    zones: SlotMap<ZoneKey, Zone>,
    by_waiting: BTreeSet<(u32, ZoneKey)>,
}

impl Zones {
    /// Finds the domain with this hash, in which one more query waits from now on; `enter` says which.
    pub(crate) fn join(&mut self, hash: u64) -> ZoneKey {
        let zones = &mut self.zones;
        let entry = self
            .index
            .entry(hash, |entry| entry.0 == hash, |entry| entry.0);
        let make = || {
            let zone = Zone {
                hash,
                waiting: 0,
                queue: VecDeque::new(),
            };
            (hash, zones.insert(zone))
        };
        let key = entry.or_insert_with(make).get().1;
        self.change(key, |waiting| waiting + 1);
        key
    }

    /// Notes the query that joined. `waits` tells which ones still wait.
    pub(crate) fn enter(
        &mut self,
        key: ZoneKey,
        waiter: WaiterKey,
        waits: impl Fn(WaiterKey) -> bool,
    ) {
        if let Some(zone) = self.zones.get_mut(key) {
            zone.queue.push_back(waiter);
            if zone.queue.len() > 2 * zone.waiting as usize {
                zone.queue.retain(|waiter| waits(*waiter));
            }
        }
    }

    /// A query in the domain waits no more.
    pub(crate) fn leave(&mut self, key: ZoneKey) {
        self.change(key, |waiting| waiting.saturating_sub(1));
        if let Some(zone) = self.zones.get(key).filter(|zone| zone.waiting == 0) {
            let hash = zone.hash;
            if let Ok(entry) = self.index.find_entry(hash, |entry| entry.1 == key) {
                entry.remove();
            }
            self.by_waiting.remove(&(0, key));
            self.zones.remove(key);
        }
    }

    /// The query that has waited longest in the domain with most that wait, if more than one does there.
    pub(crate) fn oldest_of_largest(
        &mut self,
        waits: impl Fn(WaiterKey) -> bool,
    ) -> Option<WaiterKey> {
        let is_blind = dotgate_wire::planted!("any-domain-gives-way");
        let (_, key) = self
            .by_waiting
            .last()
            .filter(|(waiting, _)| *waiting > 1 && !is_blind)?;
        let queue = &mut self.zones.get_mut(*key)?.queue;
        while queue.front().is_some_and(|waiter| !waits(*waiter)) {
            queue.pop_front();
        }
        queue.front().copied()
    }

    fn change(&mut self, key: ZoneKey, change: impl FnOnce(u32) -> u32) {
        if let Some(zone) = self.zones.get_mut(key) {
            self.by_waiting.remove(&(zone.waiting, key));
            zone.waiting = change(zone.waiting);
            self.by_waiting.insert((zone.waiting, key));
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.index.len(), self.zones.len());
        assert_eq!(self.by_waiting.len(), self.zones.len());
        self.zones.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_oldest_query_of_the_domain_with_most_is_found_and_nothing_is_left_at_the_end() {
        let mut keys = SlotMap::<WaiterKey, ()>::with_key();
        let mut zones = Zones::default();
        let mut waiting = BTreeSet::new();
        let mut of = Vec::new();
        for n in 0..300_u64 {
            let waiter = keys.insert(());
            waiting.insert(waiter);
            // Every third query is for the same domain, all others for one of their own.
            let zone = zones.join(if n % 3 == 0 { 7 } else { 1_000 + n });
            zones.enter(zone, waiter, |waiter| waiting.contains(&waiter));
            of.push((waiter, zone));
        }
        for place in [0, 3, 6] {
            let (waiter, zone) = of[place];
            assert_eq!(
                zones.oldest_of_largest(|it| waiting.contains(&it)),
                Some(waiter)
            );
            waiting.remove(&waiter);
            zones.leave(zone);
        }
        for (waiter, zone) in of {
            if waiting.remove(&waiter) {
                zones.leave(zone);
            }
        }
        assert_eq!(zones.len(), 0);
        assert_eq!(zones.oldest_of_largest(|_| true), None);
    }
}
