//! Half of a fleet dies in one moment, with its nodes: the load of the others until all instances have recovered.

use super::instance::Instance;
use super::load::{Cost, LOOK, Load, SEED, WARM_UP};
use super::names::Names;
use crate::random::Random;

/// Seconds until the balancer knows: the node controller's grace period, 50 s since Kubernetes 1.32.
const NOTICED: u64 = 50;
/// Seconds until instances on dead nodes are replaced: `tolerationSeconds` of 300 after that, and a start.
const REPLACED: u64 = NOTICED + 300 + 10;
/// Seconds after which a client asks again, once: `timeout` and `attempts` of resolv.conf.
const CLIENT_TIMEOUT: u64 = 5;

/// How a stretch of the outage went.
#[derive(Clone, PartialEq, Debug)]
pub struct Phase {
    /// Its first second, from the moment of death; the one before all has a negative one.
    pub from: i64,
    /// The second after its last.
    pub to: i64,
    /// What happens in it.
    pub what: &'static str,
    /// Queries per second of a running instance.
    pub queries: f64,
    /// The share it answers from its cache.
    pub hit_share: f64,
    /// The same of a replacement.
    pub new_hit_share: Option<f64>,
    /// Queries per second to upstreams, of all instances together.
    pub upstream: f64,
    /// Processors of a running instance.
    pub processors: f64,
    /// Queries per second that get no answer, though the client asked again.
    pub unanswered: f64,
}

/// All of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Outage {
    /// Instances before.
    pub instances: u32,
    /// Queries in flight in the instances that die: waiting for an upstream.
    pub in_flight: f64,
    /// What follows.
    pub phases: Vec<Phase>,
}

/// A stretch of time in which nothing changes.
struct Stretch {
    from: u64,
    to: u64,
    what: &'static str,
    /// Queries per second of a running instance.
    queries: f64,
}

/// What follows the death, for a fleet whose instances get `usual` queries per second each.
fn stretches(usual: f64, dead_share: f64) -> [Stretch; 8] {
    // While the balancer does not know, this share of what is asked again falls dead, too.
    let with_retries = usual * (1.0 + dead_share);
    let all = usual / (1.0 - dead_share);
    let stretch = |from, to, what, queries| Stretch {
        from,
        to,
        what,
        queries,
    };
    [
        stretch(
            0,
            CLIENT_TIMEOUT,
            "half have failed, not yet detected",
            usual,
        ),
        stretch(CLIENT_TIMEOUT, NOTICED, "clients retry", with_retries),
        stretch(
            NOTICED,
            NOTICED + 10,
            "the load balancer has detected it",
            all,
        ),
        stretch(
            NOTICED + 10,
            REPLACED,
            "the other half serves all clients",
            all,
        ),
        stretch(
            REPLACED,
            REPLACED + 10,
            "replacements serve, cache empty",
            usual,
        ),
        stretch(REPLACED + 10, REPLACED + 60, "their caches fill", usual),
        stretch(REPLACED + 60, REPLACED + 600, "their caches fill", usual),
        stretch(REPLACED + 600, REPLACED + 1_200, "recovered", usual),
    ]
}

/// Kills half of a fleet that is warm. `names` are those of the load.
pub fn half_die(load: &Load, names: &Names, cost: &Cost, instances: u32) -> Outage {
    let mut random = Random::new(SEED);
    let mut old = Instance::new(cost.cache_bytes);
    let mut new = Instance::new(cost.cache_bytes);
    let usual = load.queries() / f64::from(instances);
    let dead = f64::from(instances / 2);
    let dead_share = dead / f64::from(instances);
    old.serve(names, usual, WARM_UP, &mut random);
    let before = old.serve(names, usual, LOOK, &mut random);
    let mut phases = vec![Phase {
        from: -(LOOK as i64),
        to: 0,
        what: "before",
        queries: usual,
        hit_share: before.hit_share(),
        new_hit_share: None,
        upstream: load.queries() * before.upstream_share(),
        processors: cost.processors(usual, before.hit_share()),
        unanswered: 0.0,
    }];
    for stretch in stretches(usual, dead_share) {
        let (queries, seconds) = (stretch.queries, stretch.to - stretch.from);
        let seen = old.serve(names, queries, seconds, &mut random);
        let new_seen =
            (stretch.from >= REPLACED).then(|| new.serve(names, queries, seconds, &mut random));
        let of_old = seen.upstream_share() * (f64::from(instances) - dead);
        let of_new = new_seen.map_or(0.0, |seen| seen.upstream_share() * dead);
        let is_noticed = stretch.from >= NOTICED;
        phases.push(Phase {
            from: stretch.from as i64,
            to: stretch.to as i64,
            what: stretch.what,
            queries,
            hit_share: seen.hit_share(),
            new_hit_share: new_seen.map(|seen| seen.hit_share()),
            upstream: (of_old + of_new) * queries,
            processors: cost.processors(queries, seen.hit_share()),
            // Both queries of a client reach a dead instance.
            unanswered: if is_noticed {
                0.0
            } else {
                load.queries() * dead_share * dead_share
            },
        });
    }
    Outage {
        instances,
        in_flight: before.upstream_share() * usual * dead * cost.round_trip,
        phases,
    }
}
