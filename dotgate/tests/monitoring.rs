//! What operators watch dotgate with speaks of what exists: the dashboard, the alerts, and the page on what to do.
//!
//! Compared with the pages that are made from the program's own tables, `docs/metrics.md` and `docs/settings.md`, and
//! with its source. That a real Prometheus evaluates them is shown in `it/prometheus.rs`.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a file that cannot be read is a failed test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const DASHBOARD: &str = "deploy/grafana/dotgate.json";
const ALERTS: &str = "deploy/prometheus/alerts.yml";
const PAGE: &str = "docs/troubleshooting.md";

/// The panels that Grafana has without plugins.
const CORE_PANELS: [&str; 5] = ["heatmap", "row", "stat", "table", "timeseries"];

/// Labels whose values are all on the page of metrics.
const CLOSED: [&str; 9] = [
    "kind",
    "limit",
    "outcome",
    "rcode",
    "reason",
    "stage",
    "state",
    "transport",
    "winner",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The dashboard's panels.
fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

/// The expressions of a panel.
fn expressions(panel: &Value) -> Vec<String> {
    let targets = panel["targets"].as_array().into_iter().flatten();
    targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

/// What speaks of metrics, by its path.
fn texts() -> [(&'static str, String); 3] {
    let shown: Vec<String> = panels().iter().flat_map(expressions).collect();
    [
        (DASHBOARD, shown.join("\n")),
        (ALERTS, read(ALERTS)),
        (PAGE, read(PAGE)),
    ]
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// What stands in the first column of a page's tables.
fn rows(page: &str) -> BTreeSet<&str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect()
}

/// The values that a text names of the labels of a closed set.
fn values_named(text: &str) -> Vec<&str> {
    let mut values = Vec::new();
    for label in CLOSED {
        for operator in ["=\"", "=~\"", "!=\"", "!~\""] {
            for before in ['{', ','] {
                let begin = format!("{before}{label}{operator}");
                let found = text.split(&begin).skip(1);
                let named = found.map(|behind| behind.split('"').next().unwrap());
                values.extend(named.flat_map(|named| named.split('|')));
            }
        }
    }
    values
}

#[test]
fn every_documented_metric_and_label_value_exists() {
    let page = read("docs/metrics.md");
    let known = rows(&page);
    for (path, text) in texts() {
        let mut named = 0;
        for word in words(&text).filter(|word| is_metric(word)) {
            let family = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix).filter(|it| known.contains(it)));
            assert!(known.contains(word) || family.is_some(), "{path}: {word}");
            named += 1;
        }
        assert!(named > 10, "{path}: {named} metrics");
        let is_reason = |word: &&str| {
            let stages = ["connect_", "tls_", "upstream_"];
            stages.iter().any(|stage| word.starts_with(stage))
        };
        for value in values_named(&text)
            .into_iter()
            .chain(words(&text).filter(is_reason))
        {
            assert!(known.contains(value), "{path}: {value}");
        }
    }
}

fn is_metric(word: &str) -> bool {
    word.starts_with("dotgate_") || word.starts_with("process_")
}

#[test]
fn every_setting_that_the_page_names_exists() {
    let (page, settings) = (read(PAGE), read("docs/settings.md"));
    let named = words(&page).filter(|word| word.starts_with("DOTGATE_"));
    for setting in named {
        assert!(
            settings.contains(&format!("### `{setting}`")),
            "{setting} is no setting"
        );
    }
}

#[test]
fn every_line_of_the_log_and_every_error_that_the_page_shows_is_one_of_the_program() {
    let page = read(PAGE);
    let source = source();
    let mut shown = 0;
    for line in page.lines().map(str::trim_start) {
        let level = ["ERROR ", "WARN ", "INFO "];
        if let Some(line) = level.iter().find_map(|level| line.strip_prefix(level)) {
            let fields = line.find('=').map_or(line, |end| &line[..end]);
            let message = match (line.contains('='), fields.rsplit_once(' ')) {
                (true, Some((message, _))) => message,
                (true, None) | (false, _) => line,
            };
            assert!(source.contains(message), "{line}");
            shown += 1;
        }
    }
    assert!(shown > 8, "{shown} lines");
    let quoted = page.split('`').skip(1).step_by(2);
    let in_fields = page.split("reason=\"").chain(page.split("last_error\":\""));
    let in_fields = in_fields.skip(1).map(|it| it.split('"').next().unwrap());
    for error in quoted.chain(in_fields) {
        let is_error = ["connect: ", "tls: ", "upstream: "]
            .iter()
            .any(|stage| error.starts_with(stage));
        if is_error && !error.ends_with("...") {
            assert!(source.contains(&format!("\"{error}\"")), "{error}");
        }
    }
}

/// What the program says: its source, with texts that go on in the next line put together.
fn source() -> String {
    let mut text = String::new();
    for path in [
        "dotgate/src/control/log_events.rs",
        "dotgate/src/log/messages.rs",
        "dotgate/src/commands/serve.rs",
        "dotgate-core/src/failure.rs",
    ] {
        let source = read(path);
        let mut parts = source.split("\\\n");
        text.push_str(parts.next().unwrap());
        parts.for_each(|part| text.push_str(part.trim_start()));
    }
    text
}

#[test]
fn the_page_shows_healthz_with_the_members_it_has() {
    let (page, admin) = (read(PAGE), read("docs/admin.md"));
    let members = |line: &str| {
        let line = line.trim().trim_end_matches(',');
        let upstream: Value = serde_json::from_str(line).unwrap();
        let members = upstream.as_object().unwrap().keys();
        members.cloned().collect::<BTreeSet<_>>()
    };
    let lines = |page: &str| {
        let shown = page
            .lines()
            .filter(|line| line.trim().starts_with("{\"upstream\""));
        shown.map(members).collect::<Vec<_>>()
    };
    let (shown, known) = (lines(&page), lines(&admin));
    assert_eq!((shown.len(), known.len()), (3, 1));
    assert!(shown.iter().all(|upstream| *upstream == known[0]));
}

#[test]
fn every_alert_has_a_place_on_the_page_and_is_tested() {
    let (alerts, tests, page) = (
        read(ALERTS),
        read("deploy/prometheus/alerts.test.yml"),
        read(PAGE),
    );
    let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
    let anchors: BTreeSet<String> = headings
        .map(|heading| {
            let stays = |c: &char| c.is_ascii_alphanumeric() || *c == ' ';
            let anchor: String = heading.chars().filter(stays).collect();
            anchor.to_lowercase().replace(' ', "-")
        })
        .collect();
    let of = |key: &str| {
        let lines = alerts.lines().map(str::trim_start);
        let values = lines.filter_map(|line| line.strip_prefix(key));
        values.map(str::to_owned).collect::<Vec<_>>()
    };
    let runbooks = of("runbook_url: ");
    let base = concat!("https://dotgate.example/", env!("CARGO_PKG_VERSION"), "/");
    for runbook in &runbooks {
        let (url, anchor) = runbook.split_once('#').unwrap();
        assert_eq!(url.strip_prefix(base), Some(PAGE));
        assert!(anchors.contains(anchor), "{anchor}: {anchors:?}");
    }
    let linked = page.split("](#").skip(1);
    for anchor in linked.map(|link| link.split(')').next().unwrap()) {
        assert!(anchors.contains(anchor), "{anchor}: {anchors:?}");
    }
    let names = of("- alert: ");
    assert_eq!(names.len(), 30);
    // The two alerts on errors share their annotations.
    assert_eq!(runbooks.len() + 1, names.len());
    for name in names {
        let fires = format!("alertname=\"{name}\"");
        assert!(tests.contains(&fires), "{name} is not tested");
    }
}

#[test]
fn the_dashboard_needs_no_plugin_and_asks_the_chosen_instances() {
    let panels = panels();
    let mut ids = BTreeSet::new();
    for panel in &panels {
        let (kind, title) = (
            panel["type"].as_str().unwrap(),
            panel["title"].as_str().unwrap(),
        );
        assert!(CORE_PANELS.contains(&kind), "{title}: {kind}");
        assert!(ids.insert(panel["id"].as_u64()), "{title}: its id is taken");
        let expressions = expressions(panel);
        assert_eq!(expressions.is_empty(), kind == "row", "{title}");
        for expression in expressions {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(
                expression.contains("{job=~\"$job\",instance=~\"$instance\""),
                "{title}: {expression}"
            );
        }
    }
}

#[test]
fn promtool_finds_no_fault_with_the_alerts_and_each_fires_when_it_should() {
    let reported = |arguments: &[&str]| {
        let mut promtool = Command::new("promtool");
        let folder = root().join("deploy/prometheus");
        match promtool.args(arguments).current_dir(folder).output() {
            Ok(output) => {
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8_lossy(&said).into_owned();
                assert!(output.status.success(), "{said}");
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                let is_strict = std::env::var_os("DOTGATE_TEST_NO_SKIP").is_some();
                assert!(!is_strict, "promtool is not installed");
                println!("skipped: promtool is not installed");
                false
            }
        }
    };
    if reported(&["check", "rules", "alerts.yml"]) {
        reported(&["test", "rules", "alerts.test.yml"]);
    }
}
