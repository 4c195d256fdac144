//! What sessions show of their upstreams: health, idle timeout, responses per session, EDNS.

use std::time::Duration;

use dotgate_wire::rcode;

use super::{Attempted, Sessions};
use crate::attempts::Attempts;
use crate::counters::Count;
use crate::counters::labels::Reason;
use crate::failure::Failure;
use crate::health::{IncidentKind, NextStep};
use crate::keys::{SessionKey, UpstreamId};
use crate::limits;
use crate::moment::Moment;
use crate::outbox::Event;
use crate::pool::Closing;
use crate::session::{QueryOwner, Session};

impl Sessions {
    /// A message answers the query with this ID. Returns how long that took, unless nobody waited for it any longer, and the
    /// smoothed round trip of the session.
    pub(crate) fn on_response(
        &mut self,
        now: Moment,
        key: SessionKey,
        id: u16,
        owner: QueryOwner,
    ) -> (Option<Duration>, Option<Duration>) {
        let Some(session) = self.table.get_mut(key) else {
            return (None, None);
        };
        let time = match owner {
            QueryOwner::Retired(_) => {
                session.on_late_response(id);
                None
            }
            QueryOwner::Exchange(_) | QueryOwner::Probe(_) | QueryOwner::Copy(_) => {
                session.on_response(id, now)
            }
        };
        if let Some(pool) = self.pools.get_mut(session.upstream) {
            if let (QueryOwner::Exchange(_) | QueryOwner::Copy(_), Some(time)) = (owner, time) {
                pool.response_time.add(now, time);
            }
            pool.last_response = Some(now);
            pool.round_trip = session
                .round_trip()
                .filter(|_| !dotgate_wire::planted!("slowness-is-forgotten"));
            pool.answers_repeatedly |= session.responses > 1;
        }
        (time, session.round_trip())
    }

    /// RFC 7828 section 3.2.2: close before the peer does; at 0 send nothing more.
    pub(crate) fn take_keepalive(&mut self, key: SessionKey, tenths: u16) {
        let Some(session) = self.table.get_mut(key) else {
            return;
        };
        if tenths == 0 {
            if !dotgate_wire::planted!("keepalive-zero-is-ignored") {
                session.drain();
            }
            return;
        }
        let reported = Duration::from_millis(u64::from(tenths) * 100) * 9 / 10;
        session.idle_limit = reported.min(limits::SESSION_IDLE_LONGEST);
    }

    /// Records what a response says of its upstream. True if it was down and is not any more.
    pub(crate) fn judge_health(
        &mut self,
        now: Moment,
        upstream: UpstreamId,
        round_trip: Option<Duration>,
        (owner, is_right): (QueryOwner, bool),
    ) -> bool {
        let Some(pool) = self.pools.get_mut(upstream) else {
            return false;
        };
        let health = pool.health();
        if is_right || matches!(owner, QueryOwner::Probe(_)) {
            health.evidence().note_response(now, round_trip);
        }
        // An error to a client's question may be the question's, so it only proves that the upstream responds.
        let has_recovered = match owner {
            QueryOwner::Exchange(_) if is_right => health.on_right_response(now),
            QueryOwner::Exchange(_)
            | QueryOwner::Probe(_)
            | QueryOwner::Copy(_)
            | QueryOwner::Retired(_) => health.on_response(now),
        };
        if has_recovered {
            health.recorder().record(now, IncidentKind::Recovered);
            pool.tries = 0;
            self.events.push_back(Event::UpstreamHealthy { upstream });
        }
        has_recovered
    }

    /// A client's question was answered by this upstream.
    pub(crate) fn note_answer(&mut self, now: Moment, upstream: UpstreamId) {
        if let Some(pool) = self.pools.get_mut(upstream) {
            pool.last_answer = Some(now);
        }
    }

    /// An upstream answered a question without EDNS that it had refused with EDNS.
    pub(crate) fn note_edns_refused(&mut self, now: Moment, upstream: UpstreamId) {
        if let Some(pool) = self.pools.get_mut(upstream) {
            pool.without_edns_until = Some(now + limits::WITHOUT_EDNS_FOR);
        }
    }

    pub(crate) fn note_error(&self, now: Moment, upstream: UpstreamId, failure: Failure) {
        if let Some(health) = self.health(upstream) {
            health.evidence().note_error(now, failure);
        }
    }

    /// A session could not be opened. An upstream that still answers on another one is not down for that.
    pub(crate) fn on_open_failed(&mut self, now: Moment, upstream: UpstreamId, failure: Failure) {
        let Some(pool) = self.pools.get_mut(upstream) else {
            return;
        };
        let has_another = pool.with_room(&self.table, None).is_some();
        if has_another && !dotgate_wire::planted!("failed-replacement-takes-down") {
            pool.health().evidence().note_error(now, failure);
            // Those who wait for a fresh session would have it retry at once, without success.
            pool.paused_until = Some(now + limits::TRY_EVERY);
            pool.failed_to_open = Some(failure);
        } else if pool.health().on_open_failed(now, failure) {
            self.report_down(upstream, failure);
        }
    }

    /// A session takes no more queries. If it was the last one that did, and another one could not be opened a moment ago,
    /// that is evidence against the upstream now.
    pub(crate) fn on_session_left(&mut self, now: Moment, upstream: UpstreamId) {
        let Some(pool) = self.pools.get_mut(upstream) else {
            return;
        };
        if pool.paused_until.is_none() || pool.with_room(&self.table, None).is_some() {
            return;
        }
        if let Some(failure) = pool.failed_to_open.take()
            && pool.health().on_open_failed(now, failure)
        {
            self.report_down(upstream, failure);
        }
    }

    /// A session ended on which questions of clients had no response at all.
    pub(crate) fn on_barren(&mut self, now: Moment, upstream: UpstreamId, failure: Failure) {
        let health = self.health(upstream);
        if health.is_some_and(|health| health.on_barren_session(now, failure)) {
            self.report_down(upstream, failure);
        }
    }

    /// A session was unresponsive since then; nothing came on another one meanwhile unless the pool knows better.
    pub(crate) fn on_unresponsive(
        &mut self,
        now: Moment,
        upstream: UpstreamId,
        since: Option<Moment>,
    ) {
        let pool = self.pools.get(upstream);
        let is_down = pool.is_some_and(|pool| {
            pool.last_response <= since && pool.health().on_unresponsive_session(now)
        });
        if is_down {
            self.report_down(upstream, Failure::NoResponse);
        }
    }

    /// The same of all queries over UDP.
    pub(crate) fn on_unresponsive_datagrams(&mut self, now: Moment, upstream: UpstreamId) {
        let health = self.health(upstream);
        if health.is_some_and(|health| health.on_unresponsive_session(now)) {
            self.report_down(upstream, Failure::NoResponse);
        }
    }

    /// The peer closed a session that was idle for so long; not for that, if it may have given all the answers that it gives
    /// on one session.
    pub(crate) fn on_idle_closed_by_peer(&mut self, session: &Session, idle: Duration) {
        let Some(pool) = self.pools.get(session.upstream) else {
            return;
        };
        if pool.may_end_after(session.responses) {
            return;
        }
        pool.upstream.idle_timeout.on_closed_by_peer(idle);
        let limit = pool.idle_limit();
        for key in pool.keys() {
            if let Some(other) = self.table.get_mut(*key) {
                other.idle_limit = other.idle_limit.min(limit);
            }
        }
    }

    /// A session was closed for being idle before its peer did.
    pub(crate) fn on_idle_limit_reached(&mut self, upstream: UpstreamId) {
        if let Some(pool) = self.pools.get(upstream) {
            pool.upstream.idle_timeout.on_limit_reached();
        }
    }

    /// Why a session may have been closed with so many queries unanswered. A bound on the answers per session that is
    /// learned by it holds for the sessions that are open.
    pub(crate) fn judge_closing(
        &mut self,
        now: Moment,
        session: &Session,
        unanswered: usize,
        failure: Failure,
    ) -> Closing {
        let is_closed_by_peer = matches!(failure, Failure::Closed | Failure::Tls(_));
        let upstream = session.upstream;
        let pool = self.pools.get_mut(upstream);
        let Some(pool) = pool.filter(|_| is_closed_by_peer) else {
            return Closing::Suspicious;
        };
        let closing = pool.on_closed_after(session.responses, unanswered, now);
        if let Closing::SpentLearned(answers) = closing {
            for key in pool.keys() {
                if let Some(session) = self.table.get_mut(*key) {
                    session.answers_max = Some(answers);
                }
            }
            let event = Event::FewAnswers { upstream, answers };
            self.events.push_back(event);
        }
        closing
    }

    /// An upstream has answered what others answered with an error; or not at all, while they answered no other client
    /// either.
    pub(crate) fn note_avoidable_errors(
        &mut self,
        now: Moment,
        attempts: &Attempts,
        answering: UpstreamId,
    ) {
        let mut avoidable = attempts.answered_by;
        for attempt in attempts.running() {
            let pool = self.pool(attempt.upstream);
            let is_old = |last: Moment| last + limits::NO_ANSWER_FOR <= now;
            let answers_none = pool.is_some_and(|pool| pool.last_answer.is_none_or(is_old));
            let is_overdue = attempt.sent_at + limits::HEDGE_AFTER <= now;
            if attempt.upstream != answering && is_overdue && answers_none {
                avoidable.add(attempt.upstream);
            }
        }
        if avoidable.is_empty() {
            return;
        }
        let domain = self.hasher.domain(attempts.question.name());
        let erring = self.pools.in_order(&attempts.group);
        let erring = erring.filter(|(upstream, _)| avoidable.has(*upstream));
        let down: Vec<UpstreamId> = erring
            .filter(|(_, pool)| pool.health().on_avoidable_error(now, domain))
            .map(|(upstream, _)| upstream)
            .collect();
        for upstream in down {
            let failure = Failure::Answered {
                rcode: rcode::SERVFAIL,
                ede: None,
            };
            self.report_down(upstream, failure);
            let attempted = Attempted::unanswered(now, upstream, None);
            self.record(now, attempted, failure, NextStep::MarkedDown);
        }
    }

    /// A message that matches no query of its session.
    pub(crate) fn count_invalid(&mut self, key: SessionKey, reason: Reason) {
        self.tally.count(Count::ResponsesInvalid);
        if let Some(session) = self.table.get(key) {
            self.tally.error(session.upstream, reason);
        }
    }
}
