//! Traffic since the start, for people: totals by outcome, percentiles, limits.

use std::collections::BTreeMap;

use dotgate_core::labels::{Limit, Outcome};
use dotgate_core::{Distribution, Gauge};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::running::Running;

/// The members of `traffic` in the status.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Traffic {
    /// Messages of clients since the start.
    pub(crate) queries: u64,
    /// The same by what became of them.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// The part of the queries with an answer or a failure that the cache answered, from 0 to 1; null before the first.
    pub(crate) cache_hit_ratio: Option<f64>,
    /// Half of the queries that waited for upstreams took at most so long, in milliseconds; null before the first.
    pub(crate) waited_p50_ms: Option<f64>,
    /// The same for 99 of 100.
    pub(crate) waited_p99_ms: Option<f64>,
    /// Queries that wait now.
    pub(crate) in_flight: u64,
    /// TCP connections of clients now.
    pub(crate) tcp_connections: u64,
    /// How often each limit was hit; those that never were are left out.
    pub(crate) limits: BTreeMap<String, u64>,
}

impl Traffic {
    pub(super) fn of(running: &Running) -> Traffic {
        let workers = || running.workers().iter().map(|worker| worker.counters());
        let gauge = |gauge| workers().map(|counters| counters.gauge(gauge)).sum();
        let outcomes = Outcome::ALL.iter();
        let outcomes = outcomes.map(|outcome| (*outcome, running.outcome(*outcome)));
        let outcomes: Vec<(Outcome, u64)> = outcomes.collect();
        let limits = Limit::ALL.iter().map(|limit| {
            let counts = workers().map(|counters| counters.clients().limits(*limit));
            (limit.label().to_owned(), counts.sum())
        });
        let waited = running.waited();
        Traffic {
            queries: outcomes.iter().map(|(_, count)| count).sum(),
            cache_hit_ratio: hit_ratio(&outcomes),
            outcomes: outcomes
                .into_iter()
                .map(|(outcome, count)| (outcome.label().to_owned(), count))
                .collect(),
            waited_p50_ms: percentile(&waited, 50),
            waited_p99_ms: percentile(&waited, 99),
            in_flight: gauge(Gauge::QueriesInFlight),
            tcp_connections: gauge(Gauge::Streams),
            limits: limits.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

fn hit_ratio(outcomes: &[(Outcome, u64)]) -> Option<f64> {
    let (mut hits, mut all) = (0, 0);
    for (outcome, count) in outcomes {
        match outcome {
            Outcome::Cached | Outcome::Stale | Outcome::CachedFailure => {
                hits += count;
                all += count;
            }
            Outcome::Answered | Outcome::Failed => all += count,
            Outcome::Local
            | Outcome::Blocked
            | Outcome::Refused
            | Outcome::Prohibited
            | Outcome::Malformed
            | Outcome::Shed
            | Outcome::Repeated
            | Outcome::Ignored => {}
        }
    }
    (all > 0).then(|| (hits as f64 / all as f64 * 1e4).round() / 1e4)
}

/// In milliseconds.
fn percentile(distribution: &Distribution, percent: u64) -> Option<f64> {
    let micros = distribution.percentile_micros(percent);
    micros.map(|micros| micros as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_measured_by_the_queries_that_it_could_answer() {
        assert_eq!(
            hit_ratio(&[(Outcome::Local, 5), (Outcome::Refused, 1)]),
            None
        );
        let outcomes = [
            (Outcome::Answered, 1),
            (Outcome::Cached, 2),
            (Outcome::Stale, 1),
            (Outcome::Local, 100),
        ];
        assert_eq!(hit_ratio(&outcomes), Some(0.75));
    }
}
