//! What one look at the status shows: rates since the look before.

use std::collections::{BTreeMap, VecDeque};

use dotgate_config::Escaped;
use serde::Serialize;

use crate::admin::{GroupReport, Overview, UpstreamReport};

/// The version of the JSON document: within it, members are added and none is changed or taken away.
const SCHEMA: u32 = 1;

/// Rates that are kept for the graph.
const HISTORY: usize = 300;

/// One look, which is the document of `dotgate top --json`. Times are in seconds before now.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Look {
    schema: u32,
    pub(super) version: String,
    pub(super) uptime_seconds: f64,
    /// `ready`, `degraded` or `not ready`, and why.
    pub(super) status: String,
    pub(super) reasons: Vec<String>,
    pub(super) queries_per_second: f64,
    /// The same by what became of them; those without queries are left out.
    pub(super) outcomes_per_second: BTreeMap<String, f64>,
    /// Of the queries since the look before that the cache could have answered, from 0 to 1.
    pub(super) cache_hit_ratio: Option<f64>,
    /// Since the start.
    pub(super) waited_p50_ms: Option<f64>,
    pub(super) waited_p99_ms: Option<f64>,
    pub(super) in_flight: u64,
    /// Limits that were hit since the start, and how often.
    pub(super) limits: BTreeMap<String, u64>,
    pub(super) upstreams: Vec<UpstreamReport>,
    pub(super) groups: Vec<GroupReport>,
}

impl Look {
    pub(super) fn of(now: &Overview, earlier: Option<&Overview>) -> Look {
        // Counts of another process are not those of this one.
        let earlier = earlier.filter(|earlier| earlier.uptime_seconds < now.uptime_seconds);
        let seconds = now.uptime_seconds - earlier.map_or(0.0, |earlier| earlier.uptime_seconds);
        let before = |outcome: &str| {
            let counts = earlier.and_then(|earlier| earlier.traffic.outcomes.get(outcome));
            counts.copied().unwrap_or_default()
        };
        let outcomes = now.traffic.outcomes.iter().map(|(outcome, count)| {
            let more = count.saturating_sub(before(outcome));
            (outcome.clone(), rate(more, seconds))
        });
        let outcomes: BTreeMap<String, f64> = outcomes.filter(|(_, rate)| *rate > 0.0).collect();
        Look {
            schema: SCHEMA,
            version: now.version.clone(),
            uptime_seconds: now.uptime_seconds,
            status: now.ready.status.clone(),
            reasons: now.ready.reasons.iter().map(|it| shown(it)).collect(),
            queries_per_second: now.rate(earlier),
            cache_hit_ratio: hit_ratio(&outcomes),
            outcomes_per_second: outcomes,
            waited_p50_ms: now.traffic.waited_p50_ms,
            waited_p99_ms: now.traffic.waited_p99_ms,
            in_flight: now.traffic.in_flight,
            limits: now.traffic.limits.clone(),
            upstreams: now.upstreams.clone(),
            groups: now.groups.clone(),
        }
    }
}

/// Text of the instance, without control characters.
pub(super) fn shown(text: &str) -> String {
    Escaped(text).to_string()
}

fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

fn hit_ratio(outcomes: &BTreeMap<String, f64>) -> Option<f64> {
    let sum = |names: &[&str]| -> f64 { names.iter().filter_map(|name| outcomes.get(*name)).sum() };
    let hits = sum(&["cached", "stale", "cached_failure"]);
    let all = hits + sum(&["answered", "failed"]);
    (all > 0.0).then(|| hits / all)
}

/// Queries per second in the last minutes, the last one last.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<u64>);

impl History {
    pub(super) fn add(&mut self, rate: f64) {
        if self.0.len() == HISTORY {
            self.0.pop_front();
        }
        self.0.push_back(rate.round() as u64);
    }

    /// The last ones of them, at most so many.
    pub(super) fn last(&self, count: usize) -> Vec<u64> {
        let skipped = self.0.len().saturating_sub(count);
        self.0.iter().skip(skipped).copied().collect()
    }
}
