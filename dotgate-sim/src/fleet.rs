//! A million clients, a balancer and a few instances, each with its own cache: what it takes, and what half of them
//! dying does. The tables of `docs/scaling.md` are made from it.
//!
//! An instance is the real cache and an account of what it was asked; everything around it is the figures in
//! [`Load`] and [`Cost`], each with its origin on that page. Instances of a fleet are alike, since a balancer that
//! hashes flows gives each the same names: one of a kind is run, and stands for all of them. Of all names one
//! in [`SAMPLE`] is asked for, at its own rate, of a cache that is smaller by the same factor (spatially hashed
//! sampling, Waldspurger et al., FAST 2015). No clock, no socket; one seed, one page.

mod autoscaler;
mod instance;
mod load;
mod names;
mod outage;
mod page;
mod scaled;

pub use autoscaler::{Rules, Scaling};
pub use load::{Cost, Load, SAMPLE};
pub use names::Names;
pub use outage::{Outage, Phase, half_die};
pub use page::{BEGIN, END, tables};
pub use scaled::{Demand, OVERLOAD, Scaled, scaled};

use crate::random::Random;
use instance::Instance;
use load::{LOOK, SEED, WARM_UP};

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
