//! Events: upstreams that went down, at `debug` single sessions and probes, at `trace` attempts and why they failed. At other levels nothing is built for these.

use std::time::Duration;

use dotgate_wire::Question;

use super::Sessions;
use crate::attempts::{Attempt, Attempts};
use crate::counters::labels::{AttemptKind, Ending};
use crate::failure::Failure;
use crate::keys::UpstreamId;
use crate::moment::Moment;
use crate::outbox::{Event, LogDetail};
use crate::session::Session;

impl Sessions {
    /// How much the log is to say from now on.
    pub fn set_log_detail(&mut self, detail: LogDetail) {
        self.log_detail = detail;
    }

    pub(super) fn log_session_ended(&mut self, session: &Session, ending: Ending) {
        if self.log_detail >= LogDetail::Debug
            && let Some(opened) = session.opened
        {
            self.events.push_back(Event::SessionEnded {
                upstream: session.upstream,
                ending,
                opened,
                responses: session.responses,
            });
        }
    }

    pub(crate) fn log_probe(&mut self, upstream: UpstreamId, round_trip: Option<Duration>) {
        if self.log_detail >= LogDetail::Debug {
            self.events.push_back(match round_trip {
                None => Event::ProbeSent { upstream },
                Some(round_trip) => Event::ProbeAnswered {
                    upstream,
                    round_trip,
                },
            });
        }
    }

    pub(crate) fn log_attempt(
        &mut self,
        upstream: UpstreamId,
        kind: AttemptKind,
        question: &Question,
    ) {
        if self.log_detail == LogDetail::Trace {
            self.events.push_back(Event::Attempted {
                upstream,
                kind,
                question: Box::new(question.clone()),
            });
        }
    }

    /// An attempt has failed.
    pub(crate) fn log_failed(
        &mut self,
        now: Moment,
        attempt: &Attempt,
        question: &Question,
        failure: Failure,
    ) {
        if self.log_detail == LogDetail::Trace {
            self.events.push_back(Event::AttemptFailed {
                upstream: attempt.upstream,
                kind: attempt.kind,
                question: Box::new(question.clone()),
                failure,
                took: now.since(attempt.sent_at),
            });
        }
    }

    /// The attempts for a question on sessions that have ended have failed.
    pub(crate) fn log_lost(&mut self, now: Moment, attempts: &Attempts, failure: Failure) {
        for attempt in attempts.running() {
            if !self.has(attempt.session) {
                self.log_failed(now, &attempt, &attempts.question, failure);
            }
        }
    }

    /// Reports that an upstream went down, once for all workers.
    pub(crate) fn report_down(&mut self, upstream: UpstreamId, failure: Failure) {
        if self.pools.is_configured(upstream) {
            let event = Event::UpstreamDown { upstream, failure };
            self.events.push_back(event);
        }
    }

    /// Reports that a question makes upstreams end their sessions.
    pub(crate) fn report_harmful(&mut self, upstream: UpstreamId) {
        self.events.push_back(Event::HarmfulQuestion { upstream });
    }
}
