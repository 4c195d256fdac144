//! The few figures of a report that stand in the README, between two comments.

use std::fmt::Write as _;

use super::workloads::Workload;
use crate::compare::{Measurement, median_of};
use crate::load::Outcome;

/// The workloads, and their columns.
const COLUMNS: [(&str, &str); 4] = [
    ("hits-saturated", "cache hits, saturated"),
    ("forwarded-saturated", "forwarded, saturated"),
    ("forwarded-5k", "forwarded, 5,000/s"),
    ("mix-5k", "realistic mix, 5,000/s"),
];

const BEGIN: &str = "<!-- figures: written by `just bench-report` -->\n";
const END: &str = "<!-- figures end -->";

/// A page with the figures of this report in place of those that stand there; `None` if it has no place for them.
pub(super) fn fill(page: &str, results: &[(&Workload, Measurement)]) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}{END}{after}", table(results)))
}

/// CPU time per query, a row for each forwarder and a column for each workload that was measured.
fn table(results: &[(&Workload, Measurement)]) -> String {
    let is_measured = |file: &str| results.iter().any(|(workload, _)| workload.file == file);
    let columns = COLUMNS.iter().filter(|(file, _)| is_measured(file));
    let mut text = String::from("\n| CPU per query, us |");
    let mut names: Vec<&str> = Vec::new();
    for (file, title) in columns.clone() {
        _ = write!(text, " {title} |");
        let runs = results
            .iter()
            .filter(|(workload, _)| workload.file == *file);
        for runs in runs.flat_map(|(_, measurement)| &measurement.runs) {
            if !names.contains(&runs.name) {
                names.push(runs.name);
            }
        }
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(columns.clone().count()));
    text.push('\n');
    for name in names {
        _ = write!(text, "| {name} |");
        for (file, _) in columns.clone() {
            let mut measured = results
                .iter()
                .filter(|(workload, _)| workload.file == *file);
            let value = measured.find_map(|(_, measurement)| {
                let runs = measurement.runs.iter().find(|runs| runs.name == name)?;
                median_of(runs, Outcome::cpu_micros_per_query)
            });
            let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
            _ = write!(text, " {value} |");
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Runs;
    use crate::load::{Pace, Tally};
    use crate::report::workloads::WORKLOADS;

    #[test]
    fn figures_take_the_place_of_those_before_and_nothing_else_changes() {
        let tally = Tally {
            answered: 1_000,
            ..Tally::default()
        };
        let outcome = Outcome {
            tally,
            cpu_nanos: Some(4_200_000),
            ..Outcome::default()
        };
        let runs = |name| Runs {
            outcomes: vec![outcome.clone()],
            ..Runs::new(name)
        };
        let measurement = Measurement {
            pace: Pace::Window(1),
            runs: vec![runs("dotgate"), runs("echo")],
        };
        let results = [(&WORKLOADS[0], measurement)];
        let page = format!("head\n{BEGIN}old\n{END}\ntail\n");
        let filled = fill(&page, &results).unwrap();
        assert!(
            filled.starts_with("head\n") && filled.ends_with("\ntail\n"),
            "{filled}"
        );
        assert!(
            filled.contains("hits, saturated |\n|---|---|\n| dotgate | 4.2 |\n"),
            "{filled}"
        );
        assert!(!filled.contains("old"));
        assert_eq!(fill(&filled, &results), Some(filled.clone()));
        assert_eq!(fill("no place", &results), None);
    }
}
