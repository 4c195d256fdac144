//! What the log says of single sessions and probes at `debug`. At other levels nothing is built.

use std::time::Duration;

use super::Upstreams;
use crate::counters::labels::Ending;
use crate::outbox::{Event, LogDetail};
use crate::session::Session;

impl Upstreams {
    /// How much the log is to say from now on.
    pub(crate) fn set_log_detail(&mut self, detail: LogDetail) {
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

    pub(super) fn log_probe(&mut self, upstream: usize, round_trip: Option<Duration>) {
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
}
