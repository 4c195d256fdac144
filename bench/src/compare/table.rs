//! A comparison's numbers as text.

use std::io::{self, Write};

use super::Runs;
use crate::forwarder::PEERS;
use crate::load::{Outcome, Pace};

/// One run in one line.
#[must_use]
pub fn line(outcome: &Outcome) -> String {
    let tally = &outcome.tally;
    format!(
        "{} sent ({} not taken by the kernel), {} answered, {} SERVFAIL, {} other, {} lost, {} late, {} wrong; {:.0} q/s; \
         CPU {} us/query, {} processors; latency p50 {} p99 {} p99.9 {} us",
        outcome.sent,
        outcome.unsent,
        tally.answered,
        tally.server_failures,
        tally.other,
        outcome.lost(),
        tally.late,
        tally.wrong,
        outcome.answered_per_second(),
        shown(outcome.cpu_micros_per_query(), 2),
        shown(outcome.processors_used(), 2),
        shown(tally.latency_micros(50.0), 0),
        shown(tally.latency_micros(99.0), 0),
        shown(tally.latency_micros(99.9), 0),
    )
}

/// The table of one load: medians, every run's CPU time, and how many times the first
/// forwarder's figures the others' are.
pub(super) fn write(pace: Pace, runs: &[Runs], output: &mut dyn Write) -> io::Result<()> {
    match pace {
        Pace::Window(window) => writeln!(output, "\nSaturated, {window} queries in flight")?,
        Pace::PerSecond(rate) => writeln!(output, "\n{rate} queries per second")?,
    }
    writeln!(
        output,
        "{:<17}{:>14}{:>8}{:>10}{:>8}{:>10}{:>9}{:>10}{:>9}{:>10}   CPU us/query of all runs",
        "",
        "CPU us/query",
        "ratio",
        "q/s",
        "ratio",
        "SERVFAIL",
        "lost",
        "upstream",
        "p50 us",
        "p99 us",
    )?;
    let reference = runs.first();
    for row in runs {
        let cpu = median_of(row, Outcome::cpu_micros_per_query);
        let rate = median_of(row, |outcome| Some(outcome.answered_per_second()));
        let times = |value: Option<f64>, of: fn(&Outcome) -> Option<f64>| {
            let reference = reference.and_then(|runs| median_of(runs, of));
            value
                .zip(reference)
                .map(|(value, reference)| value / reference)
        };
        let cpu_ratio = times(cpu, Outcome::cpu_micros_per_query);
        let rate_ratio = times(rate, |outcome| Some(outcome.answered_per_second()));
        let all: Vec<String> = row
            .outcomes
            .iter()
            .map(|outcome| shown(outcome.cpu_micros_per_query(), 2))
            .collect();
        writeln!(
            output,
            "{:<17}{:>14}{:>8}{:>10}{:>8}{:>10}{:>9}{:>10}{:>9}{:>10}   {}",
            row.name,
            shown(cpu, 2),
            shown(cpu_ratio, 2),
            shown(rate, 0),
            shown(rate_ratio, 2),
            sum_of(row, |outcome| outcome.tally.server_failures),
            sum_of(row, Outcome::lost),
            row.forwarded,
            shown(
                median_of(row, |outcome| outcome.tally.latency_micros(50.0)),
                0
            ),
            shown(
                median_of(row, |outcome| outcome.tally.latency_micros(99.0)),
                0
            ),
            all.join(" "),
        )?;
    }
    if let Some(verdict) = verdict(runs) {
        writeln!(output, "{verdict}")?;
    }
    output.flush()
}

/// dotgate's CPU time compared with the floor and with the best of those that others wrote.
fn verdict(runs: &[Runs]) -> Option<String> {
    let cpu_of = |name: &str| {
        let row = runs.iter().find(|row| row.name == name)?;
        median_of(row, Outcome::cpu_micros_per_query)
    };
    let dotgate = cpu_of("dotgate")?;
    let best = PEERS
        .iter()
        .filter_map(|peer| cpu_of(peer.name))
        .min_by(f64::total_cmp);
    let times = |reference: Option<f64>| shown(reference.map(|it| dotgate / it), 2);
    Some(format!(
        "dotgate's CPU time is {} times the echo's, {} times that of the best other forwarder",
        times(cpu_of("echo")),
        times(best),
    ))
}

fn shown(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

fn sum_of(runs: &Runs, value: impl Fn(&Outcome) -> u64) -> u64 {
    runs.outcomes.iter().map(value).sum()
}

/// The median of what `value` says of a forwarder's runs.
pub fn median_of(runs: &Runs, value: impl Fn(&Outcome) -> Option<f64>) -> Option<f64> {
    median(runs.outcomes.iter().filter_map(value).collect())
}

/// The middle value; of an even number, the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values
        .get(middle - 1)
        .map(|lower| f64::midpoint(*lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Tally;

    fn runs(name: &'static str, cpu_micros: &[u64]) -> Runs {
        let outcome = |cpu_micros: &u64| Outcome {
            sent: 1010,
            unsent: 0,
            tally: Tally {
                answered: 1000,
                server_failures: 3,
                latencies: vec![50_000; 1003],
                ..Tally::default()
            },
            elapsed_nanos: 500_000_000,
            cpu_nanos: Some(cpu_micros * 1_000_000),
            sleeps: None,
        };
        Runs {
            name,
            outcomes: cpu_micros.iter().map(outcome).collect(),
            forwarded: 77,
            resident: 0,
            calls: None,
        }
    }

    #[test]
    fn a_median_is_the_middle_of_odd_and_even_numbers_of_runs() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_table_shows_medians_ratios_to_the_first_and_all_runs() {
        let runs = [runs("first", &[5, 4, 9]), runs("second", &[20, 10, 15])];
        let mut output = Vec::new();
        write(Pace::Window(256), &runs, &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            text.lines().nth(1),
            Some("Saturated, 256 queries in flight")
        );
        let tail = ["2000", "1.00", "9", "21", "77", "50", "50"];
        let first = [
            &["first", "5.00", "1.00"],
            &tail[..],
            &["5.00", "4.00", "9.00"],
        ]
        .concat();
        let second = [
            &["second", "15.00", "3.00"],
            &tail[..],
            &["20.00", "10.00", "15.00"],
        ];
        assert_eq!(rows[3], first);
        assert_eq!(rows[4], second.concat());
    }

    #[test]
    fn a_verdict_compares_dotgate_with_the_floor_and_the_best_of_the_others() {
        let mut all = vec![runs("dotgate", &[6])];
        let text = |all: &[Runs]| verdict(all).unwrap();
        let tail = "times that of the best other forwarder";
        assert_eq!(
            text(&all),
            format!("dotgate's CPU time is - times the echo's, - {tail}")
        );
        all.extend(
            [("dnsdist", 12), ("unbound", 8), ("echo", 4)].map(|(name, cpu)| runs(name, &[cpu])),
        );
        assert_eq!(
            text(&all),
            format!("dotgate's CPU time is 1.50 times the echo's, 0.75 {tail}")
        );
        assert_eq!(verdict(&all[1..]), None);
    }
}
