//! Whether an upstream is well: the little that all workers share about it.
//!
//! Stands beside the path: `pool` reports what it saw, `select` reads it, all through atomics.
//!     Well --a session fell silent--> Suspect --another one--> Down
//!     Well --a handshake failed, or errors that others did not make--> Down
//!     Suspect, Down --a right response; after errors, one without error--> Well
//! While it is not well it is tried every 250 ms for 10 s, then every 600 to 800 ms, all workers
//! together. `health::evidence` is what an operator is told of it. Never decides for one query.

mod evidence;

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dotgate_wire::rcode;

pub use self::evidence::{Evidence, Seen};
use crate::failure::{ConnectFault, Failure, Misbehaviour, TlsFault};
use crate::limits;
use crate::moment::Moment;

/// The state of an upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HealthState {
    /// It answers, or nobody has asked yet.
    Well,
    /// A session to it fell silent and no response has come since.
    Suspect,
    /// It cannot be reached, fails to authenticate, or stays silent.
    Down,
}

impl HealthState {
    fn code(self) -> u8 {
        match self {
            HealthState::Well => 0,
            HealthState::Suspect => 1,
            HealthState::Down => 2,
        }
    }

    fn from_code(code: u8) -> HealthState {
        match code {
            0 => HealthState::Well,
            1 => HealthState::Suspect,
            _ => HealthState::Down,
        }
    }
}

/// What all workers know of one upstream.
#[derive(Debug, Default)]
pub struct Health {
    state: AtomicU8,
    silent_sessions: AtomicU32,
    /// When it was last well; 0 while it is.
    ill_since: AtomicU64,
    next_try: AtomicU64,
    /// Why it is not well, as a `code` of a failure.
    cause: AtomicU8,
    /// Errors in a row to questions that another upstream then answered.
    avoidable_errors: AtomicU32,
    /// Counts recoveries; a change voids what was remembered of failures.
    generation: AtomicU64,
    evidence: Evidence,
}

impl Health {
    /// An upstream of which nothing bad is known.
    pub fn new() -> Health {
        Health::default()
    }

    /// The present state.
    pub fn state(&self) -> HealthState {
        HealthState::from_code(self.state.load(Relaxed))
    }

    /// What was last seen of it.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Since when it is well, or is not; none while it is well as at the start.
    pub fn since(&self) -> Option<Moment> {
        match self.ill_since.load(Relaxed) {
            0 => self.evidence.recovered(),
            since => Some(Moment::from_nanos(since)),
        }
    }

    /// How often it has recovered.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    pub(crate) fn is_well(&self) -> bool {
        self.state() == HealthState::Well
    }

    /// Whether waiting a moment may be worth it: well, or ill only lately and in a way that passes.
    pub(crate) fn is_hopeful(&self, now: Moment) -> bool {
        self.is_well() || (!is_lasting(self.cause()) && self.ill_for(now) < limits::OUTAGE_FRESH)
    }

    /// Why it is not well; none if it is.
    pub fn why(&self) -> Option<Failure> {
        (!self.is_well()).then(|| self.cause())
    }

    /// A handshake or a connection failed. True if this made it `Down`.
    pub(crate) fn on_open_failed(&self, now: Moment, failure: Failure) -> bool {
        self.evidence.note_error(now, failure);
        self.fall_to(HealthState::Down, failure, now, now + limits::TRY_EVERY)
    }

    /// Another upstream answered what this one had answered with an error. True if this made it `Down`.
    pub(crate) fn on_avoidable_error(&self, now: Moment) -> bool {
        self.evidence.note_error(now, ERRING);
        if self.avoidable_errors.fetch_add(1, Relaxed) + 1 < limits::AVOIDABLE_ERRORS {
            return false;
        }
        self.fall_to(HealthState::Down, ERRING, now, now + limits::TRY_EVERY)
    }

    /// A session fell silent. True if this made it `Down`.
    pub(crate) fn on_silent_session(&self, now: Moment) -> bool {
        self.evidence.note_error(now, Failure::Silent);
        if self.silent_sessions.fetch_add(1, Relaxed) == 0 {
            if self.is_well() {
                self.fall_to(HealthState::Suspect, Failure::Silent, now, now);
            }
            return false;
        }
        self.fall_to(HealthState::Down, Failure::Silent, now, now)
    }

    /// A response with an error came: the upstream is not silent. True if this ended a `Down`.
    pub(crate) fn on_error_response(&self, now: Moment) -> bool {
        !self.is_well() && self.cause() != ERRING && self.recover(now)
    }

    /// A right response without error came. True if this ended a `Down`.
    pub(crate) fn on_right_response(&self, now: Moment) -> bool {
        if self.avoidable_errors.load(Relaxed) != 0 {
            self.avoidable_errors.store(0, Relaxed);
        }
        !self.is_well() && self.recover(now)
    }

    fn recover(&self, now: Moment) -> bool {
        self.evidence.note_recovery(now);
        self.silent_sessions.store(0, Relaxed);
        self.ill_since.store(0, Relaxed);
        self.next_try.store(0, Relaxed);
        self.generation.fetch_add(1, Relaxed);
        self.state.swap(HealthState::Well.code(), Relaxed) == HealthState::Down.code()
    }

    /// When an upstream that is not well may be tried next.
    pub(crate) fn next_try(&self) -> Moment {
        Moment::from_nanos(self.next_try.load(Relaxed))
    }

    /// Takes the turn to try it, if its time has come and no other worker was faster.
    pub(crate) fn claim_try(&self, now: Moment, random: u64) -> bool {
        let due = self.next_try.load(Relaxed);
        if due > now.nanos() {
            return false;
        }
        let pause = if self.ill_for(now) < limits::OUTAGE_FRESH {
            limits::TRY_EVERY
        } else {
            let third = limits::TRY_EVERY_LATER.as_nanos() as u64 / 3;
            limits::TRY_EVERY_LATER + Duration::from_nanos(random % third)
        };
        self.next_try
            .compare_exchange(due, (now + pause).nanos(), Relaxed, Relaxed)
            .is_ok()
    }

    fn ill_for(&self, now: Moment) -> Duration {
        match self.ill_since.load(Relaxed) {
            0 => Duration::ZERO,
            since => now.since(Moment::from_nanos(since)),
        }
    }

    fn fall_to(&self, state: HealthState, cause: Failure, now: Moment, first_try: Moment) -> bool {
        self.cause.store(code(cause), Relaxed);
        let was_well = self
            .ill_since
            .compare_exchange(0, now.nanos().max(1), Relaxed, Relaxed)
            .is_ok();
        if was_well {
            self.next_try.store(first_try.nanos(), Relaxed);
        }
        let before = self.state.swap(state.code(), Relaxed);
        state == HealthState::Down && before != HealthState::Down.code()
    }

    fn cause(&self) -> Failure {
        failure_of(self.cause.load(Relaxed))
    }
}

/// Errors that others did not make: then a further error is no sign of recovery.
const ERRING: Failure = Failure::Answered {
    rcode: rcode::SERVFAIL,
    ede: None,
};

/// Whether time alone does not cure it.
fn is_lasting(cause: Failure) -> bool {
    matches!(cause, Failure::Tls(fault) if fault.is_lasting())
}

const CONNECT: u8 = 0x10;
const TLS: u8 = 0x20;
/// Followed by the response code; those beyond four bits are told as SERVFAIL.
const ANSWERED: u8 = 0x40;

/// A failure as a number that fits into an atomic; only what an upstream can be at fault for has one of its own.
fn code(cause: Failure) -> u8 {
    let place = |found: Option<usize>| found.map_or(0, |place| place as u8);
    match cause {
        Failure::Silent => 1,
        Failure::Closed => 2,
        Failure::Connect(fault) => {
            CONNECT + place(ConnectFault::ALL.iter().position(|held| *held == fault))
        }
        Failure::Tls(fault) => TLS + place(TlsFault::ALL.iter().position(|held| *held == fault)),
        Failure::Misbehaved(_) => 4,
        Failure::Answered { rcode, ede: _ } if rcode < 16 => ANSWERED + rcode as u8,
        Failure::Answered { .. } => ANSWERED + rcode::SERVFAIL as u8,
        Failure::Internal | Failure::NotReady | Failure::Overload => 0,
    }
}

fn failure_of(code: u8) -> Failure {
    if let Some(rcode) = code.checked_sub(ANSWERED) {
        return Failure::Answered {
            rcode: u16::from(rcode),
            ede: None,
        };
    }
    let tls = code.checked_sub(TLS).map(usize::from);
    let connect = code.checked_sub(CONNECT).map(usize::from);
    if let Some(fault) = tls.and_then(|place| TlsFault::ALL.get(place)) {
        return Failure::Tls(*fault);
    }
    if let Some(fault) = connect.and_then(|place| ConnectFault::ALL.get(place)) {
        return Failure::Connect(*fault);
    }
    match code {
        1 => Failure::Silent,
        2 => Failure::Closed,
        4 => Failure::Misbehaved(Misbehaviour::Flood),
        _ => Failure::NotReady,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(1_000_000_000);
    const REFUSED: Failure = Failure::Connect(ConnectFault::Refused);
    const EXPIRED: Failure = Failure::Tls(TlsFault::CertificateExpired);

    #[test]
    fn the_cause_is_kept_as_it_was() {
        let connect = ConnectFault::ALL.map(Failure::Connect);
        let tls = TlsFault::ALL.map(Failure::Tls);
        let refused = Failure::Answered {
            rcode: rcode::REFUSED,
            ede: None,
        };
        let others = [Failure::Silent, Failure::Closed, ERRING, refused];
        for cause in connect.into_iter().chain(tls).chain(others) {
            let health = Health::new();
            assert_eq!(health.why(), None);
            health.on_open_failed(START, cause);
            assert_eq!(health.why(), Some(cause));
            assert_eq!(health.evidence().last_error(), Some((START, cause)));
        }
    }

    #[test]
    fn it_is_well_or_ill_since_the_moment_that_changed_it() {
        let health = Health::new();
        assert_eq!(health.since(), None);
        let later = |seconds| START + Duration::from_secs(seconds);
        health.on_open_failed(later(1), REFUSED);
        health.on_open_failed(later(2), REFUSED);
        assert_eq!(health.since(), Some(later(1)));
        health.on_right_response(later(3));
        health.on_right_response(later(4));
        assert_eq!(health.since(), Some(later(3)));
    }

    #[test]
    fn two_silent_sessions_in_a_row_make_it_down_and_a_response_well() {
        let health = Health::new();
        assert!(!health.on_silent_session(START));
        assert_eq!(health.state(), HealthState::Suspect);
        assert!(health.on_silent_session(START));
        assert_eq!(health.state(), HealthState::Down);
        assert!(health.on_right_response(START));
        assert_eq!(health.state(), HealthState::Well);
        assert!(!health.on_silent_session(START));
        assert_eq!(health.state(), HealthState::Suspect);
        health.on_error_response(START);
        assert_eq!(health.state(), HealthState::Well);
    }

    #[test]
    fn errors_that_others_did_not_make_take_it_down_until_one_answer_without_error() {
        let health = Health::new();
        for _ in 1..limits::AVOIDABLE_ERRORS {
            assert!(!health.on_avoidable_error(START));
        }
        health.on_right_response(START);
        for _ in 1..limits::AVOIDABLE_ERRORS {
            assert!(!health.on_avoidable_error(START));
        }
        assert!(health.on_avoidable_error(START));
        health.on_error_response(START);
        assert_eq!(health.state(), HealthState::Down);
        assert!(health.on_right_response(START));
    }

    #[test]
    fn it_is_tried_every_quarter_second_for_ten_seconds_then_more_seldom() {
        let health = Health::new();
        assert!(health.on_open_failed(START, REFUSED));
        assert!(!health.on_open_failed(START, REFUSED));
        let mut tries = Vec::new();
        let mut now = START;
        while now < START + Duration::from_secs(13) {
            if health.claim_try(now, u64::MAX) {
                tries.push(now.since(START));
            }
            now = now + Duration::from_millis(50);
        }
        assert_eq!(tries.first(), Some(&Duration::from_millis(250)));
        let early = tries
            .iter()
            .filter(|t| **t < Duration::from_secs(10))
            .count();
        assert_eq!((early, tries.len()), (39, 43), "{tries:?}");
    }

    #[test]
    fn an_outage_is_hopeful_while_young_unless_its_cause_lasts() {
        let health = Health::new();
        assert!(health.is_hopeful(START));
        health.on_open_failed(START, REFUSED);
        assert!(health.is_hopeful(START + Duration::from_millis(9_999)));
        assert!(!health.is_hopeful(START + limits::OUTAGE_FRESH));
        health.on_open_failed(START + Duration::from_secs(11), EXPIRED);
        assert!(!health.is_hopeful(START + Duration::from_secs(11)));
        health.on_right_response(START);
        assert!(health.is_hopeful(START + Duration::from_secs(12)));
    }
}
