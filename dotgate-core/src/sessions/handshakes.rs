//! Handshakes that were large and did not get through: one further try with a small one, and what it teaches.

use super::Sessions;
use crate::failure::Failure;
use crate::key_exchange::{Handshake, KeyExchange};
use crate::keys::UpstreamId;
use crate::moment::Moment;
use crate::outbox::Event;
use crate::session::{Phase, Purpose, Session};

impl Sessions {
    /// After a failed opening: the next one to the same address has a classical handshake, if the hybrid one may have
    /// been too large for a middlebox. True if it is to be made at once, so that the upstream has not failed yet. While
    /// it is not healthy its tries have a pace of their own, so they take turns.
    pub(crate) fn falls_back(&mut self, session: &Session, failure: Failure) -> bool {
        let was_large = session.purpose == Purpose::Shared
            && session.phase == Phase::Handshaking
            && session.handshake.offer == KeyExchange::Hybrid
            && matches!(failure, Failure::Tls(fault) if fault.may_be_size());
        let pool = self.pools.get_mut(session.upstream);
        let Some(pool) = pool.filter(|_| was_large) else {
            return false;
        };
        if !pool.upstream.handshakes.may_fall_back() {
            return false;
        }
        pool.failed_hybrid = Some(session.handshake.try_number);
        pool.health().is_healthy()
    }

    /// A handshake was done: what it says about large ones counts for all workers.
    pub(super) fn handshake_done(
        &mut self,
        now: Moment,
        upstream: UpstreamId,
        handshake: Handshake,
    ) {
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
