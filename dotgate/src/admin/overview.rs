//! The status for people: the text of `GET /` and of `dotgate status`, in 80 columns.
//!
//! Made from the document of `/api/v1/status`, by the endpoint and by the command alike.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use dotgate_config::Escaped;
use dotgate_core::Strategy;
use serde::Deserialize;

use super::groups::GroupReport;
use super::traffic::Traffic;
use super::upstreams::UpstreamReport;
use super::volatile::RoutesReport;

/// The longest line.
const WIDTH: usize = 80;

/// The columns of upstreams' names: as wide as the longest, but the others must fit next to it.
const LABEL_MIN: usize = 20;
const GROUP_MAX: usize = 40;
const LABEL_MAX: usize = 46;

/// What of the status people want to know.
#[derive(Clone, Debug, Deserialize)]
pub struct Overview {
    pub(crate) version: String,
    pub(crate) uptime_seconds: f64,
    pub(crate) ready: Readiness,
    listen: Vec<String>,
    listen_awaited: Vec<String>,
    /// Older instances do not have them.
    #[serde(default)]
    listen_dot: Vec<String>,
    #[serde(default)]
    listen_doh: Vec<String>,
    #[serde(default)]
    listen_doq: Vec<String>,
    #[serde(default)]
    certificates: Vec<Certificate>,
    admin: Admin,
    configuration: Configuration,
    pub(crate) upstreams: Vec<UpstreamReport>,
    /// Older instances do not have them.
    #[serde(default)]
    pub(crate) groups: Vec<GroupReport>,
    #[serde(default)]
    pub(crate) volatile_routes: RoutesReport,
    cache: Cache,
    pub(crate) traffic: Traffic,
    workers: Vec<Worker>,
}

#[derive(Clone, Debug, Deserialize)]
struct Certificate {
    file: String,
    days_left: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Readiness {
    pub(crate) status: String,
    pub(crate) reasons: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Admin {
    socket: Option<String>,
    token: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Configuration {
    problem: Option<String>,
    waiting_for_restart: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Cache {
    entries: u64,
    bytes_used: u64,
    bytes_max: u64,
    snapshot_file: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Worker {
    state: String,
}

impl Overview {
    /// Queries per second: since `earlier`, or since the start.
    pub fn rate(&self, earlier: Option<&Overview>) -> f64 {
        let (queries, seconds) = match earlier {
            Some(earlier) if earlier.uptime_seconds < self.uptime_seconds => (
                self.traffic.queries.saturating_sub(earlier.traffic.queries),
                self.uptime_seconds - earlier.uptime_seconds,
            ),
            Some(_) | None => (self.traffic.queries, self.uptime_seconds),
        };
        if seconds > 0.0 {
            queries as f64 / seconds
        } else {
            0.0
        }
    }

    /// The text, with the queries per second of [`Overview::rate`].
    pub fn text(&self, rate: f64) -> String {
        let mut text = Text::default();
        let (version, status) = (&self.version, &self.ready.status);
        text.line(format_args!(
            "dotgate {version}: {status}, up {}",
            Span(self.uptime_seconds)
        ));
        for reason in &self.ready.reasons {
            text.entry("reason", reason);
        }
        self.write_traffic(&mut text, rate);
        self.write_settings(&mut text);
        self.write_groups(&mut text);
        text.line("");
        let labels = self.upstreams.iter().map(|it| it.upstream.chars().count());
        let width = labels.max().unwrap_or_default().clamp(LABEL_MIN, LABEL_MAX);
        text.line(row(width, ["upstream", "state", "rtt", "sess", "cert"]));
        for upstream in &self.upstreams {
            write_upstream(&mut text, width, upstream);
        }
        text.0
    }

    /// Writes the groups, if there are others than the default one, or its upstreams are not asked in order.
    fn write_groups(&self, text: &mut Text) {
        let is_ordered = |group: &GroupReport| group.strategy == Strategy::Ordered.label();
        if self.groups.len() < 2 && self.groups.iter().all(is_ordered) {
            return;
        }
        let row = |[label, state, strategy, queries, failed]: [&str; 5]| {
            let width = GROUP_MAX;
            format!("{label:<width$.width$} {state:<5} {strategy:<11} {queries:>10} {failed:>9}")
        };
        text.line("");
        text.line(row(["group", "state", "strategy", "queries", "failed"]));
        for group in &self.groups {
            let counts = [group.queries, group.failed].map(|count| count.to_string());
            let [queries, failed] = counts.each_ref().map(String::as_str);
            let (label, state) = (&group.group, &group.state);
            text.line(row([label, state, &group.strategy, queries, failed]));
            if !is_ordered(group) {
                for share in &group.shares {
                    let (upstream, width) = (&share.upstream, LABEL_MAX);
                    let percent = share.share * 100.0;
                    text.line(format!("  {upstream:<width$.width$} {percent:>5.1} %"));
                }
            }
        }
    }

    fn write_traffic(&self, text: &mut Text, rate: f64) {
        let traffic = &self.traffic;
        let count = |outcome: &str| traffic.outcomes.get(outcome).copied().unwrap_or_default();
        let failed = count("failed") + count("cached_failure");
        let hits = match traffic.cache_hit_ratio {
            Some(ratio) => format!("{:.0} % from the cache", ratio * 100.0),
            None => "none answered yet".to_owned(),
        };
        text.entry(
            "queries",
            format_args!(
                "{rate:.1}/s; {} in all, {hits}, {failed} failed, {} in flight",
                traffic.queries, traffic.in_flight
            ),
        );
        if let (Some(half), Some(most)) = (traffic.waited_p50_ms, traffic.waited_p99_ms) {
            text.entry(
                "latency",
                format_args!("p50 up to {half} ms, p99 up to {most} ms for forwarded queries"),
            );
        }
        if traffic.tcp_connections > 0 {
            text.entry(
                "tcp",
                format_args!("{} connections", traffic.tcp_connections),
            );
        }
        for (limit, hit) in &traffic.limits {
            text.entry("limit hit", format_args!("{limit}, {hit} times"));
        }
    }

    fn write_settings(&self, text: &mut Text) {
        let Cache {
            entries,
            bytes_used,
            bytes_max,
            snapshot_file,
        } = &self.cache;
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        text.entry(
            "cache",
            format_args!(
                "{entries} entries, {:.1} of {:.1} MiB",
                mebibytes(*bytes_used),
                mebibytes(*bytes_max)
            ),
        );
        if let Some(file) = snapshot_file {
            text.entry("snapshot", file);
        }
        text.entry("listening", self.listen.join(", "));
        if !self.listen_dot.is_empty() {
            text.entry("over TLS", self.listen_dot.join(", "));
        }
        if !self.listen_doh.is_empty() {
            text.entry("over HTTPS", self.listen_doh.join(", "));
        }
        if !self.listen_doq.is_empty() {
            text.entry("over QUIC", self.listen_doq.join(", "));
        }
        for Certificate { file, days_left } in &self.certificates {
            text.entry("certificate", format_args!("{file}, {days_left} days left"));
        }
        if !self.listen_awaited.is_empty() {
            text.entry("not yet", self.listen_awaited.join(", "));
        }
        for owned in &self.volatile_routes.owners {
            let (owner, routes) = (&owned.owner, &owned.routes);
            text.entry(
                "routes",
                format_args!("{owner} ({}): {routes}", owned.state()),
            );
        }
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for worker in &self.workers {
            *states.entry(&worker.state).or_default() += 1;
        }
        let states = states
            .iter()
            .map(|(state, count)| format!("{count} {state}"));
        text.entry("workers", states.collect::<Vec<_>>().join(", "));
        let socket = self.admin.socket.as_deref().unwrap_or("no socket");
        text.entry(
            "admin",
            format_args!("{socket}, token {}", self.admin.token),
        );
        if let Some(problem) = &self.configuration.problem {
            text.entry("reload", format_args!("rejected: {problem}"));
        }
        if !self.configuration.waiting_for_restart.is_empty() {
            let settings = self.configuration.waiting_for_restart.join(", ");
            text.entry("restart for", settings);
        }
    }
}

fn row(width: usize, [label, state, round_trip, sessions, days]: [&str; 5]) -> String {
    format!("{label:<width$} {state:<8} {round_trip:>9} {sessions:>4} {days:>9}")
}

fn write_upstream(text: &mut Text, width: usize, report: &UpstreamReport) {
    let round_trip = report
        .round_trip_ms
        .map_or("-".to_owned(), |time| format!("{time:.1} ms"));
    let days = report.certificate_days_left;
    let days = days.map_or("-".to_owned(), |days| format!("{days} days"));
    let sessions = report.sessions.to_string();
    text.line(row(
        width,
        [
            &report.upstream,
            &report.state,
            &round_trip,
            &sessions,
            &days,
        ],
    ));
    if let (Some(error), Some(ago)) = (&report.last_error, report.last_error_seconds) {
        text.line(format_args!("  last error {} ago: {error}", Span(ago)));
    }
    if let Some(left) = report.classical_key_exchange_seconds {
        text.line(format_args!(
            "  no hybrid key exchange for {}: large ClientHellos fail",
            Span(left)
        ));
    }
    if let Some(limit) = report.learned_idle_timeout_seconds {
        text.line(format_args!(
            "  idle sessions are closed after {limit} s, before the upstream does"
        ));
    }
    if let Some(pin) = &report.pin_mismatch {
        text.line(format_args!("  no pin-report matches {pin}"));
    }
}

/// Lines of at most `WIDTH` characters; what is longer is cut.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: impl Display) {
        let line = line.to_string();
        let line = Escaped(&line).to_string();
        let is_long = line.chars().count() > WIDTH;
        let length = if is_long { WIDTH - 3 } else { WIDTH };
        self.0.extend(line.chars().take(length));
        self.0.push_str(if is_long { "...\n" } else { "\n" });
    }

    fn entry(&mut self, title: &str, value: impl Display) {
        self.line(format_args!("{title:<12}{value}"));
    }
}

/// A time as people say it.
pub(crate) struct Span(pub(crate) f64);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::try_from_secs_f64(self.0)
            .unwrap_or_default()
            .as_secs();
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3_600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            3_600..86_400 => write!(f, "{} h {} min", seconds / 3_600, seconds / 60 % 60),
            _ => write!(f, "{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn overview(uptime: f64, queries: u64) -> Overview {
        let upstream = json!({
            "upstream": "[2001:db8:1234:5678::853]@853#resolver.example",
            "addresses": ["[2001:db8:1234:5678::853]:853"],
            "groups": ["default"],
            "answers": false,
            "state": "down",
            "state_seconds": 61.0,
            "last_response_seconds": 70.0,
            "last_error": "tls: certificate for another name, and more words than fit on a line of eighty",
            "last_error_seconds": 61.5,
            "round_trip_ms": 11.84,
            "sessions": 2,
            "handshakes": 7,
            "classical_key_exchange_seconds": 86_000.0,
            "learned_idle_timeout_seconds": 3.6,
            "certificate_days_left": 54,
            "pin_mismatch": "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        });
        let status = json!({
            "version": "0.1.0",
            "uptime_seconds": uptime,
            "ready": {"status": "degraded", "reasons": ["no upstream is healthy: \u{1b}[31m"]},
            "listen": ["127.0.0.1:53", "[::1]:53"],
            "listen_awaited": [],
            "listen_dot": ["127.0.0.1:853"],
            "listen_doh": ["127.0.0.1:443"],
            "certificates": [{"file": "/etc/dotgate/dns.pem", "names": ["dns.example"], "days_left": 60}],
            "admin": {"socket": null, "token": "broken"},
            "configuration": {"problem": null, "waiting_for_restart": []},
            "upstreams": [upstream],
            "groups": [
                {"group": "default", "state": "up", "strategy": "ordered", "shares": [
                    {"upstream": "192.0.2.1@853", "share": 1.0}
                ], "queries": 1_234_567, "failed": 3},
                {"group": "corp.example", "state": "down", "strategy": "round-robin", "shares": [
                    {"upstream": "192.0.2.53@853", "share": 0.255},
                    {"upstream": "192.0.2.54@853", "share": 0.745}
                ], "queries": 12, "failed": 11},
                {"group": "x".repeat(63), "state": "up", "strategy": "shard", "shares": [], "queries": 0, "failed": 0},
            ],
            "cache": {"entries": 3, "bytes_used": 1_048_576, "bytes_max": 67_108_864, "snapshot_file": null},
            "traffic": {
                "queries": queries,
                "outcomes": {"answered": 10, "failed": 1, "cached_failure": 2},
                "cache_hit_ratio": 0.814,
                "waited_p50_ms": 12.5,
                "waited_p99_ms": 200.0,
                "in_flight": 4,
                "tcp_connections": 0,
                "limits": {"queries": 7}
            },
            "workers": [{"state": "idle"}, {"state": "idle"}, {"state": "running"}],
            "members of a later version": 1
        });
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn everything_is_written_in_lines_of_80_columns() {
        let overview = overview(7_384.0, 1_000);
        let text = overview.text(2.25);
        for line in [
            "dotgate 0.1.0: degraded, up 2 h 3 min\n",
            "\nreason      no upstream is healthy: \\u{1b}[31m\n",
            "\nqueries     2.2/s; 1000 in all, 81 % from the cache, 3 failed, 4 in flight\n",
            "\nlatency     p50 up to 12.5 ms, p99 up to 200 ms for forwarded queries\n",
            "\nlimit hit   queries, 7 times\n",
            "\ncache       3 entries, 1.0 of 64.0 MiB\n",
            "\nlistening   127.0.0.1:53, [::1]:53\n",
            "\nover TLS    127.0.0.1:853\nover HTTPS  127.0.0.1:443\n",
            "\ncertificate /etc/dotgate/dns.pem, 60 days left\n",
            "\nworkers     2 idle, 1 running\n",
            "\nadmin       no socket, token broken\n",
            "\n\ngroup                                    state strategy       queries    failed\n",
            "\ndefault                                  up    ordered        1234567         3\ncorp",
            "\ncorp.example                             down  round-robin         12        11\n",
            "\n  192.0.2.53@853                                  25.5 %\n",
            "xxx up    shard                0         0\n",
            "\n[2001:db8:1234:5678::853]@853#resolver.example down       11.8 ms    2   54 days\n",
            "\n  last error 1 min 1 s ago: tls: certificate for another name",
            "\n  no pin-report matches sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
    }

    #[test]
    fn the_default_group_alone_is_not_shown() {
        let mut overview = overview(1.0, 1);
        overview.groups.truncate(1);
        let text = overview.text(0.0);
        assert!(
            !text.contains("group") && !text.contains("default"),
            "{text}"
        );
    }

    #[test]
    fn the_rate_is_since_the_look_before_or_since_the_start() {
        let (earlier, later) = (overview(100.0, 1_000), overview(102.0, 1_100));
        assert!((later.rate(Some(&earlier)) - 50.0).abs() < 0.01);
        assert!((earlier.rate(None) - 10.0).abs() < 0.01);
        let of_another_process = overview(2.0, 10);
        assert!((of_another_process.rate(Some(&later)) - 5.0).abs() < 0.01);
    }
}
