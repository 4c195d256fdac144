//! The status in the log, for those who ask by SIGUSR1: what `/api/v1/status` has, in a few lines.

use dotgate_core::Gauge;
use dotgate_core::labels::Outcome;

use crate::admin::upstream_reports;
use crate::clock::now;
use crate::log::message::say;
use crate::running::{Running, RunningWorker};

/// Logs what is known now: one line for this instance, and one for each upstream.
pub(super) fn log_status(running: &Running) {
    let queries = |outcomes: &[Outcome]| queries(running, outcomes);
    let gauge = |gauge| -> u64 {
        let workers = running.workers().iter();
        workers.map(|worker| worker.counters().gauge(gauge)).sum()
    };
    let cache = running.cache().usage();
    say!(
        STATUS,
        uptime_seconds = now().since(running.started()).as_secs(),
        queries = queries(Outcome::ALL),
        answered = queries(&[Outcome::Answered]),
        cached = queries(&[Outcome::Cached]),
        stale = queries(&[Outcome::Stale]),
        failed = queries(&[Outcome::Failed, Outcome::CachedFailure]),
        in_flight = gauge(Gauge::QueriesInFlight),
        tcp_connections = gauge(Gauge::Streams),
        cache_entries = cache.entries,
        cache_bytes = cache.bytes_used,
        cache_bytes_max = cache.bytes_max,
        awaited = running.awaited().join(",")
    );
    for report in upstream_reports(running, now()) {
        say!(
            UPSTREAM_STATUS,
            upstream = report.upstream,
            state = report.state,
            state_seconds = report.state_seconds,
            last_response_seconds = report.last_response_seconds,
            round_trip_ms = report.round_trip_ms,
            sessions = report.sessions,
            handshakes = report.handshakes,
            last_error = report.last_error,
            last_error_seconds = report.last_error_seconds,
            certificate_days_left = report.certificate_days_left
        );
    }
}

/// The queries that ended in one of these ways, of all clients.
fn queries(running: &Running, outcomes: &[Outcome]) -> u64 {
    let workers = running.workers().iter();
    let of_worker = |worker: &RunningWorker| -> u64 {
        let clients = worker.counters().clients();
        outcomes.iter().map(|it| clients.outcome(*it)).sum()
    };
    workers.map(of_worker).sum()
}
