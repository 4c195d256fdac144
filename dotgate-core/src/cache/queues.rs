//! Which entry goes when there is no room: S3-FIFO.
//!
//! New entries enter a small queue, a tenth of the room. Those hit twice before they reach its end move to the
//! main queue, the others go, and a fingerprint of each is stored for a while: an entry that comes back then enters the
//! main queue at once. There, a hit since the last round buys another one. So names that are asked once, however
//! many, pass through the small queue and touch nothing else. A hit only raises a count.
//! Yang and others, "FIFO queues are all you need for cache eviction", SOSP 2023.

use super::arena::{Arena, IN_MAIN, Place};

/// Hits in the small queue that lead to the main one.
const HITS_TO_MAIN: u8 = 2;

/// The small queue's share of all blocks: one in so many.
const SMALL_SHARE: u32 = 10;

/// Entries that one call may spare; then the next is evicted regardless of its hits. Bounds the time under the lock.
const SPARED_MAX: u32 = 64;

/// One queue, linked through the entries.
#[derive(Debug, Default)]
struct Queue {
    newest: Place,
    oldest: Place,
    blocks: u32,
}

/// Both queues of a shard and its memory of those that went.
#[derive(Debug)]
pub(super) struct Queues {
    small: Queue,
    main: Queue,
    /// Fingerprints by hash, 0 for none; a later one overwrites.
    ghosts: Box<[u16]>,
}

impl Queues {
    pub(super) fn new(ghosts: usize) -> Queues {
        Queues {
            small: Queue::default(),
            main: Queue::default(),
            ghosts: vec![0; ghosts].into(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.small = Queue::default();
        self.main = Queue::default();
        self.ghosts.fill(0);
    }

    /// Adds an entry as the newest of the main queue if it is marked so, or of the small one.
    pub(super) fn push(&mut self, arena: &mut Arena, place: Place) {
        let Some(entry) = arena.entry(place) else {
            return;
        };
        let blocks = entry.blocks();
        let queue = self.queue(entry.has(IN_MAIN));
        let before = queue.newest;
        queue.newest = place;
        queue.blocks += blocks;
        match arena.entry_mut(before) {
            Some(newest) => newest.newer = place,
            None => queue.oldest = place,
        }
        if let Some(entry) = arena.entry_mut(place) {
            (entry.older, entry.newer) = (before, Place::NONE);
        }
    }

    /// Takes an entry out of its queue.
    pub(super) fn unlink(&mut self, arena: &mut Arena, place: Place) {
        let Some(entry) = arena.entry(place) else {
            return;
        };
        let (older, newer, blocks) = (entry.older, entry.newer, entry.blocks());
        let queue = self.queue(entry.has(IN_MAIN));
        queue.blocks = queue.blocks.saturating_sub(blocks);
        match arena.entry_mut(older) {
            Some(entry) => entry.newer = newer,
            None => queue.oldest = newer,
        }
        match arena.entry_mut(newer) {
            Some(entry) => entry.older = older,
            None => queue.newest = older,
        }
    }

    fn queue(&mut self, is_main: bool) -> &mut Queue {
        if is_main {
            &mut self.main
        } else {
            &mut self.small
        }
    }

    /// The entry that goes next; none if there is none. It is left in its queue. `is_dead` tells entries that
    /// nothing can save.
    pub(super) fn victim(
        &mut self,
        arena: &mut Arena,
        is_dead: impl Fn(&Arena, Place) -> bool,
    ) -> Option<Place> {
        for _ in 0..SPARED_MAX {
            let place = self.next_in_turn(arena)?;
            let is_dead = is_dead(arena, place);
            let entry = arena.entry_mut(place)?;
            let is_main = entry.has(IN_MAIN);
            let needed = if is_main { 1 } else { HITS_TO_MAIN };
            if is_dead || entry.frequency() < needed {
                break;
            }
            entry.set_frequency(if is_main { entry.frequency() - 1 } else { 0 });
            self.unlink(arena, place);
            if let Some(entry) = arena.entry_mut(place) {
                entry.mark(IN_MAIN, true);
            }
            self.push(arena, place);
        }
        self.next_in_turn(arena)
    }

    fn next_in_turn(&self, arena: &Arena) -> Option<Place> {
        let is_small_full = self.small.blocks > arena.limit() / SMALL_SHARE;
        let place = if is_small_full || self.main.oldest == Place::NONE {
            self.small.oldest
        } else {
            self.main.oldest
        };
        (place != Place::NONE).then_some(place)
    }

    /// Stores the fingerprint of an entry that leaves the small queue.
    pub(super) fn remember(&mut self, hash: u32) {
        if let Some(ghost) = self.ghost(hash) {
            *ghost = fingerprint(hash);
        }
    }

    /// Whether an entry with this hash left recently; its fingerprint is then removed.
    pub(super) fn recall(&mut self, hash: u32) -> bool {
        self.ghost(hash)
            .is_some_and(|ghost| *ghost == fingerprint(hash) && std::mem::take(ghost) != 0)
    }

    fn ghost(&mut self, hash: u32) -> Option<&mut u16> {
        let slot = slot(hash, self.ghosts.len());
        self.ghosts.get_mut(slot)
    }
}

/// The place of a hash among `count`, by its upper bits.
pub(super) fn slot(hash: u32, count: usize) -> usize {
    ((u64::from(hash) * count as u64) >> 32) as usize
}

fn fingerprint(hash: u32) -> u16 {
    (hash as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Queues {
        /// Both queues from the oldest to the newest, and the blocks they count.
        pub(in crate::cache) fn contents(&self, arena: &Arena) -> [(Vec<Place>, u32); 2] {
            [&self.small, &self.main].map(|queue| {
                let places = std::iter::successors(Some(queue.oldest), |place| {
                    arena.entry(*place).map(|entry| entry.newer)
                });
                let listed: Vec<Place> = places.take_while(|place| *place != Place::NONE).collect();
                assert_eq!(listed.last().copied().unwrap_or_default(), queue.newest);
                (listed, queue.blocks)
            })
        }

        pub(in crate::cache) fn bytes_reserved(&self) -> usize {
            self.ghosts.len() * size_of::<u16>()
        }
    }

    #[test]
    fn one_who_left_is_recalled_once() {
        let mut queues = Queues::new(100);
        assert!(!queues.recall(5));
        queues.remember(5);
        assert!(!queues.recall(6));
        assert!(queues.recall(5));
        assert!(!queues.recall(5));
    }

    #[test]
    fn every_hash_has_a_slot() {
        assert_eq!(
            (slot(0, 10), slot(u32::MAX, 10), slot(u32::MAX, 1)),
            (0, 9, 0)
        );
    }
}
