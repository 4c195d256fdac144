//! The table of a shard: which entries have a hash.
//!
//! A bucket is one cache line: places of entries, each with a mark of its hash, so that an entry that is not asked for is nearly
//! never looked at, and one that goes is removed without a look at the others of its bucket. Entries beyond, of which a full table has
//! some, are linked through their heads. The table grows with the entries up to its full size (linear hashing, Litwin 1980): each
//! time one bucket is added, to which some entries of one other bucket move, so that no insertion takes long. The table of a few
//! thousand entries fits into a processor's cache, whatever the size of the whole.
//! Limits: as many buckets as it was made with; it does not shrink but by `clear`.

use super::arena::{Arena, Place};

/// Entries that a bucket has room for; others are linked.
const SLOTS: usize = 10;

/// Entries for each bucket, on average, above which a bucket is added.
const GROWS_ABOVE: usize = 4;

/// One bucket. Links are used only while all slots are.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    /// Entries; unused slots have none.
    places: [Place; SLOTS],
    /// Marks of their hashes.
    marks: [u16; SLOTS],
    /// The first of the entries beyond.
    linked: Place,
}

/// Bytes of a bucket.
pub(super) const BUCKET_LEN: usize = size_of::<Bucket>();

const _: () = assert!(BUCKET_LEN == 64);

/// Buckets of an empty table.
const FEWEST: usize = 4;

#[derive(Debug)]
pub(super) struct Buckets {
    /// Never grows beyond the capacity it was made with.
    table: Vec<Bucket>,
    most: usize,
    /// The lower bits of a hash that choose a bucket; one bit less where there is no such bucket yet.
    mask: usize,
}

impl Buckets {
    /// Room for `most` buckets, at least one; touched when used.
    pub(super) fn new(most: usize) -> Buckets {
        let mut buckets = Buckets {
            table: Vec::with_capacity(most),
            most,
            mask: 0,
        };
        buckets.clear();
        buckets
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.table.resize(FEWEST.min(self.most), Bucket::default());
        self.set_mask();
    }

    fn set_mask(&mut self) {
        self.mask = self.table.len().next_power_of_two().wrapping_sub(1);
    }

    /// The bucket of a hash.
    fn of(&self, hash: u32) -> usize {
        let bucket = hash as usize & self.mask;
        if bucket < self.table.len() {
            bucket
        } else {
            bucket & (self.mask >> 1)
        }
    }

    /// The entry with this hash for which `is_meant` holds.
    #[inline]
    pub(super) fn find(
        &self,
        hash: u32,
        arena: &Arena,
        is_meant: impl Fn(Place) -> bool,
    ) -> Option<Place> {
        let bucket = self.table.get(self.of(hash))?;
        let mut marked = bucket.marked(mark_of(hash));
        while marked != 0 {
            let place = *bucket.places.get(marked.trailing_zeros() as usize)?;
            if is_meant(place) {
                return Some(place);
            }
            marked &= marked - 1;
        }
        let mut linked = linked(bucket.linked, arena);
        linked.find(|place| is_meant(*place))
    }

    /// All entries of a bucket.
    pub(super) fn entries<'a>(
        &'a self,
        bucket: usize,
        arena: &'a Arena,
    ) -> impl Iterator<Item = Place> + 'a {
        let bucket = self.table.get(bucket);
        let used = bucket.into_iter().flat_map(|it| it.places);
        let linked = bucket.map(|it| linked(it.linked, arena));
        used.filter(|place| *place != Place::NONE)
            .chain(linked.into_iter().flatten())
    }

    /// Adds an entry that is not there.
    pub(super) fn insert(&mut self, place: Place, hash: u32, arena: &mut Arena) {
        let number = self.of(hash);
        let Some(bucket) = self.table.get_mut(number) else {
            return;
        };
        if bucket.fill(place, hash) {
            return;
        }
        if let Some(entry) = arena.entry_mut(place) {
            entry.linked = bucket.linked;
            bucket.linked = place;
        }
    }

    /// Removes an entry. The first of those that are linked takes its slot.
    pub(super) fn remove(&mut self, place: Place, hash: u32, arena: &mut Arena) {
        let number = self.of(hash);
        let Some(bucket) = self.table.get_mut(number) else {
            return;
        };
        let first = bucket.linked;
        if !bucket.free(place) {
            unlink(&mut bucket.linked, place, arena);
        } else if let Some(entry) = arena.entry_mut(first) {
            bucket.linked = std::mem::take(&mut entry.linked);
            bucket.fill(first, entry.hash);
        }
    }

    /// Adds a bucket if there are more entries than buckets are meant for, and moves the entries that belong there.
    pub(super) fn grow(&mut self, entries: usize, arena: &mut Arena) {
        let added = self.table.len();
        if entries <= added * GROWS_ABOVE || added >= self.most {
            return;
        }
        self.table.push(Bucket::default());
        self.set_mask();
        let Some(divided) = self.table.get_mut(added & (self.mask >> 1)) else {
            return;
        };
        let divided = std::mem::take(divided);
        let mut linked = divided.linked;
        for place in divided.places {
            self.move_to(place, arena);
        }
        while let Some(next) = self.move_to(linked, arena) {
            linked = next;
        }
    }

    /// Inserts an entry of a divided bucket. Returns the one that was linked behind it.
    fn move_to(&mut self, place: Place, arena: &mut Arena) -> Option<Place> {
        let entry = arena.entry_mut(place)?;
        let (hash, next) = (entry.hash, std::mem::take(&mut entry.linked));
        self.insert(place, hash, arena);
        Some(next)
    }
}

impl Bucket {
    /// The slots with this mark, as bits.
    fn marked(&self, mark: u16) -> u16 {
        bits(&self.marks, &mark)
    }

    /// The first slot of a place, which may be that of unused ones.
    fn slot_of(&mut self, place: Place) -> Option<(&mut Place, &mut u16)> {
        let slot = bits(&self.places, &place).trailing_zeros() as usize;
        Some((self.places.get_mut(slot)?, self.marks.get_mut(slot)?))
    }

    /// Puts an entry into an unused slot. False if there is none.
    fn fill(&mut self, place: Place, hash: u32) -> bool {
        let Some((slot, mark)) = self.slot_of(Place::NONE) else {
            return false;
        };
        (*slot, *mark) = (place, mark_of(hash));
        true
    }

    /// Makes the slot of an entry unused. False if it has none.
    fn free(&mut self, place: Place) -> bool {
        let Some((slot, mark)) = self.slot_of(place) else {
            return false;
        };
        (*slot, *mark) = (Place::NONE, UNMARKED);
        true
    }
}

/// The slots that have this, as bits. There is no branch for each slot: that would be guessed wrong, while memory is waited for.
fn bits<T: PartialEq>(slots: &[T; SLOTS], wanted: &T) -> u16 {
    let slots = slots.iter().enumerate();
    slots.fold(0, |bits, (slot, it)| bits | u16::from(it == wanted) << slot)
}

/// The entries that are linked, from the first one on.
fn linked(first: Place, arena: &Arena) -> impl Iterator<Item = Place> {
    std::iter::successors(Some(first), |place| {
        arena.entry(*place).map(|entry| entry.linked)
    })
    .take_while(|place| *place != Place::NONE)
}

/// Takes one of the entries that are linked out.
fn unlink(first: &mut Place, place: Place, arena: &mut Arena) {
    let next = arena
        .entry_mut(place)
        .map(|entry| std::mem::take(&mut entry.linked));
    let next = next.unwrap_or_default();
    if *first == place {
        *first = next;
        return;
    }
    let mut before = *first;
    while let Some(entry) = arena.entry_mut(before) {
        if entry.linked == place {
            entry.linked = next;
            return;
        }
        before = entry.linked;
    }
}

/// The mark of a slot that is not used.
const UNMARKED: u16 = 0;

/// The mark of a hash, by its upper bits: the lower ones choose the bucket.
fn mark_of(hash: u32) -> u16 {
    ((hash >> 16) as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::arena::Entry;
    use super::super::key::Identity;
    use super::*;
    use crate::moment::Moment;
    use crate::routes::RouteId;

    impl Buckets {
        /// Whether an entry can be found that stands in this bucket.
        pub(in crate::cache) fn leads(
            &self,
            hash: u32,
            place: Place,
            bucket: usize,
            arena: &Arena,
        ) -> bool {
            let found = self.find(hash, arena, |it| it == place);
            self.of(hash) == bucket && found == Some(place)
        }

        /// Whether only slots with entries have marks, and entries are linked only while all slots are used.
        pub(in crate::cache) fn is_tidy(&self, bucket: usize) -> bool {
            let bucket = &self.table[bucket];
            let mut slots = bucket.places.iter().zip(bucket.marks);
            let is_full = !bucket.places.contains(&Place::NONE);
            slots.all(|(place, mark)| (*place == Place::NONE) == (mark == UNMARKED))
                && (is_full || bucket.linked == Place::NONE)
        }

        pub(in crate::cache) fn bytes_reserved(&self) -> usize {
            self.table.capacity() * BUCKET_LEN
        }

        /// Has every bucket lead to the first place.
        pub(in crate::cache) fn tear(&mut self) {
            self.table.fill(Bucket {
                places: [Place(1); SLOTS],
                marks: [u16::MAX; SLOTS],
                linked: Place(1),
            });
        }
    }

    #[test]
    fn buckets_are_added_with_the_entries_up_to_the_most() {
        let mut buckets = Buckets::new(100);
        let mut arena = Arena::new(1);
        for entries in 0..2_000_usize {
            buckets.grow(entries, &mut arena);
            let expected = entries.div_ceil(GROWS_ABOVE).clamp(FEWEST, 100);
            assert_eq!(buckets.len(), expected);
        }
        assert_eq!(Buckets::new(3).len(), 3);
    }

    #[test]
    fn a_hash_moves_to_the_new_bucket_or_stays() {
        let mut buckets = Buckets::new(300);
        let mut arena = Arena::new(1);
        let hashes: Vec<u32> = (0..5_000_u32)
            .map(|it| it.wrapping_mul(0x9e37_79b9))
            .collect();
        for added in FEWEST..300 {
            let before: Vec<usize> = hashes.iter().map(|it| buckets.of(*it)).collect();
            buckets.grow(added * GROWS_ABOVE + 1, &mut arena);
            for (hash, before) in hashes.iter().zip(before) {
                let after = buckets.of(*hash);
                assert!(after == before || after == added, "{before} {after}");
                assert!(after < buckets.len());
            }
        }
    }

    /// An entry without bytes and its place.
    fn entry(hash: u32, arena: &mut Arena) -> Place {
        let identity = Identity {
            hash,
            name: b"\0",
            qtype: 1,
            qclass: 1,
            variant: 0,
            route: RouteId::DEFAULT,
        };
        let entry = Entry::new(&identity, Moment::default(), 1, 0);
        arena.insert(entry, b"\0", b"").unwrap()
    }

    #[test]
    fn entries_beyond_the_slots_are_found_and_move_up_in_whatever_order_others_go() {
        let count = 3 * SLOTS;
        for step in [1, 7, 11, 29] {
            let mut arena = Arena::new(2 * count as u32);
            let mut buckets = Buckets::new(1);
            let mut places: Vec<Place> = (0..count).map(|_| entry(5, &mut arena)).collect();
            for place in &places {
                buckets.insert(*place, 5, &mut arena);
            }
            while !places.is_empty() {
                assert!(buckets.is_tidy(0));
                let mut listed: Vec<u32> = buckets.entries(0, &arena).map(|it| it.0).collect();
                listed.sort_unstable();
                let mut expected: Vec<u32> = places.iter().map(|it| it.0).collect();
                expected.sort_unstable();
                assert_eq!(listed, expected);
                assert!(
                    places
                        .iter()
                        .all(|place| buckets.leads(5, *place, 0, &arena))
                );
                let gone = places.swap_remove(step % places.len());
                buckets.remove(gone, 5, &mut arena);
                arena.remove(gone);
            }
            assert_eq!(buckets.entries(0, &arena).count(), 0);
        }
    }

    #[test]
    fn no_hash_has_the_mark_of_an_unused_slot() {
        assert!(
            [0, 1, 0xffff, 0x1_0000, u32::MAX]
                .map(mark_of)
                .iter()
                .all(|mark| *mark != UNMARKED)
        );
    }
}
