//! What clients asked in the last day, at three resolutions: one point for each second, ten seconds or five minutes.
//!
//! A look at the counters once a second ends the points that are due. A point is the difference of two looks, so that none
//! is lost if a look is late. Points stay in memory until the process exits.
//! Limit: `Period::points` of each resolution, less than 48 KiB in all.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dotgate_core::labels::Outcome;
use dotgate_core::{Distribution, Moment};

use super::Running;

/// How often counters are looked at.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// A group of outcomes that is drawn as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Band {
    /// Answered from the cache.
    Cache,
    /// Answered by an upstream.
    Upstream,
    /// Answered here: local data, special-use names and blocked names.
    Local,
    /// Refused, rejected or shed.
    Refused,
    /// Answered with an error, because upstreams failed.
    Failed,
}

impl Band {
    pub(crate) const ALL: [Band; 5] = [
        Band::Cache,
        Band::Upstream,
        Band::Local,
        Band::Refused,
        Band::Failed,
    ];

    /// The band of an outcome; none for messages that get no response of their own.
    pub(crate) fn of(outcome: Outcome) -> Option<Band> {
        match outcome {
            Outcome::Cached | Outcome::Stale => Some(Band::Cache),
            Outcome::Answered => Some(Band::Upstream),
            Outcome::Local | Outcome::Blocked => Some(Band::Local),
            Outcome::Refused | Outcome::Prohibited | Outcome::Malformed | Outcome::Shed => {
                Some(Band::Refused)
            }
            Outcome::Failed | Outcome::CachedFailure => Some(Band::Failed),
            Outcome::Repeated | Outcome::Ignored => None,
        }
    }
}

/// How far to look back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Period {
    /// With a point for each second.
    #[default]
    FiveMinutes,
    /// With a point for ten seconds.
    Hour,
    /// With a point for five minutes.
    Day,
}

impl Period {
    pub(crate) const ALL: [Period; 3] = [Period::FiveMinutes, Period::Hour, Period::Day];

    /// The time between two points.
    fn step(self) -> Duration {
        Duration::from_secs(match self {
            Period::FiveMinutes => 1,
            Period::Hour => 10,
            Period::Day => 300,
        })
    }

    /// How long it is.
    pub(crate) fn length(self) -> Duration {
        Duration::from_secs(match self {
            Period::FiveMinutes => 300,
            Period::Hour => 3_600,
            Period::Day => 86_400,
        })
    }

    fn points(self) -> usize {
        (self.length().as_secs() / self.step().as_secs()) as usize
    }
}

/// What was counted between two looks.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Point {
    /// When it ended.
    pub(crate) end: Moment,
    /// How long it was.
    pub(crate) seconds: f32,
    /// Queries of each band.
    bands: [u32; Band::ALL.len()],
    /// Of the queries that waited for upstreams, in milliseconds: bounds of buckets; none if there were none.
    pub(crate) p50_ms: Option<f32>,
    pub(crate) p99_ms: Option<f32>,
}

impl Point {
    fn between(earlier: &Totals, now: &Totals) -> Point {
        let waited = now.waited.since(&earlier.waited);
        let milliseconds = |percent| {
            let micros = waited.percentile_micros(percent);
            micros.map(|micros| micros as f32 / 1e3)
        };
        let pairs = now.bands.iter().zip(earlier.bands);
        let mut bands = [0; Band::ALL.len()];
        for (band, (now, before)) in bands.iter_mut().zip(pairs) {
            *band = u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
        }
        Point {
            end: now.at,
            seconds: now.at.since(earlier.at).as_secs_f32(),
            bands,
            p50_ms: milliseconds(50),
            p99_ms: milliseconds(99),
        }
    }

    /// Queries of a band.
    pub(crate) fn count(&self, band: Band) -> u32 {
        self.bands.get(band as usize).copied().unwrap_or_default()
    }

    /// Queries of all bands.
    pub(crate) fn queries(&self) -> u64 {
        self.bands.iter().map(|count| u64::from(*count)).sum()
    }
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug)]
struct Totals {
    at: Moment,
    bands: [u64; Band::ALL.len()],
    waited: Distribution,
}

impl Totals {
    fn of(running: &Running, at: Moment) -> Totals {
        let mut bands = [0; Band::ALL.len()];
        for outcome in Outcome::ALL {
            let band = Band::of(*outcome).and_then(|band| bands.get_mut(band as usize));
            if let Some(band) = band {
                *band += running.outcome(*outcome);
            }
        }
        Totals {
            at,
            bands,
            waited: running.waited(),
        }
    }
}

/// The points of one resolution.
#[derive(Debug, Default)]
struct Level {
    points: VecDeque<Point>,
    /// The look that ended the last point.
    last: Option<Totals>,
}

impl Level {
    fn add(&mut self, period: Period, now: &Totals) {
        let Some(last) = &self.last else {
            self.points.reserve_exact(period.points());
            self.last = Some(*now);
            return;
        };
        // A look may come a little early.
        if now.at.since(last.at) + TICK / 2 < period.step() {
            return;
        }
        if self.points.len() >= period.points() {
            self.points.pop_front();
        }
        self.points.push_back(Point::between(last, now));
        self.last = Some(*now);
    }
}

/// What clients asked in the last day.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<[Level; Period::ALL.len()]>);

impl History {
    /// Looks at the counters; to be called every `TICK`.
    pub(crate) fn look(&self, running: &Running, now: Moment) {
        self.add(&Totals::of(running, now));
    }

    fn add(&self, now: &Totals) {
        let mut levels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (period, level) in Period::ALL.into_iter().zip(levels.iter_mut()) {
            level.add(period, now);
        }
    }

    /// The points of a period that ends now, oldest first.
    pub(crate) fn points(&self, period: Period, now: Moment) -> Vec<Point> {
        let levels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let level = levels.get(period as usize);
        let points = level.into_iter().flat_map(|level| &level.points);
        let is_within = |point: &&Point| now.since(point.end) < period.length();
        points.filter(is_within).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(second: u64, cached: u64) -> Totals {
        Totals {
            at: Moment::from_nanos(0) + Duration::from_secs(second),
            bands: [cached, 0, 0, 0, 0],
            waited: Distribution::default(),
        }
    }

    /// As if it had run for so many seconds, with three queries in each.
    fn history(seconds: u64) -> (History, Moment) {
        let history = History::default();
        for second in 0..=seconds {
            history.add(&totals(second, 3 * second));
        }
        (history, totals(seconds, 0).at)
    }

    #[test]
    fn no_query_is_lost_at_any_resolution() {
        let (history, now) = history(300);
        for (period, count) in Period::ALL.into_iter().zip([300, 30, 1]) {
            let points = history.points(period, now);
            assert_eq!(points.len(), count, "{period:?}");
            let queries: u64 = points.iter().map(Point::queries).sum();
            assert_eq!(queries, 900, "{period:?}");
            assert_eq!(points[0].seconds, 300.0 / count as f32);
        }
    }

    #[test]
    fn a_point_that_is_late_is_longer() {
        let history = History::default();
        for (second, cached) in [(0, 0), (1, 3), (60, 180)] {
            history.add(&totals(second, cached));
        }
        let points = history.points(Period::FiveMinutes, totals(60, 0).at);
        let shapes: Vec<_> = points.iter().map(|it| (it.seconds, it.queries())).collect();
        assert_eq!(shapes, [(1.0, 3), (59.0, 177)]);
    }

    #[test]
    fn the_oldest_points_make_room_and_all_fit_into_48_kib() {
        let (history, now) = history(2 * 86_400);
        let mut bytes = 0;
        for (period, count) in Period::ALL.into_iter().zip([300, 360, 288]) {
            assert_eq!(history.points(period, now).len(), count, "{period:?}");
            let levels = history.0.lock().unwrap();
            let points = &levels[period as usize].points;
            bytes += points.capacity() * size_of::<Point>() + size_of::<Level>();
        }
        assert!(bytes < 48 * 1024, "{bytes} bytes");
    }

    #[test]
    fn what_is_older_than_the_period_is_not_shown() {
        let (history, now) = history(10);
        let later = now + Duration::from_secs(295);
        assert_eq!(history.points(Period::FiveMinutes, later).len(), 5);
    }
}
