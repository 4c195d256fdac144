//! Runs random worlds until stopped, from the seed given or from 1,000,000: `just sim`.
//!
//! Ends with status 1 at the first world that breaks a rule, after its log; with `all` as second argument
//! it tells the broken rules alone and goes on. A number as third argument is how many worlds are run, and with `routed` as
//! fourth their upstreams are behind a route.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dotgate_sim::world;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let first = words.next().and_then(|word| word.parse().ok());
    let first: u64 = first.unwrap_or(1_000_000);
    let goes_on = words.next().is_some_and(|word| word == "all");
    let count = words.next().and_then(|word| word.parse().ok());
    let count: u64 = count.unwrap_or(u64::MAX - first);
    let run = match words.next().is_some_and(|word| word == "routed") {
        true => world::run_routed,
        false => world::run,
    };
    let next = AtomicU64::new(first);
    let is_broken = AtomicBool::new(false);
    let search = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if is_broken.load(Ordering::Relaxed) && !goes_on || seed >= first + count {
                return;
            }
            if seed.is_multiple_of(1_000) {
                println!("seed {seed}");
            }
            let outcome = run(seed, false);
            if outcome.violations.is_empty() {
                continue;
            }
            is_broken.store(true, Ordering::Relaxed);
            if !goes_on {
                for line in run(seed, true).log {
                    println!("{line}");
                }
            }
            for violation in outcome.violations.iter().take(3) {
                println!("seed {seed} breaks a rule: {violation}");
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(search);
        }
    });
    ExitCode::from(u8::from(is_broken.load(Ordering::Relaxed)))
}
