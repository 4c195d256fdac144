//! The latest evidence about an upstream, for operators and probes.
//!
//! Not on the path: all workers write it, nothing on the path reads it. A response is noted at most every
//! `limits::EVIDENCE_EVERY`, so that busy workers do not take one line of memory from each other.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{code, failure_of};
use crate::failure::Failure;
use crate::limits;
use crate::moment::Moment;

/// The latest evidence about an upstream. A time of 0 means never.
#[derive(Debug, Default)]
pub struct Evidence {
    last_response: AtomicU64,
    last_error: AtomicU64,
    /// The kind of the last error, as a `code` of a failure.
    error: AtomicU8,
    last_probe: AtomicU64,
    recovered: AtomicU64,
    /// Smoothed, in microseconds; 0 while unknown.
    round_trip: AtomicU32,
    open_sessions: AtomicU32,
    handshakes: AtomicU64,
}

/// The responses of an upstream since some moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Neither a response nor an error.
    Nothing,
    /// A right response, and no error after it.
    Response,
    /// An error, and no right response after it.
    Error,
}

impl Evidence {
    /// When a right response without error last came, exact to a tenth of a second.
    pub fn last_response(&self) -> Option<Moment> {
        moment(&self.last_response)
    }

    /// When something last failed, and what.
    pub fn last_error(&self) -> Option<(Moment, Failure)> {
        Some((
            moment(&self.last_error)?,
            failure_of(self.error.load(Relaxed)),
        ))
    }

    /// The smoothed time from a query to its response, on one of the sessions.
    pub fn round_trip(&self) -> Option<Duration> {
        let micros = self.round_trip.load(Relaxed);
        (micros != 0).then(|| Duration::from_micros(u64::from(micros)))
    }

    /// Open sessions of all workers.
    pub fn open_sessions(&self) -> u32 {
        self.open_sessions.load(Relaxed)
    }

    /// Handshakes that succeeded, full and resumed.
    pub fn handshakes(&self) -> u64 {
        self.handshakes.load(Relaxed)
    }

    /// The responses since `start`.
    pub fn seen_since(&self, start: Moment) -> Seen {
        let since = |time: Option<Moment>| time.filter(|time| *time >= start);
        match (since(self.last_response()), since(moment(&self.last_error))) {
            (None, None) => Seen::Nothing,
            (Some(_), None) => Seen::Response,
            (None, Some(_)) => Seen::Error,
            (Some(response), Some(error)) if response >= error => Seen::Response,
            (Some(_), Some(_)) => Seen::Error,
        }
    }

    /// When the turn to have it probed was last taken.
    pub fn last_probe(&self) -> Option<Moment> {
        moment(&self.last_probe)
    }

    /// Claims a probe: true for one caller per `limits::PROBE_EVERY`.
    pub fn claim_probe(&self, now: Moment) -> bool {
        let last = self.last_probe.load(Relaxed);
        let is_due = last == 0 || now.since(Moment::from_nanos(last)) >= limits::PROBE_EVERY;
        let claim = || {
            self.last_probe
                .compare_exchange(last, now.nanos().max(1), Relaxed, Relaxed)
        };
        is_due && claim().is_ok()
    }

    pub(crate) fn note_response(&self, now: Moment, round_trip: Option<Duration>) {
        let is_new = self
            .last_response()
            .is_none_or(|last| now.since(last) >= limits::EVIDENCE_EVERY)
            || self.last_response() <= moment(&self.last_error);
        if !is_new {
            return;
        }
        store(&self.last_response, now);
        if let Some(round_trip) = round_trip {
            let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
            self.round_trip.store(micros.max(1), Relaxed);
        }
    }

    pub(crate) fn note_error(&self, now: Moment, failure: Failure) {
        self.error.store(code(failure), Relaxed);
        store(&self.last_error, now);
    }

    pub(super) fn note_recovery(&self, now: Moment) {
        store(&self.recovered, now);
    }

    pub(super) fn recovered(&self) -> Option<Moment> {
        moment(&self.recovered)
    }

    pub(crate) fn note_session_opened(&self) {
        self.handshakes.fetch_add(1, Relaxed);
        self.open_sessions.fetch_add(1, Relaxed);
    }

    pub(crate) fn note_session_ended(&self) {
        self.open_sessions.fetch_sub(1, Relaxed);
    }
}

fn moment(cell: &AtomicU64) -> Option<Moment> {
    match cell.load(Relaxed) {
        0 => None,
        nanos => Some(Moment::from_nanos(nanos)),
    }
}

fn store(cell: &AtomicU64, now: Moment) {
    cell.store(now.nanos().max(1), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(1_000_000_000);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn of_a_stream_of_responses_ten_a_second_are_noted() {
        let evidence = Evidence::default();
        assert_eq!(evidence.seen_since(START), Seen::Nothing);
        evidence.note_response(START, Some(20 * MS));
        evidence.note_response(START + 99 * MS, Some(30 * MS));
        assert_eq!(evidence.last_response(), Some(START));
        assert_eq!(evidence.round_trip(), Some(20 * MS));
        evidence.note_response(START + 100 * MS, Some(30 * MS));
        assert_eq!(evidence.last_response(), Some(START + 100 * MS));
        assert_eq!(evidence.round_trip(), Some(30 * MS));
    }

    #[test]
    fn a_response_after_an_error_is_noted_at_once() {
        let evidence = Evidence::default();
        evidence.note_response(START, None);
        evidence.note_error(START + MS, Failure::NoResponse);
        assert_eq!(evidence.seen_since(START), Seen::Error);
        evidence.note_response(START + 2 * MS, None);
        assert_eq!(evidence.seen_since(START), Seen::Response);
        assert_eq!(evidence.seen_since(START + 3 * MS), Seen::Nothing);
        let error = Some((START + MS, Failure::NoResponse));
        assert_eq!(evidence.last_error(), error);
    }

    #[test]
    fn one_in_a_second_may_probe() {
        let evidence = Evidence::default();
        let claimed = (0..3_000).filter(|ms| evidence.claim_probe(START + MS * *ms));
        assert_eq!(claimed.count(), 3);
    }
}
