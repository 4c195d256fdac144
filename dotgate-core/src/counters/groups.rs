//! What is counted of one group of upstreams by all workers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::labels::Outcome;

/// Counts of all workers about one group. Unlike what a worker counts alone these are locked additions: one for each
/// query that waited.
#[derive(Debug, Default)]
pub struct GroupCounters {
    queries: [AtomicU64; Outcome::COUNT],
}

impl GroupCounters {
    pub(crate) fn add_query(&self, outcome: Outcome) {
        if let Some(count) = self.queries.get(outcome as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Queries that waited for an upstream of the group and came to this outcome.
    pub fn queries(&self, outcome: Outcome) -> u64 {
        let count = self.queries.get(outcome as usize);
        count.map_or(0, |count| count.load(Relaxed))
    }
}
