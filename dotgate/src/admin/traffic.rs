//! Traffic since the start, for people: totals by outcome, percentiles, limits.

use std::collections::BTreeMap;

use dotgate_core::labels::{ClientTransport, Limit, Outcome};
use dotgate_core::{BUCKETS_MICROS, Distribution, Gauge, WAITED};
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
        let outcomes = Outcome::ALL.iter().map(|outcome| {
            let counts = workers().map(|counters| counters.clients().outcome(*outcome));
            (*outcome, counts.sum())
        });
        let outcomes: Vec<(Outcome, u64)> = outcomes.collect();
        let limits = Limit::ALL.iter().map(|limit| {
            let counts = workers().map(|counters| counters.clients().limits(*limit));
            (limit.label().to_owned(), counts.sum())
        });
        let waited = workers().fold(Distribution::default(), |all, counters| {
            let pairs = ClientTransport::ALL
                .iter()
                .flat_map(|via| WAITED.map(|it| (*via, it)));
            let durations = pairs.filter_map(|(via, it)| counters.clients().durations(via, it));
            durations.fold(all, Distribution::with)
        });
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

/// The upper bound of the bucket in which a percentile is; of the last one, which has none, its lower bound.
fn percentile(distribution: &Distribution, percent: u64) -> Option<f64> {
    let wanted = (distribution.count() * percent).div_ceil(100);
    let mut below = 0;
    let bucket = distribution.buckets.iter().position(|count| {
        below += count;
        below >= wanted
    });
    let last = BUCKETS_MICROS.len().saturating_sub(1);
    let bound = BUCKETS_MICROS.get(bucket?.min(last))?;
    (wanted > 0).then(|| *bound as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        let mut waited = Distribution::default();
        assert_eq!(percentile(&waited, 50), None);
        waited.buckets[0] = 99;
        waited.buckets[3] = 1;
        let bound = |place: usize| Some(BUCKETS_MICROS[place] as f64 / 1e3);
        assert_eq!(percentile(&waited, 50), bound(0));
        assert_eq!(percentile(&waited, 99), bound(0));
        waited.buckets[3] = 3;
        assert_eq!(percentile(&waited, 99), bound(3));
        *waited.buckets.last_mut().unwrap() = 1_000;
        assert_eq!(percentile(&waited, 99), bound(BUCKETS_MICROS.len() - 1));
    }

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
