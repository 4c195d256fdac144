//! What came back, counted.

use crate::message::Verdict;

/// Responses by outcome, and how long they took.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// NOERROR with an answer.
    pub answered: u64,
    /// SERVFAIL.
    pub server_failures: u64,
    /// Another RCODE, or NOERROR without a record.
    pub other: u64,
    /// Responses to a query already answered, or after its timeout.
    pub late: u64,
    /// Datagrams that are no response to a query of this load.
    pub wrong: u64,
    /// The longest time between two answers, in nanoseconds.
    pub gap: u64,
    /// When the last answer came.
    pub last_answer: Option<u64>,
    /// Latencies of all responses in time, in nanoseconds, sorted.
    pub latencies: Vec<u64>,
}

impl Tally {
    /// Queries that got any response in time.
    #[must_use]
    pub fn in_time(&self) -> u64 {
        self.answered + self.server_failures + self.other
    }

    /// Counts a response that came in time, now, after `latency` nanoseconds.
    pub(crate) fn count_in_time(&mut self, verdict: Verdict, latency: u64, now: u64) {
        match verdict {
            Verdict::Answered => {
                self.answered += 1;
                let before = self.last_answer.replace(now).unwrap_or(now);
                self.gap = self.gap.max(now.saturating_sub(before));
            }
            Verdict::ServerFailure => self.server_failures += 1,
            Verdict::Other => self.other += 1,
        }
        self.latencies.push(latency);
    }

    /// The latency that `percent` of the responses (0 to 100) did not exceed, in microseconds.
    #[must_use]
    pub fn latency_micros(&self, percent: f64) -> Option<f64> {
        let last = self.latencies.len().checked_sub(1)?;
        let rank = (self.latencies.len() as f64 * percent / 100.0).ceil() as usize;
        self.latencies
            .get(rank.saturating_sub(1).min(last))
            .map(|nanos| *nanos as f64 / 1e3)
    }
}
