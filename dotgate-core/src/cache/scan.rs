//! What operators do with a cache: look into it, empty it, carry it over a restart.
//!
//! Goes through all buckets of a shard, a few under each lock, so that no query waits long for it. What comes
//! or goes meanwhile may be seen or not; all else is seen, and twice if the table grows and it moves.

use std::ops::Range;
use std::time::Duration;

use dotgate_wire::Question;

use crate::limits;
use crate::moment::Moment;
use crate::routes::RouteId;

use super::arena::{Arena, Entry, FAILURE};
use super::key::{ALL_TYPES, CHECKING_DISABLED, DNSSEC_OK};
use super::shard::{Fresh, Shard};
use super::{Cache, EARLIER, Pair, SavedEntry, Scope, Slot};

/// An entry as an operator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CachedEntry {
    /// The type that was asked for.
    pub qtype: u16,
    /// The class.
    pub qclass: u16,
    /// Whether it answers for all types of the name.
    pub scope: Scope,
    /// Whether DO was set.
    pub dnssec_ok: bool,
    /// Whether CD was set.
    pub checking_disabled: bool,
    /// The route.
    pub route: RouteId,
    /// Whole seconds since it was stored.
    pub age: u32,
    /// Remaining TTL in seconds; below zero, the time since it expired.
    pub ttl_left: i64,
    /// How often it was served; from 65,535 on, no more is counted.
    pub hits: u16,
    /// Whether it is a failure and no answer.
    pub is_failure: bool,
    /// What was stored.
    pub bytes: Vec<u8>,
}

impl Cache {
    /// Empties it; how many entries went.
    pub fn flush_all(&self) -> usize {
        self.shards.iter().map(|slot| slot.lock().clear()).sum()
    }

    /// Removes all entries of a name (uncompressed, lower case, with its root label); how many.
    pub fn flush_name(&self, name_wire_lower: &[u8]) -> usize {
        let has_name = |arena: &Arena, entry: &Entry| arena.has_name(entry, name_wire_lower);
        let slot = self.slot_of_name(name_wire_lower);
        slot.map_or(0, |slot| slot.remove_where(has_name))
    }

    /// Removes all entries of a name and those below it; how many.
    pub fn flush_below(&self, suffix_wire_lower: &[u8]) -> usize {
        let mut name = Vec::new();
        let mut is_below = |arena: &Arena, entry: &Entry| {
            name.clear();
            arena.copy_name(entry, &mut name);
            let question = Question::new(&name, entry.qtype, entry.qclass);
            question.is_some_and(|question| question.is_at_or_below(suffix_wire_lower))
        };
        let shards = self.shards.iter();
        shards.map(|slot| slot.remove_where(&mut is_below)).sum()
    }

    /// All entries of a name (uncompressed, lower case), in no order.
    pub fn entries_of(&self, now: Moment, name_wire_lower: &[u8]) -> Vec<CachedEntry> {
        let now = now + EARLIER;
        let mut found = Vec::new();
        let Some(slot) = self.slot_of_name(name_wire_lower) else {
            return found;
        };
        slot.each(|arena, entry| {
            if !arena.has_name(entry, name_wire_lower) {
                return;
            }
            let mut bytes = Vec::new();
            arena.copy_bytes(entry, &mut bytes);
            found.push(CachedEntry {
                qtype: entry.qtype,
                qclass: entry.qclass,
                scope: entry.scope(),
                dnssec_ok: entry.has(DNSSEC_OK),
                checking_disabled: entry.has(CHECKING_DISABLED),
                route: entry.route,
                age: seconds(now.since(entry.stored_at)),
                ttl_left: i64::from(seconds(entry.fresh_until().since(now)))
                    - i64::from(seconds(now.since(entry.fresh_until()))),
                hits: entry.hits,
                is_failure: entry.has(FAILURE),
                bytes,
            });
        });
        found
    }

    /// Calls `each` with every answer of the default route, fresh or not; failures are left out. The numbers of other
    /// routes mean something in this process alone. No lock is held meanwhile.
    pub fn export(&self, now: Moment, mut each: impl FnMut(SavedEntry<'_>)) {
        let now = now + EARLIER;
        let mut copies: Vec<(Entry, Range<usize>, Range<usize>)> = Vec::new();
        let mut copied = Vec::new();
        for slot in &self.shards {
            for buckets in slot.slices() {
                copies.clear();
                copied.clear();
                slot.lock().visit(buckets, |arena, entry| {
                    if entry.has(FAILURE) || entry.route != RouteId::DEFAULT {
                        return;
                    }
                    let start = copied.len();
                    arena.copy_name(entry, &mut copied);
                    let middle = copied.len();
                    arena.copy_bytes(entry, &mut copied);
                    copies.push((entry.clone(), start..middle, middle..copied.len()));
                });
                for (entry, name, bytes) in &copies {
                    each(SavedEntry {
                        name: copied.get(name.clone()).unwrap_or_default(),
                        qtype: entry.qtype,
                        qclass: entry.qclass,
                        scope: entry.scope(),
                        dnssec_ok: entry.has(DNSSEC_OK),
                        checking_disabled: entry.has(CHECKING_DISABLED),
                        age: now.since(entry.stored_at),
                        ttl_seconds: entry.ttl,
                        bytes: copied.get(bytes.clone()).unwrap_or_default(),
                    });
                }
            }
        }
    }

    /// Keeps what was exported, from here or elsewhere, unless something is known of its question. False if it was
    /// not cached, also where the name is none. The bytes are the caller's to check.
    pub fn import(&self, now: Moment, entry: SavedEntry<'_>) -> bool {
        let now = now + EARLIER;
        let age = u64::try_from(entry.age.as_nanos()).unwrap_or(u64::MAX);
        let stored_at = now.nanos().checked_sub(age).map(Moment::from_nanos);
        let question = Question::new(entry.name, entry.qtype, entry.qclass);
        let (Some(stored_at), Some(question)) = (stored_at, question) else {
            return false;
        };
        let SavedEntry {
            dnssec_ok,
            checking_disabled,
            ..
        } = entry;
        let route = RouteId::DEFAULT;
        let key = self.key(&question, route, dnssec_ok, checking_disabled);
        let old = Fresh {
            stored_at,
            ttl: entry.ttl_seconds,
            bytes: entry.bytes,
        };
        let pair = Pair {
            key: &key,
            question: &question,
        };
        self.shard(&key).is_some_and(|mut shard| {
            shard.change(|shard| shard.restore(now, &pair, entry.scope, old))
        })
    }

    fn slot_of_name(&self, name_wire_lower: &[u8]) -> Option<&Slot> {
        let question = Question::new(name_wire_lower, 0, 0)?;
        self.slot(&self.key(&question, RouteId::DEFAULT, false, false))
    }
}

impl Slot {
    /// All buckets, in parts that each take little time; those too that are added meanwhile, because entries move there.
    fn slices(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = (0..).step_by(limits::CACHE_SCAN_BUCKETS);
        let slices = starts.map(|start| start..start + limits::CACHE_SCAN_BUCKETS);
        slices.take_while(|slice| slice.start < self.lock().buckets())
    }

    fn remove_where(&self, mut condition: impl FnMut(&Arena, &Entry) -> bool) -> usize {
        let remove = |buckets| {
            let mut shard = self.lock();
            shard.change(|shard| shard.remove_where(buckets, &mut condition))
        };
        self.slices().map(remove).sum()
    }

    fn each(&self, mut visit: impl FnMut(&Arena, &Entry)) {
        for buckets in self.slices() {
            self.lock().visit(buckets, &mut visit);
        }
    }
}

impl Shard {
    /// Calls `visit` with each entry of some buckets.
    pub(super) fn visit(&self, buckets: Range<usize>, mut visit: impl FnMut(&Arena, &Entry)) {
        for bucket in buckets {
            let places = self.buckets.entries(bucket, &self.arena);
            for entry in places.filter_map(|place| self.arena.entry(place)) {
                visit(&self.arena, entry);
            }
        }
    }
}

impl Entry {
    fn scope(&self) -> Scope {
        if self.has(ALL_TYPES) {
            Scope::AllTypes
        } else {
            Scope::Exact
        }
    }
}

fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}
