//! Numbers that one thread writes and any other reads, and histograms made of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Numbers in a row. Adding is a load and a store of the one owner, not a locked addition.
#[derive(Debug)]
pub(super) struct Cells<const N: usize>([AtomicU64; N]);

impl<const N: usize> Cells<N> {
    pub(super) fn new() -> Cells<N> {
        Cells(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(super) fn add(&self, place: usize, times: u64) {
        if let Some(cell) = self.0.get(place) {
            cell.store(cell.load(Relaxed).wrapping_add(times), Relaxed);
        }
    }

    pub(super) fn set(&self, place: usize, value: u64) {
        if let Some(cell) = self.0.get(place) {
            cell.store(value, Relaxed);
        }
    }

    pub(super) fn clear(&self) {
        for cell in &self.0 {
            cell.store(0, Relaxed);
        }
    }

    pub(super) fn at(&self, place: usize) -> u64 {
        self.0.get(place).map_or(0, |cell| cell.load(Relaxed))
    }
}

/// Upper bounds of the buckets of every histogram, in microseconds: from a resolver on the same machine to the
/// longest deadline, close together where public resolvers answer.
pub const BUCKETS_MICROS: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 15_000, 25_000, 40_000, 60_000, 100_000, 200_000,
    500_000, 1_000_000, 2_000_000, 4_000_000, 10_000_000,
];

/// The buckets, and the one for all that is longer.
const BUCKETS: usize = BUCKETS_MICROS.len() + 1;

/// How long something took, how often.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: Cells<BUCKETS>,
    /// In microseconds: nanoseconds would overflow within months of load.
    sum: Cells<1>,
}

impl Histogram {
    pub(super) fn new() -> Histogram {
        Histogram {
            buckets: Cells::new(),
            sum: Cells::new(),
        }
    }

    pub(super) fn observe(&self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.buckets
            .add(BUCKETS_MICROS.partition_point(|bound| *bound < micros), 1);
        self.sum.add(0, micros);
    }

    pub(super) fn clear(&self) {
        self.buckets.clear();
        self.sum.clear();
    }

    pub(super) fn read(&self) -> Distribution {
        Distribution {
            buckets: std::array::from_fn(|place| self.buckets.at(place)),
            sum_micros: self.sum.at(0),
        }
    }
}

/// The values of a histogram at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Distribution {
    /// How many took up to each bound of [`BUCKETS_MICROS`] and longer than the one before; the last took longer
    /// than all.
    pub buckets: [u64; BUCKETS],
    /// All of them together, in microseconds.
    pub sum_micros: u64,
}

impl Distribution {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Both together.
    #[must_use]
    pub fn with(mut self, other: Distribution) -> Distribution {
        for (mine, others) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += others;
        }
        self.sum_micros = self.sum_micros.wrapping_add(other.sum_micros);
        self
    }

    /// What was added since an earlier look at the same histogram.
    #[must_use]
    pub fn since(mut self, earlier: &Distribution) -> Distribution {
        for (mine, before) in self.buckets.iter_mut().zip(earlier.buckets) {
            *mine = mine.saturating_sub(before);
        }
        self.sum_micros = self.sum_micros.wrapping_sub(earlier.sum_micros);
        self
    }

    /// The upper bound of the bucket in which a percentile is, in microseconds; of the last one, which has none, its lower
    /// bound. None if nothing took any time.
    pub fn percentile_micros(&self, percent: u64) -> Option<u64> {
        let wanted = (self.count() * percent).div_ceil(100);
        let mut below = 0;
        let bucket = self.buckets.iter().position(|count| {
            below += count;
            below >= wanted
        });
        let last = BUCKETS_MICROS.len() - 1;
        let bound = BUCKETS_MICROS.get(bucket?.min(last))?;
        (wanted > 0).then_some(*bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::new();
        for nanos in [0, 100_000, 101_000, 4_000_000_000, 10_000_001_000] {
            histogram.observe(Duration::from_nanos(nanos));
        }
        let read = histogram.read();
        assert_eq!(read.buckets[..3], [2, 1, 0]);
        assert_eq!(
            (read.buckets[16], read.buckets[17], read.buckets[18]),
            (1, 0, 1)
        );
        assert_eq!((read.count(), read.sum_micros), (5, 14_000_202));
    }

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        let mut waited = Distribution::default();
        assert_eq!(waited.percentile_micros(50), None);
        waited.buckets[0] = 99;
        waited.buckets[3] = 1;
        let bound = |place: usize| Some(BUCKETS_MICROS[place]);
        assert_eq!(waited.percentile_micros(50), bound(0));
        assert_eq!(waited.percentile_micros(99), bound(0));
        let before = waited;
        waited.buckets[3] = 3;
        assert_eq!(waited.percentile_micros(99), bound(3));
        assert_eq!(waited.since(&before).count(), 2);
        assert_eq!(waited.since(&before).percentile_micros(50), bound(3));
        *waited.buckets.last_mut().unwrap() = 1_000;
        let last = bound(BUCKETS_MICROS.len() - 1);
        assert_eq!(waited.percentile_micros(99), last);
    }

    #[test]
    fn bounds_of_buckets_rise() {
        assert!(BUCKETS_MICROS.is_sorted_by(|low, high| low < high));
    }
}
