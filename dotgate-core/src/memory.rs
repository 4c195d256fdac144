//! The memory that clients cost, over all workers, and its limit.
//!
//! Each engine publishes what its connections and its queries in flight cost; any thread reads the sum. At half of
//! the limit no client gets more than its share, and at the limit nothing more is read from anybody and the client
//! that costs most loses connections (`stream::budget`). Queries get at most half of it. Never wrong by more than
//! what a turn of each worker adds, since a worker reads the sum whenever it adds to it.
//!
//! What is counted: a connection's fixed cost in the kernel and here, half-read messages, responses that wait to be
//! written, and the kernel's buffers of the connection.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::keys::WorkerId;
use crate::limits;

/// What one worker has published. Only that worker writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Published {
    streams: AtomicUsize,
    queries: AtomicUsize,
}

/// The memory that clients cost, shared by the engines of a process.
#[derive(Debug)]
pub struct ClientMemory {
    max: AtomicUsize,
    used: AtomicUsize,
    workers: Box<[Published]>,
}

impl ClientMemory {
    /// For a process with `workers` workers; an engine sets the limit.
    pub fn new(workers: usize) -> ClientMemory {
        ClientMemory {
            max: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            workers: (0..workers.max(1)).map(|_| Published::default()).collect(),
        }
    }

    /// What clients cost now, in bytes.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// What they may cost.
    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// The queries that one worker may have in flight.
    pub(crate) fn queries_max(&self) -> usize {
        self.max() / 2 / limits::QUERY_BYTES / self.workers.len()
    }

    /// What one client may cost in one worker once half of the memory is in use.
    pub(crate) fn share_of_client(&self) -> usize {
        self.max() / limits::CLIENT_MEMORY_SHARES / self.workers.len()
    }

    /// Publishes what the connections of a worker cost.
    pub(crate) fn set_streams(&self, worker: WorkerId, bytes: usize) {
        if let Some(published) = self.workers.get(worker.index()) {
            self.publish(&published.streams, bytes);
        }
    }

    /// Publishes how many queries a worker has in flight.
    pub(crate) fn set_queries(&self, worker: WorkerId, queries: usize) {
        if let Some(published) = self.workers.get(worker.index()) {
            self.publish(&published.queries, queries * limits::QUERY_BYTES);
        }
    }

    /// Whether the connections of this worker cost at least as much as those of the average worker, so that it is the
    /// one to close some. This is true of one worker at least.
    pub(crate) fn is_among_largest(&self, worker: WorkerId) -> bool {
        let of = |published: &Published| published.streams.load(Ordering::Relaxed);
        let all: usize = self.workers.iter().map(of).sum();
        let own = self.workers.get(worker.index()).map_or(0, of);
        own.saturating_mul(self.workers.len()) >= all
    }

    fn publish(&self, cell: &AtomicUsize, bytes: usize) {
        let before = cell.load(Ordering::Relaxed);
        if before != bytes {
            cell.store(bytes, Ordering::Relaxed);
            // Wraps where it becomes less, which is what a sum of differences needs.
            self.used
                .fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_follows_what_each_worker_publishes() {
        let memory = ClientMemory::new(2);
        memory.set_max(1 << 20);
        memory.set_streams(WorkerId(0), 1_000);
        memory.set_streams(WorkerId(1), 500);
        memory.set_queries(WorkerId(1), 1);
        assert_eq!(memory.used(), 1_500 + limits::QUERY_BYTES);
        assert!(memory.is_among_largest(WorkerId(0)) && !memory.is_among_largest(WorkerId(1)));
        memory.set_streams(WorkerId(0), 0);
        memory.set_queries(WorkerId(1), 0);
        assert_eq!(memory.used(), 500);
        assert!(memory.is_among_largest(WorkerId(1)));
        memory.set_streams(WorkerId(1), 0);
        assert_eq!(memory.used(), 0);
        assert!(memory.is_among_largest(WorkerId(0)), "nobody is larger");
    }
}
