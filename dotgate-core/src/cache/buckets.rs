//! The table of a shard: the first entry of each bucket. Entries of a bucket are linked through their heads.
//!
//! It has a bucket for each entry, up to its full size (linear hashing, Litwin 1980): every entry beyond adds one bucket, to which
//! some entries of one other bucket move, so that no insertion takes long. The table of a few thousand entries fits into a
//! processor's cache, whatever the size of the whole.
//! Limits: as many buckets as it was made with; it does not shrink but by `clear`.

use super::arena::{Arena, Place};

/// The number of a bucket's first entry, 0 for none, and the marks of its entries' hashes; those of entries that are
/// gone may stand until all are. So what is not there is mostly known without a look at what is.
type Bucket = (u32, u16);

/// Bytes of a bucket.
pub(super) const BUCKET_LEN: usize = size_of::<Bucket>();

/// Buckets of an empty table.
const FEWEST: usize = 16;

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
        self.table.resize(FEWEST.min(self.most), (0, 0));
        self.set_mask();
    }

    fn set_mask(&mut self) {
        self.mask = self.table.len().next_power_of_two().wrapping_sub(1);
    }

    /// The bucket of a hash.
    pub(super) fn of(&self, hash: u32) -> usize {
        let bucket = hash as usize & self.mask;
        if bucket < self.table.len() {
            bucket
        } else {
            bucket & (self.mask >> 1)
        }
    }

    /// The first entry of a bucket.
    pub(super) fn first(&self, bucket: usize) -> Place {
        let bucket = self.table.get(bucket);
        bucket.map(|(first, _)| Place(*first)).unwrap_or_default()
    }

    /// The first entry of the bucket of a hash, unless no entry there can have this hash.
    pub(super) fn find(&self, hash: u32) -> Option<Place> {
        let (first, marks) = *self.table.get(self.of(hash))?;
        (marks & mark_of(hash) != 0).then_some(Place(first))
    }

    /// Puts an entry, which leads to the first one, in front of it.
    pub(super) fn put_first(&mut self, place: Place, hash: u32) {
        let bucket = self.of(hash);
        if let Some((first, marks)) = self.table.get_mut(bucket) {
            *first = place.0;
            *marks |= mark_of(hash);
        }
    }

    /// Puts the entry behind the first one of a bucket, or none, in its place.
    pub(super) fn drop_first(&mut self, bucket: usize, next: Place) {
        if let Some((first, marks)) = self.table.get_mut(bucket) {
            *first = next.0;
            if next == Place::NONE {
                *marks = 0;
            }
        }
    }

    /// Adds a bucket if there are more entries than buckets, and moves the entries that belong there.
    pub(super) fn grow(&mut self, entries: usize, arena: &mut Arena) {
        let added = self.table.len();
        if entries <= added || added >= self.most {
            return;
        }
        self.table.push((0, 0));
        self.set_mask();
        let divided = added & (self.mask >> 1);
        let mut place = self.first(divided);
        self.drop_first(divided, Place::NONE);
        while let Some(entry) = arena.entry_mut(place) {
            let (hash, next) = (entry.hash, entry.chained);
            entry.chained = self.first(self.of(hash));
            self.put_first(place, hash);
            place = next;
        }
    }
}

/// The mark of a hash, one of 16, by its upper bits: the lower ones choose the bucket.
fn mark_of(hash: u32) -> u16 {
    1 << (hash >> 28)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Buckets {
        /// Whether an entry can be found that stands in this bucket.
        pub(in crate::cache) fn leads(&self, hash: u32, bucket: usize) -> bool {
            self.of(hash) == bucket && self.find(hash).is_some()
        }

        /// Whether there are no marks but those of entries.
        pub(in crate::cache) fn is_tidy(&self, bucket: usize) -> bool {
            self.table[bucket].0 != 0 || self.table[bucket].1 == 0
        }

        pub(in crate::cache) fn bytes_reserved(&self) -> usize {
            self.table.capacity() * BUCKET_LEN
        }

        /// Has every bucket lead to the first place.
        pub(in crate::cache) fn tear(&mut self) {
            self.table.fill((1, u16::MAX));
        }
    }

    #[test]
    fn a_bucket_is_added_for_each_entry_up_to_the_most() {
        let mut buckets = Buckets::new(100);
        let mut arena = Arena::new(1);
        for entries in 0..200 {
            buckets.grow(entries, &mut arena);
            assert_eq!(buckets.len(), entries.clamp(FEWEST, 100));
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
        for entries in FEWEST..300 {
            let before: Vec<usize> = hashes.iter().map(|it| buckets.of(*it)).collect();
            buckets.grow(entries + 1, &mut arena);
            for (hash, before) in hashes.iter().zip(before) {
                let after = buckets.of(*hash);
                assert!(after == before || after == entries, "{before} {after}");
                assert!(after < buckets.len());
            }
        }
    }
}
