//! What must hold of a shard after every call.

use super::*;
use crate::cache::arena::FREQUENCY_MAX;

impl Shard {
    /// Every entry stands in its bucket and in one queue, and every block belongs to one entry or is free.
    pub(in crate::cache) fn check(&self) {
        assert!(!self.is_poisoned);
        let mut seen = vec![false; self.arena.limit() as usize + 1];
        let mut entries = 0;
        let mut blocks = 0;
        let mut census = Census::default();
        for bucket in 0..self.buckets.len() {
            assert!(self.buckets.is_tidy(bucket), "marks of removed entries");
            let places: Vec<Place> = self.buckets.entries(bucket, &self.arena).collect();
            for (number, place) in places.iter().copied().enumerate() {
                let entry = self
                    .arena
                    .entry(place)
                    .expect("a bucket leads to what is no entry");
                let was_seen = std::mem::replace(&mut seen[place.0 as usize], true);
                assert!(!was_seen, "an entry stands in two places");
                entries += 1;
                self.check_unique(entry, &places[number + 1..]);
                let leads = self.buckets.leads(entry.hash, place, bucket, &self.arena);
                assert!(leads, "cannot be found");
                census.add(entry);
                assert!(entry.frequency() <= FREQUENCY_MAX);
                blocks += entry.blocks();
            }
        }
        assert!(
            self.census.agrees_with(&census),
            "{:?} {census:?}",
            self.census
        );
        assert_eq!(blocks, self.arena.used());
        assert!(self.arena.used() <= self.arena.limit());
        for (number, (queue, counted)) in self.queues.contents(&self.arena).iter().enumerate() {
            let mut blocks = 0;
            for place in queue {
                let entry = self.arena.entry(*place).unwrap();
                assert_eq!(entry.has(IN_MAIN), number == 1);
                let is_in_bucket = std::mem::take(&mut seen[place.0 as usize]);
                assert!(is_in_bucket, "in two queues, or in no bucket");
                entries -= 1;
                blocks += entry.blocks();
            }
            assert_eq!(blocks, *counted);
        }
        assert_eq!(entries, 0, "in a bucket, but in no queue");
        self.arena.check();
    }

    /// None of the others in its bucket is for the same.
    fn check_unique(&self, entry: &Entry, others: &[Place]) {
        let mut name = Vec::new();
        self.arena.copy_name(entry, &mut name);
        let identity = Identity {
            hash: entry.hash,
            name: &name,
            qtype: entry.qtype,
            qclass: entry.qclass,
            variant: entry.variant(),
            route: entry.route,
        };
        for other in others.iter().filter_map(|place| self.arena.entry(*place)) {
            assert!(!self.arena.is(other, &identity), "cached twice");
        }
    }

    /// Bytes of all that it has asked the allocator for.
    pub(in crate::cache) fn bytes_reserved(&self) -> usize {
        size_of::<Shard>()
            + self.arena.bytes_reserved()
            + self.queues.bytes_reserved()
            + self.buckets.bytes_reserved()
    }

    /// As a panic in the middle of a change leaves it.
    pub(in crate::cache) fn tear(&mut self) {
        self.change(|shard| {
            shard.buckets.tear();
            panic!("amid a change");
        });
    }
}
