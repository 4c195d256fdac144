//! A fleet that the autoscaler of the chart scales, while the load changes.
//!
//! Every five seconds the queries are divided among the instances that are ready; every fifteen each is measured, which the
//! autoscaler sees fifteen seconds later.

use super::autoscaler::{Autoscaler, Pod, SYNC, Scaling, WINDOW};
use super::load::{Cost, SEED};
use crate::random::Random;

/// Seconds between two looks at the fleet.
const STEP: u64 = 5;
/// Seconds until a measurement reaches the autoscaler: the kubelet and metrics-server measure every 15 s each.
const LAG: u64 = 15;
/// Seconds until a new instance is ready: scheduling, an image that the node may have to pull, and the readiness probe.
const STARTUP: u64 = 30;
/// The share of the queries that caches answer; that of the tables above.
const HIT_SHARE: f64 = 0.7;
/// By how many percent the load of five seconds differs at most from what it should be.
const NOISE: u64 = 10;
/// An hour, in seconds.
const HOUR: u64 = 3_600;

/// Processors above which an instance is overloaded: half of the two that its workers may use.
pub const OVERLOAD: f64 = 1.0;

/// How the queries of a fleet change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Demand {
    /// Two days: a tenth in the middle of the night, all in the busiest hour.
    Days,
    /// A quarter for an hour, then all at once, for three.
    Step,
    /// All for an hour, five times as many for three minutes, and all again.
    Spike,
    /// Every five minutes three times as many for one, for four hours.
    Bursts,
}

impl Demand {
    /// Each of them.
    pub const ALL: [Demand; 4] = [Demand::Days, Demand::Step, Demand::Spike, Demand::Bursts];

    /// What the page says.
    pub fn name(self) -> &'static str {
        match self {
            Demand::Days => "two days, a tenth at night",
            Demand::Step => "a quarter, then all at once",
            Demand::Spike => "five times as many for 3 min",
            Demand::Bursts => "three times as many for 1 min of 5",
        }
    }

    /// How long it takes, in seconds.
    fn length(self) -> u64 {
        match self {
            Demand::Days => 48 * HOUR,
            Demand::Step | Demand::Spike | Demand::Bursts => 4 * HOUR,
        }
    }

    /// The share of the busiest hour's queries.
    fn share(self, at: u64) -> f64 {
        match self {
            Demand::Days => {
                let turns = at as f64 / (24 * HOUR) as f64;
                0.55 - 0.45 * (turns * std::f64::consts::TAU).cos()
            }
            Demand::Step if at < HOUR => 0.25,
            Demand::Spike if (HOUR..HOUR + 180).contains(&at) => 5.0,
            Demand::Bursts if at % 300 < 60 => 3.0,
            Demand::Step | Demand::Spike | Demand::Bursts => 1.0,
        }
    }

    /// How often the number of instances may change its direction: as often as the load does.
    pub fn turns(self) -> usize {
        match self {
            Demand::Days => 3,
            Demand::Step | Demand::Bursts => 0,
            Demand::Spike => 1,
        }
    }
}

/// How a fleet did.
#[derive(Clone, PartialEq, Debug)]
pub struct Scaled {
    /// The fewest instances, and the most, after the first five minutes.
    pub instances: (u32, u32),
    /// Each change: when, and to how many.
    pub changes: Vec<(u64, u32)>,
    /// How often the number fell after it had risen, or rose after it had fallen.
    pub turns: usize,
    /// The most processors that an instance used.
    pub processors: f64,
    /// The longest time of overload, in decisions of the autoscaler.
    pub overloaded: u64,
}

/// Runs a fleet that gets so many queries per second in its busiest hour.
pub fn scaled(scaling: &Scaling, cost: &Cost, busiest: f64, demand: Demand) -> Scaled {
    let mut autoscaler = Autoscaler::new(*scaling);
    let mut random = Random::new(SEED);
    let started = |now| Pod {
        started: now,
        ready: now + STARTUP,
        measured: None,
    };
    let mut pods = vec![started(0); scaling.min as usize];
    let mut record = Record::new(scaling.min);
    // Sums of the window that is measured, and the windows that the autoscaler does not see yet.
    let mut window = 0.0;
    let mut hidden = Vec::new();
    for now in (STARTUP..demand.length()).step_by(STEP as usize) {
        let noise = random.between(100 - NOISE, 100 + NOISE) as f64 / 100.0;
        let serving = pods.iter().filter(|pod| pod.ready <= now).count();
        let queries = busiest * demand.share(now) * noise / serving as f64;
        let used = cost.processors(queries, HIT_SHARE);
        window += used * STEP as f64 / WINDOW as f64;
        record.processors = record.processors.max(used);
        if now % WINDOW == 0 {
            hidden.push((now, std::mem::take(&mut window)));
        }
        hidden.retain(|(at, used)| {
            let is_seen = at + LAG <= now;
            let ready = pods.iter_mut().filter(|pod| is_seen && pod.ready <= *at);
            ready.for_each(|pod| pod.measured = Some((*at, *used)));
            !is_seen
        });
        if now % SYNC == 0 {
            record.overload(used);
            let replicas = autoscaler.sync(now, &pods);
            // The ReplicaSet removes the newest first.
            pods.resize(replicas as usize, started(now));
            record.changed(now, replicas);
        }
    }
    record.finish()
}

/// What is noted of a run.
struct Record {
    now: u32,
    settled: Option<(u32, u32)>,
    changes: Vec<(u64, u32)>,
    processors: f64,
    overloaded: u64,
    longest: u64,
    first: u32,
}

impl Record {
    fn new(first: u32) -> Record {
        Record {
            now: first,
            settled: None,
            changes: Vec::new(),
            processors: 0.0,
            overloaded: 0,
            longest: 0,
            first,
        }
    }

    fn overload(&mut self, used: f64) {
        self.overloaded = if used > OVERLOAD {
            self.overloaded + 1
        } else {
            0
        };
        self.longest = self.longest.max(self.overloaded);
    }

    fn changed(&mut self, now: u64, replicas: u32) {
        if replicas != self.now {
            self.changes.push((now, replicas));
            self.now = replicas;
        }
        if now >= 300 {
            let (least, most) = self.settled.unwrap_or((replicas, replicas));
            self.settled = Some((least.min(replicas), most.max(replicas)));
        }
    }

    fn finish(self) -> Scaled {
        let counts = [self.first].into_iter();
        let counts: Vec<u32> = counts
            .chain(self.changes.iter().map(|(_, count)| *count))
            .collect();
        let is_up: Vec<bool> = counts.windows(2).map(|two| two[1] > two[0]).collect();
        Scaled {
            instances: self.settled.unwrap_or((self.now, self.now)),
            turns: is_up.windows(2).filter(|two| two[0] != two[1]).count(),
            changes: self.changes,
            processors: self.processors,
            overloaded: self.longest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::autoscaler::Rules;
    use super::*;

    /// Queries per second of a thousand clients to a million, in their busiest hour.
    const FLEETS: [f64; 4] = [100.0, 1_000.0, 10_000.0, 100_000.0];

    #[test]
    fn the_defaults_of_the_chart_hold_from_a_thousand_clients_to_a_million() {
        // A measurement, its way, a decision and a start: 75 s. The next doubling may be another minute later.
        let allowed = 6;
        for factor in [0.5, 1.0, 2.0] {
            let cost = Cost::MEASURED.times(factor);
            for busiest in FLEETS {
                for demand in Demand::ALL {
                    let fleet = scaled(&Scaling::CHART, &cost, busiest, demand);
                    let what = format!("{busiest} queries/s, {demand:?}, {factor}: {fleet:#?}");
                    assert!(fleet.turns <= demand.turns(), "flaps: {what}");
                    assert!(fleet.overloaded <= allowed, "overloaded: {what}");
                    let is_spike_of_slow = demand == Demand::Spike && factor > 1.0;
                    let is_below = fleet.instances.1 < Scaling::CHART.max;
                    assert!(is_below || is_spike_of_slow || busiest > 1e4, "{what}");
                }
            }
        }
    }

    #[test]
    fn a_steady_load_of_any_size_comes_to_rest() {
        for factor in [0.5, 1.0, 2.0] {
            let cost = Cost::MEASURED.times(factor);
            for tenth in 0..70 {
                let busiest = 100.0 * 10_f64.powf(f64::from(tenth) / 20.0);
                let fleet = scaled(&Scaling::CHART, &cost, busiest, Demand::Step);
                assert_eq!(fleet.turns, 0, "{busiest} queries/s, {factor}: {fleet:#?}");
            }
        }
    }

    #[test]
    fn a_target_below_the_cost_of_waking_fills_the_fleet() {
        let before = Scaling {
            target: 0.1,
            max: 6,
            ..Scaling::CHART
        };
        let fleet = scaled(&before, &Cost::MEASURED, 1e5, Demand::Days);
        assert_eq!(fleet.instances.1, 6, "{fleet:#?}");
        let fleet = scaled(&Scaling::CHART, &Cost::MEASURED, 1e5, Demand::Days);
        assert!(fleet.instances.1 <= 3, "{fleet:#?}");
    }

    #[test]
    fn without_a_window_bursts_make_a_fleet_flap() {
        let hasty = Scaling {
            down: Rules {
                window: 0,
                pods: (4, 15),
                percent: (100, 15),
            },
            ..Scaling::CHART
        };
        let turns = |scaling: &Scaling| scaled(scaling, &Cost::MEASURED, 1e5, Demand::Bursts).turns;
        assert!(turns(&hasty) > 40, "{}", turns(&hasty));
        assert_eq!(turns(&Scaling::CHART), 0);
    }
}
