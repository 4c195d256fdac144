//! The groups of upstreams in the status.

use std::sync::Arc;

use dotgate_core::WAITED;
use dotgate_core::labels::{AttemptKind, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::upstreams::rounded;
use crate::running::Running;
use crate::upstreams::{Group, Upstream};

/// How much of a group's queries an upstream gets.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ShareReport {
    /// As in the settings.
    pub(super) upstream: String,
    /// Between 0 and 1.
    pub(super) share: f64,
}

/// What is known of a group.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GroupReport {
    /// `default`, or the first suffix of a route.
    pub(crate) group: String,
    /// `up`, or `down` if all its upstreams are.
    pub(crate) state: String,
    /// Which upstream is asked first: `ordered`, `fastest`, `round-robin` or `shard`.
    pub(crate) strategy: String,
    /// The share of its upstreams in the first attempts since the start, as configured; none before the first one. An
    /// upstream that is in several groups counts with all its attempts.
    pub(crate) shares: Vec<ShareReport>,
    /// Queries that waited for its upstreams since the start.
    pub(crate) queries: u64,
    /// Those of them that failed.
    pub(crate) failed: u64,
}

impl GroupReport {
    /// All groups, that of the default route first.
    pub(super) fn all(running: &Running) -> Vec<GroupReport> {
        let groups = running.groups();
        let report = |group: &Arc<Group>| GroupReport::of(group, running);
        groups.iter().map(report).collect()
    }

    fn of(group: &Group, running: &Running) -> GroupReport {
        let counters = group.counters();
        let queries = WAITED.map(|outcome| counters.queries(outcome));
        GroupReport {
            group: group.label().to_owned(),
            strategy: group.strategy().label().to_owned(),
            shares: shares(group, running),
            state: if group.is_up() { "up" } else { "down" }.to_owned(),
            queries: queries.iter().sum(),
            failed: counters.queries(Outcome::Failed),
        }
    }
}

fn shares(group: &Group, running: &Running) -> Vec<ShareReport> {
    let first_attempts = |upstream: &Arc<Upstream>| -> u64 {
        let workers = running.workers().iter();
        let counters = workers.filter_map(|worker| worker.counters().upstream(upstream.id()));
        counters.map(|it| it.attempts(AttemptKind::First)).sum()
    };
    let counts: Vec<u64> = group.upstreams().iter().map(first_attempts).collect();
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return Vec::new();
    }
    let upstreams = group.upstreams().iter().zip(counts);
    let share = |(upstream, count): (&Arc<Upstream>, u64)| ShareReport {
        upstream: upstream.label().to_owned(),
        share: rounded(count as f64 / all as f64),
    };
    upstreams.map(share).collect()
}
