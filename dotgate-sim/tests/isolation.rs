//! One harmful query must not take others with it: every family of faults, with every figure it must keep.
//!
//! Each test prints the rows of its table. To see one scenario with its whole log, give its name, as a failure
//! says it, perhaps with a seed:
//!
//!     DOTGATE_SCENARIO="harm-close, 20 others, 1 upstream, harmful at 1" DOTGATE_SIM_SEED=2 \
//!         cargo test -p dotgate-sim --test isolation replay -- --nocapture

#![expect(
    clippy::panic,
    reason = "a scenario that is not there is a failed test"
)]

use std::path::Path;
use std::sync::OnceLock;

use dotgate_sim::isolation::{self, Family, RowOutcome};
use dotgate_sim::scenario;

/// Failures of a family that are printed.
const LINES: usize = 40;

fn families() -> &'static [(Family, OnceLock<Vec<RowOutcome>>)] {
    static FAMILIES: OnceLock<Vec<(Family, OnceLock<Vec<RowOutcome>>)>> = OnceLock::new();
    FAMILIES.get_or_init(|| {
        let families = isolation::families().into_iter();
        families.map(|family| (family, OnceLock::new())).collect()
    })
}

/// How the family went; it is run once.
fn outcome(place: usize) -> (&'static Family, &'static [RowOutcome]) {
    let (family, outcome) = &families()[place];
    (family, outcome.get_or_init(|| isolation::run(family)))
}

fn holds(name: &str) {
    let all = families();
    let place = all.iter().position(|(family, _)| family.name == name);
    let (_, rows) = outcome(place.unwrap_or_else(|| panic!("there is no family {name}")));
    rows.iter().for_each(|row| println!("{}", row.line()));
    let failures: Vec<&String> = rows.iter().flat_map(|row| &row.failures).collect();
    for failure in failures.iter().take(LINES) {
        println!("{failure}");
    }
    let runs: usize = all[place.unwrap_or(0)]
        .0
        .scenarios()
        .map(|scenario| scenario.seeds as usize)
        .sum();
    assert!(
        failures.is_empty(),
        "{} scenarios do not hold, in {runs} runs",
        failures.len()
    );
}

#[test]
fn one_harmful_query_takes_no_others_with_it() {
    holds("One harmful query");
}

#[test]
fn two_harmful_queries_take_no_others_with_them() {
    holds("Two harmful queries");
}

#[test]
fn a_query_that_harms_one_upstream_is_answered_by_another() {
    holds("A query harmful at one upstream");
}

#[test]
fn a_harmful_query_that_is_asked_again_costs_others_nothing() {
    holds("A repeated harmful query");
}

#[test]
fn connections_that_end_behind_a_number_of_answers_lose_no_query() {
    holds("Connections end after a number of answers");
}

#[test]
fn a_name_that_blocks_a_serial_upstream_blocks_no_others() {
    holds("An upstream serves one query at a time");
}

#[test]
fn dead_names_cost_others_nothing() {
    holds("Dead names");
}

#[test]
fn the_page_of_faults_has_these_figures() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
    let page = std::fs::read_to_string(path).unwrap();
    let all: Vec<_> = (0..families().len()).map(outcome).collect();
    let made = isolation::section(&all);
    let place = page.find(isolation::BEGIN);
    assert!(
        place.is_some_and(|place| page[place..] == made),
        "docs/faults.md is not what these scenarios make: run `cargo run -p dotgate-sim --example faults`"
    );
}

#[test]
fn replay() {
    let Ok(name) = std::env::var("DOTGATE_SCENARIO") else {
        return;
    };
    let mut all = families().iter().flat_map(|(family, _)| family.scenarios());
    let scenario = all
        .find(|scenario| scenario.file == name)
        .unwrap_or_else(|| panic!("there is no scenario {name}"));
    let seed =
        std::env::var("DOTGATE_SIM_SEED").map_or(scenario.seed, |seed| seed.parse().unwrap());
    let outcome = scenario::run(scenario, seed, true);
    outcome.log.iter().for_each(|line| println!("{line}"));
    assert!(
        outcome.failures.is_empty(),
        "{}",
        outcome.failures.join("\n")
    );
}
