//! Sessions that are opened, or tried again, for no question in particular: to upstreams that are not healthy, at other
//! addresses, before the first query. And what failures to open one say of an upstream.

use super::forwarder::Forwarder;
use super::timeouts::is_try_wanted;
use crate::failure::Failure;
use crate::health::{Health, HealthState};
use crate::keys::{SessionKey, UpstreamId};
use crate::link::Link;
use crate::moment::Moment;
use crate::pool::Pool;
use crate::session::{Phase, Purpose, Session};

impl Forwarder<'_> {
    /// Tries upstreams that are not healthy, while there is traffic, in turn with all other workers.
    pub(super) fn try_unhealthy(&mut self, now: Moment) {
        for place in 0..self.sessions.pools().configured().count() {
            let found = self.sessions.pools().configured().nth(place);
            let Some((upstream, pool)) = found else {
                continue;
            };
            let is_due = !pool.health().is_healthy()
                && is_try_wanted(self.sessions, self.waiting, (upstream, pool));
            if !is_due || !self.sessions.claim_try(now, upstream) {
                continue;
            }
            let Some(pool) = self.sessions.pool(upstream) else {
                continue;
            };
            let table = self.sessions.table();
            match pool.with_room(table, None) {
                // What shows whether it still errs is a client's query.
                Some(_) if pool.health().is_erring() => {}
                // Those who wait could have asked on that session: they need a fresh one.
                Some(session) if self.waiting.count_for(upstream) == 0 || !pool.may_grow(table) => {
                    self.sessions.send_probe(now, session);
                }
                Some(_) | None => self.open_session(now, upstream),
            }
        }
    }

    /// Opens a session to an upstream that has none, before a client asks.
    pub(crate) fn open_first_session(&mut self, now: Moment, upstream: UpstreamId) {
        let pools = self.sessions.pools();
        let pool = pools
            .get(upstream)
            .filter(|_| pools.is_configured(upstream));
        if pool.is_some_and(|pool| pool.keys().is_empty()) {
            self.open_session(now, upstream);
        }
    }

    /// This host has other addresses or routes: sessions are tested, and upstreams that were out of reach are tried.
    pub(crate) fn on_network_change(&mut self, now: Moment) {
        self.sessions.recheck(now);
        let pools = self.sessions.pools().configured();
        let is_down = |pool: &Pool| pool.health().state() == HealthState::Down;
        let down = pools.filter_map(|(id, pool)| is_down(pool).then_some(id));
        let down: Vec<UpstreamId> = down.collect();
        for upstream in down {
            self.probe(now, upstream);
        }
    }

    /// Finds out whether an upstream answers, for a health check. Where something is in flight to it
    /// already, that will show it.
    pub(crate) fn probe(&mut self, now: Moment, upstream: UpstreamId) {
        if self.sessions.order_probe(now, upstream) {
            self.open_session(now, upstream);
        }
    }

    /// A TCP connection takes long: the next address of the upstream is tried in addition, and the first session that opens is
    /// used (RFC 8305). Without another address nothing is gained.
    pub(super) fn race(&mut self, now: Moment, key: SessionKey) {
        let session = self.sessions.get(key).filter(|session| {
            session.phase == Phase::Connecting
                && session.purpose == Purpose::Shared
                && session.link == Link::Tls
        });
        if let Some(upstream) = session.map(|session| session.upstream)
            && self.sessions.has_next_address(upstream)
            && !dotgate_wire::planted!("addresses-are-not-raced")
        {
            self.sessions.open_another(now, upstream);
        }
    }

    /// An address of an upstream could not be connected to. True if another one is being tried, or is tried now: then the
    /// upstream has not failed yet. While it is not healthy its tries have a pace of their own.
    pub(super) fn tries_next_address(&mut self, now: Moment, session: &Session) -> bool {
        let upstream = session.upstream;
        let is_one_of_several = session.phase == Phase::Connecting
            && session.purpose == Purpose::Shared
            && session.link == Link::Tls
            && self
                .sessions
                .health(upstream)
                .is_some_and(Health::is_healthy);
        if !is_one_of_several || dotgate_wire::planted!("one-address-speaks-for-all") {
            return false;
        }
        if self.sessions.has_next_address(upstream) {
            self.open_session(now, upstream);
        }
        let pool = self.sessions.pool(upstream);
        pool.is_some_and(|pool| {
            let mut openings = pool.openings(self.sessions.table());
            openings.any(|other| other.handshake.try_number != session.handshake.try_number)
        })
    }

    /// Records, for every question that waits for this upstream, why no session could be opened.
    pub(super) fn note_waiting(&mut self, failure: Failure, upstream: UpstreamId) {
        for key in self.waiting.all_for(upstream) {
            self.questions.note(key, failure, Some(upstream));
        }
    }

    /// An upstream that still answers on another session is not down because one more could not be opened.
    pub(super) fn upstream_failed_to_open(
        &mut self,
        now: Moment,
        upstream: UpstreamId,
        failure: Failure,
    ) {
        self.note_waiting(failure, upstream);
        self.sessions.on_open_failed(now, upstream, failure);
    }

    /// What a lost session shows about its upstream. One on which the probe alone was not answered is as one that
    /// could not be opened; where clients' questions were asked, one of these may be the cause.
    pub(super) fn charge_lost_session(&mut self, now: Moment, session: &Session, failure: Failure) {
        let upstream = session.upstream;
        if session.responses > 0 || failure == Failure::NoResponse {
            self.sessions.note_error(now, upstream, failure);
        } else if session.carried() == 0 {
            self.upstream_failed_to_open(now, upstream, failure);
        } else {
            self.note_waiting(failure, upstream);
            self.sessions.on_barren(now, upstream, failure);
        }
    }

    /// What cannot be sent by UDP says that the upstream cannot be reached; a failed TCP connection does not.
    pub(super) fn charge_plain(&mut self, now: Moment, session: &Session, failure: Failure) {
        let upstream = session.upstream;
        match session.link {
            Link::Tls | Link::Tcp => self.sessions.note_error(now, upstream, failure),
            Link::Datagrams => self.upstream_failed_to_open(now, upstream, failure),
        }
    }

    /// Those whose response does not fit into UDP have none from an upstream that cannot be asked over TCP.
    pub(super) fn fail_over_tcp(&mut self, upstream: UpstreamId, failure: Failure) {
        for key in self.waiting.all_for(upstream) {
            if let Some(attempts) = self.questions.get_mut(key)
                && attempts.over_tcp == Some(upstream)
            {
                attempts.over_tcp = None;
                attempts.answered_by.add(upstream);
                attempts.note(failure, Some(upstream));
            }
        }
    }
}
