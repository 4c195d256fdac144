//! Stage `cache`: what was answered before, shared by all workers.
//!
//! It is between `route` and `inflight`. Keeps bytes that it does not read, under a question, DO, CD and route, for
//! the given seconds; returns them with their age, fresh, stale or as a failure (RFC 2308, 8767, 9520). The names are
//! spread over shards, each with its own lock, which is taken for one probe and one copy. A hit allocates nothing
//! once `out` has room. Memory: one budget, within which blocks, tables and the memory of evicted names lie; see
//! `arena`, `queues`. Time: what the caller says; an entry holds moments, so nothing drifts. Does not decide what may
//! be cached, or whether stale data is served: its caller does.

mod arena;
mod buckets;
mod census;
mod key;
mod queues;
mod saved;
mod scan;
mod shard;
mod stage;
#[cfg(test)]
mod tests;

use std::sync::PoisonError;
use std::time::Duration;

use dotgate_wire::Question;

use crate::limits;
use crate::moment::Moment;
use crate::routes::RouteId;
use crate::sync::{Mutex, MutexGuard};

pub use key::Key;
pub(crate) use key::QuestionHasher;
pub use saved::SavedEntry;
pub use scan::CachedEntry;
use shard::{Fresh, Pair, Shard};
pub(crate) use stage::{CacheStage, Cached, CachedResponse};

/// The cache's time begins this long before its callers', so that what was stored before the machine
/// started has a moment too: 36 years.
const EARLIER: Duration = Duration::from_nanos(1 << 60);

/// The shared store of answers.
#[derive(Debug)]
pub struct Cache {
    /// A power of two of them; none at all if it holds nothing.
    shards: Box<[Slot]>,
    keys: (u64, u64),
    bytes_max: usize,
}

/// A shard and its lock, on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
struct Slot(Mutex<Shard>);

/// What a lookup may give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Counts recoveries of upstreams; failures and notes of another generation are void.
    pub generation: u32,
    /// How long after its TTL data is served as stale; zero for never.
    pub stale_max: Duration,
    /// Whether the caller would refresh an entry before its end.
    pub may_prefetch: bool,
    /// Whether an entry for all types of a name answers for them.
    pub shares_nxdomain: bool,
}

/// The question that an answer is cached for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// For its own question.
    Exact,
    /// For all types of its name: NXDOMAIN without records in the answer section (RFC 2308 section 5), where
    /// [`Terms::shares_nxdomain`] is set.
    AllTypes,
}

/// What a lookup found. All but `Miss` have appended the entry's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// Nothing that may be served.
    Miss,
    /// A failure that is not worth trying again yet (RFC 9520).
    Failed,
    /// An answer whose TTL has not expired.
    Fresh {
        /// Whole seconds since it was stored.
        age: u32,
        /// Whether the caller, alone, should refresh it now.
        prefetch: bool,
    },
    /// An expired answer, to be served if there is no better one (RFC 8767).
    Stale {
        /// Whole seconds since it was stored.
        age: u32,
        /// Whether to ask for a better one first: false soon after that failed.
        ask: bool,
    },
}

/// How full the cache is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Answers and failures.
    pub entries: usize,
    /// Bytes that they take, with their share of the tables.
    pub bytes_used: usize,
    /// The setting.
    pub bytes_max: usize,
    /// Entries that had to go while they could still be served.
    pub evictions: u64,
}

impl Cache {
    /// A cache that makes the process grow by at most `size_bytes`, as it fills. 0 holds nothing. `keys` are
    /// secret and random: clients choose the names.
    pub fn new(size_bytes: usize, keys: (u64, u64)) -> Cache {
        let fitting = (size_bytes / limits::CACHE_SHARD_BYTES).clamp(1, limits::CACHE_SHARDS);
        let count = 1 << fitting.ilog2();
        let overhead = size_of::<Slot>() - size_of::<Shard>();
        let shard_bytes = (size_bytes / count).saturating_sub(overhead);
        let shards = (0..count).map_while(|_| Shard::new(shard_bytes));
        Cache {
            shards: shards.map(|shard| Slot(Mutex::new(shard))).collect(),
            keys,
            bytes_max: size_bytes,
        }
    }

    /// Whether it can hold anything.
    pub fn is_on(&self) -> bool {
        !self.shards.is_empty()
    }

    /// The key of a question. Works without room for entries, too.
    pub fn key(
        &self,
        question: &Question,
        route: RouteId,
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> Key {
        self.hasher()
            .key(question, route, dnssec_ok, checking_disabled)
    }

    /// What makes the keys of questions.
    pub(crate) fn hasher(&self) -> QuestionHasher {
        QuestionHasher(self.keys)
    }

    /// Looks for an answer and appends its bytes to `out`. First what is fresh, the question's own before its
    /// name's NXDOMAIN; then the later of the two as stale; then a failure.
    pub fn lookup(
        &self,
        now: Moment,
        key: &Key,
        question: &Question,
        terms: Terms,
        out: &mut Vec<u8>,
    ) -> Found {
        match self.shard(key) {
            Some(mut shard) => shard.lookup(now + EARLIER, &Pair { key, question }, &terms, out),
            None => Found::Miss,
        }
    }

    /// Inserts an answer for `ttl_seconds`, in place of what was known of its question, and of an NXDOMAIN of its
    /// name. With a TTL of 0, or more than [`limits::CACHE_ENTRY_BYTES`], it is not cached, but what it
    /// supersedes is removed nevertheless.
    pub fn insert(
        &self,
        now: Moment,
        key: &Key,
        question: &Question,
        scope: Scope,
        ttl_seconds: u32,
        bytes: &[u8],
    ) {
        if let Some(mut shard) = self.shard(key) {
            let now = now + EARLIER;
            let fresh = Fresh {
                stored_at: now,
                ttl: ttl_seconds,
                bytes,
            };
            let pair = Pair { key, question };
            shard.change(|shard| shard.insert(now, &pair, scope, fresh));
        }
    }

    /// Notes that a question found no answer. Data that can be served stays, and is not worth asking for again for
    /// [`limits::FAILURE_RECHECK`]; otherwise the failure is cached for a second, and for twice as long with each
    /// one in a row, up to `ttl_max` seconds. All of it is void once the caller's generation is another one.
    pub fn insert_failure(
        &self,
        now: Moment,
        key: &Key,
        question: &Question,
        generation: u32,
        ttl_max: u32,
        bytes: &[u8],
    ) {
        if let Some(mut shard) = self.shard(key) {
            let pair = Pair { key, question };
            shard.change(|shard| {
                shard.insert_failure(now + EARLIER, &pair, generation, ttl_max, bytes);
            });
        }
    }

    /// How full it is, shard after shard.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage {
            bytes_max: self.bytes_max,
            ..Usage::default()
        };
        for slot in &self.shards {
            let shard = slot.lock();
            usage.entries += shard.entries();
            usage.bytes_used += shard.bytes_used();
            usage.evictions += shard.evictions();
        }
        usage
    }

    /// The shard of a name, locked.
    fn shard(&self, key: &Key) -> Option<MutexGuard<'_, Shard>> {
        self.slot(key).map(Slot::lock)
    }

    fn slot(&self, key: &Key) -> Option<&Slot> {
        // The upper half chooses the shard, the lower one goes into the hash within it.
        let number = (key.name_hash() >> 32) as usize & self.shards.len().wrapping_sub(1);
        self.shards.get(number)
    }
}

impl Slot {
    /// Locks the shard. One that a panic left in the middle of a change is emptied, because it may be inconsistent.
    fn lock(&self) -> MutexGuard<'_, Shard> {
        let mut shard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.is_poisoned() {
            shard.clear();
        }
        shard
    }
}
