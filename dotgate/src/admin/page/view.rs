//! What the page shows, read once for all its parts.

use std::sync::Arc;

use dotgate_config::{Effective, Listener, PortalPolicy, Word as _};
use dotgate_core::labels::{Limit, Outcome, Reason};
use dotgate_net::Named;
use dotgate_tls::{ServedCertificate, UnixTime};

use super::verdict::Verdict;
use crate::admin::cache::UsageReport;
use crate::admin::endpoint::{Endpoint, StatusReport};
use crate::admin::failures::FailuresReport;
use crate::admin::groups::GroupReport;
use crate::admin::overview::Span;
use crate::admin::traffic::Traffic;
use crate::admin::upstreams::{UpstreamReport, reports};
use crate::admin::volatile::RoutesReport;
use crate::clock::now;
use crate::log;
use crate::running::{Outcome as ReloadOutcome, Period, Point, Running};

/// Everything on the page.
pub(super) struct View {
    pub(super) version: &'static str,
    uptime_seconds: f64,
    /// The time of day, in UTC.
    pub(super) time: String,
    pub(super) ready: StatusReport,
    pub(super) verdict: Verdict,
    pub(super) upstreams: Vec<UpstreamReport>,
    pub(super) failures: FailuresReport,
    pub(super) groups: Vec<GroupReport>,
    pub(super) routes: RoutesReport,
    pub(super) traffic: Traffic,
    /// How often each outcome, limit and reason was counted since the start.
    pub(super) outcomes: Vec<(Outcome, u64)>,
    pub(super) limits: Vec<(Limit, u64)>,
    pub(super) reasons: Vec<(Reason, u64)>,
    pub(super) period: Period,
    /// The points of the period, and those of the last five minutes.
    pub(super) points: Vec<AgedPoint>,
    pub(super) recent: Vec<AgedPoint>,
    pub(super) listeners: Vec<(&'static str, String)>,
    pub(super) certificates: Vec<CertificateView>,
    pub(super) cache: UsageReport,
    pub(super) log_level: Option<&'static str>,
    pub(super) token: &'static str,
    /// Whether queries are shown as they end.
    pub(super) shows_queries: bool,
    /// Whether a portal window may be opened.
    pub(super) portal: PortalPolicy,
    pub(super) reloads: Vec<String>,
    pub(super) settings: Arc<[Effective]>,
}

/// A point, and how many seconds ago it ended.
pub(super) struct AgedPoint {
    pub(super) ago: f64,
    pub(super) point: Point,
}

/// A certificate that clients are shown.
pub(super) struct CertificateView {
    pub(super) file: String,
    pub(super) names: String,
    pub(super) days_left: i64,
}

impl CertificateView {
    fn of(certificate: &ServedCertificate) -> CertificateView {
        CertificateView {
            file: certificate.path.display().to_string(),
            names: certificate.facts.names.join(", "),
            days_left: certificate.facts.days_left(UnixTime::now()),
        }
    }
}

impl View {
    pub(super) fn of(endpoint: &Endpoint, period: Period) -> View {
        let running = endpoint.running();
        let now = now();
        let points = |period| {
            let points = running.history().points(period, now).into_iter();
            let aged = points.map(|point| AgedPoint {
                ago: now.since(point.end).as_secs_f64(),
                point,
            });
            aged.collect::<Vec<AgedPoint>>()
        };
        let mut view = View {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: now.since(running.started()).as_secs_f64(),
            time: time_of_day(UnixTime::now()),
            ready: endpoint.readiness().1,
            verdict: Verdict::default(),
            upstreams: reports(running, now),
            failures: FailuresReport::of(running),
            groups: GroupReport::all(running),
            routes: RoutesReport::of(running.routes()),
            traffic: Traffic::of(running),
            outcomes: Outcome::ALL
                .iter()
                .map(|it| (*it, running.outcome(*it)))
                .collect(),
            limits: counted(running, Limit::ALL, |it, limit| it.limits(limit)),
            reasons: counted(running, Reason::ALL, |it, reason| it.failures(reason)),
            period,
            points: points(period),
            recent: points(Period::FiveMinutes),
            listeners: listeners(running),
            certificates: running
                .certificates()
                .iter()
                .map(CertificateView::of)
                .collect(),
            cache: UsageReport::of(running.cache()),
            log_level: log::level().map(|level| level.word()),
            token: endpoint.access().token.word(),
            shows_queries: running.query_readers().is_on(),
            portal: running.portal().permitted(),
            reloads: reloads(running),
            settings: running.settings(),
        };
        view.verdict = Verdict::of(&view);
        view
    }

    pub(super) fn uptime(&self) -> Span {
        Span(self.uptime_seconds)
    }

    /// Messages of clients with this outcome since the start.
    pub(super) fn outcome(&self, outcome: Outcome) -> u64 {
        let mut outcomes = self.outcomes.iter();
        outcomes
            .find(|(it, _)| *it == outcome)
            .map_or(0, |(_, count)| *count)
    }
}

/// Those of a set that all workers together counted at least once.
fn counted<L: Copy>(
    running: &Running,
    all: &[L],
    count: impl Fn(&dotgate_core::ClientCounters, L) -> u64,
) -> Vec<(L, u64)> {
    let of = |label: &L| -> u64 {
        let workers = running.workers().iter();
        let counts = workers.map(|worker| count(worker.counters().clients(), *label));
        counts.sum()
    };
    let counts = all.iter().map(|label| (*label, of(label)));
    counts.filter(|(_, count)| *count > 0).collect()
}

fn listeners(running: &Running) -> Vec<(&'static str, String)> {
    let listeners = running.listeners();
    let word = |listener| match listener {
        Listener::Plain => "UDP and TCP",
        Listener::Dot => "DNS over TLS",
        Listener::Doh => "DNS over HTTPS",
        Listener::Doq => "DNS over QUIC",
    };
    let bound = listeners
        .iter()
        .map(|(listener, address)| (word(*listener), Named(*address).to_string()));
    let awaited = running.awaited();
    let awaited = awaited
        .iter()
        .map(|address| ("not on this host yet", address.clone()));
    bound.chain(awaited).collect()
}

/// What is to be known of the last reload.
fn reloads(running: &Running) -> Vec<String> {
    match running.reloads().read().last {
        ReloadOutcome::Applied { waiting } if waiting.is_empty() => Vec::new(),
        ReloadOutcome::Applied { waiting } => {
            vec![format!(
                "settings wait for a restart: {}",
                waiting.join(", ")
            )]
        }
        ReloadOutcome::Rejected { problem } => {
            vec![format!("the last reload was rejected: {problem}")]
        }
    }
}

fn time_of_day(time: UnixTime) -> String {
    let seconds = time.as_secs() % 86_400;
    format!(
        "{:02}:{:02}:{:02} UTC",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}
