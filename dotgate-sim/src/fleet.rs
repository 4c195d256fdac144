//! A million clients, a balancer and a few instances, each with its own cache: what it takes, and what half of them
//! dying does. The tables of `docs/scaling.md` are made from it.
//!
//! An instance is the real cache and an account of what it was asked; everything around it is the figures in
//! [`Load`] and [`Cost`], each with its origin on that page. Instances of a fleet are alike, since a balancer that
//! hashes flows gives each the same names: one of a kind is run, and stands for all of them. Of all names one
//! in [`SAMPLE`] is asked for, at its own rate, of a cache that is smaller by the same factor (spatially hashed
//! sampling, Waldspurger et al., FAST 2015). No clock, no socket; one seed, one page.

mod instance;
mod names;
mod outage;
mod page;

pub use names::Names;
pub use outage::{Outage, Phase, half_die};
pub use page::{BEGIN, END, tables};

use crate::random::Random;
use instance::Instance;

/// Of so many names one is asked for.
pub const SAMPLE: u32 = 256;

/// The seed of the page.
const SEED: u64 = 1;

/// How long an instance has served before it is looked at, in seconds.
const WARM_UP: u64 = 1_800;

/// For how long it is looked at, in seconds.
const LOOK: u64 = 300;

/// What clients ask.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Load {
    /// Clients.
    pub clients: f64,
    /// Queries of a client per second, in the busiest hour.
    pub rate: f64,
    /// Different names; each is asked for with two types.
    pub names: u32,
    /// TTLs in seconds with their share of all names, in percent.
    pub ttls: &'static [(u32, u32)],
}

impl Load {
    /// A million people's devices.
    pub const MILLION: Load = Load {
        clients: 1e6,
        rate: 0.1,
        names: 6_263_672,
        ttls: &[
            (60, 10),
            (120, 6),
            (300, 24),
            (600, 15),
            (3_600, 15),
            (14_400, 30),
        ],
    };

    /// Queries per second.
    pub fn queries(&self) -> f64 {
        self.clients * self.rate
    }
}

/// What an instance costs, as measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cost {
    /// CPU seconds of a query answered from the cache, saturated.
    pub hit: f64,
    /// CPU seconds of a forwarded query, saturated.
    pub forwarded: f64,
    /// CPU seconds per second for waking up for few packets at a time.
    pub waking: f64,
    /// Queries per second at which waking costs all of that.
    pub waking_at: f64,
    /// Bytes of its cache.
    pub cache_bytes: u32,
    /// Seconds that a query takes upstream.
    pub round_trip: f64,
}

impl Cost {
    /// The figures of `docs/scaling.md`.
    pub const MEASURED: Cost = Cost {
        hit: 5.3e-6,
        forwarded: 6.4e-6,
        waking: 0.2,
        waking_at: 5_000.0,
        cache_bytes: 64 << 20,
        round_trip: 0.02,
    };

    /// Processors that so many queries per second take, with this share answered from the cache.
    pub fn processors(&self, queries: f64, hit_share: f64) -> f64 {
        let work = self.hit * hit_share + self.forwarded * (1.0 - hit_share);
        self.waking * (queries / self.waking_at).min(1.0) + work * queries
    }
}

/// One instance of a fleet in the steady state.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Steady {
    /// Instances in the fleet.
    pub instances: u32,
    /// Queries per second of one.
    pub queries: f64,
    /// The share answered from its cache.
    pub hit_share: f64,
    /// Queries per second to upstreams, of all instances together; prefetches included.
    pub upstream: f64,
    /// Processors of one instance.
    pub processors: f64,
}

/// Runs one instance of a fleet of `instances` until it is warm, and looks at it. `names` are those of the load.
pub fn steady(load: &Load, names: &Names, cost: &Cost, instances: u32) -> Steady {
    let mut random = Random::new(SEED);
    let mut instance = Instance::new(cost.cache_bytes);
    let queries = load.queries() / f64::from(instances);
    instance.serve(names, queries, WARM_UP, &mut random);
    let seen = instance.serve(names, queries, LOOK, &mut random);
    Steady {
        instances,
        queries,
        hit_share: seen.hit_share(),
        upstream: load.queries() * seen.upstream_share(),
        processors: cost.processors(queries, seen.hit_share()),
    }
}

/// The instances that an autoscaler wants that keeps each at so many processors; at least one.
pub fn wanted(load: &Load, cost: &Cost, hit_share: f64, processors: f64) -> u32 {
    let fits = |instances: &u32| {
        let queries = load.queries() / f64::from(*instances);
        cost.processors(queries, hit_share) <= processors
    };
    (1..1_000).find(fits).unwrap_or(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fleet of one, for one client that asks for one name.
    fn one_name(rate: f64, ttls: &'static [(u32, u32)]) -> f64 {
        let load = Load {
            clients: 1.0,
            rate,
            names: 1,
            ttls,
        };
        steady(&load, &Names::new(&load), &Cost::MEASURED, 1).hit_share
    }

    #[test]
    fn an_answer_with_a_ttl_of_l_seconds_is_fetched_once_in_about_l_seconds() {
        // Two questions of 5 a second each, whose answers live for 1 or 2 seconds: 2 / 1.5 misses a second.
        let share = one_name(10.0, &[(2, 100)]);
        assert!((0.84..0.90).contains(&share), "{share}");
        // Asked for again when it is long over, and long before.
        let (seldom, often) = (one_name(0.2, &[(1, 100)]), one_name(10.0, &[(4_000, 100)]));
        assert!(seldom < 0.1 && often > 0.99, "{seldom} {often}");
    }

    #[test]
    fn an_autoscaler_wants_more_instances_the_less_each_may_use() {
        let wanted = |processors| wanted(&Load::MILLION, &Cost::MEASURED, 0.7, processors);
        // 100,000 queries per second are about 0.57 processors of work, and 0.2 of waking in each instance.
        assert_eq!(wanted(1.0), 1);
        assert_eq!(wanted(0.5), 2);
        assert!(wanted(0.1) > 20);
    }
}
