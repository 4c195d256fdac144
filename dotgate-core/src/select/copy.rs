//! Where the copy of a question goes whose first attempt is late.

use super::may_learn;
use super::order::Sequence;
use crate::attempts::{Attempt, Attempts};
use crate::keys::{SessionKey, UpstreamId};
use crate::link::Link;
use crate::pool::{Pool, Pools, SessionTable};

/// Where a copy goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CopySite {
    /// On this session.
    Session(SessionKey),
    /// To this upstream, once a session to it is open.
    Opening(UpstreamId),
    /// There is no other place for it.
    Nowhere,
}

/// To a healthy upstream that has not been asked and may learn of the question, in the order of the question; one with an
/// open session comes first. If there is none, on another session to the upstream that is late.
pub(crate) fn copy_site(
    attempts: &Attempts,
    late: &Attempt,
    pools: &Pools,
    sessions: &SessionTable,
) -> CopySite {
    let order = attempts.order.unwrap_or(Sequence::AS_CONFIGURED);
    let others = || {
        let upstreams = pools.in_turn(&attempts.group, order);
        upstreams.filter(|(upstream, pool)| {
            let is_untried =
                !attempts.answered_by.has(*upstream) && !attempts.failed_at.has(*upstream);
            let may_learn = may_learn(attempts, *upstream)
                || dotgate_wire::planted!("copies-go-to-other-operators");
            *upstream != late.upstream && is_untried && may_learn && pool.health().is_healthy()
        })
    };
    let open = others().find_map(|(_, pool)| pool.with_room(sessions, None));
    if let Some(session) = open {
        return CopySite::Session(session);
    }
    let may_open = |pool: &Pool| {
        (pool.may_grow(sessions) || pool.is_opening(sessions)) && !pool.opens_slowly(sessions)
    };
    if let Some((upstream, _)) = others().find(|(_, pool)| may_open(pool)) {
        return CopySite::Opening(upstream);
    }
    let same = pools.get(late.upstream);
    match same.filter(|pool| pool.health().is_healthy()) {
        Some(pool) => match other_session(pool, late.session, sessions) {
            Some(session) => CopySite::Session(session),
            None if may_open(pool) => CopySite::Opening(late.upstream),
            None => CopySite::Nowhere,
        },
        None => CopySite::Nowhere,
    }
}

/// A session to the same upstream on which nothing waits for what is late.
fn other_session(pool: &Pool, late: SessionKey, sessions: &SessionTable) -> Option<SessionKey> {
    let is_other = |key: &SessionKey| {
        sessions.get(*key).is_some_and(|session| {
            session.takes_queries()
                && match session.link {
                    Link::Tls => *key != late,
                    // Each query has its own socket.
                    Link::Datagrams => true,
                    Link::Tcp => false,
                }
        })
    };
    pool.keys().iter().copied().find(is_other)
}
