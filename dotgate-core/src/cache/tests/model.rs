//! Any sequence of calls, compared with a plain list of what was inserted.
//!
//! A cache with room says exactly what the list says. One without may have lost any entry, but what it says is then
//! still what the list says of those that are left.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const NAMES: [&[u8]; 4] = [WWW, MAIL, EXAMPLE, b"\0"];
const TYPES: [u16; 3] = [A, AAAA, TXT];

/// A question by its place in the tables; DO is set for every second one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct QuestionIndex {
    name: usize,
    qtype: usize,
    dnssec_ok: bool,
}

#[derive(Clone, Debug)]
enum Operation {
    Pass(u64),
    Lookup(QuestionIndex),
    Insert(QuestionIndex, bool, u32, usize),
    Fail(QuestionIndex),
    Recover,
    FlushName(usize),
    FlushBelow(usize),
    FlushAll,
    Restart,
}

fn asked() -> impl Strategy<Value = QuestionIndex> {
    (0..NAMES.len(), 0..TYPES.len(), any::<bool>()).prop_map(|(name, qtype, dnssec_ok)| {
        QuestionIndex {
            name,
            qtype,
            dnssec_ok,
        }
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let millis = prop_oneof![0_u64..2_000, 2_000_u64..60_000];
    let insert = (asked(), any::<bool>(), 0_u32..40, 0_usize..300);
    prop_oneof![
        4 => millis.prop_map(Operation::Pass),
        8 => asked().prop_map(Operation::Lookup),
        6 => insert.prop_map(|(asked, all, ttl, len)| Operation::Insert(asked, all, ttl, len)),
        4 => asked().prop_map(Operation::Fail),
        1 => Just(Operation::Recover),
        1 => (0..NAMES.len()).prop_map(Operation::FlushName),
        1 => (0..NAMES.len()).prop_map(Operation::FlushBelow),
        1 => Just(Operation::FlushAll),
        1 => Just(Operation::Restart),
    ]
}

/// An entry as the list has it.
#[derive(Clone, Debug)]
struct Known {
    asked: QuestionIndex,
    is_for_all: bool,
    stored_at: Moment,
    ttl: u32,
    bytes: Vec<u8>,
    /// The generation of a failure.
    failed_in: Option<u32>,
    /// Until when, and for which generation, it is known that a refresh fails.
    refresh_failed: Option<(Moment, u32)>,
}

impl Known {
    fn end(&self) -> Moment {
        self.stored_at + Duration::from_secs(self.ttl.into())
    }

    fn is_servable(&self, now: Moment) -> bool {
        self.failed_in.is_none() && now < self.end() + TERMS.stale_max
    }

    fn is_of(&self, asked: QuestionIndex, is_for_all: bool) -> bool {
        self.is_for_all == is_for_all
            && self.asked.name == asked.name
            && self.asked.dnssec_ok == asked.dnssec_ok
            && (is_for_all || self.asked.qtype == asked.qtype)
    }
}

/// What is said of a question of which these two entries are known.
fn expected(
    exact: Option<&Known>,
    all: Option<&Known>,
    now: Moment,
    generation: u32,
) -> (Found, Vec<u8>) {
    let age = |known: &Known| now.since(known.stored_at).as_secs() as u32;
    let data = exact.filter(|known| known.failed_in.is_none());
    for known in [data, all].into_iter().flatten() {
        if now < known.end() {
            return (fresh(age(known)), known.bytes.clone());
        }
    }
    let later = match (data, all) {
        (Some(data), Some(all)) if data.stored_at > all.stored_at => Some(data),
        (data, all) => all.or(data),
    };
    if let Some(known) = later.filter(|known| known.is_servable(now)) {
        let has_failed_refresh = known
            .refresh_failed
            .is_some_and(|(until, then)| now < until && then == generation);
        let (age, ask) = (age(known), !has_failed_refresh);
        return (Found::Stale { age, ask }, known.bytes.clone());
    }
    match exact.filter(|known| known.failed_in == Some(generation) && now < known.end()) {
        Some(failure) => (Found::Failed, failure.bytes.clone()),
        None => (Found::Miss, Vec::new()),
    }
}

struct World {
    cache: Cache,
    has_room: bool,
    now: Moment,
    generation: u32,
    known: Vec<Known>,
    next: u8,
}

impl World {
    fn new(size: usize, has_room: bool) -> World {
        World {
            cache: Cache::new(size, (3, 4)),
            has_room,
            now: Moment::from_nanos(1),
            generation: 0,
            known: Vec::new(),
            next: 0,
        }
    }

    fn find(&self, asked: QuestionIndex, is_for_all: bool) -> Option<&Known> {
        self.known
            .iter()
            .find(|known| known.is_of(asked, is_for_all))
    }

    fn ask(&self, asked: QuestionIndex) -> (Question, Key) {
        let question = question(NAMES[asked.name], TYPES[asked.qtype]);
        let key = self
            .cache
            .key(&question, RouteId::DEFAULT, asked.dnssec_ok, false);
        (question, key)
    }

    fn operate(&mut self, operation: &Operation) {
        match *operation {
            Operation::Pass(millis) => self.now = self.now + Duration::from_millis(millis),
            Operation::Lookup(asked) => self.look(asked),
            Operation::Insert(asked, is_for_all, ttl, len) => {
                self.insert(asked, is_for_all, ttl, len);
            }
            Operation::Fail(asked) => self.fail(asked),
            Operation::Recover => self.generation += 1,
            Operation::FlushName(name) => {
                let removed = self.cache.flush_name(NAMES[name]);
                self.forget(removed, |known| known.asked.name == name);
            }
            Operation::FlushBelow(name) => {
                let removed = self.cache.flush_below(NAMES[name]);
                let below = |known: &Known| {
                    question(NAMES[known.asked.name], A).is_at_or_below(NAMES[name])
                };
                self.forget(removed, below);
            }
            Operation::FlushAll => {
                let removed = self.cache.flush_all();
                self.forget(removed, |_| true);
            }
            Operation::Restart => self.restart(),
        }
        for slot in &self.cache.shards {
            slot.lock().check();
        }
    }

    fn look(&self, asked: QuestionIndex) {
        let (question, key) = self.ask(asked);
        let mut out = Vec::new();
        let generation = self.generation;
        let terms = Terms {
            generation,
            ..TERMS
        };
        let found = self
            .cache
            .lookup(self.now, &key, &question, terms, &mut out);
        let (exact, all) = (self.find(asked, false), self.find(asked, true));
        let said = (found, out);
        let possible = [(exact, all), (exact, None), (None, all), (None, None)]
            .map(|(exact, all)| expected(exact, all, self.now, generation));
        if self.has_room {
            assert_eq!(said, possible[0]);
        } else {
            assert!(possible.contains(&said), "{said:?}, not {possible:?}");
        }
    }

    fn insert(&mut self, asked: QuestionIndex, is_for_all: bool, ttl: u32, len: usize) {
        let (question, key) = self.ask(asked);
        self.next = self.next.wrapping_add(1);
        let bytes = vec![self.next; len];
        let scope = if is_for_all {
            Scope::AllTypes
        } else {
            Scope::Exact
        };
        self.cache
            .insert(self.now, &key, &question, scope, ttl, &bytes);
        self.known
            .retain(|known| !known.is_of(asked, false) && !known.is_of(asked, true));
        if ttl > 0 {
            self.know(asked, is_for_all, ttl, bytes, None);
        }
    }

    fn know(
        &mut self,
        asked: QuestionIndex,
        is_for_all: bool,
        ttl: u32,
        bytes: Vec<u8>,
        failed_in: Option<u32>,
    ) {
        self.known.push(Known {
            asked,
            is_for_all,
            stored_at: self.now,
            ttl,
            bytes,
            failed_in,
            refresh_failed: None,
        });
    }

    fn fail(&mut self, asked: QuestionIndex) {
        // Which entries can be served is known from lookups alone.
        self.look(asked);
        let (question, key) = self.ask(asked);
        let (now, generation) = (self.now, self.generation);
        self.next = self.next.wrapping_add(1);
        let bytes = vec![self.next; 20];
        self.cache
            .insert_failure(now, &key, &question, generation, 8, &bytes);
        let mut has_data = false;
        for known in &mut self.known {
            let is_meant = known.is_of(asked, false) || known.is_of(asked, true);
            if is_meant && known.is_servable(now) {
                known.refresh_failed = Some((now + Duration::from_secs(30), generation));
                has_data = true;
            }
        }
        let before = self.find(asked, false).cloned();
        let row = before.filter(|known| known.failed_in == Some(generation));
        let is_fresh = row.as_ref().is_some_and(|failure| now < failure.end());
        let hold = row.map_or(1, |failure| {
            let is_in_row = now < failure.end() + Duration::from_secs(8);
            if is_in_row {
                (failure.ttl * 2).min(8)
            } else {
                1
            }
        });
        if has_data || is_fresh {
            return self.settle(asked, hold, &bytes);
        }
        self.known.retain(|known| !known.is_of(asked, false));
        self.know(asked, false, hold, bytes, Some(generation));
    }

    /// Without room, the data or the last failure may have been evicted, and a failure was cached in its place, for `hold` seconds at
    /// most.
    fn settle(&mut self, asked: QuestionIndex, hold: u32, bytes: &[u8]) {
        if self.has_room {
            return;
        }
        let entries = self.cache.entries_of(self.now, NAMES[asked.name]);
        let is_cached = entries
            .iter()
            .any(|entry| entry.bytes == bytes && entry.is_failure);
        if is_cached {
            self.known.retain(|known| !known.is_of(asked, false));
            self.know(asked, false, hold, bytes.to_vec(), Some(self.generation));
        }
    }

    fn forget(&mut self, removed: usize, which: impl Fn(&Known) -> bool) {
        let before = self.known.len();
        self.known.retain(|known| !which(known));
        let gone = before - self.known.len();
        assert!(
            removed == gone || !self.has_room && removed < gone,
            "{removed} of {gone}"
        );
    }

    fn restart(&mut self) {
        let next = Cache::new(self.cache.bytes_max, (5, 6));
        let has_room = self.has_room;
        self.cache.export(self.now, |entry| {
            assert!(next.import(self.now, entry) || !has_room);
        });
        self.cache = next;
        self.known.retain(|known| known.failed_in.is_none());
        for known in &mut self.known {
            known.refresh_failed = None;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cache_with_room_says_what_it_was_told(operations in vec(operation(), 0..120)) {
        let mut world = World::new(60_000, true);
        for operation in &operations {
            world.operate(operation);
        }
    }

    #[test]
    fn a_cache_without_room_forgets_and_is_never_wrong(operations in vec(operation(), 0..120), size in 500_usize..3_000) {
        let mut world = World::new(size, false);
        for operation in &operations {
            world.operate(operation);
        }
    }
}

/// The failures of a question whose data was evicted are cached for longer each time.
#[test]
fn failures_behind_evicted_data_are_failures_in_a_row() {
    let of = |name, qtype, dnssec_ok| QuestionIndex {
        name,
        qtype,
        dnssec_ok,
    };
    let fails = [Operation::Fail(of(1, 1, false)), Operation::Pass(1_000)];
    let operations = [
        Operation::Insert(of(1, 0, false), true, 1, 160),
        Operation::Insert(of(0, 0, false), false, 1, 102),
        Operation::Insert(of(2, 0, false), false, 1, 165),
        Operation::Insert(of(0, 0, true), false, 1, 102),
        Operation::Insert(of(1, 0, true), false, 1, 42),
        Operation::Insert(of(0, 0, false), false, 1, 220),
    ];
    let mut world = World::new(500, false);
    for operation in operations.iter().chain(fails.iter().cycle().take(6)) {
        world.operate(operation);
    }
}
