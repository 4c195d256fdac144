//! Whether an upstream is healthy: the state that all workers share.
//!
//! It is not on the path of a query: `pool` reports what it saw, `select` reads it, all through atomics.
//!     Healthy --a session was unresponsive--> Suspect --another one, with no response between--> Down
//!     Healthy --a handshake failed, sessions ended without any response--> Down
//!     Healthy --errors that others did not make, of ten registrable domains--> Down
//!     Suspect, Down --a response--> Healthy; after such errors, one without error to a client's question
//! While it is not healthy it is tried every 250 ms for 10 s (every 50 ms for the first 3 s if its host refuses
//! connections), then every 600 to 800 ms, all workers together; one that is down for its errors gets a client's query
//! every second. Sessions are judged by probes, so clients' names decide nothing. `health::evidence` is what an operator
//! sees of it, `health::recorder` what failed. Never decides for one query.

mod evidence;
mod recorder;

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dotgate_wire::rcode;

pub use self::evidence::{Evidence, Seen};
pub use self::recorder::{Incident, IncidentKind, NextStep, Recorder, Stage};
use crate::alert::Alert;
use crate::failure::{ConnectFault, Failure, Misbehaviour, TlsFault};
use crate::limits;
use crate::moment::Moment;

/// The state of an upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HealthState {
    /// It responds, or has not been queried yet.
    Healthy,
    /// A session to it was unresponsive, and no response has arrived since.
    Suspect,
    /// It cannot be reached, fails to authenticate, or does not respond.
    Down,
}

impl HealthState {
    fn code(self) -> u8 {
        match self {
            HealthState::Healthy => 0,
            HealthState::Suspect => 1,
            HealthState::Down => 2,
        }
    }

    fn from_code(code: u8) -> HealthState {
        match code {
            0 => HealthState::Healthy,
            1 => HealthState::Suspect,
            _ => HealthState::Down,
        }
    }
}

/// What all workers know of one upstream.
#[derive(Debug, Default)]
pub struct Health {
    state: AtomicU8,
    unresponsive_sessions: AtomicU32,
    /// When it was last healthy; 0 while it is.
    unhealthy_since: AtomicU64,
    next_try: AtomicU64,
    /// Why it is not healthy, as a `code` of a failure.
    cause: AtomicU8,
    /// Sessions in a row that ended without a single response.
    barren_sessions: AtomicU32,
    /// Registrable domains with errors that another upstream did not make, since the last answer without error.
    erring_domains: [AtomicU64; limits::AVOIDABLE_ERRORS],
    /// When it gets the next client's query as a trial, while it is down for such errors.
    next_trial: AtomicU64,
    /// Counts recoveries; a change invalidates cached failures.
    generation: AtomicU64,
    evidence: Evidence,
    recorder: Recorder,
}

impl Health {
    /// An upstream without known failures.
    pub fn new() -> Health {
        Health::default()
    }

    /// The present state.
    pub fn state(&self) -> HealthState {
        HealthState::from_code(self.state.load(Relaxed))
    }

    /// The latest evidence about it.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// What failed, and what was done next.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Since when it is healthy, or is not; none if that has not changed since the start.
    pub fn since(&self) -> Option<Moment> {
        match self.unhealthy_since.load(Relaxed) {
            0 => self.evidence.recovered(),
            since => Some(Moment::from_nanos(since)),
        }
    }

    /// How often it has recovered.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.state() == HealthState::Healthy
    }

    /// Whether waiting briefly may help: it is healthy, or was until recently and the cause may pass. One that never
    /// answered is not restarting.
    pub(crate) fn is_hopeful(&self, now: Moment) -> bool {
        self.is_healthy() || (self.may_return(now) && self.evidence.last_response().is_some())
    }

    /// Whether another try may find it healthy: its outage is recent, and the cause may pass.
    pub(crate) fn may_return(&self, now: Moment) -> bool {
        let cause = self.cause();
        let fresh = match is_refusal(cause) {
            true => limits::REFUSAL_FRESH,
            false => limits::OUTAGE_FRESH,
        };
        self.unhealthy_for(now) < fresh && !is_lasting(cause)
    }

    /// Whether it is down for errors that others did not make; it answers nevertheless.
    pub(crate) fn is_erring(&self) -> bool {
        self.state() == HealthState::Down && self.cause() == ERRING
    }

    /// Whether it is down because it does not answer.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.state() == HealthState::Down && self.cause() != ERRING
    }

    /// Why it is not healthy; none if it is.
    pub fn why(&self) -> Option<Failure> {
        (!self.is_healthy()).then(|| self.cause())
    }

    /// A handshake or a connection failed. True if this made it `Down`.
    pub(crate) fn on_open_failed(&self, now: Moment, failure: Failure) -> bool {
        self.evidence.note_error(now, failure);
        let first_try = now + pause_in_fresh_outage(failure, Duration::ZERO);
        self.fall_to(HealthState::Down, failure, now, first_try)
    }

    /// Another upstream answered what this one had answered with an error or not at all. Errors of one `domain`, the
    /// hash of a registrable domain, count once. True if this made it `Down`.
    pub(crate) fn on_avoidable_error(&self, now: Moment, domain: u64) -> bool {
        self.evidence.note_error(now, ERRING);
        let domain = domain.max(1);
        let mut places = self.erring_domains.iter();
        let is_last = |place: &AtomicU64| {
            self.erring_domains
                .last()
                .is_some_and(|last| std::ptr::eq(last, place))
        };
        let place = places.find(|place| {
            place.load(Relaxed) == domain
                || place.compare_exchange(0, domain, Relaxed, Relaxed).is_ok()
        });
        if !place.is_some_and(is_last) || self.is_erring() {
            return false;
        }
        self.fall_to(HealthState::Down, ERRING, now, now + limits::TRIAL_EVERY)
    }

    /// Takes the turn to give a client's query, of the registrable domain with this hash, to an upstream that is down
    /// for its errors. A domain that took part in those is no trial.
    pub(crate) fn claim_trial(&self, now: Moment, domain: u64) -> bool {
        let due = self.next_trial.load(Relaxed);
        if due > now.nanos() || !self.is_erring() {
            return false;
        }
        let mut erring = self.erring_domains.iter();
        if erring.any(|place| place.load(Relaxed) == domain.max(1)) {
            return false;
        }
        let next = (now + limits::TRIAL_EVERY).nanos();
        self.next_trial
            .compare_exchange(due, next, Relaxed, Relaxed)
            .is_ok()
    }

    /// A session ended without a single response, though questions were asked on it. True if this made it `Down`.
    pub(crate) fn on_barren_session(&self, now: Moment, failure: Failure) -> bool {
        self.evidence.note_error(now, failure);
        if self.barren_sessions.fetch_add(1, Relaxed) + 1 < limits::BARREN_SESSIONS {
            return false;
        }
        self.fall_to(HealthState::Down, failure, now, now + limits::TRY_EVERY)
    }

    /// A session was unresponsive, and no response came on another one meanwhile. True if this made it `Down`.
    pub(crate) fn on_unresponsive_session(&self, now: Moment) -> bool {
        self.evidence.note_error(now, Failure::NoResponse);
        if self.unresponsive_sessions.fetch_add(1, Relaxed) == 0 {
            if self.is_healthy() {
                self.fall_to(HealthState::Suspect, Failure::NoResponse, now, now);
            }
            return false;
        }
        self.fall_to(HealthState::Down, Failure::NoResponse, now, now)
    }

    /// A response came: the upstream answers, whatever its RCODE. True if this ended a `Down`.
    pub(crate) fn on_response(&self, now: Moment) -> bool {
        if self.barren_sessions.load(Relaxed) != 0 {
            self.barren_sessions.store(0, Relaxed);
        }
        let is_for_ever =
            dotgate_wire::planted!("down-for-ever") && self.state() == HealthState::Down;
        !self.is_healthy() && !self.is_erring() && !is_for_ever && self.recover(now)
    }

    /// A client's question was answered without error. True if this ended a `Down`.
    pub(crate) fn on_right_response(&self, now: Moment) -> bool {
        let has_erred = self
            .erring_domains
            .first()
            .is_some_and(|first| first.load(Relaxed) != 0);
        if has_erred {
            let is_erring = self.is_erring();
            for place in &self.erring_domains {
                place.store(0, Relaxed);
            }
            if is_erring {
                return self.recover(now);
            }
        }
        self.on_response(now)
    }

    fn recover(&self, now: Moment) -> bool {
        self.evidence.note_recovery(now);
        self.unresponsive_sessions.store(0, Relaxed);
        self.unhealthy_since.store(0, Relaxed);
        self.next_try.store(0, Relaxed);
        self.generation.fetch_add(1, Relaxed);
        self.state.swap(HealthState::Healthy.code(), Relaxed) == HealthState::Down.code()
    }

    /// When an upstream that is not healthy may be tried next.
    pub(crate) fn next_try(&self) -> Moment {
        Moment::from_nanos(self.next_try.load(Relaxed))
    }

    /// Claims the next try, if it is due and no other worker has claimed it.
    pub(crate) fn claim_try(&self, now: Moment, random: u64) -> bool {
        let due = self.next_try.load(Relaxed);
        if due > now.nanos() {
            return false;
        }
        let unhealthy_for = self.unhealthy_for(now);
        let pause = if self.is_erring() {
            limits::TRIAL_EVERY
        } else if unhealthy_for < limits::OUTAGE_FRESH {
            pause_in_fresh_outage(self.cause(), unhealthy_for)
        } else {
            let third = limits::TRY_EVERY_LATER.as_nanos() as u64 / 3;
            limits::TRY_EVERY_LATER + Duration::from_nanos(random % third)
        };
        self.next_try
            .compare_exchange(due, (now + pause).nanos(), Relaxed, Relaxed)
            .is_ok()
    }

    fn unhealthy_for(&self, now: Moment) -> Duration {
        match self.unhealthy_since.load(Relaxed) {
            0 => Duration::ZERO,
            since => now.since(Moment::from_nanos(since)),
        }
    }

    fn fall_to(&self, state: HealthState, cause: Failure, now: Moment, first_try: Moment) -> bool {
        self.cause.store(code(cause), Relaxed);
        let was_healthy = self
            .unhealthy_since
            .compare_exchange(0, now.nanos().max(1), Relaxed, Relaxed)
            .is_ok();
        if was_healthy {
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

/// Whether it does not pass by itself.
fn is_lasting(cause: Failure) -> bool {
    matches!(cause, Failure::Tls(fault) if fault.is_lasting())
}

/// Whether the upstream's host runs and its DNS server does not.
fn is_refusal(cause: Failure) -> bool {
    cause == Failure::Connect(ConnectFault::Refused)
}

/// The pause before the next try, in an outage that is fresh.
fn pause_in_fresh_outage(cause: Failure, unhealthy_for: Duration) -> Duration {
    match is_refusal(cause) && unhealthy_for < limits::REFUSAL_FRESH {
        true => limits::TRY_EVERY_REFUSED,
        false => limits::TRY_EVERY,
    }
}

const CONNECT: u8 = 0x10;
const TLS: u8 = 0x20;
/// Followed by the response code; those beyond four bits are reported as SERVFAIL.
const ANSWERED: u8 = 0x40;

/// A failure as a number that fits into an atomic; only what an upstream can be at fault for has one of its own.
fn code(cause: Failure) -> u8 {
    let place = |found: Option<usize>| found.map_or(0, |place| place as u8);
    match cause {
        Failure::NoResponse => 1,
        Failure::Closed => 2,
        Failure::Connect(fault) => {
            CONNECT + place(ConnectFault::ALL.iter().position(|other| *other == fault))
        }
        Failure::Tls(fault) => TLS + place(tls_faults().position(|other| other == fault)),
        Failure::Misbehaved(_) => 4,
        Failure::Answered { rcode, ede: _ } if rcode < 16 => ANSWERED + rcode as u8,
        Failure::Answered { .. } => ANSWERED + rcode::SERVFAIL as u8,
        Failure::Harmful
        | Failure::Internal
        | Failure::Loop
        | Failure::NotReady
        | Failure::Overload => 0,
    }
}

/// All faults of TLS, each alert as one.
fn tls_faults() -> impl Iterator<Item = TlsFault> {
    let alerts = Alert::NAMED.into_iter().map(TlsFault::Alert);
    TlsFault::ALL.into_iter().chain(alerts)
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
    if let Some(fault) = tls.and_then(|place| tls_faults().nth(place)) {
        return Failure::Tls(fault);
    }
    if let Some(fault) = connect.and_then(|place| ConnectFault::ALL.get(place)) {
        return Failure::Connect(*fault);
    }
    match code {
        1 => Failure::NoResponse,
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
    fn the_cause_is_stored_as_it_was() {
        let connect = ConnectFault::ALL.map(Failure::Connect);
        let tls = tls_faults().map(Failure::Tls);
        let refused = Failure::Answered {
            rcode: rcode::REFUSED,
            ede: None,
        };
        let others = [Failure::NoResponse, Failure::Closed, ERRING, refused];
        for cause in connect.into_iter().chain(tls).chain(others) {
            let health = Health::new();
            assert_eq!(health.why(), None);
            health.on_open_failed(START, cause);
            assert_eq!(health.why(), Some(cause));
            assert_eq!(health.evidence().last_error(), Some((START, cause)));
        }
    }

    #[test]
    fn it_is_healthy_or_unhealthy_since_the_moment_that_changed_it() {
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
    fn two_unresponsive_sessions_in_a_row_make_it_down_and_any_response_healthy() {
        let health = Health::new();
        assert!(!health.on_unresponsive_session(START));
        assert_eq!(health.state(), HealthState::Suspect);
        assert!(health.on_unresponsive_session(START));
        assert_eq!(health.state(), HealthState::Down);
        assert!(health.on_right_response(START));
        assert_eq!(health.state(), HealthState::Healthy);
        assert!(!health.on_unresponsive_session(START));
        assert_eq!(health.state(), HealthState::Suspect);
        health.on_response(START);
        assert_eq!(health.state(), HealthState::Healthy);
    }

    #[test]
    fn errors_of_ten_domains_take_it_down_until_a_client_gets_an_answer_without_error() {
        let health = Health::new();
        let domains = 1..=limits::AVOIDABLE_ERRORS as u64;
        for domain in domains.clone().skip(1) {
            assert!(!health.on_avoidable_error(START, domain));
        }
        health.on_right_response(START);
        for domain in domains.clone().skip(1).chain(domains.clone().skip(1)) {
            assert!(!health.on_avoidable_error(START, domain));
        }
        assert!(health.on_avoidable_error(START, 1));
        assert!(!health.on_avoidable_error(START, 1));
        assert!(
            !health.on_response(START),
            "our own question proves nothing"
        );
        assert!(health.is_erring() && !health.is_unreachable());
        assert!(health.on_right_response(START));
        assert!(health.is_healthy());
    }

    #[test]
    fn one_domain_takes_nothing_down_however_often_it_errs() {
        let health = Health::new();
        for _ in 0..1_000 {
            assert!(!health.on_avoidable_error(START, 7));
        }
        assert!(health.is_healthy());
    }

    #[test]
    fn trials_of_other_domains_are_given_once_a_second() {
        let health = Health::new();
        assert!(!health.claim_trial(START, 99), "it is healthy");
        for domain in 1..=limits::AVOIDABLE_ERRORS as u64 {
            health.on_avoidable_error(START, domain);
        }
        assert!(!health.claim_trial(START, 3), "it took part");
        assert!(health.claim_trial(START, 99));
        assert!(!health.claim_trial(START, 98));
        assert!(health.claim_trial(START + limits::TRIAL_EVERY, 98));
    }

    #[test]
    fn sessions_without_any_response_take_it_down_and_one_response_starts_the_count_again() {
        let health = Health::new();
        let closed = Failure::Closed;
        for _ in 1..limits::BARREN_SESSIONS {
            assert!(!health.on_barren_session(START, closed));
        }
        health.on_response(START);
        for _ in 1..limits::BARREN_SESSIONS {
            assert!(!health.on_barren_session(START, closed));
        }
        assert!(health.on_barren_session(START, closed));
        assert_eq!(health.why(), Some(closed));
    }

    /// When an upstream is tried in the first 13 s after such a failure.
    fn tries_after(failure: Failure) -> Vec<Duration> {
        let health = Health::new();
        assert!(health.on_open_failed(START, failure));
        assert!(!health.on_open_failed(START, failure));
        let mut tries = Vec::new();
        let mut now = START;
        while now < START + Duration::from_secs(13) {
            if health.claim_try(now, u64::MAX) {
                tries.push(now.since(START));
            }
            now = now + Duration::from_millis(10);
        }
        tries
    }

    fn within(tries: &[Duration], seconds: std::ops::Range<u64>) -> usize {
        let is_within = |at: &&Duration| seconds.contains(&at.as_secs());
        tries.iter().filter(is_within).count()
    }

    #[test]
    fn it_is_tried_every_quarter_second_for_ten_seconds_then_more_seldom() {
        let tries = tries_after(Failure::Connect(ConnectFault::TimedOut));
        assert_eq!(tries.first(), Some(&Duration::from_millis(250)));
        assert_eq!(
            (within(&tries, 0..10), within(&tries, 10..13)),
            (39, 5),
            "{tries:?}"
        );
    }

    #[test]
    fn while_its_host_refuses_connections_it_is_tried_more_often_for_three_seconds() {
        let tries = tries_after(REFUSED);
        assert_eq!(tries.first(), Some(&Duration::from_millis(50)));
        let counts = [0..3, 3..10, 10..13].map(|seconds| within(&tries, seconds));
        assert_eq!(counts, [59, 28, 5], "{tries:?}");
    }

    #[test]
    fn an_outage_is_hopeful_while_young_unless_its_cause_lasts() {
        let health = Health::new();
        assert!(health.is_hopeful(START));
        health.on_open_failed(START, REFUSED);
        assert!(!health.is_hopeful(START), "it has never answered");
        health.evidence().note_response(START, None);
        assert!(health.is_hopeful(START + Duration::from_millis(2_999)));
        assert!(!health.is_hopeful(START + limits::REFUSAL_FRESH));
        let timed_out = Failure::Connect(ConnectFault::TimedOut);
        health.on_open_failed(START + Duration::from_secs(4), timed_out);
        assert!(health.is_hopeful(START + Duration::from_millis(9_999)));
        assert!(!health.is_hopeful(START + limits::OUTAGE_FRESH));
        health.on_open_failed(START + Duration::from_secs(11), EXPIRED);
        assert!(!health.is_hopeful(START + Duration::from_secs(11)));
        health.on_right_response(START);
        assert!(health.is_hopeful(START + Duration::from_secs(12)));
    }
}
