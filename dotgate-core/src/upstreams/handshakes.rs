//! Handshakes that were large and did not get through: one further try with a small one, and what it teaches.

use super::Upstreams;
use crate::failure::Failure;
use crate::key_exchange::{Handshake, KeyExchange};
use crate::moment::Moment;
use crate::outbox::Event;
use crate::session::{Phase, Purpose, Session};

impl Upstreams {
    /// After a failed opening: the next one to the same address has a classical handshake, if the hybrid one may have
    /// been too large for a middlebox. True if it is under way at once, so that the upstream has not failed yet. While
    /// it is not healthy its tries have a pace of their own, so they take turns.
    pub(super) fn falls_back(&mut self, now: Moment, session: &Session, failure: Failure) -> bool {
        let was_large = session.purpose == Purpose::Shared
            && session.phase == Phase::Handshaking
            && session.handshake.offer == KeyExchange::Hybrid
            && matches!(failure, Failure::Tls(fault) if fault.may_be_size());
        let upstream = session.upstream;
        let Some(pool) = self.pools.get_mut(upstream).filter(|_| was_large) else {
            return false;
        };
        if !pool.upstream.handshakes.may_fall_back() {
            return false;
        }
        pool.failed_hybrid = Some(session.handshake.try_number);
        if !pool.health().is_well() {
            return false;
        }
        self.open_session(now, upstream);
        self.pools
            .get(upstream)
            .is_some_and(|pool| pool.is_opening(&self.sessions))
    }

    /// A handshake was done: what it says about large ones counts for all workers.
    pub(super) fn handshake_done(&mut self, now: Moment, upstream: usize, handshake: Handshake) {
        let Some(pool) = self.pools.get_mut(upstream) else {
            return;
        };
        pool.failed_hybrid = None;
        let handshakes = &pool.upstream.handshakes;
        match (handshake.offer, handshake.fallback) {
            (KeyExchange::Hybrid, _) => handshakes.on_hybrid_done(),
            (KeyExchange::Classical, Some(fallback)) => {
                if handshakes.on_fallback_done(now, fallback) {
                    self.events
                        .push_back(Event::KeyExchangeReduced { upstream });
                }
            }
            (KeyExchange::Classical, None) => {}
        }
    }
}
