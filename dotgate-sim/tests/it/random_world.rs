use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dotgate_sim::world::{self, Outcome};

/// Seeds that every run of the tests tries, in addition to those recorded because they once found a bug.
const SEEDS: u64 = 2_000;

/// Of these, how many are tried with a route.
const ROUTED_SEEDS: u64 = 300;

/// Lines of a log that are printed; the whole one is printed for a seed that is replayed.
const LINES: usize = 400;

/// Runs one world; a panic of the engine is a broken rule like any other.
fn run(seed: u64, with_log: bool) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| world::run(seed, with_log))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        Outcome {
            seed,
            violations: vec![format!("panic: {}", text.unwrap_or_default())],
            log: Vec::new(),
            queries: 0,
            attempts: 0,
            failures: 0,
        }
    })
}

fn kept_seeds() -> Vec<u64> {
    recorded(include_str!("../../seeds.txt"))
}

/// The seeds in a file, one a line.
fn recorded(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| line.split('#').next()?.trim().parse().ok())
        .collect()
}

/// The one seed that is asked for.
#[expect(
    clippy::expect_used,
    reason = "another seed than the one asked for must not be replayed"
)]
fn seed_to_replay() -> Option<u64> {
    let seed = std::env::var("DOTGATE_SIM_SEED").ok()?;
    Some(seed.parse().expect("DOTGATE_SIM_SEED is a number"))
}

/// Prints the end of a log and says how to have it again.
fn reported(outcome: &Outcome, lines: usize) -> String {
    let skipped = outcome.log.len().saturating_sub(lines);
    for line in &outcome.log[skipped..] {
        println!("{line}");
    }
    for violation in &outcome.violations {
        println!("broken rule: {violation}");
    }
    format!(
        "seed {seed} breaks a rule; replay it with\n    \
         DOTGATE_SIM_SEED={seed} cargo test -p dotgate-sim random_worlds -- --nocapture",
        seed = outcome.seed
    )
}

#[test]
fn random_worlds_lose_nothing_and_stay_within_every_bound() {
    if let Some(seed) = seed_to_replay() {
        let outcome = run(seed, true);
        if outcome.violations.is_empty() {
            outcome.log.iter().for_each(|line| println!("{line}"));
            return;
        }
        panic!("{}", reported(&outcome, usize::MAX));
    }
    let mut seeds = kept_seeds();
    seeds.extend(0..SEEDS);
    let next = AtomicU64::new(0);
    let is_broken = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let found: Vec<u64> = std::thread::scope(|scope| {
        let search = || {
            while !is_broken.load(Ordering::Relaxed) {
                let place = next.fetch_add(1, Ordering::Relaxed) as usize;
                let seed = *seeds.get(place)?;
                if !run(seed, false).violations.is_empty() {
                    is_broken.store(true, Ordering::Relaxed);
                    return Some(seed);
                }
            }
            None
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(search)).collect();
        let found = threads.into_iter().map(|thread| thread.join());
        found.filter_map(|seed| seed.unwrap_or(None)).collect()
    });
    if let Some(seed) = found.first() {
        panic!("{}", reported(&run(*seed, true), LINES));
    }
}

#[test]
fn a_seed_gives_the_same_world_again_to_the_byte() {
    for seed in 0..5 {
        let (first, second) = (run(seed, true), run(seed, true));
        assert!(first.log.len() > 50, "{}", first.log.len());
        assert_eq!(first.log, second.log);
    }
}

/// The same rules hold for upstreams behind a route, and not one query of theirs reaches the default group.
#[test]
fn random_worlds_keep_a_routed_name_within_its_group() {
    if let Some(seed) = seed_to_replay() {
        let outcome = world::run_routed(seed, true);
        outcome.log.iter().for_each(|line| println!("{line}"));
        assert!(outcome.violations.is_empty(), "{:?}", outcome.violations);
        return;
    }
    let seeds = recorded(include_str!("../../routed-seeds.txt"));
    let seeds = seeds.into_iter().chain(kept_seeds());
    for seed in seeds.chain(0..ROUTED_SEEDS) {
        // Shown where the engine itself panics.
        println!("seed {seed}");
        let violations = world::run_routed(seed, false).violations;
        assert!(violations.is_empty(), "seed {seed}: {violations:?}");
    }
}
