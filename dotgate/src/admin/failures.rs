//! `/api/v1/failures`: the last failures of each upstream, and what was done next.

pub(crate) mod words;

use std::time::Duration;

use dotgate_core::{Health, Incident, IncidentKind, Moment};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::upstreams::{self, rounded};
use crate::clock::now;
use crate::running::Running;

/// The version of the schema.
const SCHEMA: u32 = 1;

/// The document. Times are in seconds before now.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FailuresReport {
    schema: u32,
    /// All upstreams in the order of the settings.
    pub upstreams: Vec<UpstreamFailures>,
}

/// What happened at an upstream since the start: the last 200 entries.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamFailures {
    /// As in the settings.
    pub upstream: String,
    /// `healthy`, `suspect`, `down`, or `unknown` before its first response.
    pub state: String,
    /// How long it has been healthy, or not healthy.
    pub state_seconds: Option<f64>,
    /// Oldest first.
    pub incidents: Vec<IncidentReport>,
}

/// A failure, or a recovery; equal ones in a row are one entry.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct IncidentReport {
    /// When the first came.
    pub first_seconds: f64,
    /// When the last came.
    pub last_seconds: f64,
    /// How many there were.
    pub count: u32,
    /// The failure that came last; null for a recovery.
    pub failure: Option<FailureReport>,
}

/// An attempt that failed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FailureReport {
    /// `connect`, `tls` or `upstream` (a session that was open, or a response on it).
    pub stage: String,
    /// Why it failed.
    pub reason: String,
    /// How long the attempt took, in milliseconds.
    pub took_ms: f64,
    /// Its number: of the attempts to open a session since the upstream last recovered, or of those for one query; null for
    /// an open session with what was in flight on it.
    pub attempt: Option<u32>,
    /// What was done: `asked-differently` (the same upstream), `asked-others`, `new-session`, `marked-down` or `tried-again`.
    pub next: String,
}

impl FailuresReport {
    /// What is known now.
    pub(super) fn of(running: &Running) -> FailuresReport {
        let now = now();
        let upstreams = running.upstreams();
        FailuresReport {
            schema: SCHEMA,
            upstreams: upstreams
                .iter()
                .map(|upstream| {
                    let health = upstream.health();
                    let (state, state_seconds) = upstreams::state_of(health, now);
                    UpstreamFailures {
                        upstream: upstream.label().to_owned(),
                        state: state.to_owned(),
                        state_seconds,
                        incidents: incidents(health, now),
                    }
                })
                .collect(),
        }
    }
}

fn incidents(health: &Health, now: Moment) -> Vec<IncidentReport> {
    let incidents = health.recorder().read();
    incidents
        .iter()
        .map(|incident| report(incident, now))
        .collect()
}

fn report(incident: &Incident, now: Moment) -> IncidentReport {
    let seconds = |moment: Moment| rounded(now.since(moment).as_secs_f64());
    IncidentReport {
        first_seconds: seconds(incident.first),
        last_seconds: seconds(incident.last),
        count: incident.count,
        failure: match incident.kind {
            IncidentKind::Recovered => None,
            IncidentKind::Failed {
                stage,
                failure,
                next,
                took,
                attempt,
            } => Some(FailureReport {
                stage: stage.label().to_owned(),
                reason: failure.text().to_owned(),
                took_ms: milliseconds(took),
                attempt,
                next: next.label().to_owned(),
            }),
        },
    }
}

fn milliseconds(span: Duration) -> f64 {
    rounded(span.as_secs_f64() * 1e3)
}
