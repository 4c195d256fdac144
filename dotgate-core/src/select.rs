//! Selects the upstream and the session for an attempt.
//!
//! It is between a question and `pool`. The upstreams of the question's group, and no others, are asked in the order of
//! the settings; one that is not healthy, opens slowly, or has failed this question already comes last. Reads only; the
//! engine carries the choice out.

use crate::attempts::Attempts;
use crate::keys::{SessionKey, UpstreamId};
use crate::pool::{Pools, SessionTable};

/// What to do for an exchange that needs an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    /// Ask on this session.
    Ask(SessionKey),
    /// Open a session to this upstream and wait for the first that becomes open.
    Open(UpstreamId),
    /// Wait: sessions are being opened, or will be tried when their time has come.
    Wait,
    /// Every upstream has answered with an error: none is left to try.
    Nowhere,
}

/// Chooses for a question, in this order: a healthy upstream that has not failed it; one that is recovering and
/// has a session open; a fresh session to one that failed it; else a session must be opened first.
pub(crate) fn choose(attempts: &Attempts, pools: &Pools, sessions: &SessionTable) -> Choice {
    let upstreams = || pools.in_order(&attempts.group);
    let is_untried = |upstream: UpstreamId| {
        !attempts.answered_by.has(upstream)
            && !attempts.failed_at.has(upstream)
            && !attempts.runs_at(upstream)
    };
    for (upstream, pool) in upstreams() {
        let comes_first = cfg!(planted = "unhealthy-upstream-comes-first")
            && pool.with_room(sessions, None).is_some();
        if is_untried(upstream) && (pool.health().is_healthy() || comes_first) {
            if let Some(session) = pool.with_room(sessions, None) {
                return Choice::Ask(session);
            }
            if !pool.opens_slowly(sessions) && pool.may_grow(sessions) {
                return Choice::Open(upstream);
            }
        }
    }
    for (upstream, pool) in upstreams() {
        if is_untried(upstream)
            && let Some(session) = pool.with_room(sessions, None)
        {
            return Choice::Ask(session);
        }
    }
    let may_ask_again = |upstream: UpstreamId| !attempts.answered_by.has(upstream);
    for (upstream, pool) in upstreams() {
        if may_ask_again(upstream)
            && let Some(session) = pool.with_room(sessions, attempts.fresh_after)
        {
            return Choice::Ask(session);
        }
    }
    for (upstream, pool) in upstreams() {
        if may_ask_again(upstream)
            && pool.health().is_healthy()
            && !pool.is_opening(sessions)
            && pool.may_grow(sessions)
        {
            return Choice::Open(upstream);
        }
    }
    if upstreams().any(|(upstream, _)| may_ask_again(upstream)) {
        Choice::Wait
    } else {
        Choice::Nowhere
    }
}
