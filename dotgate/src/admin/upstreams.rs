//! The state of each upstream, and `/healthz`, which tests it.
//!
//! Responses to clients are the evidence. Only if an upstream has not answered within `LATELY`, or is not healthy, a worker
//! is ordered to probe it, at most once a second and upstream however many ask; all who ask wait for the news, at
//! most `WAIT_MAX`.

use std::sync::Arc;
use std::time::Duration;

use dotgate_core::{GroupSettings, Health, HealthState, Moment, Seen};
use dotgate_tls::{UnixTime, pin_text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::endpoint::Endpoint;
use super::volatile::{OwnerReport, RoutesReport};
use crate::clock::now;
use crate::running::{Running, WorkerState};
use crate::upstreams::{Groups, Upstream};
use crate::worker::WorkerCommand;

/// An upstream that answered within this time needs no probe.
const LATELY: Duration = Duration::from_secs(5);

/// How long the news of a probe are waited for.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// How often one who waits looks.
const LOOK: Duration = Duration::from_millis(10);

/// What is known of an upstream. Times are in seconds before now.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamReport {
    /// As in the settings.
    pub upstream: String,
    /// Its addresses with their ports: as configured, as its name was resolved, or as they were discovered.
    pub addresses: Vec<String>,
    /// The groups it is in: `default`, or the first suffix of a route.
    pub groups: Vec<String>,
    /// Whether it is healthy and has responded recently.
    pub answers: bool,
    /// `healthy`, `suspect`, `down`, or `unknown` before its first response.
    pub state: String,
    /// How long it has been healthy, or not healthy.
    pub state_seconds: Option<f64>,
    /// When it last answered.
    pub last_response_seconds: Option<f64>,
    /// What last failed.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_seconds: Option<f64>,
    /// The smoothed time from a question to its answer, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Open sessions of all workers.
    pub sessions: u32,
    /// Handshakes that succeeded since the start.
    pub handshakes: u64,
    /// For how many seconds its handshakes still offer only a classical key exchange, because a hybrid one did not get
    /// through.
    pub classical_key_exchange_seconds: Option<f64>,
    /// After how many seconds dotgate closes an idle session to it, because it was seen to close one soon after; none if it
    /// was not.
    pub learned_idle_timeout_seconds: Option<f64>,
    /// Whole days until its certificate ends; negative once it has.
    pub certificate_days_left: Option<i64>,
    /// The pin of its key, if that is none of those in `pin-report`.
    pub pin_mismatch: Option<String>,
}

/// The body of `/healthz`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthReport {
    /// `ok` or `failing`.
    pub(super) status: String,
    /// Whether a portal window is open: names are then resolved in the clear. Older instances have none.
    #[serde(default)]
    pub(super) portal_open: bool,
    /// Routes that programs have set. Older instances have none.
    #[serde(default)]
    pub(super) volatile_routes: Vec<OwnerReport>,
    /// All upstreams in the order of the settings.
    pub(super) upstreams: Vec<UpstreamReport>,
}

impl HealthReport {
    /// Whether an upstream of the default group answers.
    pub(super) fn is_ok(&self) -> bool {
        is_ok(&self.upstreams)
    }

    /// JSON with one line for each upstream.
    pub(super) fn lines(&self) -> Result<String, serde_json::Error> {
        let line = |upstream| serde_json::to_string(upstream);
        let lines: Result<Vec<String>, _> = self.upstreams.iter().map(line).collect();
        let status = serde_json::to_string(&self.status)?;
        let lines = lines?.join(",\n");
        let routes = serde_json::to_string(&self.volatile_routes)?;
        Ok(format!(
            "{{\"status\":{status},\"portal_open\":{},\"volatile_routes\":{routes},\"upstreams\":[\n{lines}\n]}}\n",
            self.portal_open
        ))
    }
}

/// Makes sure that each upstream answers or does not, and reports.
pub(super) async fn verify(endpoint: &Endpoint) -> HealthReport {
    let running = endpoint.running();
    let start = now();
    probe_where_needed(endpoint, start);
    let bound = start + WAIT_MAX;
    while now() < bound
        && running
            .upstreams()
            .iter()
            .any(|upstream| is_open_question(upstream.health(), start))
    {
        sleep(LOOK).await;
    }
    let upstreams = reports(running, start);
    HealthReport {
        status: if is_ok(&upstreams) { "ok" } else { "failing" }.to_owned(),
        portal_open: running.portal().open().is_some(),
        volatile_routes: RoutesReport::of(running.routes()).owners,
        upstreams,
    }
}

/// All upstreams as they are known to those who ask at `start`.
pub fn reports(running: &Running, start: Moment) -> Vec<UpstreamReport> {
    let (upstreams, groups) = (running.upstreams(), running.groups());
    let reports = upstreams
        .iter()
        .map(|upstream| report(upstream, &groups, start));
    reports.collect()
}

fn is_ok(upstreams: &[UpstreamReport]) -> bool {
    let of_default = |upstream: &&UpstreamReport| {
        let mut groups = upstream.groups.iter();
        groups.any(|group| group == GroupSettings::DEFAULT_LABEL)
    };
    let mut upstreams = upstreams.iter().filter(of_default);
    upstreams.any(|upstream| upstream.answers)
}

/// The body of `/healthz` as a line for people. None if it is something else.
pub fn health_line(body: &str) -> Option<String> {
    let HealthReport {
        upstreams,
        portal_open,
        volatile_routes,
        ..
    } = serde_json::from_str(body).ok()?;
    let answering = upstreams.iter().filter(|upstream| upstream.answers).count();
    let mut line = format!("{answering} of {} upstreams answer", upstreams.len());
    for (place, unresponsive) in upstreams
        .iter()
        .filter(|upstream| !upstream.answers)
        .enumerate()
    {
        line.push_str(if place == 0 { "; not " } else { ", " });
        let error = unresponsive
            .last_error
            .as_deref()
            .unwrap_or("no response yet");
        line.push_str(&format!("{} ({error})", unresponsive.upstream));
    }
    if portal_open {
        line.push_str("; a portal window is open: names go out in the clear");
    }
    for owned in volatile_routes.iter().filter(|it| it.expired) {
        line.push_str(&format!("; the routes of {} have expired", owned.owner));
    }
    Some(line)
}

fn probe_where_needed(endpoint: &Endpoint, start: Moment) {
    let running = endpoint.running();
    let mut standings = None;
    for upstream in running.upstreams().iter() {
        let health = upstream.health();
        if answers(health, start) || !health.evidence().claim_probe(start) {
            continue;
        }
        let standings = standings.get_or_insert_with(|| endpoint.look_at_workers(start));
        let can_probe = |standing: &&WorkerState| {
            matches!(standing, WorkerState::Running | WorkerState::Waking)
        };
        let place = standings.iter().position(|standing| can_probe(&standing));
        if let Some(worker) = place.and_then(|place| running.workers().get(place)) {
            worker.command(WorkerCommand::Probe(upstream.id()));
        }
    }
}

/// Whether an upstream is healthy and has answered lately.
fn answers(health: &Health, start: Moment) -> bool {
    let last = health.evidence().last_response();
    health.state() == HealthState::Healthy && last.is_some_and(|last| start.since(last) <= LATELY)
}

/// Whether nothing has come yet since the last probe, of this request or another.
fn is_open_question(health: &Health, start: Moment) -> bool {
    let evidence = health.evidence();
    let probed = evidence.last_probe().unwrap_or(start);
    !answers(health, start) && evidence.seen_since(probed) == Seen::Nothing
}

fn report(upstream: &Arc<Upstream>, groups: &Groups, start: Moment) -> UpstreamReport {
    let health = upstream.health();
    let now = now();
    let ago = |moment: Moment| rounded(now.since(moment).as_secs_f64());
    let evidence = health.evidence();
    let last_error = evidence.last_error();
    let (state, state_seconds) = state_of(health, now);
    UpstreamReport {
        upstream: upstream.label().to_owned(),
        addresses: upstream
            .addresses()
            .iter()
            .map(ToString::to_string)
            .collect(),
        groups: groups
            .iter()
            .filter(|group| {
                group
                    .upstreams()
                    .iter()
                    .any(|other| Arc::ptr_eq(other, upstream))
            })
            .map(|group| group.label().to_owned())
            .collect(),
        answers: answers(health, start),
        state: state.to_owned(),
        state_seconds,
        last_response_seconds: evidence.last_response().map(ago),
        last_error: last_error.map(|(_, failure)| failure.text().to_owned()),
        last_error_seconds: last_error.map(|(at, _)| ago(at)),
        round_trip_ms: evidence
            .round_trip()
            .map(|time| rounded(time.as_secs_f64() * 1e3)),
        sessions: evidence.open_sessions(),
        handshakes: evidence.handshakes(),
        classical_key_exchange_seconds: upstream
            .handshakes()
            .classical_until(now)
            .map(|until| rounded(until.since(now).as_secs_f64())),
        learned_idle_timeout_seconds: upstream
            .idle_timeout()
            .learned()
            .map(|limit| rounded(limit.as_secs_f64())),
        certificate_days_left: upstream.certificate_days_left(UnixTime::now()),
        pin_mismatch: upstream.pin_mismatch().flatten().map(|pin| pin_text(&pin)),
    }
}

/// The state of an upstream in a word, and for how many seconds it has been in it.
pub(super) fn state_of(health: &Health, now: Moment) -> (&'static str, Option<f64>) {
    let state = match health.state() {
        HealthState::Healthy if health.evidence().last_response().is_none() => "unknown",
        HealthState::Healthy => "healthy",
        HealthState::Suspect => "suspect",
        HealthState::Down => "down",
    };
    let ago = |moment| rounded(now.since(moment).as_secs_f64());
    (state, health.since().map(ago))
}

/// Milliseconds are exact enough for people.
pub(super) fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}
