//! One shard: the entries of some names, found by hash, each with its times.
//!
//! All of it happens under the shard's lock, so every call does a bounded amount of work: a lookup reads one or
//! two buckets, an insertion looks at a few buckets for what is dead if there may be any, else evicts by the queues, and adds at
//! most one bucket. Never looks into what it keeps.

use std::mem::offset_of;
use std::ops::Range;
use std::time::Duration;

use dotgate_wire::Question;

use crate::limits;
use crate::moment::Moment;

use super::arena::{Arena, BLOCK_LEN, Entry, FAILURE, IN_MAIN, NOTED, Place, blocks_for};
use super::buckets::{BUCKET_LEN, Buckets};
use super::census::{Census, end_of_data};
use super::key::{Identity, Key};
use super::queues::Queues;
use super::{Found, Scope, Terms};

/// Blocks of the smallest entry: there are at most as many entries as pairs, and a fingerprint for each pair.
const PAIR: u32 = 2;

/// Pairs of blocks for each bucket.
const PAIRS_PER_BUCKET: usize = 8;

/// Bytes that a pair costs: its blocks, its share of a bucket, a fingerprint.
const PAIR_LEN: usize = 2 * BLOCK_LEN + BUCKET_LEN / PAIRS_PER_BUCKET + size_of::<u16>();

/// Buckets that are searched for a dead entry when there is no room and there may be one: half as many after each search
/// without success, down to the fewest, and the most again after a find.
const SEARCHED_MOST: usize = 16;
const SEARCHED_FEWEST: usize = 1;

/// A response or a failure on its way into the shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh<'o> {
    pub(super) stored_at: Moment,
    /// In seconds.
    pub(super) ttl: u32,
    pub(super) bytes: &'o [u8],
}

/// The two entries that may answer a question. The second is rarely looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'q> {
    pub(super) key: &'q Key,
    pub(super) question: &'q Question,
}

/// What is behind one lock.
///
/// Workers on different processors use a shard in turns, and each cache line that one of them has changed costs the other a wait.
/// So what changes with each insertion is together in the first two lines, and a lookup needs only the first of them, in which the
/// lock is.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Shard {
    pub(super) arena: Arena,
    evictions: u64,
    /// Set while a change is under way: still set under the lock, it was cut short by a panic.
    is_poisoned: bool,

    queues: Queues,
    census: Census,

    pub(super) buckets: Buckets,
    /// What the last lookup allowed; decides which entries are dead. None are before the first one.
    stale_max: Duration,
    /// The bucket where the search for dead entries continues.
    searched: usize,
    /// In how many buckets the next search looks.
    search_limit: usize,
}

/// Bytes of a cache line.
const LINE_LEN: usize = 64;

/// Bytes of the lock, which stands in front of a shard.
const LOCK_LEN: usize = 8;

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(LOCK_LEN + offset_of!(Shard, queues) == LINE_LEN);
    assert!(LOCK_LEN + offset_of!(Shard, census) + offset_of!(Census, all_types) == 2 * LINE_LEN);
};

/// What an entry handed on to the one that took its place.
#[derive(Clone, Copy, Default)]
struct Inherited {
    is_in_main: bool,
    frequency: u8,
}

impl Shard {
    /// A shard that takes no more than `bytes`, itself included; none if that is too little for any entry.
    pub(super) fn new(bytes: usize) -> Option<Shard> {
        // The last bucket belongs to fewer pairs than the others.
        let pairs = bytes.checked_sub(size_of::<Shard>() + BUCKET_LEN)? / PAIR_LEN;
        let pairs = u32::try_from(pairs)
            .unwrap_or(u32::MAX)
            .min(u32::MAX / PAIR);
        (pairs > 0).then(|| Shard {
            arena: Arena::new(pairs * PAIR),
            evictions: 0,
            is_poisoned: false,
            queues: Queues::new(pairs as usize),
            census: Census::default(),
            buckets: Buckets::new(pairs as usize / PAIRS_PER_BUCKET + 1),
            stale_max: Duration::MAX,
            searched: 0,
            search_limit: SEARCHED_MOST,
        })
    }

    /// Bytes in use: the blocks of entries with their share of the table.
    pub(super) fn bytes_used(&self) -> usize {
        self.arena.used() as usize * PAIR_LEN / PAIR as usize
    }

    pub(super) fn entries(&self) -> usize {
        self.census.entries as usize
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    /// Empties it, whatever its state. Returns the number of removed entries.
    pub(super) fn clear(&mut self) -> usize {
        self.is_poisoned = true;
        self.buckets.clear();
        self.queues.clear();
        self.arena.clear();
        self.is_poisoned = false;
        std::mem::take(&mut self.census).entries as usize
    }

    /// Makes one change as a whole: after a panic within it the shard is poisoned.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Shard) -> T) -> T {
        self.is_poisoned = true;
        let done = change(self);
        self.is_poisoned = false;
        done
    }

    pub(super) fn lookup(
        &mut self,
        now: Moment,
        pair: &Pair<'_>,
        terms: &Terms,
        out: &mut Vec<u8>,
    ) -> Found {
        if self.stale_max != terms.stale_max {
            self.stale_max = terms.stale_max;
        }
        let exact = self.find(&pair.exact());
        if let Some(place) = exact.filter(|place| self.is_fresh_data(*place, now)) {
            return self.serve(place, now, terms, out);
        }
        let all_types = terms.shares_nxdomain.then(|| self.find_all_types(pair));
        let all_types = all_types.flatten();
        if let Some(place) = all_types.filter(|place| self.is_fresh_data(*place, now)) {
            return self.serve(place, now, terms, out);
        }
        // Of two old ones the later word counts: no stale data after NXDOMAIN.
        let data = exact.filter(|place| self.is_data(*place));
        let stored_at = |place: &Place| self.arena.entry(*place).map(|entry| entry.stored_at);
        let stale = data.into_iter().chain(all_types).max_by_key(stored_at);
        if let Some(place) = stale.filter(|place| self.is_servable(*place, now)) {
            return self.serve(place, now, terms, out);
        }
        let is_fresh = |place: &Place| {
            let entry = self.arena.entry(*place);
            entry.is_some_and(|entry| is_fresh_failure(entry, now, terms.generation))
        };
        match exact.filter(is_fresh) {
            Some(place) => self.serve(place, now, terms, out),
            None => Found::Miss,
        }
    }

    /// Counts the hit, appends the bytes and says what they are.
    fn serve(&mut self, place: Place, now: Moment, terms: &Terms, out: &mut Vec<u8>) -> Found {
        let Some(entry) = self.arena.entry_mut(place) else {
            return Found::Miss;
        };
        entry.hits = entry.hits.saturating_add(1);
        entry.set_frequency(entry.frequency() + 1);
        let age = u32::try_from(now.since(entry.stored_at).as_secs()).unwrap_or(u32::MAX);
        let found = if entry.has(FAILURE) {
            Found::Failed
        } else if now < entry.fresh_until() {
            let prefetch = entry.claim_prefetch(now, terms);
            Found::Fresh { age, prefetch }
        } else {
            let ask = !entry.is_noted(now, terms.generation);
            Found::Stale { age, ask }
        };
        if let Some(entry) = self.arena.entry(place) {
            self.arena.copy_bytes(entry, out);
        }
        found
    }

    /// Inserts an answer in place of what it supersedes.
    pub(super) fn insert(&mut self, now: Moment, pair: &Pair<'_>, scope: Scope, fresh: Fresh<'_>) {
        // A name that has an answer exists; one that does not has none for this type either.
        let exact = self.find(&pair.exact());
        let exact = exact.and_then(|place| self.supersede(place));
        let all_types = self
            .find_all_types(pair)
            .and_then(|place| self.supersede(place));
        let identity = &pair.of(scope);
        let inherited = exact.or(all_types).unwrap_or_default();
        let entry = Entry::new(identity, fresh.stored_at, fresh.ttl, 0);
        if fresh.ttl > 0 {
            self.add(now, identity, entry, inherited, fresh.bytes);
        }
    }

    /// Inserts an answer that is older than what is here: it supersedes nothing. Whether it was cached.
    pub(super) fn restore(
        &mut self,
        now: Moment,
        pair: &Pair<'_>,
        scope: Scope,
        old: Fresh<'_>,
    ) -> bool {
        let identity = &pair.of(scope);
        let known = self.find(&pair.exact()).or(self.find(identity));
        if old.ttl == 0 || known.is_some() || self.is_denied(pair) {
            return false;
        }
        let entry = Entry::new(identity, old.stored_at, old.ttl, 0);
        self.add(now, identity, entry, Inherited::default(), old.bytes)
    }

    /// Whether this very question was answered by the name's NXDOMAIN; one for another type says less than older data.
    fn is_denied(&self, pair: &Pair<'_>) -> bool {
        let negative = self.find_all_types(pair);
        let negative = negative.and_then(|place| self.arena.entry(place));
        negative.is_some_and(|negative| negative.qtype == pair.exact().qtype)
    }

    /// Inserts a failure, or, where there is data to serve, the note that a refresh failed.
    pub(super) fn insert_failure(
        &mut self,
        now: Moment,
        pair: &Pair<'_>,
        generation: u32,
        hold_max: u32,
        bytes: &[u8],
    ) {
        let exact = self.find(&pair.exact());
        let mut has_data = false;
        for place in exact.into_iter().chain(self.find_all_types(pair)) {
            if !self.is_servable(place, now) {
                continue;
            }
            if let Some(entry) = self.arena.entry_mut(place) {
                entry.note(now + limits::FAILURE_RECHECK, generation);
                has_data = true;
            }
        }
        let before = exact.and_then(|place| self.arena.entry(place));
        let Some(hold) = next_hold(before, now, generation, hold_max) else {
            return;
        };
        let keeps_data = has_data && !dotgate_wire::planted!("failure-replaces-data");
        if keeps_data || hold == 0 {
            return;
        }
        let inherited = exact
            .and_then(|place| self.supersede(place))
            .unwrap_or_default();
        let mut entry = Entry::new(&pair.exact(), now, hold, generation);
        entry.mark(FAILURE, true);
        self.add(now, &pair.exact(), entry, inherited, bytes);
    }

    /// Removes the entries of some buckets for which `condition` holds; how many.
    pub(super) fn remove_where(
        &mut self,
        buckets: Range<usize>,
        mut condition: impl FnMut(&Arena, &Entry) -> bool,
    ) -> usize {
        let mut removed = 0;
        for bucket in buckets {
            while let Some(place) = self.first_where(bucket, &mut condition) {
                self.remove(place);
                removed += 1;
            }
        }
        removed
    }

    fn first_where(
        &self,
        bucket: usize,
        condition: &mut impl FnMut(&Arena, &Entry) -> bool,
    ) -> Option<Place> {
        let mut places = self.buckets.entries(bucket, &self.arena);
        places.find(|place| {
            let entry = self.arena.entry(*place);
            entry.is_some_and(|entry| condition(&self.arena, entry))
        })
    }

    fn find(&self, identity: &Identity<'_>) -> Option<Place> {
        self.buckets.find(identity.hash, &self.arena, |place| {
            self.arena.read_ahead(place);
            let entry = self.arena.entry(place);
            entry.is_some_and(|entry| self.arena.is(entry, identity))
        })
    }

    /// The entry for all types of a question's name. Mostly there are none at all, which saves a look.
    fn find_all_types(&self, pair: &Pair<'_>) -> Option<Place> {
        match self.census.all_types {
            0 => None,
            _ => self.find(&pair.all_types()),
        }
    }

    fn is_data(&self, place: Place) -> bool {
        let entry = self.arena.entry(place);
        entry.is_some_and(|entry| !entry.has(FAILURE))
    }

    fn is_fresh_data(&self, place: Place, now: Moment) -> bool {
        let entry = self.arena.entry(place);
        entry.is_some_and(|entry| !entry.has(FAILURE) && now < entry.fresh_until())
    }

    /// Whether it is data, fresh or not yet too old to be served as stale.
    fn is_servable(&self, place: Place, now: Moment) -> bool {
        let entry = self.arena.entry(place);
        let is_for_ever = dotgate_wire::planted!("stale-for-ever");
        entry.is_some_and(|entry| {
            let is_young = now < entry.fresh_until() + self.stale_max || is_for_ever;
            !entry.has(FAILURE) && is_young
        })
    }

    /// Removes an entry whose place a new one takes.
    fn supersede(&mut self, place: Place) -> Option<Inherited> {
        let entry = self.arena.entry(place)?;
        let inherited = Inherited {
            is_in_main: entry.has(IN_MAIN),
            frequency: entry.frequency(),
        };
        self.remove(place);
        Some(inherited)
    }

    /// Adds an entry that is not there. Whether it found room: one that is larger than the shard does not.
    fn add(
        &mut self,
        now: Moment,
        identity: &Identity<'_>,
        mut entry: Entry,
        inherited: Inherited,
        bytes: &[u8],
    ) -> bool {
        let needed = blocks_for(identity.name.len() + bytes.len());
        if bytes.len() > limits::CACHE_ENTRY_BYTES || needed > self.arena.limit() {
            return false;
        }
        while self.arena.room() < needed {
            if !self.reclaim_dead(now) && !self.evict(now) {
                return false;
            }
        }
        let is_known = self.queues.recall(identity.hash);
        entry.mark(IN_MAIN, inherited.is_in_main || is_known);
        entry.set_frequency(inherited.frequency);
        let Some(place) = self.arena.insert(entry, identity.name, bytes) else {
            return false;
        };
        if let Some(entry) = self.arena.entry(place) {
            self.census.add(entry);
        }
        self.buckets.insert(place, identity.hash, &mut self.arena);
        self.queues.push(&mut self.arena, place);
        self.buckets
            .grow(self.census.entries as usize, &mut self.arena);
        true
    }

    fn remove(&mut self, place: Place) {
        let Some(entry) = self.arena.entry(place) else {
            return;
        };
        let hash = entry.hash;
        self.census.remove(entry);
        self.queues.unlink(&mut self.arena, place);
        self.buckets.remove(place, hash, &mut self.arena);
        self.arena.remove(place);
    }

    /// Removes what can never be served again from the next bucket that has any, a few on. False if there is none.
    fn reclaim_dead(&mut self, now: Moment) -> bool {
        let stale_max = self.stale_max;
        if !self.census.may_have_dead(now, stale_max) {
            return false;
        }
        for _ in 0..self.search_limit {
            let mut first_end = Moment::NEVER;
            let removed = self.remove_where(self.searched..self.searched + 1, |_, entry| {
                let is_dead = entry.is_dead(now, stale_max);
                if !is_dead {
                    first_end = first_end.min(end_of_data(entry));
                }
                is_dead
            });
            self.census.saw(first_end);
            self.searched += 1;
            if self.searched >= self.buckets.len() {
                self.searched = 0;
                self.census.end_search();
            }
            if removed > 0 {
                self.search_limit = SEARCHED_MOST;
                return true;
            }
        }
        self.search_limit = (self.search_limit / 2).max(SEARCHED_FEWEST);
        false
    }

    /// Removes the least valuable entry. False if there is none.
    fn evict(&mut self, now: Moment) -> bool {
        let stale_max = self.stale_max;
        let is_dead = |arena: &Arena, place| {
            let entry: Option<&Entry> = arena.entry(place);
            entry.is_some_and(|entry| entry.is_dead(now, stale_max))
        };
        let Some(place) = self.queues.victim(&mut self.arena, is_dead) else {
            return false;
        };
        if let Some(entry) = self.arena.entry(place)
            && !entry.is_dead(now, stale_max)
        {
            self.evictions += 1;
            if !entry.has(IN_MAIN) {
                self.queues.remember(entry.hash);
            }
        }
        self.remove(place);
        true
    }
}

impl<'q> Pair<'q> {
    fn exact(&self) -> Identity<'q> {
        self.key.exact(self.question)
    }

    fn all_types(&self) -> Identity<'q> {
        self.key.all_types(self.question)
    }

    fn of(&self, scope: Scope) -> Identity<'q> {
        match scope {
            Scope::Exact => self.exact(),
            Scope::AllTypes => self.all_types(),
        }
    }
}

impl Entry {
    pub(super) fn fresh_until(&self) -> Moment {
        self.stored_at + Duration::from_secs(self.ttl.into())
    }

    /// Whether nothing can make it be served again.
    fn is_dead(&self, now: Moment, stale_max: Duration) -> bool {
        let stale_max = if self.has(FAILURE) {
            Duration::ZERO
        } else {
            stale_max
        };
        now >= self.fresh_until() + stale_max
    }

    /// Whether a refresh failed so recently that another one is not tried.
    fn is_noted(&self, now: Moment, generation: u32) -> bool {
        self.has(NOTED) && self.generation == generation && now < self.quiet_until
    }

    fn note(&mut self, quiet_until: Moment, generation: u32) {
        self.mark(NOTED, true);
        self.quiet_until = quiet_until;
        self.generation = generation;
    }

    /// Claims the refresh before it expires, if it is popular and no one else has claimed it.
    fn claim_prefetch(&mut self, now: Moment, terms: &Terms) -> bool {
        if !terms.may_prefetch || u32::from(self.hits) < limits::PREFETCH_HITS {
            return false;
        }
        let ttl = Duration::from_secs(self.ttl.into());
        let left = self.fresh_until().since(now);
        let is_due = ttl >= limits::PREFETCH_TTL && left < ttl / limits::PREFETCH_LAST_PART;
        let is_claimed = !self.has(NOTED) && now < self.quiet_until;
        if !is_due || is_claimed || self.is_noted(now, terms.generation) {
            return false;
        }
        self.mark(NOTED, false);
        self.quiet_until = now + limits::PREFETCH_AGAIN;
        true
    }
}

fn is_fresh_failure(entry: &Entry, now: Moment, generation: u32) -> bool {
    entry.has(FAILURE) && entry.generation == generation && now < entry.fresh_until()
}

/// Seconds for which the next failure is cached: twice the last time. None while that one is still cached. It no
/// longer counts after a recovery, or when it expired longer ago than any failure is cached (RFC 9520 section 3.2).
fn next_hold(before: Option<&Entry>, now: Moment, generation: u32, hold_max: u32) -> Option<u32> {
    let first = hold_max.min(1);
    let Some(before) = before.filter(|entry| entry.has(FAILURE) && entry.generation == generation)
    else {
        return Some(first);
    };
    if now < before.fresh_until() {
        return None;
    }
    let remembered = Duration::from_secs(hold_max.into());
    if now < before.fresh_until() + remembered {
        Some(before.ttl.saturating_mul(2).min(hold_max))
    } else {
        Some(first)
    }
}

#[cfg(test)]
pub(super) mod tests;
