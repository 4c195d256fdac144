//! Where a shard keeps its entries: blocks of 64 bytes, each a cache line, in one allocation.
//!
//! An entry is its head, one block, followed by parts with the name and the bytes. Free blocks form a list;
//! pages of the allocation are touched as they are first used. Knows nothing of time, order or what the
//! bytes say. A place that has been reused returns nothing, and never panics.
//! Limits: 2^32 - 1 blocks; 65,535 bytes and a name of 255 per entry.

use crate::moment::Moment;

use super::key::{ALL_TYPES, CHECKING_DISABLED, DNSSEC_OK, Identity};
use crate::routes::RouteId;

/// Bytes of a block.
pub(super) const BLOCK_LEN: usize = 64;

/// Bytes of name and answer in one part.
const PART_LEN: usize = 59;

/// Marks in [`Entry::flags`], in addition to those of its key.
pub(super) const FAILURE: u8 = 8;
/// The same: `quiet_until` was set by a failed refresh, and applies to `generation` alone.
pub(super) const NOTED: u8 = 16;
/// The same: the entry is in the main queue.
pub(super) const IN_MAIN: u8 = 32;

/// Where in [`Entry::flags`] the frequency is, and the most that it can be.
const FREQUENCY_SHIFT: u32 = 6;
pub(super) const FREQUENCY_MAX: u8 = 3;

/// Marks that are part of what an entry is.
const IDENTITY: u8 = DNSSEC_OK | CHECKING_DISABLED | ALL_TYPES;

/// The number of a block, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Place(pub(super) u32);

impl Place {
    pub(super) const NONE: Place = Place(0);
}

/// The head of an entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) stored_at: Moment,
    /// It is not refreshed before.
    pub(super) quiet_until: Moment,
    pub(super) hash: u32,
    /// Seconds from `stored_at` in which it is fresh.
    pub(super) ttl: u32,
    /// Of a failure or a note: void for any other generation.
    pub(super) generation: u32,
    parts: Place,
    /// The next of the entries for which their bucket has no slot.
    pub(super) linked: Place,
    pub(super) newer: Place,
    pub(super) older: Place,
    bytes_len: u16,
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    /// Saturates.
    pub(super) hits: u16,
    name_len: u8,
    /// Marks; in the two upper bits, hits lately as far as eviction counts them.
    flags: u8,
    pub(super) route: RouteId,
}

impl Entry {
    pub(super) fn new(
        identity: &Identity<'_>,
        stored_at: Moment,
        ttl: u32,
        generation: u32,
    ) -> Entry {
        Entry {
            stored_at,
            quiet_until: Moment::default(),
            hash: identity.hash,
            ttl,
            generation,
            parts: Place::NONE,
            linked: Place::NONE,
            newer: Place::NONE,
            older: Place::NONE,
            bytes_len: 0,
            qtype: identity.qtype,
            qclass: identity.qclass,
            hits: 0,
            name_len: 0,
            flags: identity.variant,
            route: identity.route,
        }
    }

    pub(super) fn has(&self, mark: u8) -> bool {
        self.flags & mark != 0
    }

    pub(super) fn mark(&mut self, mark: u8, on: bool) {
        self.flags = self.flags & !mark | if on { mark } else { 0 };
    }

    /// The marks that are part of what it is.
    pub(super) fn variant(&self) -> u8 {
        self.flags & IDENTITY
    }

    /// Hits lately, 0 to 3, as far as eviction counts them.
    pub(super) fn frequency(&self) -> u8 {
        self.flags >> FREQUENCY_SHIFT
    }

    pub(super) fn set_frequency(&mut self, frequency: u8) {
        let marks = self.flags & !(FREQUENCY_MAX << FREQUENCY_SHIFT);
        self.flags = marks | frequency.min(FREQUENCY_MAX) << FREQUENCY_SHIFT;
    }

    /// Blocks it takes, head and parts.
    pub(super) fn blocks(&self) -> u32 {
        blocks_for(usize::from(self.name_len) + usize::from(self.bytes_len))
    }
}

/// Blocks that an entry with so many bytes of name and answer takes.
pub(super) fn blocks_for(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PART_LEN) + 1).unwrap_or(u32::MAX)
}

#[derive(Debug)]
#[repr(align(64))]
enum Block {
    Free { next: Place },
    Head(Entry),
    Part { next: Place, bytes: [u8; PART_LEN] },
}

const _: () = assert!(size_of::<Block>() == BLOCK_LEN);

/// All blocks of a shard.
#[derive(Debug)]
pub(super) struct Arena {
    /// Never grows beyond the capacity it was made with.
    blocks: Vec<Block>,
    free: Place,
    used: u32,
    limit: u32,
}

impl Arena {
    /// Room for `limit` blocks; touched when used.
    pub(super) fn new(limit: u32) -> Arena {
        Arena {
            blocks: Vec::with_capacity(limit as usize),
            free: Place::NONE,
            used: 0,
            limit,
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    pub(super) fn used(&self) -> u32 {
        self.used
    }

    pub(super) fn room(&self) -> u32 {
        self.limit - self.used
    }

    /// Frees everything; the pages stay the process's.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.free = Place::NONE;
        self.used = 0;
    }

    fn block(&self, place: Place) -> Option<&Block> {
        self.blocks.get((place.0 as usize).wrapping_sub(1))
    }

    fn block_mut(&mut self, place: Place) -> Option<&mut Block> {
        self.blocks.get_mut((place.0 as usize).wrapping_sub(1))
    }

    pub(super) fn entry(&self, place: Place) -> Option<&Entry> {
        match self.block(place)? {
            Block::Head(entry) => Some(entry),
            Block::Free { .. } | Block::Part { .. } => None,
        }
    }

    /// Begins to read the block in front of a head, where its first part is if both were taken from memory that was unused: so
    /// both come from memory at the same time, not one after the other.
    pub(super) fn read_ahead(&self, head: Place) {
        let before = Place(head.0.wrapping_sub(1));
        std::hint::black_box(self.part(before).is_some());
    }

    pub(super) fn entry_mut(&mut self, place: Place) -> Option<&mut Entry> {
        match self.block_mut(place)? {
            Block::Head(entry) => Some(entry),
            Block::Free { .. } | Block::Part { .. } => None,
        }
    }

    fn part(&self, place: Place) -> Option<(Place, &[u8; PART_LEN])> {
        match self.block(place)? {
            Block::Part { next, bytes } => Some((*next, bytes)),
            Block::Free { .. } | Block::Head(_) => None,
        }
    }

    /// Inserts an entry with its name and bytes. None, and nothing changed, where they are too long or there
    /// is no room.
    pub(super) fn insert(&mut self, mut entry: Entry, name: &[u8], bytes: &[u8]) -> Option<Place> {
        entry.name_len = u8::try_from(name.len()).ok()?;
        entry.bytes_len = u16::try_from(bytes.len()).ok()?;
        if entry.blocks() > self.room() {
            return None;
        }
        // From the last part to the head, so that each knows the next.
        let mut next = Place::NONE;
        let parts = (name.len() + bytes.len()).div_ceil(PART_LEN);
        for number in (0..parts).rev() {
            let bytes = piece(name, bytes, number * PART_LEN);
            next = self.take(Block::Part { next, bytes })?;
        }
        entry.parts = next;
        self.take(Block::Head(entry))
    }

    fn take(&mut self, block: Block) -> Option<Place> {
        let place = self.free;
        if let Some(freed) = self.block_mut(place) {
            let Block::Free { next } = *freed else {
                return None;
            };
            *freed = block;
            self.free = next;
            self.used += 1;
            return Some(place);
        }
        if self.blocks.len() >= self.limit as usize {
            return None;
        }
        self.blocks.push(block);
        self.used += 1;
        u32::try_from(self.blocks.len()).ok().map(Place)
    }

    /// Frees an entry's blocks.
    pub(super) fn remove(&mut self, place: Place) {
        let Some(entry) = self.entry(place) else {
            return;
        };
        let mut part = entry.parts;
        self.give(place);
        while let Some((next, _)) = self.part(part) {
            self.give(part);
            part = next;
        }
    }

    fn give(&mut self, place: Place) {
        let next = self.free;
        if let Some(block) = self.block_mut(place) {
            *block = Block::Free { next };
            self.free = place;
            self.used -= 1;
        }
    }

    /// Whether `entry` is the one of `identity`, name and all.
    pub(super) fn is(&self, entry: &Entry, identity: &Identity<'_>) -> bool {
        entry.hash == identity.hash
            && entry.variant() == identity.variant
            && (entry.qtype == identity.qtype || entry.has(ALL_TYPES))
            && entry.qclass == identity.qclass
            && entry.route == identity.route
            && self.has_name(entry, identity.name)
    }

    pub(super) fn has_name(&self, entry: &Entry, name: &[u8]) -> bool {
        let mut part = entry.parts;
        usize::from(entry.name_len) == name.len()
            && name.chunks(PART_LEN).all(|expected| {
                let Some((next, bytes)) = self.part(part) else {
                    return false;
                };
                part = next;
                bytes.starts_with(expected)
            })
    }

    /// Appends the name, or what stands behind it, to `out`.
    pub(super) fn copy_name(&self, entry: &Entry, out: &mut Vec<u8>) {
        self.copy(entry, 0, entry.name_len.into(), out);
    }

    pub(super) fn copy_bytes(&self, entry: &Entry, out: &mut Vec<u8>) {
        let start = usize::from(entry.name_len);
        self.copy(entry, start, start + usize::from(entry.bytes_len), out);
    }

    fn copy(&self, entry: &Entry, mut start: usize, mut end: usize, out: &mut Vec<u8>) {
        out.reserve(end.saturating_sub(start));
        let mut place = entry.parts;
        while end > 0
            && let Some((next, bytes)) = self.part(place)
        {
            out.extend_from_slice(bytes.get(start..end.min(PART_LEN)).unwrap_or_default());
            start = start.saturating_sub(PART_LEN);
            end = end.saturating_sub(PART_LEN);
            place = next;
        }
    }
}

/// The part of name and bytes, one behind the other, that begins at `start`.
fn piece(name: &[u8], bytes: &[u8], start: usize) -> [u8; PART_LEN] {
    let mut piece = [0; PART_LEN];
    let of_name = name.get(start..).unwrap_or_default();
    let of_bytes = bytes
        .get(start.saturating_sub(name.len())..)
        .unwrap_or_default();
    let mut room = piece.as_mut_slice();
    for source in [of_name, of_bytes] {
        let (taken, rest) = room.split_at_mut(source.len().min(room.len()));
        taken.copy_from_slice(source.get(..taken.len()).unwrap_or_default());
        room = rest;
    }
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Arena {
        /// Every block is used or in the list of free ones.
        pub(in crate::cache) fn check(&self) {
            let mut place = self.free;
            let mut free = 0;
            while place != Place::NONE {
                let Some(Block::Free { next }) = self.block(place) else {
                    panic!("in the list, but not free");
                };
                place = *next;
                free += 1;
                assert!(free <= self.blocks.len(), "the list runs in a circle");
            }
            assert_eq!(free + self.used as usize, self.blocks.len());
            assert!(self.blocks.len() <= self.limit as usize);
        }

        pub(in crate::cache) fn bytes_reserved(&self) -> usize {
            self.blocks.capacity() * BLOCK_LEN
        }
    }

    fn identity(name: &[u8]) -> Identity<'_> {
        Identity {
            hash: 7,
            name,
            qtype: 1,
            qclass: 1,
            variant: 0,
            route: RouteId::DEFAULT,
        }
    }

    #[test]
    fn entries_of_every_length_come_back_as_they_were() {
        let bytes: Vec<u8> = (0..400_u16).map(|number| number as u8).collect();
        let mut arena = Arena::new(16);
        for name_len in [1, 2, 58, 59, 60, 118, 255] {
            for bytes_len in [0, 1, 57, 58, 59, 60, 117, 118, 119, 400] {
                let (name, bytes) = (&bytes[..name_len], &bytes[..bytes_len]);
                let entry = Entry::new(&identity(name), Moment::default(), 1, 0);
                let place = arena.insert(entry, name, bytes).unwrap();
                let entry = arena.entry(place).unwrap();
                assert!(arena.is(entry, &identity(name)));
                let (mut stored_name, mut stored) = (Vec::new(), Vec::new());
                arena.copy_name(entry, &mut stored_name);
                arena.copy_bytes(entry, &mut stored);
                assert_eq!((stored_name.as_slice(), stored.as_slice()), (name, bytes));
                assert_eq!(arena.used(), blocks_for(name_len + bytes_len));
                arena.remove(place);
                assert_eq!(arena.used(), 0);
                arena.check();
            }
        }
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut arena = Arena::new(3);
        let entry = Entry::new(&identity(b"\0"), Moment::default(), 1, 0);
        assert_eq!(arena.insert(entry.clone(), b"\0", &[1; 200]), None);
        assert_eq!(arena.used(), 0);
        assert!(arena.insert(entry.clone(), b"\0", &[1; 100]).is_some());
        assert_eq!(arena.insert(entry, b"\0", &[1]), None);
        arena.check();
    }

    #[test]
    fn a_place_that_was_given_up_gives_nothing() {
        let mut arena = Arena::new(4);
        let entry = Entry::new(&identity(b"\0"), Moment::default(), 1, 0);
        let place = arena.insert(entry, b"\0", b"bytes").unwrap();
        arena.remove(place);
        arena.remove(place);
        assert!(arena.entry(place).is_none());
        assert!(arena.entry(Place::NONE).is_none());
        arena.check();
    }
}
