//! Sessions that could not be opened, ended with queries in flight, or stopped answering: what that says of the
//! upstream, and of what they carried.

use super::Upstreams;
use crate::counters::Count;
use crate::counters::labels::Limit;
use crate::failure::{ConnectFault, Failure, SessionEnd, TlsFault};
use crate::health::NextStep;
use crate::isolation::Stage;
use crate::keys::{ExchangeKey, SessionKey, UpstreamId};
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
                    Purpose::Shared => self.forwarder().open_session(now, upstream),
                    Purpose::Isolation => self.isolation_failed_to_open(now, key, end.into()),
                }
                return;
            }
            SessionEnd::Connect(ConnectFault::NoDescriptor) => {
                self.tally.count(Count::DescriptorsExhausted);
                self.tally.limit(Limit::Descriptors);
                self.sessions.pause_for_descriptors(now);
                self.forwarder().note_waiting(end.into(), upstream);
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
            self.forwarder().open_session(now, upstream);
            if self.sessions.is_opening(upstream) {
                let next = NextStep::AskedDifferently;
                self.sessions.record(now, attempted, failure, next);
                return;
            }
        }
        if self.forwarder().tries_next_address(now, session) {
            let next = NextStep::AskedDifferently;
            self.sessions.record(now, attempted, failure, next);
            return;
        }
        let before = self.sessions.state(upstream);
        self.forwarder()
            .upstream_failed_to_open(now, upstream, failure);
        self.sessions
            .record_reported(now, attempted, failure, before);
        self.isolation_failed_to_open(now, key, failure);
        self.serve_waiting(now);
        self.give_up_waiting_after_failure(now);
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
        self.forwarder().charge_lost_session(now, session, failure);
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
            self.sessions.log_lost(now, attempts, failure);
            attempts.take_back_on(|key| !self.sessions.has(key));
            attempts.note(failure, Some(session.upstream));
            if closing != Closing::Suspicious {
                attempts.clear_suspicion();
                attempts.forgive(session.upstream);
                let (waits, is_running) = (attempts.waiting_since.is_some(), attempts.is_running());
                if !is_running || (!waits && !self.runs_elsewhere(now, key, None)) {
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
        if dotgate_wire::planted!("no-retry-after-a-session-ends") {
            for key in suspects.drain(..) {
                self.give_up(now, key);
            }
        }
        self.isolate(now, &suspects);
        for key in spent {
            self.advance(now, key);
        }
    }

    /// Whether a question proves harmful that was alone on a session which the upstream ended.
    fn proves_harmful(&mut self, key: ExchangeKey, session: &Session) -> bool {
        let pool = self.sessions.pool(session.upstream);
        self.questions.proves_harmful(key, session, pool)
    }

    /// Whether a query whose session failed is to be isolated now.
    fn becomes_suspect(&mut self, now: Moment, key: ExchangeKey, carried_by: Purpose) -> bool {
        self.questions
            .becomes_suspect(now, key, carried_by, &self.sessions)
    }

    /// Whether a query has a young attempt on a responsive session, other than this one.
    pub(super) fn runs_elsewhere(
        &self,
        now: Moment,
        key: ExchangeKey,
        except: Option<SessionKey>,
    ) -> bool {
        self.questions
            .runs_elsewhere(now, key, except, &self.sessions)
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
        let is_rechecked = session.is_rechecked();
        // Of a serial upstream, which may be busy with this very question, a single suspect proves nothing.
        let is_single_suspect = purpose == Purpose::Isolation && session.carried() == 1;
        let attempted = Attempted::unanswered(now, upstream, since);
        let before = self.sessions.state(upstream);
        if !is_single_suspect && !is_rechecked {
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
            if !self.runs_elsewhere(now, key, Some(session_key)) {
                suspects.push(key);
            }
        }
        self.isolate(now, &suspects);
        if is_rechecked {
            // The next query finds a session of the new network.
            self.forwarder().open_session(now, upstream);
        }
    }
}
