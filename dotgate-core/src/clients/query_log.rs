//! What the log says of single queries at `debug` and `trace`.
//!
//! At other levels nothing is built: a query costs one comparison. These events hold names and client addresses.

use std::time::Duration;

use dotgate_wire::Question;

use super::Clients;
use crate::counters::labels::Outcome;
use crate::exchange::{Client, Waiter};
use crate::failure::Failure;
use crate::keys::UpstreamId;
use crate::moment::Moment;
use crate::outbox::{Event, LogDetail, QueryEvent};

/// How a query ended that had waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) rcode: u16,
    /// The upstream that answered, or that is at fault; none if that is known to another worker alone.
    pub(super) upstream: Option<UpstreamId>,
    pub(super) failure: Option<Failure>,
}

impl Clients {
    /// How much the log is to say from now on.
    pub(crate) fn set_log_detail(&mut self, detail: LogDetail) {
        self.log_detail = detail;
    }

    /// A query that was answered in the turn in which it came, at `trace`. `question` is as the client sent it; empty
    /// if it could not be read.
    #[inline]
    pub(super) fn trace_query(
        &mut self,
        client: Client,
        question: &[u8],
        outcome: Outcome,
        rcode: u16,
    ) {
        if self.log_detail == LogDetail::Trace {
            self.log_query(client, question, outcome, rcode, None);
        }
    }

    /// A query that waited: at `trace`, and at `debug` if it failed.
    pub(super) fn log_waiter(
        &mut self,
        now: Moment,
        waiter: &Waiter,
        question: &Question,
        ended: Ended,
    ) {
        let is_wanted = match self.log_detail {
            LogDetail::Usual => false,
            LogDetail::Debug => ended.failure.is_some(),
            LogDetail::Trace => true,
        };
        if is_wanted {
            let question = question.as_bytes();
            let waited = Some((now.since(waiter.asked_at), ended.upstream, ended.failure));
            self.log_query(waiter.client, question, ended.outcome, ended.rcode, waited);
        }
    }

    #[cold]
    fn log_query(
        &mut self,
        client: Client,
        question: &[u8],
        outcome: Outcome,
        rcode: u16,
        waited: Option<(Duration, Option<UpstreamId>, Option<Failure>)>,
    ) {
        let (waited, upstream, failure) = waited.unwrap_or_default();
        self.events.push_back(Event::Query(Box::new(QueryEvent {
            client: self.address_of(client),
            transport: client.transport(),
            question: Question::fold(question),
            outcome,
            rcode,
            waited,
            upstream,
            failure,
        })));
    }
}
