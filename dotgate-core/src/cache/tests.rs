//! Stories about the cache, in simulated time.

mod eviction;
mod failures;
#[cfg(feature = "interleavings")]
mod interleavings;
mod memory;
mod model;
mod operators;
mod stale;

use std::time::Duration;

use dotgate_wire::Question;

use super::*;

const A: u16 = 1;
const TXT: u16 = 16;
const AAAA: u16 = 28;

const WWW: &[u8] = b"\x03www\x07example\x03org\0";
const MAIL: &[u8] = b"\x04mail\x07example\x03org\0";
const EXAMPLE: &[u8] = b"\x07example\x03org\0";

const TERMS: Terms = Terms {
    generation: 1,
    stale_max: Duration::from_secs(1_000),
    may_prefetch: false,
    shares_nxdomain: true,
};

/// A cache with one caller and a clock of its own.
struct Lab {
    cache: Cache,
    now: Moment,
    terms: Terms,
    out: Vec<u8>,
}

impl Lab {
    fn new(size_bytes: usize) -> Lab {
        Lab {
            cache: Cache::new(size_bytes, (1, 2)),
            now: Moment::from_nanos(123),
            terms: TERMS,
            out: Vec::new(),
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    fn put(&self, name: &[u8], qtype: u16, ttl: u32, bytes: &[u8]) {
        self.put_as(name, qtype, Scope::Exact, ttl, bytes);
    }

    fn put_as(&self, name: &[u8], qtype: u16, scope: Scope, ttl: u32, bytes: &[u8]) {
        let question = question(name, qtype);
        let key = self.cache.key(&question, RouteId::DEFAULT, false, false);
        self.cache
            .insert(self.now, &key, &question, scope, ttl, bytes);
    }

    fn fail(&self, name: &[u8], qtype: u16) {
        let question = question(name, qtype);
        let key = self.cache.key(&question, RouteId::DEFAULT, false, false);
        let generation = self.terms.generation;
        self.cache
            .insert_failure(self.now, &key, &question, generation, 30, b"failure");
    }

    fn look(&mut self, name: &[u8], qtype: u16) -> Found {
        let question = question(name, qtype);
        let key = self.cache.key(&question, RouteId::DEFAULT, false, false);
        self.out.clear();
        self.cache
            .lookup(self.now, &key, &question, self.terms, &mut self.out)
    }

    fn check(&self) {
        for slot in &self.cache.shards {
            slot.lock().check();
        }
    }
}

fn question(name: &[u8], qtype: u16) -> Question {
    Question::new(name, qtype, 1).unwrap()
}

/// The name of a number, below example.org.
fn numbered(number: usize) -> Vec<u8> {
    let label = format!("{number:010}");
    [&[10], label.as_bytes(), EXAMPLE].concat()
}

fn fresh(age: u32) -> Found {
    let prefetch = false;
    Found::Fresh { age, prefetch }
}

#[test]
fn an_answer_is_fresh_for_its_ttl_and_shows_its_age_in_whole_seconds() {
    let mut lab = Lab::new(1 << 20);
    assert_eq!(lab.look(WWW, A), Found::Miss);
    lab.put(WWW, A, 10, b"answer");
    assert_eq!(lab.look(WWW, A), fresh(0));
    assert_eq!(lab.out, b"answer");
    lab.now = lab.now + Duration::from_millis(1_999);
    assert_eq!(lab.look(WWW, A), fresh(1));
    lab.now = lab.now + Duration::from_millis(8_000);
    assert_eq!(lab.look(WWW, A), fresh(9));
    lab.terms.stale_max = Duration::ZERO;
    lab.now = lab.now + Duration::from_millis(1);
    assert_eq!(lab.look(WWW, A), Found::Miss);
    assert_eq!(lab.out, b"");
}

#[test]
fn every_part_of_the_key_distinguishes_entries() {
    let lab = Lab::new(1 << 20);
    let questions = [
        Question::new(WWW, A, 1).unwrap(),
        Question::new(MAIL, A, 1).unwrap(),
        Question::new(WWW, AAAA, 1).unwrap(),
        Question::new(WWW, A, 3).unwrap(),
    ];
    let mut keys = Vec::new();
    for question in &questions {
        for variant in 0..8_u8 {
            let (dnssec_ok, disabled) = (variant & 1 != 0, variant & 2 != 0);
            let key = lab.cache.key(
                question,
                RouteId((variant >> 2).into()),
                dnssec_ok,
                disabled,
            );
            keys.push((question, key));
        }
    }
    for (number, (question, key)) in keys.iter().enumerate() {
        let mut out = Vec::new();
        let found = lab.cache.lookup(lab.now, key, question, TERMS, &mut out);
        assert_eq!(found, Found::Miss);
        let bytes = [number as u8];
        lab.cache
            .insert(lab.now, key, question, Scope::Exact, 60, &bytes);
    }
    for (number, (question, key)) in keys.iter().enumerate() {
        let mut out = Vec::new();
        let found = lab.cache.lookup(lab.now, key, question, TERMS, &mut out);
        assert_eq!((found, out), (fresh(0), vec![number as u8]));
    }
    lab.check();
}

#[test]
fn names_are_equal_in_any_case() {
    let mut lab = Lab::new(1 << 20);
    lab.put(b"\x03wWw\x07EXAMPLE\x03org\0", A, 10, b"answer");
    assert_eq!(lab.look(WWW, A), fresh(0));
}

#[test]
fn two_questions_with_the_same_hash_are_two_entries() {
    let lab = Lab::new(1 << 20);
    let longer: &[u8] = b"\x03wwx\x07example\x03org\0";
    let questions = [question(WWW, A), question(longer, A), question(WWW, TXT)];
    let keys = questions.each_ref().map(|question| {
        lab.cache
            .key(question, RouteId::DEFAULT, false, false)
            .with_hash(77, 88)
    });
    for (number, (question, key)) in questions.iter().zip(&keys).enumerate() {
        assert_eq!(key.hash(), 77);
        let bytes = [number as u8];
        lab.cache
            .insert(lab.now, key, question, Scope::Exact, 60, &bytes);
    }
    for (number, (question, key)) in questions.iter().zip(&keys).enumerate() {
        let mut out = Vec::new();
        lab.cache.lookup(lab.now, key, question, TERMS, &mut out);
        assert_eq!(out, [number as u8]);
    }
    lab.check();
}

#[test]
fn nxdomain_answers_for_all_types_until_the_name_has_an_answer() {
    let mut lab = Lab::new(1 << 20);
    lab.put_as(WWW, A, Scope::AllTypes, 60, b"nxdomain");
    for qtype in [A, AAAA, TXT] {
        assert_eq!(lab.look(WWW, qtype), fresh(0));
        assert_eq!(lab.out, b"nxdomain");
    }
    assert_eq!(lab.look(EXAMPLE, A), Found::Miss);
    lab.put(WWW, AAAA, 60, b"answer");
    assert_eq!(lab.look(WWW, AAAA), fresh(0));
    assert_eq!(lab.out, b"answer");
    assert_eq!(lab.look(WWW, A), Found::Miss);
    lab.check();
}

#[test]
fn nxdomain_supersedes_the_answer_to_its_question_and_leaves_other_types_their_ttl() {
    let mut lab = Lab::new(1 << 20);
    lab.put(WWW, A, 60, b"answer");
    lab.put(WWW, AAAA, 60, b"answer");
    lab.put_as(WWW, A, Scope::AllTypes, 100, b"nxdomain");
    lab.look(WWW, A);
    assert_eq!(lab.out, b"nxdomain");
    lab.look(WWW, AAAA);
    assert_eq!(lab.out, b"answer");
    lab.pass(60);
    lab.look(WWW, AAAA);
    assert_eq!(lab.out, b"nxdomain");
}

#[test]
fn nxdomain_of_one_variant_says_nothing_of_another() {
    let mut lab = Lab::new(1 << 20);
    lab.put_as(WWW, A, Scope::AllTypes, 60, b"nxdomain");
    let question = question(WWW, A);
    for (route, dnssec_ok, checking_disabled) in [
        (0, true, false),
        (0, false, true),
        (1, false, false),
        (256, false, false),
    ] {
        let route = RouteId(route);
        let key = lab
            .cache
            .key(&question, route, dnssec_ok, checking_disabled);
        let found = lab
            .cache
            .lookup(lab.now, &key, &question, TERMS, &mut lab.out);
        assert_eq!(found, Found::Miss);
        lab.cache
            .insert(lab.now, &key, &question, Scope::Exact, 60, b"answer");
    }
    assert_eq!(lab.look(WWW, TXT), fresh(0));
}

#[test]
fn an_answer_that_may_not_be_cached_still_supersedes_the_old_one() {
    let mut lab = Lab::new(1 << 20);
    lab.put(WWW, A, 10, b"old");
    lab.put(WWW, A, 0, b"new");
    assert_eq!(lab.look(WWW, A), Found::Miss);
    lab.put_as(WWW, A, Scope::AllTypes, 10, b"nxdomain");
    lab.put(WWW, A, 10, &vec![0; limits::CACHE_ENTRY_BYTES + 1]);
    assert_eq!(lab.look(WWW, A), Found::Miss);
    assert_eq!(lab.cache.usage().entries, 0);
    lab.check();
}

#[test]
fn one_caller_refreshes_a_popular_answer_before_it_expires() {
    let mut lab = Lab::new(1 << 20);
    lab.terms.may_prefetch = true;
    let reported = |age| Found::Fresh {
        age,
        prefetch: true,
    };
    lab.put(WWW, A, 100, b"answer");
    lab.pass(90);
    assert_eq!(lab.look(WWW, A), fresh(90), "a tenth is left");
    lab.pass(1);
    assert_eq!(lab.look(WWW, A), reported(91));
    assert_eq!(lab.look(WWW, A), fresh(91), "somebody is at it");
    lab.pass(5);
    assert_eq!(lab.look(WWW, A), reported(96));
    lab.fail(WWW, A);
    lab.pass(3);
    assert_eq!(lab.look(WWW, A), fresh(99), "the refresh failed");
    lab.terms.generation += 1;
    assert_eq!(lab.look(WWW, A), reported(99));

    lab.put(MAIL, A, 100, b"answer");
    lab.pass(95);
    assert_eq!(lab.look(MAIL, A), fresh(95), "hit once");
    lab.terms.may_prefetch = false;
    assert_eq!(lab.look(MAIL, A), fresh(95));
    lab.terms.may_prefetch = true;
    assert_eq!(lab.look(MAIL, A), reported(95));
    lab.put(MAIL, A, 9, b"short");
    lab.pass(8);
    for _ in 0..3 {
        assert_eq!(lab.look(MAIL, A), fresh(8), "too short a ttl");
    }
}

#[test]
fn a_shard_that_a_panic_left_half_changed_is_emptied_and_serves_on() {
    let mut lab = Lab::new(1 << 19);
    for number in 0..100 {
        lab.put(&numbered(number), A, 60, b"answer");
    }
    let poisoned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        lab.cache.shards[0].lock().tear();
    }));
    assert!(poisoned.is_err());
    let left = lab.cache.usage().entries;
    assert!((20..80).contains(&left), "{left}: the other shard's");
    lab.check();
    for number in 0..100 {
        lab.put(&numbered(number), A, 60, b"answer");
        assert_eq!(lab.look(&numbered(number), A), fresh(0));
    }
}
