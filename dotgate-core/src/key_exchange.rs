//! How large the first message of a TLS handshake is, and which upstreams never get a large one.
//!
//! Serves `pool`. The hybrid key exchange X25519MLKEM768 makes a ClientHello of about 1,480 bytes, which leaves
//! in two segments; some middleboxes reset or drop a connection that begins so. Unless the settings decide, a handshake
//! that failed or got no response is tried once more with a classical key share, and where that works it is remembered
//! for all workers, for [`limits::CLASSICAL_FOR`]. The program remembers it over reloads and restarts.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::limits;
use crate::moment::Moment;

/// What one handshake offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyExchange {
    /// X25519MLKEM768 and classical groups: a ClientHello of two segments.
    Hybrid,
    /// Classical groups alone: a ClientHello of one segment.
    Classical,
}

/// What the settings say about handshakes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum KeyExchangePolicy {
    /// Hybrid, and classical where that does not get through.
    #[default]
    Auto,
    /// Always hybrid.
    Hybrid,
    /// Always classical.
    Classical,
}

impl KeyExchangePolicy {
    /// What the first handshake offers.
    pub const fn first(self) -> KeyExchange {
        match self {
            KeyExchangePolicy::Auto | KeyExchangePolicy::Hybrid => KeyExchange::Hybrid,
            KeyExchangePolicy::Classical => KeyExchange::Classical,
        }
    }

    /// Whether a failed hybrid handshake is tried once more with a classical one.
    pub const fn falls_back(self) -> bool {
        match self {
            KeyExchangePolicy::Auto => true,
            KeyExchangePolicy::Hybrid | KeyExchangePolicy::Classical => false,
        }
    }
}

/// What all workers know about the handshakes of one upstream.
#[derive(Debug, Default)]
pub struct Handshakes {
    policy: KeyExchangePolicy,
    /// Until when they are classical, in nanoseconds; 0 if nothing was learned.
    classical_until: AtomicU64,
    /// Classical handshakes done while a hybrid one got no response, since a hybrid one was done.
    overtaken: AtomicU8,
    is_reported: AtomicBool,
    /// How many addresses the upstream has; 0 if nobody said.
    addresses: AtomicU32,
}

/// Why a handshake is classical although the settings do not demand it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fallback {
    /// A hybrid one to the same address had just failed.
    AfterFailure,
    /// A hybrid one is under way and has no response yet.
    Hedge,
}

/// How one session is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Handshake {
    pub(crate) offer: KeyExchange,
    pub(crate) fallback: Option<Fallback>,
    /// How often its upstream had been tried since a session opened: it tells the address.
    pub(crate) try_number: u32,
}

impl Default for Handshake {
    fn default() -> Handshake {
        Handshake {
            offer: KeyExchange::Hybrid,
            fallback: None,
            try_number: 0,
        }
    }
}

impl Handshakes {
    /// Those of an upstream of which nothing is known yet.
    pub fn new(policy: KeyExchangePolicy) -> Handshakes {
        Handshakes {
            policy,
            ..Handshakes::default()
        }
    }

    /// Takes how many addresses the upstream has.
    pub fn set_addresses(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.addresses.store(count, Relaxed);
    }

    /// Whether the try with this number, counted since a session opened, is the first one to its address.
    pub(crate) fn has_address_for(&self, try_number: u32) -> bool {
        try_number < self.addresses.load(Relaxed)
    }

    /// Whether a failed hybrid handshake is tried once more.
    pub(crate) fn may_fall_back(&self) -> bool {
        self.policy.falls_back()
    }

    /// Until when handshakes are classical because a hybrid one did not get through; none if nothing was learned, or the
    /// settings decide.
    pub fn classical_until(&self, now: Moment) -> Option<Moment> {
        let until = Moment::from_nanos(self.classical_until.load(Relaxed));
        (self.may_fall_back() && now < until).then_some(until)
    }

    /// Takes what was learned before: handshakes are classical until then, at most for [`limits::CLASSICAL_FOR`]. When
    /// that time is over, one more classical handshake that overtakes a hybrid one is enough to learn it again.
    pub fn restore(&self, now: Moment, until: Moment) {
        let until = until.min(now + limits::CLASSICAL_FOR);
        self.classical_until.store(until.nanos(), Relaxed);
        self.overtaken.store(1, Relaxed);
        self.is_reported.store(true, Relaxed);
    }

    /// The key exchange that the next handshake offers, if nothing has failed.
    pub(crate) fn next(&self, now: Moment) -> KeyExchange {
        match self.classical_until(now) {
            Some(_) if !dotgate_wire::planted!("key-exchange-is-not-remembered") => {
                KeyExchange::Classical
            }
            Some(_) | None => self.policy.first(),
        }
    }

    /// The same for a session that gets no second handshake: classical as soon as one has overtaken a hybrid one.
    pub(crate) fn next_of_isolated(&self, now: Moment) -> KeyExchange {
        match self.overtaken.load(Relaxed) {
            1.. if self.may_fall_back() => KeyExchange::Classical,
            _ => self.next(now),
        }
    }

    /// A hybrid handshake was done: large messages get through.
    pub(crate) fn on_hybrid_done(&self) {
        self.overtaken.store(0, Relaxed);
        self.classical_until.store(0, Relaxed);
    }

    /// A classical handshake was done where a hybrid one was not. True if that is learned for the first time, to be
    /// logged. One packet may be lost by chance, so without a failure it takes two such handshakes.
    pub(crate) fn on_fallback_done(&self, now: Moment, fallback: Fallback) -> bool {
        let is_learned = match fallback {
            Fallback::AfterFailure => {
                self.overtaken.store(1, Relaxed);
                true
            }
            Fallback::Hedge => {
                let before = self.overtaken.load(Relaxed);
                self.overtaken.store(before.saturating_add(1), Relaxed);
                before > 0
            }
        };
        if !is_learned {
            return false;
        }
        let until = (now + limits::CLASSICAL_FOR).nanos();
        self.classical_until.store(until, Relaxed);
        !self.is_reported.swap(true, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Moment = Moment::from_nanos(1_000_000_000);

    #[test]
    fn a_failure_is_learned_at_once_and_reported_once() {
        let handshakes = Handshakes::default();
        assert_eq!(handshakes.next(START), KeyExchange::Hybrid);
        assert!(handshakes.on_fallback_done(START, Fallback::AfterFailure));
        assert_eq!(handshakes.next(START), KeyExchange::Classical);
        let end = START + limits::CLASSICAL_FOR;
        assert_eq!(handshakes.next(end), KeyExchange::Hybrid);
        assert!(!handshakes.on_fallback_done(end, Fallback::AfterFailure));
        assert_eq!(handshakes.next(end), KeyExchange::Classical);
        handshakes.on_hybrid_done();
        assert_eq!(handshakes.next(end), KeyExchange::Hybrid);
    }

    #[test]
    fn a_hedge_that_wins_once_may_be_chance() {
        let handshakes = Handshakes::default();
        assert!(!handshakes.on_fallback_done(START, Fallback::Hedge));
        assert_eq!(handshakes.next(START), KeyExchange::Hybrid);
        assert_eq!(handshakes.next_of_isolated(START), KeyExchange::Classical);
        handshakes.on_hybrid_done();
        assert_eq!(handshakes.next_of_isolated(START), KeyExchange::Hybrid);
        assert!(!handshakes.on_fallback_done(START, Fallback::Hedge));
        assert!(handshakes.on_fallback_done(START, Fallback::Hedge));
        assert_eq!(handshakes.next(START), KeyExchange::Classical);
    }

    #[test]
    fn what_was_learned_before_is_restored_for_a_day_at_most_and_learned_again_at_once() {
        let handshakes = Handshakes::default();
        assert_eq!(handshakes.classical_until(START), None);
        let hour = START + Duration::from_hours(1);
        handshakes.restore(START, hour);
        assert_eq!(handshakes.classical_until(START), Some(hour));
        assert_eq!(handshakes.next(hour), KeyExchange::Hybrid);
        assert!(!handshakes.on_fallback_done(hour, Fallback::Hedge));
        assert_eq!(handshakes.next(hour), KeyExchange::Classical);
        handshakes.restore(START, START + Duration::from_hours(1_000));
        let end = START + limits::CLASSICAL_FOR;
        assert_eq!(handshakes.classical_until(START), Some(end));
    }

    #[test]
    fn the_settings_go_before_what_is_learned() {
        let hybrid = Handshakes::new(KeyExchangePolicy::Hybrid);
        assert!(!hybrid.may_fall_back());
        hybrid.on_fallback_done(START, Fallback::AfterFailure);
        assert_eq!(hybrid.next(START), KeyExchange::Hybrid);
        assert_eq!(hybrid.classical_until(START), None);
        let classical = Handshakes::new(KeyExchangePolicy::Classical);
        assert!(!classical.may_fall_back());
        assert_eq!(classical.next(START), KeyExchange::Classical);
    }
}
