//! Stage `inflight` across workers: one worker sends the query, the others wait for its result.
//!
//! Shared by all engines of a process. The first worker with a question leads its flight; those that get the
//! same question before it completes follow, and the leader sends each of them one [`FlightMessage`]. A flight is
//! known by the keyed 64-bit hash of its question, and the receiver of a flight message compares the question in it.
//! With a single worker, nothing is stored. Does not contain queries: every worker keeps
//! its own waiters and their deadlines.
//!     none --join--> led --complete--> none
//! Limits: one entry per question in flight, [`WORKERS`] workers. Follows RFC 5452 section 5.

use std::sync::{Arc, PoisonError};

use hashbrown::HashTable;

use crate::failure::Failure;
use crate::keys::{UpstreamId, WorkerId};
use crate::sync::{Mutex, MutexGuard};

/// Workers at most: followers are bit masks of this width.
pub const WORKERS: usize = 64;

/// Locks, enough that workers rarely wait for one another.
const SHARDS: usize = 64;

/// What a leader sends to a follower.
#[derive(Clone, Debug)]
pub enum FlightMessage {
    /// The question was answered.
    Answered {
        /// The flight.
        flight: u64,
        /// The answer in the form that a cache stores.
        bytes: Arc<[u8]>,
        /// Whether AD may pass.
        is_authenticated: bool,
    },
    /// It was not.
    Failed {
        /// The flight.
        flight: u64,
        /// Why.
        failure: Failure,
        /// Whose fault that was.
        upstream: Option<UpstreamId>,
        /// Whether every upstream has answered, so that no upstream is left to try.
        is_final: bool,
    },
}

/// The role of a worker in a flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// It sends the query, and will notify the others.
    Leads,
    /// It waits for a flight message.
    Follows,
    /// It sends its own query, because the flight message did not arrive in time.
    Alone,
}

/// Who waits for a flight message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Followers(u64);

impl Followers {
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn ids(self) -> impl Iterator<Item = WorkerId> {
        let all = (0..WORKERS as u8).map(WorkerId);
        all.filter(move |worker| self.0 >> worker.0 & 1 == 1)
    }
}

struct Flight {
    hash: u64,
    leader: WorkerId,
    followers: Followers,
}

/// The questions in flight of all workers.
pub struct Flights {
    shards: Box<[Mutex<HashTable<Flight>>]>,
}

impl Flights {
    /// For a process with `workers` workers, 1 to [`WORKERS`].
    pub fn new(workers: usize) -> Flights {
        let shards = if workers > 1 { SHARDS } else { 0 };
        Flights {
            shards: (0..shards).map(|_| Mutex::new(HashTable::new())).collect(),
        }
    }

    /// Joins the flight with this hash; the first one leads it.
    pub(crate) fn join(&self, hash: u64, worker: WorkerId) -> Role {
        let Some(shard) = self.shard(hash) else {
            return Role::Leads;
        };
        let mut flights = lock(shard);
        match flights.find_mut(hash, |flight| flight.hash == hash) {
            Some(flight) if flight.leader != worker => {
                flight.followers.0 |= 1 << worker.0;
                Role::Follows
            }
            Some(_) => Role::Leads,
            None => {
                let flight = Flight {
                    hash,
                    leader: worker,
                    followers: Followers::default(),
                };
                flights.insert_unique(hash, flight, |flight| flight.hash);
                Role::Leads
            }
        }
    }

    /// Ends the flight that `worker` leads, and returns who waits for a flight message.
    pub(crate) fn complete(&self, hash: u64, worker: WorkerId) -> Followers {
        let Some(shard) = self.shard(hash) else {
            return Followers::default();
        };
        let mut flights = lock(shard);
        let is_mine = |flight: &Flight| flight.hash == hash && flight.leader == worker;
        match flights.find_entry(hash, is_mine) {
            Ok(entry) => entry.remove().0.followers,
            Err(_) => Followers::default(),
        }
    }

    /// Waits for no flight message any more.
    pub(crate) fn leave(&self, hash: u64, worker: WorkerId) {
        let Some(shard) = self.shard(hash) else {
            return;
        };
        if let Some(flight) = lock(shard).find_mut(hash, |flight| flight.hash == hash) {
            flight.followers.0 &= !(1 << worker.0);
        }
    }

    /// Removes a worker that restarts. Its followers time out.
    pub(crate) fn forget(&self, worker: WorkerId) {
        for shard in &self.shards {
            lock(shard).retain(|flight| {
                flight.followers.0 &= !(1 << worker.0);
                flight.leader != worker
            });
        }
    }

    /// The table that a flight is in.
    fn shard(&self, hash: u64) -> Option<&Mutex<HashTable<Flight>>> {
        // The table uses the lowest and the highest bits.
        let place = usize::from((hash >> 32).to_le_bytes()[0]) % SHARDS;
        self.shards.get(place)
    }
}

/// No change to a table can be left half done.
fn lock(shard: &Mutex<HashTable<Flight>>) -> MutexGuard<'_, HashTable<Flight>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_worker_leads_and_lands_with_all_who_joined_since() {
        let flights = Flights::new(4);
        assert_eq!(flights.join(9, WorkerId(1)), Role::Leads);
        assert_eq!(flights.join(9, WorkerId(3)), Role::Follows);
        assert_eq!(flights.join(9, WorkerId(0)), Role::Follows);
        assert_eq!(
            flights.join(8, WorkerId(0)),
            Role::Leads,
            "another question"
        );
        flights.leave(9, WorkerId(3));
        let followers: Vec<WorkerId> = flights.complete(9, WorkerId(1)).ids().collect();
        assert_eq!(followers, [WorkerId(0)]);
        assert_eq!(flights.join(9, WorkerId(3)), Role::Leads, "the next flight");
    }

    #[test]
    fn only_the_leader_lands_a_flight() {
        let flights = Flights::new(2);
        assert_eq!(flights.join(9, WorkerId(0)), Role::Leads);
        assert_eq!(flights.join(9, WorkerId(1)), Role::Follows);
        assert!(flights.complete(9, WorkerId(1)).is_empty());
        assert!(!flights.complete(9, WorkerId(0)).is_empty());
    }

    #[test]
    fn a_restarted_worker_leads_and_follows_nothing() {
        let flights = Flights::new(2);
        assert_eq!(flights.join(9, WorkerId(0)), Role::Leads);
        assert_eq!(flights.join(8, WorkerId(1)), Role::Leads);
        assert_eq!(flights.join(8, WorkerId(0)), Role::Follows);
        flights.forget(WorkerId(0));
        assert_eq!(flights.join(9, WorkerId(1)), Role::Leads);
        assert!(flights.complete(8, WorkerId(1)).is_empty());
    }

    #[test]
    fn a_single_worker_always_leads() {
        let flights = Flights::new(1);
        assert_eq!(flights.join(9, WorkerId(0)), Role::Leads);
        assert_eq!(flights.join(9, WorkerId(0)), Role::Leads);
        assert!(flights.complete(9, WorkerId(0)).is_empty());
    }
}
