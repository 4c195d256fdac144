//! What the cache costs a process: no allocation on its calls, and no more memory than its setting.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod counting;

use std::time::Duration;

use dotgate_core::cache::{Cache, Found, Scope, Terms};
use dotgate_core::{Moment, RouteId};
use dotgate_wire::Question;

use counting::allocations;

const NOW: Moment = Moment::from_nanos(1);

const TERMS: Terms = Terms {
    generation: 0,
    stale_max: Duration::from_secs(60),
    may_prefetch: true,
    shares_nxdomain: false,
};

fn question(number: usize) -> Question {
    let label = format!("{number:010}");
    let name = [&[10], label.as_bytes(), b"\x07example\0"].concat();
    Question::new(&name, 1, 1).unwrap()
}

fn insert(cache: &Cache, question: &Question, bytes: &[u8]) {
    let key = cache.key(question, RouteId::DEFAULT, false, false);
    cache.insert(NOW, &key, question, Scope::Exact, 60, bytes);
}

/// Bytes of memory that the process has in use.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.unwrap().parse::<usize>().unwrap() * 1_024
}

#[test]
fn lookups_and_insertions_allocate_nothing_even_where_others_have_to_go() {
    let cache = Cache::new(100_000, (1, 2));
    let questions: Vec<Question> = (0..2_000).map(question).collect();
    let mut out = Vec::with_capacity(512);
    let mut hits = 0;
    let counted = allocations(|| {
        for question in &questions {
            let key = cache.key(question, RouteId::DEFAULT, false, false);
            insert(&cache, question, &[7; 300]);
            out.clear();
            let found = cache.lookup(NOW, &key, question, TERMS, &mut out);
            hits += usize::from(found != Found::Miss);
            cache.insert_failure(NOW, &key, question, 0, 30, b"failure");
        }
    });
    assert_eq!(hits, questions.len());
    assert!(cache.usage().evictions > 0);
    assert_eq!(counted, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_filled_cache_has_grown_the_process_by_no_more_than_its_setting() {
    let size = 64 << 20;
    let before = resident();
    let cache = Cache::new(size, (1, 2));
    let empty = resident() - before;
    // The tables may be touched when they are made; the blocks are not.
    assert!(empty < size / 10, "{empty} bytes before anything is cached");
    for number in 0..600_000 {
        insert(&cache, &question(number), &[7; 300][..number % 300]);
    }
    assert!(cache.usage().evictions > 0);
    let grown = resident() - before;
    // Up to a page at each end of each shard's three arrays, and what else the test needs.
    assert!(grown <= size + (1 << 20), "{grown} bytes of {size}");
    assert!(grown > size * 9 / 10, "{grown} bytes of {size}: not filled");
}
