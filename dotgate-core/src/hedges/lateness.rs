//! How late a response is, among those of its upstream.
//!
//! A histogram of response times, four buckets an octave, that halves itself so that old ones count less and less. Its
//! percentiles are computed again after a few responses, not after each.

use std::time::Duration;

use crate::limits;

/// Buckets of an octave.
const PARTS: u64 = 4;

/// The lowest bucket ends at 2^8 microseconds, the highest begins below 2^21, about 2 s.
const SHORTEST: u64 = 1 << 8;
const LONGEST: u64 = (1 << 21) - 1;
const BUCKETS: usize = (bucket_number(LONGEST) - bucket_number(SHORTEST) + 1) as usize;

/// The bucket of this many microseconds, among those of all numbers from 4.
const fn bucket_number(micros: u64) -> u64 {
    let octave = micros.ilog2() as u64;
    octave * PARTS + (micros >> (octave - 2)) % PARTS
}

fn bucket(micros: u64) -> usize {
    (bucket_number(micros.clamp(SHORTEST, LONGEST)) - bucket_number(SHORTEST)) as usize
}

/// The first microsecond behind a bucket.
fn end_of(bucket: usize) -> Duration {
    let next = bucket as u64 + 1 + bucket_number(SHORTEST);
    Duration::from_micros((PARTS + next % PARTS) << (next / PARTS - 2))
}

/// The response times of one upstream, as one worker sees them.
#[derive(Debug)]
pub(super) struct Lateness {
    counts: [u16; BUCKETS],
    total: u16,
    /// Responses until the percentiles are computed again.
    pending: u16,
    late_after: Option<Duration>,
    slow_after: Option<Duration>,
}

impl Default for Lateness {
    fn default() -> Lateness {
        Lateness {
            counts: [0; BUCKETS],
            total: 0,
            pending: limits::LATENESS_EVERY,
            late_after: None,
            slow_after: None,
        }
    }
}

impl Lateness {
    /// A question was answered after so long; `percent` of all responses are to count as late.
    pub(super) fn add(&mut self, time: Duration, percent: u8) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(LONGEST);
        if let Some(count) = self.counts.get_mut(bucket(micros)) {
            *count += 1;
            self.total += 1;
        }
        self.pending -= 1;
        if self.pending == 0 {
            self.pending = limits::LATENESS_EVERY;
            self.compute(percent);
        }
    }

    /// The time after which a response is late, and a copy may still overtake it; none while too little is known.
    ///
    /// That is the percentile, and the usual time on top: if a response is not there then, a copy sent at the percentile
    /// would have been. Without that, upstreams that all take long but never longer would have copies without use.
    pub(super) fn late_after(&self) -> Option<Duration> {
        self.late_after
    }

    /// The time after which a response takes several times as long as usual; none while too little is known.
    pub(super) fn slow_after(&self) -> Option<Duration> {
        self.slow_after
    }

    fn compute(&mut self, percent: u8) {
        let late = self.percentile(percent).max(limits::LATE_AT_LEAST);
        let usual = self.percentile(50);
        self.late_after = Some(late + usual);
        self.slow_after = Some((usual * limits::SLOW_TIMES).max(limits::LATE_AT_LEAST));
        if self.total >= limits::LATENESS_RESPONSES {
            for count in &mut self.counts {
                *count /= 2;
            }
            self.total = self.counts.iter().sum();
        }
    }

    /// The time that at most `percent` of the responses exceed.
    fn percentile(&self, percent: u8) -> Duration {
        let most = u64::from(self.total) * u64::from(percent) / 100;
        let mut above = 0;
        let is_within = |(_, count): &(usize, &u16)| {
            above += u64::from(**count);
            above <= most
        };
        let buckets = self.counts.iter().enumerate().rev();
        let mut highest_first = buckets.skip_while(is_within);
        let (bucket, _) = highest_first.next().unwrap_or((0, &0));
        end_of(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn after(times: impl IntoIterator<Item = Duration>) -> Lateness {
        let mut lateness = Lateness::default();
        for time in times {
            lateness.add(time, 3);
        }
        lateness
    }

    #[test]
    fn buckets_are_contiguous_and_hold_what_ends_before_them() {
        for micros in [256, 300, 1_000, 9_999, 123_456, 2_000_000] {
            let start = Duration::from_micros(micros);
            let end = end_of(bucket(micros));
            assert!(start < end && end <= start * 5 / 4 + MS, "{micros} {end:?}");
            let next = u64::try_from(end.as_micros()).unwrap();
            assert_eq!(
                bucket(next.min(LONGEST)),
                (bucket(micros) + 1).min(BUCKETS - 1)
            );
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_percentile_spends_the_budget() {
        // Two in a hundred take 100 ms, and four take 50 ms.
        let times = (0..600).map(|number| match number % 100 {
            0 | 50 => 100 * MS,
            1 | 26 | 51 | 76 => 50 * MS,
            _ => 10 * MS,
        });
        let late = after(times).late_after().unwrap();
        assert!((60 * MS..80 * MS).contains(&late), "{late:?}");
    }

    #[test]
    fn a_few_responses_say_nothing_yet() {
        let few = usize::from(limits::LATENESS_EVERY) - 1;
        assert_eq!(after(std::iter::repeat_n(MS, few)).late_after(), None);
    }

    #[test]
    fn what_is_fast_is_late_after_a_few_milliseconds() {
        let late = after([MS / 10; 500]).late_after().unwrap();
        assert!(late >= limits::LATE_AT_LEAST, "{late:?}");
        assert!(late <= limits::LATE_AT_LEAST + MS, "{late:?}");
    }

    #[test]
    fn a_change_is_known_after_few_slow_responses_and_forgotten_after_many_fast_ones() {
        let mut lateness = after([10 * MS; 5_000]);
        let slow = 3 * usize::from(limits::LATENESS_RESPONSES) / 100 + 20;
        for _ in 0..slow {
            lateness.add(300 * MS, 3);
        }
        assert!(lateness.late_after().unwrap() > 300 * MS);
        for _ in 0..2 * limits::LATENESS_RESPONSES {
            lateness.add(10 * MS, 3);
        }
        assert!(lateness.late_after().unwrap() < 30 * MS);
    }
}
