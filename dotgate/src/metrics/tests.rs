//! The page as scrapers take it: by the programs that read it in production, and by counting its lines.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use dotgate_core::{Strategy, UpstreamId, limits};

use super::*;
use crate::running::Record;
use crate::upstreams::Validity;

/// A label that needs every escape there is.
const ODD: &str = "a\\b\"c\nd";

fn with_reading<T>(upstreams: u8, use_it: impl FnOnce(&MetricsSnapshot<'_>) -> T) -> T {
    let counters = [Counters::new(), Counters::new()];
    let upstreams = (0..upstreams).map(|number| UpstreamSnapshot {
        id: UpstreamId(number),
        label: format!("{ODD}{number}"),
        health: Arc::default(),
        certificate: Some(Validity {
            not_before: 1_790_000_000,
            not_after: 1_800_000_000,
        }),
        has_pin_mismatch: Some(true),
        is_classical: true,
        idle_timeout: limits::SESSION_IDLE,
        lookups: [1, 2],
    });
    let groups = (0..limits::GROUPS).map(|number| GroupSnapshot {
        label: format!("{ODD}{number}"),
        is_up: true,
        strategy: Strategy::Ordered,
        counters: Arc::default(),
    });
    use_it(&MetricsSnapshot {
        now: Moment::from_nanos(1),
        workers: counters.iter().collect(),
        upstreams: upstreams.collect(),
        groups: groups.collect(),
        cache: Usage::default(),
        local: Arc::default(),
        client_memory: &ClientMemory::new(1),
        udp_drops: Some(0),
        addresses_awaited: 0,
        certificate_ends: Some(1_800_000_000),
        log_lines_dropped: 0,
        reloads: Record::default().read(),
        sandbox: Part::ALL.map(|part| (part, true)),
        dnstap_connected: Some(true),
        views: ViewsSnapshot::default(),
        portal: (false, 0),
        route_owners: RouteOwners::default(),
        process: Process {
            cpu_seconds: Some(0.5),
            resident_bytes: Some(1),
            virtual_bytes: Some(1),
            open_fds: Some(1),
            max_fds: Some(1),
            start_seconds: Some(1.7e9),
            threads: Some(1),
        },
    })
}

fn page(upstreams: u8, format: Format) -> String {
    with_reading(upstreams, |reading| reading.page(format))
}

fn samples(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter(|line| !line.starts_with('#'))
}

/// Samples without the values of the process, which may change between two pages.
fn steady_samples(page: &str) -> impl Iterator<Item = &str> {
    samples(page).map(|line| match line.split_once(' ') {
        Some((series, _)) if series.starts_with("process_") => series,
        _ => line,
    })
}

#[test]
fn no_name_is_on_the_page_twice_and_each_follows_the_conventions() {
    let mut names = BTreeSet::new();
    for metric in table() {
        let name = metric.sample_name();
        assert!(names.insert(name.clone()), "{name} twice");
        assert!(
            name.starts_with("dotgate_") || name.starts_with("process_"),
            "{name}"
        );
        assert!(!metric.name.ends_with("_total"), "{name}");
        assert!(
            metric.help.ends_with('.') && metric.tells.ends_with('.'),
            "{name}"
        );
        if metric.kind == Kind::Histogram {
            assert_eq!(metric.unit, Some("seconds"), "{name}");
        }
    }
}

#[test]
fn the_number_of_series_is_the_one_the_table_allows() {
    let absent = ["dotgate_upstream_round_trip_seconds"];
    let most: usize = table()
        .iter()
        .filter(|metric| !absent.contains(&metric.name.as_str()))
        .map(Metric::most_series)
        .sum();
    let page = page(limits::UPSTREAMS as u8, Format::Text);
    let series: BTreeSet<&str> = samples(&page)
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series)
        .collect();
    assert_eq!(samples(&page).count(), series.len(), "a series twice");
    assert_eq!(series.len(), most);
    assert!(most < 16_500, "{most} series");
}

#[test]
fn labels_of_upstreams_are_escaped() {
    let page = page(1, Format::Text);
    assert!(page.contains("dotgate_upstream_up{upstream=\"a\\\\b\\\"c\\nd0\"} 1\n"));
}

#[test]
fn the_formats_differ_in_comments_alone() {
    let [open, text] = [Format::OpenMetrics, Format::Text].map(|format| page(2, format));
    assert!(steady_samples(&open).eq(steady_samples(&text)));
    assert!(open.ends_with("\n# EOF\n") && !text.contains("# EOF"));
    assert!(open.contains("# TYPE dotgate_queries counter\n"));
    assert!(text.contains("# TYPE dotgate_queries_total counter\n"));
    assert!(open.contains("# UNIT process_cpu_seconds seconds\n"));
    assert!(open.contains("# TYPE dotgate_build info\n"));
    assert!(text.contains("# TYPE dotgate_build_info gauge\n"));
}

#[test]
fn what_is_not_known_is_not_on_the_page() {
    let counters = Counters::new();
    let page = MetricsSnapshot {
        now: Moment::from_nanos(1),
        workers: vec![&counters],
        upstreams: vec![UpstreamSnapshot {
            id: UpstreamId(0),
            label: "up".to_owned(),
            health: Arc::default(),
            certificate: None,
            has_pin_mismatch: None,
            is_classical: false,
            idle_timeout: limits::SESSION_IDLE,
            lookups: [1, 2],
        }],
        groups: Vec::new(),
        cache: Usage::default(),
        local: Arc::default(),
        client_memory: &ClientMemory::new(1),
        udp_drops: None,
        addresses_awaited: 0,
        certificate_ends: None,
        log_lines_dropped: 0,
        reloads: Record::default().read(),
        sandbox: Part::ALL.map(|part| (part, true)),
        dnstap_connected: Some(true),
        views: ViewsSnapshot::default(),
        portal: (false, 0),
        route_owners: RouteOwners::default(),
        process: Process::default(),
    }
    .page(Format::Text);
    for absent in [
        "not_before",
        "not_after",
        "round_trip",
        "process_",
        "udp_receive_drops",
    ] {
        assert!(!page.contains(absent), "{absent}");
    }
}

/// Feeds a page to a checker of others. None if it is not installed.
fn checked_by(command: &mut Command, page: &str) -> Option<(bool, String)> {
    let program = command.get_program().to_owned();
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        assert!(
            std::env::var_os("DOTGATE_TEST_NO_SKIP").is_none(),
            "{} is not installed",
            program.display()
        );
        println!("skipped: {} is not installed", program.display());
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(page.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let reported = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&reported).into_owned(),
    ))
}

#[test]
fn promtool_finds_no_fault_with_the_text_format() {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    if let Some((is_good, reported)) = checked_by(&mut promtool, &page(3, Format::Text)) {
        assert!(is_good && reported.is_empty(), "{reported}");
    }
}

/// The reference parser of OpenMetrics, in Python; prints one line for each family it read.
const PARSER: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    print(family.name, family.type, family.unit or '-', len(family.samples))
";

#[test]
fn the_reference_parser_of_openmetrics_reads_every_metric() {
    let page = page(3, Format::OpenMetrics);
    let has_parser = |python: &&str| {
        let mut import = Command::new(python);
        import.args(["-c", "import prometheus_client.openmetrics.parser"]);
        import.output().is_ok_and(|output| output.status.success())
    };
    let python = ["python3", "/usr/bin/python3"].into_iter().find(has_parser);
    let python = python.unwrap_or("python3 with prometheus_client");
    let Some((is_good, reported)) = checked_by(Command::new(python).args(["-c", PARSER]), &page)
    else {
        return;
    };
    assert!(is_good, "{reported}");
    let read: BTreeMap<&str, &str> = reported
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    for metric in table() {
        let (name, kind) = match metric.kind {
            Kind::Counter => (metric.name.as_str(), "counter"),
            Kind::Gauge => (metric.name.as_str(), "gauge"),
            Kind::Histogram => (metric.name.as_str(), "histogram"),
            Kind::Info => (metric.name.trim_end_matches("_info"), "info"),
        };
        let unit = metric.unit.unwrap_or("-");
        if name != "dotgate_upstream_round_trip_seconds" {
            let reported = read.get(name).copied().unwrap_or_default();
            assert!(
                reported.starts_with(&format!("{kind} {unit} ")),
                "{name}: {reported}"
            );
        }
    }
}
