//! What one harmful query costs others: families of faults, each a matrix of scenarios in the language of `scenarios/`.
//!
//! A harmful query makes its upstream end, stall or flood the connection that carries it, together with whatever else
//! is in flight on it. The families are: harmful queries alone and in pairs, a harmful query that is asked again and
//! again, upstreams that end a connection behind a number of answers, upstreams that serve one query at a time, and
//! names that are never answered. [`families()`] makes them, [`run`] runs one, [`section`] writes what was seen into
//! `docs/faults.md`.

mod families;

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

pub use families::families;

use crate::scenario::{self, Outcome, Scenario, cells};

/// The line of `docs/faults.md` before the section of this module.
pub const BEGIN: &str = "## Harmful queries";

const ABOUT: &str = "\
A harmful query makes an upstream close, stall or flood the connection that carries it. *Others* are all other queries.
Each figure is the worst of all runs of its row, over random seeds and numbers of upstreams. The round trip to every
upstream is 10 ms and it answers in 5 ms, so a new connection takes 20 ms and a query 15 ms. Attempts per query are an
average over the incident, including the harmful queries.
";

/// A matrix of scenarios about one kind of fault.
pub struct Family {
    /// Its name in the table and for the tests.
    pub name: &'static str,
    /// What is required of it, in a sentence.
    pub about: &'static str,
    rows: Vec<Row>,
}

/// A row of the table.
struct Row {
    fault: String,
    parts: Vec<Part>,
}

/// Scenarios of a row that check the same figures, with the words that stand before these.
struct Part {
    phase: String,
    scenarios: Vec<Scenario>,
}

/// How the scenarios of a row went.
pub struct RowOutcome {
    fault: String,
    parts: Vec<(String, Vec<Outcome>)>,
    /// What was not as it must be: the scenario, its first bad seed and the figures.
    pub failures: Vec<String>,
}

impl Family {
    /// Every scenario of it.
    pub fn scenarios(&self) -> impl Iterator<Item = &Scenario> {
        let parts = self.rows.iter().flat_map(|row| &row.parts);
        parts.flat_map(|part| &part.scenarios)
    }
}

impl RowOutcome {
    /// The row of the table.
    pub fn line(&self) -> String {
        let (mut expected, mut seen) = (Vec::new(), Vec::new());
        for (phase, outcomes) in &self.parts {
            let (part_expected, part_seen) = cells(outcomes);
            for (column, cell) in [(&mut expected, part_expected), (&mut seen, part_seen)] {
                if !phase.is_empty() {
                    column.push(format!("*{phase}*"));
                }
                column.push(cell);
            }
        }
        let (expected, seen) = (expected.join("<br>"), seen.join("<br>"));
        format!("| {} | {expected} | {seen} |", self.fault)
    }
}

/// Runs all scenarios of a family with all their seeds, on as many threads as the system has processors.
pub fn run(family: &Family) -> Vec<RowOutcome> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            match family.rows.get(place) {
                Some(row) => done.push((place, run_row(row))),
                None => return done,
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut all: Vec<(usize, RowOutcome)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let done = threads.into_iter().filter_map(|thread| thread.join().ok());
        done.flatten().collect()
    });
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, outcome)| outcome).collect()
}

fn run_row(row: &Row) -> RowOutcome {
    let mut failures = Vec::new();
    let mut parts = Vec::new();
    for part in &row.parts {
        let mut outcomes = Vec::new();
        for scenario in &part.scenarios {
            let seeds: Vec<Outcome> = scenario
                .all_seeds()
                .map(|seed| run_seed(scenario, seed))
                .collect();
            let bad = seeds.iter().filter(|outcome| !outcome.failures.is_empty());
            let count = bad.clone().count();
            if let Some(first) = bad.into_iter().next() {
                let (name, seed, of) = (&scenario.file, first.seed, seeds.len());
                let what = first.failures.join("; ");
                failures.push(format!(
                    "{name}, seed {seed} ({count} of {of} fail): {what}"
                ));
            }
            outcomes.extend(seeds);
        }
        parts.push((part.phase.clone(), outcomes));
    }
    RowOutcome {
        fault: row.fault.clone(),
        parts,
        failures,
    }
}

fn run_seed(scenario: &Scenario, seed: u64) -> Outcome {
    let run = || scenario::run(scenario, seed, false);
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Outcome::failed(seed, "the engine panics".to_owned()))
}

/// The section of `docs/faults.md`.
pub fn section(all: &[(&Family, &[RowOutcome])]) -> String {
    let mut page = format!("{BEGIN}\n\n{ABOUT}");
    for (family, rows) in all {
        let Family { name, about, .. } = family;
        let written = write!(
            page,
            "\n### {name}\n\n{about}\n\n| injected fault | expected outcome | observed outcome |\n|---|---|---|\n"
        );
        debug_assert!(written.is_ok());
        for row in *rows {
            page.push_str(&row.line());
            page.push('\n');
        }
    }
    page
}
