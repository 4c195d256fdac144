//! `/api/v1/status`: all that is known of this instance, as one JSON document.
//!
//! `docs/admin.md` has the schema. Within `schema` 1 members are added and none is changed or taken away.

use std::collections::BTreeMap;

use dotgate_config::{Listener, Word};
use dotgate_core::Count;
use dotgate_net::Named;
use dotgate_tls::{ServedCertificate, UnixTime};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};
use serde::Serialize;
use serde_json::{Map, json};

use super::cache::UsageReport;
use super::endpoint::{Endpoint, StatusReport};
use super::groups::GroupReport;
use super::local::LocalReport;
use super::portal::PortalReport;
use super::traffic::Traffic;
use super::upstreams::{self, UpstreamReport, rounded};
use super::volatile::RoutesReport;
use crate::access::HostAccess;
use crate::clock::now;
use crate::log;
use crate::running::{Outcome, Reloads, WorkerState};

/// The version of the schema.
const SCHEMA: u32 = 1;

/// The document. Times are in seconds before now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Status {
    schema: u32,
    version: &'static str,
    uptime_seconds: f64,
    /// As `/readyz` says it.
    ready: StatusReport,
    /// The addresses in service.
    listen: Vec<String>,
    /// The listening addresses that this host does not have yet.
    listen_awaited: Vec<String>,
    /// Addresses of DNS over TLS.
    listen_dot: Vec<String>,
    /// Addresses of DNS over HTTPS.
    listen_doh: Vec<String>,
    /// Addresses of DNS over QUIC.
    listen_doq: Vec<String>,
    /// What clients that speak TLS are shown.
    certificates: Vec<CertificateReport>,
    access: AccessReport,
    admin: AdminReport,
    log: LogReport,
    configuration: ConfigurationReport,
    /// As `/healthz` has them, without a probe.
    upstreams: Vec<UpstreamReport>,
    /// That of the default route first.
    groups: Vec<GroupReport>,
    portal: PortalReport,
    /// Routes that programs have set.
    volatile_routes: RoutesReport,
    cache: CacheStatus,
    local: LocalReport,
    traffic: Traffic,
    workers: Vec<WorkerReport>,
    /// What all workers counted since the start.
    #[schemars(schema_with = "counts_schema")]
    counts: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ConfigurationReport {
    /// How often a new one was taken since the start.
    reloads: u64,
    /// How often one was rejected.
    rejected: u64,
    /// `ok` or `rejected`: the result of the last reload.
    last: &'static str,
    /// Why it was rejected.
    problem: Option<String>,
    /// Settings that have another value by now and need a restart.
    waiting_for_restart: Vec<String>,
}

impl ConfigurationReport {
    fn of(reloads: Reloads) -> ConfigurationReport {
        let (last, problem, waiting_for_restart) = match reloads.last {
            Outcome::Applied { waiting } => ("ok", None, waiting),
            Outcome::Rejected { problem } => ("rejected", Some(problem), Vec::new()),
        };
        ConfigurationReport {
            reloads: reloads.applied,
            rejected: reloads.rejected,
            last,
            problem,
            waiting_for_restart,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct CertificateReport {
    file: String,
    /// The names and addresses that it is for.
    names: Vec<String>,
    /// Whole days until it expires; negative afterwards.
    days_left: i64,
}

impl CertificateReport {
    fn of(certificate: &ServedCertificate) -> CertificateReport {
        CertificateReport {
            file: certificate.path.display().to_string(),
            names: certificate.facts.names.clone(),
            days_left: certificate.facts.days_left(UnixTime::now()),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct AccessReport {
    /// `refused` or `silence`: what clients get that may not ask.
    answer: &'static str,
    /// The networks of this host, if the access list has `localnets`.
    localnets: Vec<String>,
}

impl AccessReport {
    fn of(access: &HostAccess) -> AccessReport {
        AccessReport {
            answer: access.answer().word(),
            localnets: access.networks().iter().map(ToString::to_string).collect(),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct AdminReport {
    /// Where its Unix socket is.
    socket: Option<String>,
    /// `set`, `not set`, or `broken`: its file cannot be used.
    token: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CacheStatus {
    #[serde(flatten)]
    usage: UsageReport,
    /// The file that carries it over a restart.
    snapshot_file: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct LogReport {
    /// The current log level; null before the log was started.
    level: Option<&'static str>,
    lines_dropped: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WorkerReport {
    number: usize,
    /// `running`, `idle` (asleep; it was woken to show that it responds), `stuck` or `ended`.
    state: &'static str,
    last_turn_seconds: f64,
    #[schemars(schema_with = "counts_schema")]
    counts: BTreeMap<&'static str, u64>,
}

impl Status {
    /// What is known now.
    pub(super) fn of(endpoint: &Endpoint) -> Status {
        let running = endpoint.running();
        let now = now();
        let (_, ready) = endpoint.readiness();
        let standings = endpoint.look_at_workers(now);
        let workers = running.workers().iter().zip(standings).enumerate();
        Status {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: rounded(now.since(running.started()).as_secs_f64()),
            ready,
            listen: running
                .addresses(Listener::Plain)
                .iter()
                .map(|address| Named(*address).to_string())
                .collect(),
            listen_dot: running
                .addresses(Listener::Dot)
                .iter()
                .map(|address| Named(*address).to_string())
                .collect(),
            listen_doh: running
                .addresses(Listener::Doh)
                .iter()
                .map(|address| Named(*address).to_string())
                .collect(),
            listen_doq: running
                .addresses(Listener::Doq)
                .iter()
                .map(|address| Named(*address).to_string())
                .collect(),
            certificates: running
                .certificates()
                .iter()
                .map(CertificateReport::of)
                .collect(),
            listen_awaited: running.awaited().to_vec(),
            access: AccessReport::of(&running.access()),
            admin: AdminReport {
                socket: endpoint.socket().map(|path| path.display().to_string()),
                token: endpoint.access().token.word(),
            },
            log: LogReport {
                level: log::level().map(Word::word),
                lines_dropped: log::dropped_lines(),
            },
            configuration: ConfigurationReport::of(running.reloads().read()),
            upstreams: upstreams::reports(running, now),
            groups: GroupReport::all(running),
            portal: PortalReport::of(running.portal()),
            volatile_routes: RoutesReport::of(running.routes()),
            cache: CacheStatus {
                usage: UsageReport::of(running.cache()),
                snapshot_file: running.snapshot().map(str::to_owned),
            },
            local: LocalReport::of(&running.local()),
            traffic: Traffic::of(running),
            workers: workers
                .map(|(number, (worker, standing))| WorkerReport {
                    number,
                    state: word(standing),
                    last_turn_seconds: rounded(now.since(worker.last_turn()).as_secs_f64()),
                    counts: counts(|count| worker.counters().get(count)),
                })
                .collect(),
            counts: counts(|count| running.count(count)),
        }
    }
}

fn counts(value: impl Fn(Count) -> u64) -> BTreeMap<&'static str, u64> {
    let pairs = Count::ALL
        .iter()
        .map(|count| (count.label(), value(*count)));
    pairs.collect()
}

fn word(standing: WorkerState) -> &'static str {
    match standing {
        WorkerState::Running => "running",
        WorkerState::Waking => "idle",
        WorkerState::Stuck => "stuck",
        WorkerState::Ended => "ended",
    }
}

/// The schema of counts: one member for each, with what it counts.
fn counts_schema(_: &mut SchemaGenerator) -> Schema {
    let members = Count::ALL.iter().map(|count| {
        let schema = json!({ "type": "integer", "minimum": 0, "description": count.about() });
        (count.label().to_owned(), schema)
    });
    json_schema!({ "type": "object", "properties": members.collect::<Map<_, _>>() })
}
