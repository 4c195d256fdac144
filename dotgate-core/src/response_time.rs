//! How long an upstream takes to answer clients' questions, as one worker sees it.
//!
//! Probes do not count: their response is in every resolver's cache. Not on the path of a hit.

use std::time::Duration;

use crate::limits;
use crate::moment::Moment;

/// The parts that the weight of a measurement is counted in.
const PARTS: u64 = 16;

/// A smoothed time that forgets: of measurements that come fast the last ones count, of rare ones each counts more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResponseTime {
    nanos: u64,
    measured: Option<Moment>,
}

const fn nanos(span: Duration) -> u64 {
    span.as_nanos() as u64
}

impl ResponseTime {
    /// A question was answered after so long.
    pub(crate) fn add(&mut self, now: Moment, time: Duration) {
        let time = nanos(time);
        let Some(last) = self.measured.replace(now) else {
            self.nanos = time;
            return;
        };
        // One slow name says little of the upstream.
        let most = self.nanos * limits::RESPONSE_TIME_OUTLIER + nanos(limits::NEARLY_AS_FAST);
        let age = now.since(last).min(limits::RESPONSE_TIME_FOR);
        let weight = nanos(age) / (nanos(limits::RESPONSE_TIME_FOR) / PARTS);
        let weight = weight.clamp(1, PARTS / 2);
        self.nanos = (self.nanos * (PARTS - weight) + time.min(most) * weight) / PARTS;
    }

    /// The smoothed time; none before the first response.
    pub(crate) fn mean(&self) -> Option<Duration> {
        let nanos = Duration::from_nanos(self.nanos);
        self.measured.map(|_| nanos)
    }

    /// When it was last measured.
    pub(crate) fn measured(&self) -> Option<Moment> {
        self.measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(1_000_000_000);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn of_many_measurements_the_last_ones_count() {
        let mut time = ResponseTime::default();
        assert_eq!(time.mean(), None);
        for number in 0..1_000 {
            time.add(START + MS * number, 10 * MS);
        }
        assert_eq!(time.mean(), Some(10 * MS));
        for number in 1_000..1_050 {
            time.add(START + MS * number, 30 * MS);
        }
        let mean = time.mean().unwrap();
        assert!((28 * MS..30 * MS).contains(&mean), "{mean:?}");
    }

    #[test]
    fn of_rare_measurements_each_counts() {
        let mut time = ResponseTime::default();
        time.add(START, 10 * MS);
        time.add(START + limits::RESPONSE_TIME_FOR, 30 * MS);
        assert_eq!(time.mean(), Some(20 * MS));
    }

    #[test]
    fn one_slow_name_is_forgotten() {
        let mut time = ResponseTime::default();
        time.add(START, 10 * MS);
        time.add(START + MS, 3_000 * MS);
        let mean = time.mean().unwrap();
        assert!(mean < 15 * MS, "{mean:?}");
        for number in 0..40 {
            time.add(START + MS * number, 10 * MS);
        }
        let mean = time.mean().unwrap();
        assert!(mean < 11 * MS, "{mean:?}");
    }
}
