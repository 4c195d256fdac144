//! What is counted of one upstream by one worker.

use std::time::Duration;

use super::cells::{Cells, Distribution, Histogram};
use super::labels::{AttemptKind, Ending, Handshake, Hedging, Rcode, Reason, Stage, Winner};

/// Counts of one worker about one upstream.
#[derive(Debug)]
pub struct UpstreamCounters {
    attempts: Cells<{ AttemptKind::COUNT }>,
    reuses: Cells<1>,
    races: Cells<{ Winner::COUNT }>,
    hedging: Cells<{ Hedging::COUNT }>,
    responses: Cells<{ Rcode::COUNT }>,
    errors: Cells<{ Reason::COUNT }>,
    endings: Cells<{ Ending::COUNT }>,
    connects: Histogram,
    handshakes: [Histogram; Handshake::COUNT],
    waits: Histogram,
    totals: Histogram,
    gauges: Cells<2>,
}

const SESSIONS: usize = 0;
const IN_FLIGHT: usize = 1;

impl UpstreamCounters {
    pub(super) fn new() -> UpstreamCounters {
        UpstreamCounters {
            attempts: Cells::new(),
            reuses: Cells::new(),
            races: Cells::new(),
            hedging: Cells::new(),
            responses: Cells::new(),
            errors: Cells::new(),
            endings: Cells::new(),
            connects: Histogram::new(),
            handshakes: std::array::from_fn(|_| Histogram::new()),
            waits: Histogram::new(),
            totals: Histogram::new(),
            gauges: Cells::new(),
        }
    }

    /// Resets all counts, for another upstream.
    pub(crate) fn clear(&self) {
        self.attempts.clear();
        self.reuses.clear();
        self.races.clear();
        self.hedging.clear();
        self.responses.clear();
        self.errors.clear();
        self.endings.clear();
        let handshakes = self.handshakes.iter();
        for histogram in handshakes.chain([&self.connects, &self.waits, &self.totals]) {
            histogram.clear();
        }
        self.gauges.clear();
    }

    /// `reuses`: the session has carried a question before.
    pub(crate) fn add_attempt(&self, kind: AttemptKind, reuses: bool) {
        self.attempts.add(kind as usize, 1);
        if reuses {
            self.reuses.add(0, 1);
        }
    }

    pub(crate) fn add_race(&self, winner: Winner) {
        self.races.add(winner as usize, 1);
    }

    pub(crate) fn add_hedging(&self, what: Hedging) {
        self.hedging.add(what as usize, 1);
    }

    pub(crate) fn add_response(&self, rcode: u16) {
        self.responses.add(Rcode::of(rcode) as usize, 1);
    }

    pub(crate) fn add_error(&self, reason: Reason) {
        self.errors.add(reason as usize, 1);
    }

    pub(crate) fn add_ending(&self, ending: Ending) {
        self.endings.add(ending as usize, 1);
    }

    pub(crate) fn observe_connect(&self, span: Duration) {
        self.connects.observe(span);
    }

    pub(crate) fn observe_handshake(&self, kind: Handshake, span: Duration) {
        if let Some(histogram) = self.handshakes.get(kind as usize) {
            histogram.observe(span);
        }
    }

    pub(crate) fn observe_wait(&self, span: Duration) {
        self.waits.observe(span);
    }

    pub(crate) fn observe_total(&self, span: Duration) {
        self.totals.observe(span);
    }

    pub(crate) fn set_load(&self, sessions: u64, in_flight: u64) {
        self.gauges.set(SESSIONS, sessions);
        self.gauges.set(IN_FLIGHT, in_flight);
    }

    /// Questions sent.
    pub fn attempts(&self, kind: AttemptKind) -> u64 {
        self.attempts.at(kind as usize)
    }

    /// Questions sent on a session that had carried one before.
    pub fn reuses(&self) -> u64 {
        self.reuses.at(0)
    }

    /// Times the answer of this upstream came first while another attempt was running.
    pub fn races(&self, winner: Winner) -> u64 {
        self.races.at(winner as usize)
    }

    /// What became of queries for which this upstream was late.
    pub fn hedging(&self, what: Hedging) -> u64 {
        self.hedging.at(what as usize)
    }

    /// Right responses.
    pub fn responses(&self, rcode: Rcode) -> u64 {
        self.responses.at(rcode as usize)
    }

    /// What went wrong.
    pub fn errors(&self, reason: Reason) -> u64 {
        self.errors.at(reason as usize)
    }

    /// Open sessions that ended.
    pub fn endings(&self, ending: Ending) -> u64 {
        self.endings.at(ending as usize)
    }

    /// Handshakes that succeeded, and their time.
    pub fn handshakes(&self, kind: Handshake) -> Distribution {
        self.handshakes
            .get(kind as usize)
            .map_or_else(Distribution::default, Histogram::read)
    }

    /// The time of a stage: of what succeeded in it.
    pub fn stage(&self, stage: Stage) -> Distribution {
        match stage {
            Stage::Connect => self.connects.read(),
            Stage::Tls => {
                let full = self.handshakes(Handshake::Full);
                full.with(self.handshakes(Handshake::Resumed))
            }
            Stage::Upstream => self.waits.read(),
            Stage::Total => self.totals.read(),
        }
    }

    /// Open sessions at present.
    pub fn sessions(&self) -> u64 {
        self.gauges.at(SESSIONS)
    }

    /// Questions that wait for a response at present.
    pub fn in_flight(&self) -> u64 {
        self.gauges.at(IN_FLIGHT)
    }
}
