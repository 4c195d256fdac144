//! The page of a report, in Markdown.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::thread;

use super::{Installed, Kind, NAMES, ReportPlan, WORKLOADS, Workload};
use crate::Error;
use crate::compare::{Measurement, Runs, median_of};
use crate::error::Action;
use crate::forwarder::{PEERS, WORKERS};
use crate::load::Outcome;

/// What stands above the results, written by hand.
const HEAD: &str = include_str!("head.txt");

pub(super) fn page(
    report: &ReportPlan,
    installed: &[Installed],
    results: &[Measurement],
) -> Result<String, Error> {
    let mut text = HEAD.replace("@NAMES@", &NAMES.to_string());
    _ = writeln!(
        text,
        "\n## The machine and the programs\n\n{}",
        machine(report)
    );
    text.push_str(&versions(report, installed)?);
    _ = writeln!(text, "\n## Results");
    for (workload, measurement) in WORKLOADS.iter().zip(results) {
        text.push_str(&section(workload, &measurement.runs, installed));
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
        "{}: {}, {} processors that load, forwarder and upstream share; Linux {}. {} runs of {} s per forwarder and \
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

fn section(workload: &Workload, runs: &[Runs], installed: &[Installed]) -> String {
    let mut text = format!(
        "\n### {}\n\n![CPU time per query](benchmarks/{}.svg)\n\n\
         | | CPU per query, us | least to most | x dotgate | x echo | answered/s | p50, us | p99, us | p99.9, us | lost | SERVFAIL | memory, MiB |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
        workload.title, workload.file,
    );
    let cpu_of = |name: &str| runs.iter().find(|runs| runs.name == name).and_then(cpu);
    let (dotgate, echo) = (cpu_of("dotgate"), cpu_of("echo"));
    for row in runs {
        let values = || {
            row.outcomes
                .iter()
                .filter_map(Outcome::cpu_micros_per_query)
        };
        let times = |reference: Option<f64>| {
            shown(
                cpu(row)
                    .zip(reference)
                    .map(|(value, reference)| value / reference),
                2,
            )
        };
        let latency = |percentile| {
            shown(
                median_of(row, |outcome| outcome.tally.latency_micros(percentile)),
                0,
            )
        };
        let sum = |of: fn(&Outcome) -> u64| row.outcomes.iter().map(of).sum::<u64>();
        _ = writeln!(
            text,
            "| {} | {} | {} to {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.name,
            shown(cpu(row), 2),
            shown(values().min_by(f64::total_cmp), 2),
            shown(values().max_by(f64::total_cmp), 2),
            times(dotgate),
            times(echo),
            shown(
                median_of(row, |outcome| Some(outcome.answered_per_second())),
                0
            ),
            latency(50.0),
            latency(99.0),
            latency(99.9),
            sum(Outcome::lost),
            sum(|outcome| outcome.tally.server_failures),
            row.resident / (1024 * 1024),
        );
    }
    for it in installed
        .iter()
        .filter(|it| workload.kind == Kind::Hits && !it.peer.has_cache)
    {
        _ = writeln!(
            text,
            "| {} | has no cache | | | | | | | | | | |",
            it.peer.name
        );
    }
    text
}

fn cpu(runs: &Runs) -> Option<f64> {
    median_of(runs, Outcome::cpu_micros_per_query)
}

fn shown(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forwarder::{Location, Peer};
    use crate::load::Tally;

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
            ..Outcome::default()
        };
        Runs {
            name,
            outcomes: cpu_micros.iter().map(outcome).collect(),
            forwarded: 0,
            resident: 3 << 20,
        }
    }

    #[test]
    fn a_row_has_the_median_the_extremes_and_both_ratios() {
        let runs = [
            runs("dotgate", &[4, 6, 5]),
            runs("echo", &[2]),
            runs("bind", &[20]),
        ];
        let installed = [Installed {
            peer: Peer::named("stubby").unwrap(),
            location: Location::File("stubby".into()),
            version: String::new(),
        }];
        let text = section(&WORKLOADS[0], &runs, &installed);
        assert!(text.contains("| dotgate | 5.00 | 4.00 to 6.00 | 1.00 | 2.50 | 2000 | 50 | 50 | 50 | 3 | 6 | 3 |\n"), "{text}");
        assert!(
            text.contains("| bind | 20.00 | 20.00 to 20.00 | 4.00 | 10.00 |"),
            "{text}"
        );
        assert!(text.contains("| stubby | has no cache |"), "{text}");
        assert!(!section(&WORKLOADS[2], &runs, &installed).contains("has no cache"));
    }
}
