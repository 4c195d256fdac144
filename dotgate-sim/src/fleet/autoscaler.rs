//! Kubernetes' HorizontalPodAutoscaler, as its controller computes it: version 1.37, `pkg/controller/podautoscaler`,
//! `calcPlainMetricReplicas` and `normalizeDesiredReplicasWithBehaviors`, for one metric with a target `AverageValue`.
//!
//! Times are in seconds. What is left out has no effect here: instances without metrics, and failed ones.

use std::collections::VecDeque;

/// Seconds between two decisions: `--horizontal-pod-autoscaler-sync-period`.
pub(super) const SYNC: u64 = 15;

/// A ratio that differs from 1 by less changes nothing: `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;

/// For how long the CPU time of a new instance is ignored unless it was ready for a whole window of the metric:
/// `--horizontal-pod-autoscaler-cpu-initialization-period`.
const INITIALIZATION: u64 = 300;

/// The window of a CPU metric: the default resolution of metrics-server.
pub(super) const WINDOW: u64 = 15;

/// `behavior.scaleUp` or `behavior.scaleDown`, with `selectPolicy: Max`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rules {
    /// `stabilizationWindowSeconds`.
    pub window: u64,
    /// A policy of type `Pods`: so many in a period of seconds.
    pub pods: (u32, u64),
    /// A policy of type `Percent`.
    pub percent: (u32, u64),
}

/// The values `autoscaling` of the chart.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Scaling {
    /// Processors of one instance on average.
    pub target: f64,
    /// The fewest instances.
    pub min: u32,
    /// The most instances.
    pub max: u32,
    /// How fast instances are added.
    pub up: Rules,
    /// How fast they are removed.
    pub down: Rules,
}

impl Scaling {
    /// The defaults of the chart; a test of it compares them.
    pub const CHART: Scaling = Scaling {
        target: 0.6,
        min: 2,
        max: 10,
        up: Rules {
            window: 0,
            pods: (2, 60),
            percent: (100, 60),
        },
        down: Rules {
            window: 600,
            pods: (1, 120),
            percent: (10, 120),
        },
    };
}

/// What the controller sees of an instance.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Pod {
    /// When it was started.
    pub(super) started: u64,
    /// When it became ready, or will.
    pub(super) ready: u64,
    /// The newest measurement: its time, and the processors used in the window before.
    pub(super) measured: Option<(u64, f64)>,
}

/// The controller's memory of one autoscaler.
#[derive(Debug)]
pub(super) struct Autoscaler {
    scaling: Scaling,
    recommendations: VecDeque<(u64, u32)>,
    added: Vec<(u64, u32)>,
    removed: Vec<(u64, u32)>,
}

impl Autoscaler {
    pub(super) fn new(scaling: Scaling) -> Autoscaler {
        Autoscaler {
            scaling,
            recommendations: VecDeque::new(),
            added: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// One decision: how many instances there shall be.
    pub(super) fn sync(&mut self, now: u64, pods: &[Pod]) -> u32 {
        let current = pods.len() as u32;
        let wanted = self.wanted(now, pods).unwrap_or(current);
        let stabilized = self.stabilize(now, current, wanted);
        let replicas = self.limit(now, current, stabilized);
        if replicas > current {
            self.added.push((now, replicas - current));
        } else if replicas < current {
            self.removed.push((now, current - replicas));
        }
        replicas
    }

    /// What the metric alone demands; nothing without any measurement.
    fn wanted(&self, now: u64, pods: &[Pod]) -> Option<u32> {
        let current = pods.len() as u32;
        let usage: Vec<f64> = pods.iter().filter_map(|pod| usable(now, pod)).collect();
        let unready = pods.len() - usage.len();
        if usage.is_empty() {
            return None;
        }
        let total: f64 = usage.iter().sum();
        let ratio = total / usage.len() as f64 / self.scaling.target;
        let is_within = |ratio: f64| (ratio - 1.0).abs() <= TOLERANCE;
        if unready == 0 || ratio <= 1.0 {
            let wanted = (ratio * usage.len() as f64).ceil() as u32;
            return Some(if is_within(ratio) { current } else { wanted });
        }
        // To scale up, instances that are not ready count as idle.
        let ratio = total / pods.len() as f64 / self.scaling.target;
        let wanted = (ratio * pods.len() as f64).ceil() as u32;
        let is_unchanged = is_within(ratio) || ratio < 1.0 || wanted < current;
        Some(if is_unchanged { current } else { wanted })
    }

    /// The lowest recommendation of the window upwards, the highest downwards.
    fn stabilize(&mut self, now: u64, current: u32, wanted: u32) -> u32 {
        let since = |window: u64| {
            let recent = self.recommendations.iter();
            recent.filter(move |(at, _)| at + window > now)
        };
        let up = since(self.scaling.up.window).map(|(_, it)| *it);
        let up = up.min().unwrap_or(wanted).min(wanted);
        let down = since(self.scaling.down.window).map(|(_, it)| *it);
        let down = down.max().unwrap_or(wanted).max(wanted);
        let longest = self.scaling.up.window.max(self.scaling.down.window);
        self.recommendations.retain(|(at, _)| at + longest >= now);
        self.recommendations.push_back((now, wanted));
        current.max(up).min(down)
    }

    /// As far as the policies and the bounds allow it.
    fn limit(&self, now: u64, current: u32, wanted: u32) -> u32 {
        let Scaling {
            min, max, up, down, ..
        } = self.scaling;
        let at_start = |period: u64| {
            let within = |events: &[(u64, u32)]| -> u32 {
                let recent = events.iter().filter(|(at, _)| at + period > now);
                recent.map(|(_, count)| count).sum()
            };
            f64::from(current + within(&self.removed)) - f64::from(within(&self.added))
        };
        let share = |percent: u32| f64::from(percent) / 100.0;
        if wanted > current {
            let pods = at_start(up.pods.1) + f64::from(up.pods.0);
            let percent = (at_start(up.percent.1) * (1.0 + share(up.percent.0))).ceil();
            wanted.min(max).min((pods.max(percent) as u32).max(current))
        } else if wanted < current {
            let pods = at_start(down.pods.1) - f64::from(down.pods.0);
            let percent = (at_start(down.percent.1) * (1.0 - share(down.percent.0))).floor();
            let least = (pods.min(percent).max(0.0) as u32).min(current);
            wanted.max(min).max(least)
        } else {
            wanted.clamp(min, max)
        }
    }
}

/// The processors that an instance used, if that counts already.
fn usable(now: u64, pod: &Pod) -> Option<f64> {
    let (at, processors) = pod.measured?;
    let is_new = pod.started + INITIALIZATION > now;
    (pod.ready <= now && (!is_new || at >= pod.ready + WINDOW)).then_some(processors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Instances that were ready long ago.
    fn pods(processors: &[f64]) -> Vec<Pod> {
        let pod = |processors| Pod {
            started: 0,
            ready: 0,
            measured: Some((9_990, processors)),
        };
        processors.iter().copied().map(pod).collect()
    }

    fn decisions(scaling: Scaling, processors: &[f64], times: &[u64]) -> Vec<u32> {
        let mut autoscaler = Autoscaler::new(scaling);
        let pods = pods(processors);
        let decide = |at: &u64| autoscaler.sync(10_000 + at, &pods);
        times.iter().map(decide).collect()
    }

    #[test]
    fn the_ratio_decides_beyond_the_tolerance() {
        // 0.92, 1.08 and 1.2 of the target.
        for (used, wanted) in [(0.55, 4), (0.65, 4), (0.72, 5)] {
            let decided = decisions(Scaling::CHART, &[used; 4], &[0]);
            assert_eq!(decided, [wanted], "{used}");
        }
    }

    #[test]
    fn an_instance_that_is_not_ready_counts_as_idle_upwards_and_not_at_all_downwards() {
        let mut autoscaler = Autoscaler::new(Scaling::CHART);
        let mut four = pods(&[1.2, 1.2, 1.2, 9.0]);
        four[3].started = 9_980;
        four[3].ready = 9_995;
        // 3.6 processors are the target of six; the fourth was not ready for a window of the metric.
        assert_eq!(autoscaler.sync(10_000, &four), 6);
        for pod in &mut four {
            pod.measured = Some((9_990, 0.19));
        }
        assert_eq!(autoscaler.wanted(10_000, &four), Some(1));
    }

    #[test]
    fn instances_are_removed_one_by_one_after_the_window() {
        let busy = pods(&[0.6; 5]);
        let idle = pods(&[0.1; 5]);
        let mut autoscaler = Autoscaler::new(Scaling::CHART);
        assert_eq!(autoscaler.sync(10_000, &busy), 5);
        // Until ten minutes after the last recommendation of five.
        assert_eq!(autoscaler.sync(10_015, &idle), 5);
        assert_eq!(autoscaler.sync(10_600, &idle), 4);
        // The next one two minutes later.
        assert_eq!(autoscaler.sync(10_615, &idle[..4]), 4);
        assert_eq!(autoscaler.sync(10_720, &idle[..4]), 3);
    }

    #[test]
    fn a_minute_doubles_the_fleet_at_most() {
        let mut autoscaler = Autoscaler::new(Scaling::CHART);
        assert_eq!(autoscaler.sync(10_000, &pods(&[9.0; 3])), 6);
        assert_eq!(autoscaler.sync(10_015, &pods(&[9.0; 6])), 6);
        assert_eq!(autoscaler.sync(10_060, &pods(&[9.0; 6])), 10);
    }
}
