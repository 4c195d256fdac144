//! The page of a report, in Markdown.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::thread;

use super::footprint::{self, Footprint};
use super::workloads::{NAMES, Special, Workload};
use super::{Installed, ReportPlan, missing};
use crate::Error;
use crate::compare::{Measurement, Runs, median_of};
use crate::error::Action;
use crate::forwarder::{PEERS, WORKERS};
use crate::load::Outcome;

/// What stands above and below the results, written by hand.
const HEAD: &str = include_str!("head.txt");
const NOTES: &str = include_str!("notes.txt");

pub(super) fn page(
    report: &ReportPlan,
    installed: &[Installed],
    results: &[(&Workload, Measurement)],
    footprints: &[Footprint],
) -> Result<String, Error> {
    let mut text = HEAD.replace("@NAMES@", &NAMES.to_string());
    _ = writeln!(
        text,
        "\n## The machine and the programs\n\n{}",
        machine(report)
    );
    text.push_str(&versions(report, installed)?);
    text.push_str(&summary(results));
    let notes = NOTES.replace(
        "@BETTER@\n",
        &footprint::where_others_are_better(footprints),
    );
    _ = writeln!(text, "\n{}\n\n## Results", notes.trim_end());
    for (workload, measurement) in results {
        text.push_str(&section(workload, &measurement.runs, installed));
    }
    if !footprints.is_empty() {
        text.push_str(&footprint::section(footprints));
    }
    Ok(text)
}

fn machine(report: &ReportPlan) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|line| line.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let date = Command::new("date")
        .args(["-u", "+%-d %B %Y"])
        .output()
        .map(|it| it.stdout)
        .unwrap_or_default();
    format!(
        "{}: {}, {} processors that load, forwarder and upstream share; Linux {}. At most {} runs of {} s per forwarder and \
         workload, {WORKERS} workers or threads each.",
        String::from_utf8_lossy(&date).trim(),
        model.map_or("unknown processor", |(_, model)| model),
        thread::available_parallelism().map_or(0, usize::from),
        kernel.trim(),
        report.rounds,
        report.run.as_secs(),
    )
}

fn versions(report: &ReportPlan, installed: &[Installed]) -> Result<String, Error> {
    let dotgate = Command::new(&report.dotgate)
        .arg("--version")
        .output()
        .to("ask dotgate for its version")?;
    let mut text = String::from("\n| forwarder | version | remark |\n|---|---|---|\n");
    _ = writeln!(
        text,
        "| dotgate | {} | |",
        String::from_utf8_lossy(&dotgate.stdout).trim()
    );
    for it in installed {
        let cache = if it.peer.has_cache { "" } else { "no cache" };
        let remarks: Vec<&str> = [it.peer.remark, cache]
            .into_iter()
            .filter(|it| !it.is_empty())
            .collect();
        _ = writeln!(
            text,
            "| {} | {} | {} |",
            it.peer.name,
            it.version,
            remarks.join(", ")
        );
    }
    let is_missing = |name: &str| !installed.iter().any(|it| it.peer.name == name);
    let missing: Vec<&str> = PEERS
        .iter()
        .map(|peer| peer.name)
        .filter(|name| is_missing(name))
        .collect();
    if !missing.is_empty() {
        _ = writeln!(
            text,
            "\nNot measured, because they were not installed: {}.",
            missing.join(", ")
        );
    }
    Ok(text)
}

/// dotgate next to the floor and the best of the others, and where others are better.
fn summary(results: &[(&Workload, Measurement)]) -> String {
    let mut text = String::from(
        "\n## Summary\n\nThe figure of each workload's plot, in medians. *x floor* and *x best* are how many times those of the \
         floor (the echo or the relay) and of the best other forwarder dotgate's is; below 1 dotgate is better.\n\n\
         | workload | figure | dotgate | floor | x floor | best other | | x best |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (workload, measurement) in results {
        let figure = workload.figure;
        let value = |runs: &Runs| median_of(runs, |outcome| figure.of(outcome));
        let named = |names: &[&str]| {
            let row = measurement
                .runs
                .iter()
                .find(|runs| names.contains(&runs.name));
            row.and_then(value)
        };
        let (dotgate, floor) = (named(&["dotgate"]), named(&FLOORS));
        let others = measurement
            .runs
            .iter()
            .filter(|runs| runs.name != "dotgate" && !FLOORS.contains(&runs.name));
        let best = others
            .filter_map(|runs| Some((value(runs)?, runs.name)))
            .min_by(|(one, _), (other, _)| one.total_cmp(other));
        let times = |of: Option<f64>| shown(dotgate.zip(of).map(|(one, other)| one / other), 2);
        _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            workload.title,
            figure.title(),
            shown(dotgate, 2),
            shown(floor, 2),
            times(floor),
            shown(best.map(|(value, _)| value), 2),
            best.map_or("", |(_, name)| name),
            times(best.map(|(value, _)| value)),
        );
    }
    text
}

/// A column that few workloads have: its title, and its value in a row.
type Column = (&'static str, fn(&Runs) -> Option<f64>);

/// The programs that show what a workload costs at least.
const FLOORS: [&str; 2] = ["echo", "relay"];

fn section(workload: &Workload, runs: &[Runs], installed: &[Installed]) -> String {
    let mut text = format!(
        "\n### {}\n\n![{}]({PLOTS}/{}.svg)\n\n",
        workload.title,
        workload.figure.title(),
        workload.file,
    );
    if !workload.remark.is_empty() {
        _ = writeln!(text, "{}\n", workload.remark);
    }
    let rounds = runs.iter().map(|runs| runs.outcomes.len()).max();
    _ = writeln!(text, "Runs of each: {}.\n", rounds.unwrap_or_default());
    text.push_str(
        "| | CPU per query, us | least to most | x dotgate | x floor | answered/s | p50, us | p99, us | p99.9, us | lost | SERVFAIL \
         | memory, MiB | sleeps/query |",
    );
    let mut more: Vec<Column> = Vec::new();
    if workload.counts_calls {
        more.push((" system calls/query |", |runs| runs.calls));
    }
    if workload.special == Special::Restart {
        more.push((" longest gap, ms |", |runs| {
            median_of(runs, |outcome| Some(outcome.tally.gap as f64 / 1e6))
        }));
    }
    text.extend(more.iter().map(|(title, _)| *title));
    _ = writeln!(text, "\n|{}", "---|".repeat(13 + more.len()));
    let cpu_of = |names: &[&str]| {
        let row = runs.iter().find(|runs| names.contains(&runs.name));
        row.and_then(cpu)
    };
    let (dotgate, floor) = (cpu_of(&["dotgate"]), cpu_of(&FLOORS));
    let measured = || runs.iter().filter(|runs| !runs.outcomes.is_empty());
    for runs in measured() {
        text.push_str(&row(runs, dotgate, floor));
        for (_, value) in &more {
            _ = write!(text, " {} |", shown(value(runs), 2));
        }
        text.push('\n');
    }
    for it in installed {
        if let Some(why) = missing(it.peer, workload) {
            let rest = " |".repeat(11 + more.len());
            _ = writeln!(text, "| {} | {why} |{rest}", it.peer.name);
        } else if !measured().any(|runs| runs.name == it.peer.name) {
            let rest = " |".repeat(11 + more.len());
            _ = writeln!(text, "| {} | gave no answer |{rest}", it.peer.name);
        }
    }
    text
}

/// The columns that all workloads have.
fn row(runs: &Runs, dotgate: Option<f64>, floor: Option<f64>) -> String {
    let values = || {
        runs.outcomes
            .iter()
            .filter_map(Outcome::cpu_micros_per_query)
    };
    let times = |reference: Option<f64>| {
        let ratio = cpu(runs).zip(reference);
        shown(ratio.map(|(value, reference)| value / reference), 2)
    };
    let latency = |percentile| {
        let of = |outcome: &Outcome| outcome.tally.latency_micros(percentile);
        shown(median_of(runs, of), 0)
    };
    let sum = |of: fn(&Outcome) -> u64| runs.outcomes.iter().map(of).sum::<u64>();
    let rate = median_of(runs, |outcome| Some(outcome.answered_per_second()));
    format!(
        "| {} | {} | {} to {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        runs.name,
        shown(cpu(runs), 2),
        shown(values().min_by(f64::total_cmp), 2),
        shown(values().max_by(f64::total_cmp), 2),
        times(dotgate),
        times(floor),
        shown(rate, 0),
        latency(50.0),
        latency(99.0),
        latency(99.9),
        sum(Outcome::lost),
        sum(|outcome| outcome.tally.server_failures),
        runs.resident / (1024 * 1024),
        shown(median_of(runs, Outcome::sleeps_per_query), 2),
    )
}

/// The folder of the plots, next to the page.
const PLOTS: &str = "benchmarks";

fn cpu(runs: &Runs) -> Option<f64> {
    median_of(runs, Outcome::cpu_micros_per_query)
}

fn shown(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::forwarder::{Installations, Location, Peer};
    use crate::load::{Pace, Tally};
    use crate::report::workloads::WORKLOADS;

    fn runs(name: &'static str, cpu_micros: &[u64]) -> Runs {
        let outcome = |micros: &u64| Outcome {
            sent: 1003,
            tally: Tally {
                answered: 1000,
                server_failures: 2,
                latencies: vec![50_000; 1002],
                ..Tally::default()
            },
            elapsed_nanos: 500_000_000,
            cpu_nanos: Some(micros * 1_000_000),
            sleeps: Some(250),
            ..Outcome::default()
        };
        Runs {
            outcomes: cpu_micros.iter().map(outcome).collect(),
            resident: 3 << 20,
            calls: (name == "dotgate").then_some(0.75),
            ..Runs::new(name)
        }
    }

    fn all() -> [Runs; 3] {
        [
            runs("dotgate", &[4, 6, 5]),
            runs("echo", &[2]),
            runs("bind", &[20]),
        ]
    }

    #[test]
    fn a_row_has_the_median_the_extremes_and_both_ratios() {
        let installed = [Installed {
            peer: Peer::named("stubby").unwrap(),
            location: Location::File("stubby".into()),
            version: String::new(),
        }];
        let text = section(&WORKLOADS[0], &all(), &installed);
        let columns = "| dotgate | 5.00 | 4.00 to 6.00 | 1.00 | 2.50 | 2000 | 50 | 50 | 50 | 3 | 6 | 3 | 0.25 | 0.75 |\n";
        assert!(text.contains(columns), "{text}");
        assert!(
            text.contains("| bind | 20.00 | 20.00 to 20.00 | 4.00 | 10.00 |"),
            "{text}"
        );
        assert!(text.contains("| stubby | has no cache |"), "{text}");
        let widths: Vec<usize> = text
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.matches('|').count())
            .collect();
        assert!(widths.iter().all(|width| *width == 15), "{text}");
        let forwarded = WORKLOADS.iter().find(|it| it.file == "forwarded-1k");
        let text = section(forwarded.unwrap(), &all(), &installed);
        assert!(text.contains("| stubby | gave no answer |"), "{text}");
    }

    #[test]
    fn a_page_has_a_value_for_each_word_of_its_texts() {
        let report = ReportPlan {
            dotgate: "true".into(),
            installations: Installations::default(),
            without: Vec::new(),
            output: "".into(),
            readme: None,
            rounds: 1,
            run: Duration::from_secs(1),
            workloads: Vec::new(),
        };
        let text = page(&report, &[], &[], &[]).unwrap();
        for word in ["@NAMES@", "@BETTER@"] {
            assert!([HEAD, NOTES].concat().contains(word) && !text.contains(word));
        }
        assert!(text.contains("\n\n## Results\n"), "{text}");
        assert!(!text.contains("\n\n\n"), "{text}");
    }

    #[test]
    fn a_summary_names_the_best_of_the_others() {
        let measurement = Measurement {
            pace: Pace::Window(1),
            runs: all().to_vec(),
        };
        let text = summary(&[(&WORKLOADS[0], measurement)]);
        assert!(
            text.contains("| 5.00 | 2.00 | 2.50 | 20.00 | bind | 0.25 |"),
            "{text}"
        );
    }
}
