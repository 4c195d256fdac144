//! What operators look at, evaluated by a real Prometheus: the dashboard's expressions and the alerts.
//!
//! Of three upstreams one freezes, one refuses TLS and one is well. Asserted are that every expression has data and
//! moves, which alerts fire, and that metrics, `/healthz` and the log each tell which upstream is which. Grafana itself
//! is not run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::RwLockReadGuard;
use std::time::Duration;

use dotgate_testbed::certificates::{Leaf, TestAuthority};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::client::Client;
use crate::world::http::get;
use crate::world::peer::are_installed;
use crate::world::program::Program;
use crate::world::prometheus::{Alert, Prometheus};
use crate::world::together;
use crate::world::upstream::{Form, Opening, Step, Upstream};
use crate::world::wait::until;

/// Metrics in expressions that do not change here, because none of this happens.
const STILL: [&str; 18] = [
    "dotgate_client_handshakes_total",
    "dotgate_client_http_requests_total",
    "dotgate_client_quic_packets_total",
    "outcome=\"stale\"",
    "dotgate_prefetches_total",
    "dotgate_cache_evictions_total",
    "dotgate_upstream_hedges_total",
    "dotgate_udp_receive_drops_total",
    "dotgate_datagrams_unsent_total",
    "dotgate_mailbox_messages_dropped_total",
    "dotgate_log_lines_dropped_total",
    "dotgate_events_dropped_total",
    "dotgate_query_records_dropped_total",
    "dotgate_query_log_lost_total",
    "dotgate_query_readers_lost_total",
    "dotgate_dnstap_messages_dropped_total",
    "dotgate_panics_total",
    "tls_pin_mismatch",
];

/// Alerts about what does not apply this world.
const SILENT: [&str; 17] = [
    "DotgateDown",
    "DotgateGroupDown",
    "DotgateAllUpstreamsDown",
    "DotgateServingStale",
    "DotgateCertificateExpiring",
    "DotgatePinMismatch",
    "DotgatePortalWindowOpen",
    "DotgateRoutesExpired",
    "DotgateConfigReloadFailed",
    "DotgateRestarting",
    "DotgateReceiveDrops",
    "DotgateLogLinesDropped",
    "DotgatePanic",
    "DotgateAddressMissing",
    "DotgateQueryLogIncomplete",
    "DotgateDnstapIncomplete",
    "DotgateQueriesWatched",
];

/// What a frozen upstream is seen by, in the words of the log and in those of metrics: first its sessions fall silent,
/// then new ones do not open.
const FROZEN: [(&str, &str); 2] = [
    ("upstream: no response", "upstream_timeout"),
    ("tls: handshake timed out", "tls_timed_out"),
];

/// What one that refuses TLS is seen by.
const REFUSING: [(&str, &str); 1] = [("tls: closed in the handshake", "tls_closed")];

/// A file of the repository.
fn shipped(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// Every expression of the dashboard, with all instances chosen.
fn dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&shipped("deploy/grafana/dotgate.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    let expressions = targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap());
    expressions
        .map(|expression| {
            let expression = expression.replace("$__rate_interval", "1m");
            let expression = expression.replace("$job", ".+");
            expression.replace("$instance", ".+")
        })
        .collect()
}

/// The expression of an alert without its thresholds: it has data whether it fires or not.
fn without_threshold(alert: &str) -> String {
    let mut expression = alert.to_owned();
    for comparison in ["==", "<", "<=", ">"] {
        let (plain, as_value) = (format!(" {comparison} "), format!(" {comparison} bool "));
        expression = expression.replace(&plain, &as_value);
    }
    expression
}

/// The program in front of three upstreams, of which one freezes, one refuses TLS and one is well.
struct World {
    frozen: Upstream,
    refusing: Upstream,
    healthy: Upstream,
    program: Program,
    _secret: TempDir,
    _processors: RwLockReadGuard<'static, ()>,
}

impl World {
    fn new() -> World {
        let processors = together();
        let authority = TestAuthority::new().unwrap();
        let [frozen, refusing, healthy] = [(); 3].map(|()| Upstream::start(&authority));
        refusing.script(|script| script.opening = Opening::Close);
        let hosts = [&frozen, &refusing, &healthy]
            .map(Upstream::written)
            .join(",");
        let pin = format!(";pin-report=sha256/{}=", "A".repeat(43));
        let route = format!("routed.test={}{pin}", healthy.written());
        let hosts = hosts + &pin;
        let secret = tempfile::tempdir().unwrap();
        let path = |name| secret.path().join(name).display().to_string();
        let dnstap = format!("unix:{}", path("dnstap.sock"));
        let (certificate_file, key_file) = (path("tls.crt"), path("tls.key"));
        let certificate = authority.issue(&Leaf::for_name("dns.test")).unwrap();
        std::fs::write(&certificate_file, certificate.pem).unwrap();
        std::fs::write(&key_file, certificate.key_pem).unwrap();
        let variables = [
            ("DOTGATE_DOT_LISTEN", "127.0.0.1:0"),
            ("DOTGATE_DOH_LISTEN", "127.0.0.1:0"),
            ("DOTGATE_DOQ_LISTEN", "127.0.0.1:0"),
            ("DOTGATE_SERVER_CERTIFICATE_FILE", &certificate_file),
            ("DOTGATE_SERVER_KEY_FILE", &key_file),
            ("DOTGATE_ROUTES", route.as_str()),
            ("DOTGATE_QUERY_IN_FLIGHT_PER_CLIENT_MAX", "100"),
            ("DOTGATE_QUERY_EXEMPT", "192.0.2.0/24"),
            // A reader that is not there.
            ("DOTGATE_DNSTAP", &dnstap),
        ];
        let program = Program::serve(&authority, &hosts, &variables);
        World {
            frozen,
            refusing,
            healthy,
            program,
            _secret: secret,
            _processors: processors,
        }
    }

    /// Every fault of this world.
    fn misfortunes(&self) {
        let mut client = self.program.udp();
        for _ in 0..3 {
            client.ask("the-same.test").assert_right();
        }
        self.frozen
            .script(|script| script.opening = Opening::Ignore);
        self.frozen.freeze_all();
        client.ask("meanwhile.test").assert_right();
        self.flood(&mut client);
        self.healthy
            .script(|script| script.on("broken.test", &[Step::Send(Form::ServerFailure)]));
        for _ in 0..3 {
            assert!(!client.ask("broken.test").is_right());
        }
        self.program.tcp().ask("stream.test").assert_right();
    }

    /// More queries at once than a client may have in flight, each name twice.
    fn flood(&self, client: &mut Client) {
        self.healthy
            .script(|script| script.on_beginning("held", &[Step::Hold]));
        client.send_all((0..300).map(|number| format!("held-{}.test", number / 2)));
        self.healthy.wait_until("a query of the flood", |record| {
            let mut names = record.queries.iter().map(|(_, question)| &question.name);
            names.any(|name| name.starts_with("held"))
        });
        self.healthy
            .script(|script| script.on_beginning("held", &[Step::Send(Form::Right)]));
        self.healthy.release_all();
        client.receive_all();
    }
}

#[test]
fn a_real_prometheus_has_data_for_every_panel_and_alert_and_fires_those_it_should() {
    if !are_installed(&[], &["prometheus"]) {
        return;
    }
    let world = World::new();
    // What holds fires at once; how long an alert waits is for deploy/prometheus/alerts.test.yml.
    let rules = shipped("deploy/prometheus/alerts.yml");
    let rules = rules
        .lines()
        .filter(|line| !line.trim_start().starts_with("for: "));
    let rules: Vec<&str> = rules.collect();
    let prometheus = Prometheus::start(world.program.admin(), &rules.join("\n"));
    let has_data = |expression: &str| !prometheus.values(expression).is_empty();
    let moves = |expression: &str| prometheus.values(expression).iter().any(|it| *it > 0.0);
    // From here on a counter that moves is seen to move.
    until("the first scrape", || has_data("dotgate_workers"));
    let load = world.program.load(Duration::from_millis(10));
    world.misfortunes();
    let expressions = dashboard();
    assert!(expressions.len() > 50, "{}", expressions.len());
    for expression in &expressions {
        let is_still = STILL.iter().any(|metric| expression.contains(metric));
        if is_still || !expression.contains("[1m]") {
            until(expression, || has_data(expression));
        } else {
            until(expression, || moves(expression));
        }
    }
    let rules = prometheus.rules();
    assert!(rules.len() > 10, "{rules:?}");
    for rule in &rules {
        let expression = without_threshold(rule);
        until(&expression, || has_data(&expression));
    }
    let down = |alert: &Alert| alert.name == "DotgateUpstreamDown";
    let name = |alert: &Alert| alert.labels["upstream"].as_str().unwrap().to_owned();
    let bad = BTreeSet::from([&world.frozen, &world.refusing].map(Upstream::written));
    until("the alerts of both upstreams", || {
        let firing = prometheus.firing();
        bad == firing
            .iter()
            .filter(|alert| down(alert))
            .map(name)
            .collect()
    });
    let firing = prometheus.firing();
    let is_firing = |name: &str| firing.iter().any(|alert| alert.name == name);
    for alert in [
        "DotgateShedding",
        "DotgateReportedPinMismatch",
        "DotgateDnstapDisconnected",
    ] {
        assert!(is_firing(alert), "{alert}: {firing:?}");
    }
    for alert in SILENT {
        assert!(!is_firing(alert), "{firing:?}");
    }
    for alert in &firing {
        let reported = alert.annotations.to_string();
        assert!(!reported.contains("error expanding"), "{reported}");
        assert!(!reported.contains("no value"), "{reported}");
    }
    load.finish();
}

#[test]
fn healthz_metrics_and_the_log_each_distinguish_the_frozen_the_refusing_and_the_healthy_upstream() {
    let world = World::new();
    let load = world.program.load(Duration::from_millis(10));
    world.misfortunes();
    let [frozen, refusing, healthy] =
        [&world.frozen, &world.refusing, &world.healthy].map(Upstream::written);
    let rows = [(&frozen, &FROZEN[..]), (&refusing, &REFUSING[..])];
    let mut said = BTreeSet::new();
    let is_reported = |said: &BTreeSet<String>, upstream: &str, (words, _): &(&str, &str)| {
        let reported = format!("upstream is down upstream=\"{upstream}\" reason=\"{words}\"");
        said.iter().any(|line| line.contains(&reported))
    };
    until("both in the log", || {
        said.extend(world.program.new_lines());
        let mut rows = rows.iter();
        rows.all(|(upstream, faults)| {
            faults
                .iter()
                .any(|fault| is_reported(&said, upstream, fault))
        })
    });
    let is_problem = |line: &String| {
        let expected = ["upstream reachable", "pin-report"];
        line.contains(&healthy) && !expected.iter().any(|words| line.contains(words))
    };
    assert!(!said.iter().any(is_problem), "{said:?}");
    let health = get(world.program.admin(), "/healthz").json();
    let page = get(world.program.admin(), "/metrics").body;
    for (place, (upstream, faults)) in rows.into_iter().enumerate() {
        let reported = &health["upstreams"][place];
        assert_eq!(
            (
                &reported["upstream"],
                &reported["answers"],
                &reported["state"]
            ),
            (&json!(upstream), &json!(false), &json!("down"))
        );
        let mut words = faults.iter().map(|(words, _)| words);
        assert!(
            words.any(|words| reported["last_error"] == *words),
            "{reported}"
        );
        assert!(page.contains(&format!(
            "dotgate_upstream_up{{upstream=\"{upstream}\"}} 0\n"
        )));
        assert!(faults.iter().any(|(_, reason)| {
            let errors = format!("errors_total{{upstream=\"{upstream}\",reason=\"{reason}\"}}");
            !page.contains(&format!("{errors} 0\n"))
        }));
    }
    let reported = &health["upstreams"][2];
    assert_eq!(
        (
            &reported["upstream"],
            &reported["answers"],
            &reported["state"]
        ),
        (&json!(healthy), &json!(true), &json!("healthy"))
    );
    assert!(page.contains(&format!(
        "dotgate_upstream_up{{upstream=\"{healthy}\"}} 1\n"
    )));
    load.finish();
}
