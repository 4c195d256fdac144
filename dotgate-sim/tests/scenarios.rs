//! Every scenario of the folder `scenarios`, with every seed it names, and the page that is made from them.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a file that cannot be read is a failed test"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use dotgate_sim::isolation;
use dotgate_sim::scenario::{self, Elsewhere, Outcome, Scenario};

/// Lines of a log that are printed; the whole one is printed for a scenario that is replayed.
const LINES: usize = 60;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn scenarios() -> Vec<Scenario> {
    let read = scenario::folder(&root().join("scenarios")).unwrap();
    let (good, bad): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
    let mistakes: Vec<String> = bad
        .into_iter()
        .filter_map(Result::err)
        .map(|m| m.to_string())
        .collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    good.into_iter().flatten().collect()
}

/// Runs one scenario; a panic of the engine is a failure like any other.
fn run(scenario: &Scenario, seed: u64, with_log: bool) -> Result<Outcome, String> {
    let run = || scenario::run(scenario, seed, with_log);
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        format!("panic: {}", text.unwrap_or_default())
    })
}

/// All scenarios with all their seeds.
fn outcomes() -> &'static [(Scenario, Vec<Outcome>)] {
    static OUTCOMES: OnceLock<Vec<(Scenario, Vec<Outcome>)>> = OnceLock::new();
    OUTCOMES.get_or_init(|| {
        let scenarios = scenarios();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                let seeds = scenario.all_seeds();
                let outcome = |seed| {
                    run(scenario, seed, false).unwrap_or_else(|text| Outcome::failed(seed, text))
                };
                done.push((scenario.clone(), seeds.map(outcome).collect()));
            }
            done
        };
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let mut all: Vec<(Scenario, Vec<Outcome>)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let done = threads.into_iter().map(|thread| thread.join().unwrap());
            done.flatten().collect()
        });
        all.sort_by(|(one, _), (other, _)| one.file.cmp(&other.file));
        all
    })
}

/// Prints the end of a log, what failed, and how to see the whole.
fn describe(scenario: &Scenario, outcome: &Outcome) {
    let file = &scenario.file;
    println!("== {file} with seed {}", outcome.seed);
    if let Ok(replayed) = run(scenario, outcome.seed, true) {
        let skipped = replayed.log.len().saturating_sub(LINES);
        replayed.log[skipped..]
            .iter()
            .for_each(|line| println!("{line}"));
    }
    for failure in &outcome.failures {
        println!("{file}, {failure}");
    }
    println!(
        "replay it with\n    DOTGATE_SCENARIO={file} DOTGATE_SIM_SEED={} \
         cargo test -p dotgate-sim --test scenarios every -- --nocapture",
        outcome.seed
    );
}

/// Runs the one scenario that the environment names, with its whole log.
fn replay(file: &str) {
    let all = scenarios();
    let found = all.iter().find(|scenario| {
        scenario.file.trim_end_matches(".scenario") == file.trim_end_matches(".scenario")
    });
    let scenario = found.unwrap_or_else(|| panic!("there is no scenario {file}"));
    let seed =
        std::env::var("DOTGATE_SIM_SEED").map_or(scenario.seed, |seed| seed.parse().unwrap());
    let outcome = run(scenario, seed, true).unwrap();
    outcome.log.iter().for_each(|line| println!("{line}"));
    assert!(
        outcome.failures.is_empty(),
        "{}",
        outcome.failures.join("\n")
    );
}

#[test]
fn every_scenario_holds_with_every_seed() {
    if let Ok(file) = std::env::var("DOTGATE_SCENARIO") {
        return replay(&file);
    }
    assert!(
        outcomes().len() > 30,
        "{} scenarios: looked in the wrong place",
        outcomes().len()
    );
    let mut failed = Vec::new();
    for (scenario, outcomes) in outcomes() {
        let bad: Vec<&Outcome> = outcomes
            .iter()
            .filter(|outcome| !outcome.failures.is_empty())
            .collect();
        if let Some(first) = bad.first() {
            describe(scenario, first);
            failed.push(format!(
                "{} ({} of {} seeds)",
                scenario.file,
                bad.len(),
                outcomes.len()
            ));
        }
    }
    assert!(
        failed.is_empty(),
        "scenarios that do not hold: {}",
        failed.join(", ")
    );
}

#[test]
fn the_page_of_faults_is_the_one_the_scenarios_make() {
    let text = std::fs::read_to_string(root().join("scenarios/elsewhere.txt")).unwrap();
    let elsewhere =
        Elsewhere::read("elsewhere.txt", &text).unwrap_or_else(|mistake| panic!("{mistake}"));
    for (file, test) in elsewhere.iter().flat_map(|row| &row.shown_by) {
        let source = std::fs::read_to_string(root().join(file))
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(
            source.contains(&format!("fn {test}(")),
            "{file} has no test {test}"
        );
    }
    let page = std::fs::read_to_string(root().join("docs/faults.md")).unwrap_or_default();
    // The rest is compared by the tests of isolation.
    let page = page.split(isolation::BEGIN).next().unwrap_or_default();
    let page = page.trim_end().to_owned() + "\n";
    let made = scenario::table(outcomes(), &elsewhere);
    let differing = made
        .lines()
        .zip(page.lines())
        .find(|(made, stored)| made != stored);
    assert!(
        page == made,
        "docs/faults.md is not what the scenarios make: run `cargo run -p dotgate-sim --example faults`\n{differing:#?}"
    );
}

#[test]
fn a_scenario_gives_the_same_run_again_to_the_byte() {
    for scenario in scenarios().iter().take(3) {
        let (first, second) = (
            run(scenario, 2, true).unwrap(),
            run(scenario, 2, true).unwrap(),
        );
        assert!(first.log.len() > 20, "{}", first.log.len());
        assert_eq!(first.log, second.log);
    }
}

/// In every fault of `docs/faults.md`: the upstreams of a scenario behind a route behave as they do without one, and the good
/// upstream of the default group is not asked one of their names, whatever fails.
#[test]
fn no_fault_sends_a_routed_name_to_another_group() {
    let scenarios = scenarios();
    let mut failed = Vec::new();
    // The root, which one scenario asks for, belongs to the default group, DNS64 is set for that group in another, and those of
    // portal windows have routes of their own.
    let of_default = [
        "portal-window-for-all-names.scenario",
        "portal-window-for-connectivity-checks.scenario",
        "names-without-ipv6.scenario",
        "root-servers-are-asked-for.scenario",
    ];
    let routed = |scenario: &&Scenario| !of_default.contains(&scenario.file.as_str());
    for scenario in scenarios.iter().filter(routed) {
        let seed = scenario.seed;
        let run = || scenario::run_routed(scenario, seed, false);
        let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap();
        if let Some(failure) = outcome.failures.first() {
            failed.push(format!("{}, {failure}", scenario.file));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
