//! Sessions that could not be opened, ended with queries in flight, or stopped answering: what that says of the
//! upstream, and of what they carried.

use super::Upstreams;
use crate::counters::Count;
use crate::counters::labels::Limit;
use crate::failure::{ConnectFault, Failure, SessionEnd, TlsFault};
use crate::health::{Health, NextStep};
use crate::isolation::Stage;
use crate::keys::{ExchangeKey, SessionKey, UpstreamId};
use crate::limits;
use crate::link::Link;
use crate::moment::Moment;
use crate::pool::Closing;
use crate::session::{Phase, Purpose, Session};
use crate::sessions::Attempted;

impl Upstreams {
    /// Where an upstream gives few answers per session, the end of one makes room for the next.
    pub(super) fn serve_few_answers(&mut self, now: Moment, upstream: UpstreamId) {
        let pool = self.sessions.pool(upstream);
        if !self.waiting.is_empty() && pool.is_some_and(|pool| pool.answers_max().is_some()) {
            self.serve_waiting(now);
        }
    }

    pub(super) fn opening_failed(
        &mut self,
        now: Moment,
        key: SessionKey,
        session: &Session,
        end: SessionEnd,
    ) {
        self.tally.count(Count::SessionsFailed);
        let upstream = session.upstream;
        match end {
            SessionEnd::Tls(TlsFault::AlpnRejected) if session.alpn => {
                self.sessions.stop_alpn(upstream);
                self.tally.error(upstream, TlsFault::AlpnRejected);
                let attempted = Attempted::session(now, session, end.into());
                let next = NextStep::AskedDifferently;
                self.sessions.record(now, attempted, end.into(), next);
                match session.purpose {
                    Purpose::Shared => self.open_session(now, upstream),
                    Purpose::Isolation => self.isolation_failed_to_open(now, key, end.into()),
                }
                return;
            }
            SessionEnd::Connect(ConnectFault::NoDescriptor) => {
                self.tally.count(Count::DescriptorsExhausted);
                self.tally.limit(Limit::Descriptors);
                self.sessions.pause_for_descriptors(now);
                self.note_waiting(end.into(), upstream);
                self.isolation_failed_to_open(now, key, end.into());
                return;
            }
            SessionEnd::Closed
            | SessionEnd::Connect(_)
            | SessionEnd::Reset
            | SessionEnd::Tls(_) => {}
        }
        let failure = match (end, session.phase) {
            (SessionEnd::Closed | SessionEnd::Reset, Phase::Handshaking) => {
                Failure::Tls(TlsFault::Closed)
            }
            (end, _) => end.into(),
        };
        self.tally.error(upstream, failure);
        let attempted = Attempted::session(now, session, failure);
        if self.sessions.falls_back(session, failure) {
            self.open_session(now, upstream);
            if self.sessions.is_opening(upstream) {
                let next = NextStep::AskedDifferently;
                self.sessions.record(now, attempted, failure, next);
                return;
            }
        }
        if self.tries_next_address(now, session) {
            let next = NextStep::AskedDifferently;
            self.sessions.record(now, attempted, failure, next);
            return;
        }
        let before = self.sessions.state(upstream);
        self.upstream_failed_to_open(now, upstream, failure);
        self.sessions
            .record_reported(now, attempted, failure, before);
        self.isolation_failed_to_open(now, key, failure);
        self.serve_waiting(now);
        self.give_up_waiting_after_failure(now);
    }

    /// An address of an upstream could not be connected to. True if another one is being tried, or is tried now: then the
    /// upstream has not failed yet. While it is not healthy its tries have a pace of their own.
    fn tries_next_address(&mut self, now: Moment, session: &Session) -> bool {
        let upstream = session.upstream;
        let is_one_of_several = session.phase == Phase::Connecting
            && session.purpose == Purpose::Shared
            && session.link == Link::Tls
            && self
                .sessions
                .health(upstream)
                .is_some_and(Health::is_healthy);
        if !is_one_of_several {
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

    /// A session ended with queries in flight. What it carried is suspect, unless the upstream had given all the
    /// answers that it gives on one session.
    pub(super) fn session_lost(
        &mut self,
        now: Moment,
        key: SessionKey,
        session: &Session,
        failure: Failure,
    ) {
        self.tally.count(Count::SessionsLost);
        self.tally.error(session.upstream, failure);
        let before = self.sessions.state(session.upstream);
        self.charge_lost_session(now, session, failure);
        self.sessions.on_session_left(now, session.upstream);
        // One that was unresponsive was recorded when it became so.
        if failure != Failure::NoResponse {
            let attempted = Attempted::session(now, session, failure);
            self.sessions
                .record_reported(now, attempted, failure, before);
        }
        let unanswered = session.unanswered();
        let closing = self
            .sessions
            .judge_closing(now, session, unanswered.len(), failure);
        let mut suspects = match self.isolation.end(key) {
            Some(test) if test.stage != Stage::Sent && session.carried() == 0 => {
                self.questions.leave_group(&test.group)
            }
            Some(_) | None => Vec::new(),
        };
        let is_accused = session.carried() == 1 && failure != Failure::NoResponse;
        let mut spent = Vec::new();
        for key in unanswered {
            let Some(attempts) = self.questions.get_mut(key) else {
                continue;
            };
            attempts.take_back_on(|key| !self.sessions.has(key));
            attempts.note(failure, Some(session.upstream));
            if closing != Closing::Suspicious {
                attempts.clear_suspicion();
                attempts.forgive(session.upstream);
                let (waits, is_running) = (attempts.waiting_since.is_some(), attempts.is_running());
                if !is_running || (!waits && !self.runs_on_healthy_session(now, key, None)) {
                    spent.push(key);
                }
                continue;
            }
            attempts.failed_at.add(session.upstream);
            attempts.fresh_after = Some(now);
            if is_accused && self.proves_harmful(key, session) {
                self.quarantine(now, key, session.upstream);
                continue;
            }
            if self.becomes_suspect(now, key, session.purpose) {
                suspects.push(key);
            }
        }
        if cfg!(planted = "no-retry-after-a-session-ends") {
            for key in suspects.drain(..) {
                self.give_up(now, key);
            }
        }
        self.isolate(now, &suspects);
        for key in spent {
            self.advance(now, key);
        }
    }

    /// Whether a question proves harmful that was alone on a session which the upstream ended. It does not if our own
    /// question before it may have had the only answer that the upstream gives on a session: then it is asked first next
    /// time.
    fn proves_harmful(&mut self, key: ExchangeKey, session: &Session) -> bool {
        let pool = self.sessions.pool(session.upstream);
        let may_answer_once =
            session.responses == 1 && pool.is_some_and(|pool| !pool.answers_repeatedly);
        let Some(attempts) = self.questions.get_mut(key) else {
            return false;
        };
        if may_answer_once && !attempts.is_asked_first {
            attempts.is_asked_first = true;
            return false;
        }
        attempts.strikes += 1;
        attempts.strikes >= limits::HARMFUL_STRIKES
            && !cfg!(planted = "harmful-question-is-never-quarantined")
    }

    /// Whether a query whose session failed is to be isolated now. One that runs elsewhere too needs no further attempt
    /// yet; one that is in a group, or waits, gets its turn.
    fn becomes_suspect(&mut self, now: Moment, key: ExchangeKey, carried_by: Purpose) -> bool {
        let Some(attempts) = self.questions.get_mut(key) else {
            return false;
        };
        if carried_by == Purpose::Isolation {
            attempts.suspects = None;
        }
        attempts.is_suspect = true;
        let has_its_turn = attempts.suspects.is_some() || attempts.waiting_since.is_some();
        !has_its_turn && !self.runs_on_healthy_session(now, key, None)
    }

    /// Whether a query has a young attempt on a responsive session, other than this one.
    fn runs_on_healthy_session(
        &self,
        now: Moment,
        key: ExchangeKey,
        except: Option<SessionKey>,
    ) -> bool {
        let Some(attempts) = self.questions.get(key) else {
            return false;
        };
        attempts.running().any(|attempt| {
            Some(attempt.session) != except
                && attempt.sent_at + limits::HEDGE_AFTER > now
                && self.sessions.is_responsive(attempt.session)
        })
    }

    /// What a lost session shows about its upstream. One on which the probe alone was not answered is as one that
    /// could not be opened; where clients' questions were asked, one of these may be the cause.
    fn charge_lost_session(&mut self, now: Moment, session: &Session, failure: Failure) {
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

    /// A session is unresponsive: the probe was not answered on it either. What it carries is suspect; it may
    /// still be answered here. The upstream is charged if nothing came from it on another session meanwhile.
    pub(super) fn on_unresponsive(&mut self, now: Moment, session_key: SessionKey) {
        self.tally.count(Count::SessionsUnresponsive);
        let Some(session) = self.sessions.get(session_key) else {
            return;
        };
        let (upstream, unanswered) = (session.upstream, session.unanswered());
        let (since, purpose) = (session.no_response_since(), session.purpose);
        // Of a serial upstream, which may be busy with this very question, a single suspect proves nothing.
        let is_single_suspect = purpose == Purpose::Isolation && session.carried() == 1;
        let attempted = Attempted::unanswered(now, upstream, since);
        let before = self.sessions.state(upstream);
        if !is_single_suspect {
            self.sessions.on_unresponsive(now, upstream, since);
        }
        self.sessions.on_session_left(now, upstream);
        self.sessions
            .record_reported(now, attempted, Failure::NoResponse, before);
        if purpose == Purpose::Isolation {
            self.isolation_unresponsive(now, session_key);
            return;
        }
        let mut suspects = Vec::new();
        for key in unanswered {
            if let Some(attempts) = self.questions.get_mut(key) {
                attempts.failed_at.add(upstream);
                attempts.fresh_after = Some(now);
            }
            if !self.runs_on_healthy_session(now, key, Some(session_key)) {
                suspects.push(key);
            }
        }
        self.isolate(now, &suspects);
    }
}
