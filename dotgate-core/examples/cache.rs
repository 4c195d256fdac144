//! What the cache costs a forwarded query: the lookup that finds nothing, and the insertion of the response while the cache is full.
//!
//!     cargo run --release -p dotgate-core --example cache [MEBIBYTES [MILLIONS [THREADS]]]
//!
//! of a cache of this size (64), for so many names (2), each of which is asked once, by so many threads (1) at the same time. A response is inserted 128 queries after its
//! lookup, as if it had been on its way. Prints times, which depend on the machine and on what else it does: compare two
//! versions in turns.

#![expect(
    clippy::disallowed_methods,
    reason = "the core has no clock, but its cost is measured with one"
)]

use std::collections::VecDeque;
use std::ops::Range;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use dotgate_core::cache::{Cache, Key, Scope, Terms};
use dotgate_core::{Moment, RouteId};
use dotgate_wire::{Question, rclass, rtype};

/// Queries that are looked up together, as a worker receives them.
const BATCH: usize = 32;

/// Queries between the lookup and the insertion.
const IN_FLIGHT: usize = 128;

/// As many bytes as a response with one address has when it is stored.
const RESPONSE: [u8; 83] = [7; 83];

const TERMS: Terms = Terms {
    generation: 0,
    stale_max: Duration::from_secs(86_400),
    may_prefetch: false,
    shares_nxdomain: false,
};

#[derive(Default)]
struct Times {
    lookups: Duration,
    insertions: Duration,
    queries: usize,
}

fn main() -> ExitCode {
    let numbers: Result<Vec<usize>, _> = std::env::args().skip(1).map(|it| it.parse()).collect();
    let (mebibytes, millions, threads) = match numbers.as_deref() {
        Ok([]) => (64, 2, 1),
        Ok([mebibytes]) => (*mebibytes, 2, 1),
        Ok([mebibytes, millions]) => (*mebibytes, *millions, 1),
        Ok([mebibytes, millions, threads]) => (*mebibytes, *millions, *threads),
        _ => {
            eprintln!("usage: cache [MEBIBYTES [MILLIONS [THREADS]]]");
            return ExitCode::FAILURE;
        }
    };
    let cache = &Cache::new(mebibytes << 20, (1, 2));
    let names = millions * 1_000_000 / threads.max(1);
    let mut times = Times::default();
    thread::scope(|scope| {
        let starts = (0..threads).map(|thread| thread * names);
        let measured =
            starts.map(|start| scope.spawn(move || measure(cache, start..start + names)));
        let measured: Vec<_> = measured.collect();
        for one in measured.into_iter().filter_map(|it| it.join().ok()) {
            times.lookups += one.lookups;
            times.insertions += one.insertions;
            times.queries += one.queries;
        }
    });
    let each = |time: Duration| time.as_nanos() as f64 / times.queries.max(1) as f64;
    let (lookup, insertion) = (each(times.lookups), each(times.insertions));
    println!("lookup {lookup:.0} ns, insertion {insertion:.0} ns");
    ExitCode::SUCCESS
}

/// The first half of the names fills the cache and does not count.
fn measure(cache: &Cache, names: Range<usize>) -> Times {
    let now = Moment::default() + Duration::from_secs(1_000);
    let mut times = Times::default();
    let mut waiting: VecDeque<(Key, Question)> = VecDeque::new();
    let mut found = Vec::new();
    let counted_from = names.start + names.len() / 2;
    for start in names.step_by(BATCH) {
        let batch: Vec<(Key, Question)> = (start..start + BATCH)
            .filter_map(question)
            .map(|it| (cache.key(&it, RouteId::DEFAULT, false, false), it))
            .collect();
        let begun = Instant::now();
        for (key, question) in &batch {
            cache.lookup(now, key, question, TERMS, &mut found);
        }
        let looked_up = begun.elapsed();
        waiting.extend(batch);
        let due = waiting.len().saturating_sub(IN_FLIGHT);
        let begun = Instant::now();
        for (key, question) in waiting.drain(..due) {
            cache.insert(now, &key, &question, Scope::Exact, 300, &RESPONSE);
        }
        let inserted = begun.elapsed();
        if start >= counted_from {
            times.lookups += looked_up;
            times.insertions += inserted;
            times.queries += BATCH;
        }
    }
    times
}

fn question(number: usize) -> Option<Question> {
    let name = format!("\x18{number:024x}\x07example\x03com\x00");
    Question::new(name.as_bytes(), rtype::A, rclass::IN)
}
