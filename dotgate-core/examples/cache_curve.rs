//! What a lookup and an insertion in the cache cost, by how many entries it holds and how many threads use it.
//!
//! `cargo run --release -p dotgate-core --example cache_curve`; prints nanoseconds per call. A lookup and an insertion
//! contain the key, and reading the question from where it lies. Names are asked in an order without pattern, and a
//! million of them lie beyond any processor's cache. "room" are insertions into a cache with room, "full" those of new
//! names where each has to push another entry out.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "it measures, and is no part of the product"
)]

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use dotgate_core::cache::{Cache, Found, Key, Scope, Terms};
use dotgate_core::{Moment, RouteId};
use dotgate_wire::Question;

/// Bytes of an answer with one A record as it is stored.
const ANSWER: [u8; 70] = [7; 70];

/// Bytes that one such entry takes.
const ENTRY: usize = 201;

const LOOKUPS: usize = 1_000_000;
const BATCH: usize = 500;
const NOW: Moment = Moment::from_nanos(1);

const TERMS: Terms = Terms {
    generation: 0,
    stale_max: std::time::Duration::ZERO,
    may_prefetch: true,
    shares_nxdomain: false,
};

fn main() {
    println!("| entries | threads | key | lookup | miss | insert, room | insert, full |");
    println!("|---|---|---|---|---|---|---|");
    for entries in [1_000, 10_000, 100_000, 1_000_000] {
        for threads in [1, 2] {
            let row = measure(entries, threads);
            let [key, lookup, miss, room, full] = row.map(|nanos| format!("{nanos:.0} ns"));
            println!("| {entries} | {threads} | {key} | {lookup} | {miss} | {room} | {full} |");
        }
    }
}

/// Nanoseconds per key, lookup, miss, and insertion with and without room.
fn measure(entries: usize, threads: usize) -> [f64; 5] {
    // A quarter more than they need, as shards are not filled alike.
    let cache = Cache::new(entries * ENTRY * 5 / 4 + (1 << 20), (1, 2));
    let questions: Vec<Question> = (0..entries).map(question).collect();
    let others: Vec<Question> = (entries..2 * entries).map(question).collect();
    let share = entries / threads;

    let room = timed(threads, share, |thread, number, _| {
        insert(&cache, &questions[thread * share + number]);
    });
    let place = |thread, number| scattered(number + thread * 77, entries);
    let key = timed(threads, LOOKUPS, |thread, number, _| {
        std::hint::black_box(key(&cache, &questions[place(thread, number)]));
    });
    let lookup = timed(threads, LOOKUPS, |thread, number, out| {
        let found = look(&cache, &questions[place(thread, number)], out);
        assert_ne!(found, Found::Miss);
    });
    let miss = timed(threads, LOOKUPS, |thread, number, out| {
        let found = look(&cache, &others[place(thread, number)], out);
        assert_eq!(found, Found::Miss);
    });
    let mut unique = 2 * entries;
    while cache.usage().evictions < entries as u64 {
        for number in unique..unique + entries {
            insert(&cache, &question(number));
        }
        unique += entries;
    }
    let full = timed(threads, share, |thread, number, _| {
        insert(&cache, &others[thread * share + number]);
    });
    [key, lookup, miss, room, full]
}

fn question(number: usize) -> Question {
    let label = format!("host-{number:08}");
    let name = [&[13], label.as_bytes(), b"\x07example\x03org\0"].concat();
    Question::new(&name, 1, 1).unwrap()
}

fn key(cache: &Cache, question: &Question) -> Key {
    cache.key(question, RouteId::DEFAULT, false, false)
}

fn insert(cache: &Cache, question: &Question) {
    let key = key(cache, question);
    cache.insert(NOW, &key, question, Scope::Exact, 3_600, &ANSWER);
}

fn look(cache: &Cache, question: &Question, out: &mut Vec<u8>) -> Found {
    out.clear();
    cache.lookup(NOW, &key(cache, question), question, TERMS, out)
}

/// A place among `count`, next to none of those before and behind.
fn scattered(number: usize, count: usize) -> usize {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count
}

/// Nanoseconds of one of `calls` calls that every thread makes while the others make theirs: the median of batches,
/// each so short that few are interrupted by what else the machine does.
fn timed(threads: usize, calls: usize, call: impl Fn(usize, usize, &mut Vec<u8>) + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let (barrier, call) = (&barrier, &call);
    let run = |thread| {
        move || {
            let mut out = Vec::with_capacity(512);
            let mut batches = Vec::with_capacity(calls / BATCH + 1);
            barrier.wait();
            for first in (0..calls).step_by(BATCH) {
                let last = calls.min(first + BATCH);
                let start = Instant::now();
                for number in first..last {
                    call(thread, number, &mut out);
                }
                batches.push(start.elapsed().as_nanos() as f64 / (last - first) as f64);
            }
            batches
        }
    };
    let mut batches: Vec<f64> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(run(thread)))
            .collect();
        let done = running.into_iter().map(|thread| thread.join().unwrap());
        done.flatten().collect()
    });
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 2]
}
