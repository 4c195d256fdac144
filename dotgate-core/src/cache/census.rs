//! What a shard counts of its entries, so that it need not search for what is not there.

use std::time::Duration;

use crate::moment::Moment;

use super::arena::{Entry, FAILURE};
use super::key::ALL_TYPES;

/// Of so many entries, one is a failure at least, if failures are worth a search.
const FAILURES_SHARE: u32 = 8;

/// Counts of entries, and when the first of them expires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(super) struct Census {
    pub(super) entries: u32,
    failures: u32,
    /// No data expires before. Its entry may be gone.
    expires_from: Moment,
    /// The same for what the current search through all buckets has seen, and what was added since it began.
    seen_from: Moment,
    /// Entries that answer for all types of their name. Behind the others: see the layout of a shard.
    pub(super) all_types: u32,
}

impl Default for Census {
    fn default() -> Census {
        Census {
            entries: 0,
            failures: 0,
            all_types: 0,
            expires_from: Moment::NEVER,
            seen_from: Moment::NEVER,
        }
    }
}

impl Census {
    /// An entry was added.
    pub(super) fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.failures += u32::from(entry.has(FAILURE));
        if entry.has(ALL_TYPES) {
            self.all_types += 1;
        }
        let end = end_of_data(entry);
        self.expires_from = self.expires_from.min(end);
        self.saw(end);
    }

    /// An entry is about to be removed.
    pub(super) fn remove(&mut self, entry: &Entry) {
        self.entries -= 1;
        self.failures -= u32::from(entry.has(FAILURE));
        if entry.has(ALL_TYPES) {
            self.all_types -= 1;
        }
    }

    /// A search for dead entries has left data that expires then.
    pub(super) fn saw(&mut self, end: Moment) {
        self.seen_from = self.seen_from.min(end);
    }

    /// A search has been through all buckets.
    pub(super) fn end_search(&mut self) {
        self.expires_from = self.seen_from;
        self.seen_from = Moment::NEVER;
    }

    /// Whether a search for entries that can never be served again may find one. Few failures are not worth it.
    pub(super) fn may_have_dead(&self, now: Moment, stale_max: Duration) -> bool {
        now >= self.expires_from + stale_max || self.failures * FAILURES_SHARE > self.entries
    }
}

/// When the data of an entry expires; never for a failure, which is not counted there.
pub(super) fn end_of_data(entry: &Entry) -> Moment {
    match entry.has(FAILURE) {
        true => Moment::NEVER,
        false => entry.fresh_until(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Identity;
    use super::*;
    use crate::routes::RouteId;

    impl Census {
        /// Whether it counts what another one has counted just now, and expects no data to expire later than that does.
        pub(in crate::cache) fn agrees_with(&self, counted: &Census) -> bool {
            let counts = |census: &Census| (census.entries, census.failures, census.all_types);
            counts(self) == counts(counted) && self.expires_from <= counted.expires_from
        }
    }

    fn entry(end: u64, marks: &[u8]) -> Entry {
        let identity = Identity {
            hash: 7,
            name: b"\0",
            qtype: 1,
            qclass: 1,
            variant: 0,
            route: RouteId::DEFAULT,
        };
        let end = u32::try_from(end).unwrap();
        let mut entry = Entry::new(&identity, Moment::default(), end, 0);
        marks.iter().for_each(|mark| entry.mark(*mark, true));
        entry
    }

    fn at(seconds: u64) -> Moment {
        Moment::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_is_dead_before_the_first_data_expires_and_may_not_be_served_as_stale_any_more() {
        let mut census = Census::default();
        let stale_max = Duration::from_secs(100);
        assert!(!census.may_have_dead(at(1_000), stale_max));
        for end in [20, 10, 30] {
            census.add(&entry(end, &[]));
        }
        assert!(!census.may_have_dead(at(109), stale_max));
        assert!(census.may_have_dead(at(110), stale_max));
        // The first entry was removed, and a search has gone through all buckets while another one was added.
        census.remove(&entry(10, &[]));
        census.end_search();
        census.saw(at(20));
        census.saw(at(30));
        census.add(&entry(25, &[]));
        census.end_search();
        assert!(!census.may_have_dead(at(119), stale_max));
        assert!(census.may_have_dead(at(120), stale_max));
    }

    #[test]
    fn many_failures_are_worth_a_search_and_few_are_not() {
        let mut census = Census::default();
        for _ in 0..7 {
            census.add(&entry(1_000, &[]));
        }
        census.add(&entry(1, &[FAILURE]));
        assert!(!census.may_have_dead(at(2), Duration::ZERO));
        census.add(&entry(1, &[FAILURE]));
        assert!(census.may_have_dead(at(2), Duration::ZERO));
        census.remove(&entry(1, &[FAILURE]));
        assert!(!census.may_have_dead(at(2), Duration::ZERO));
    }
}
