//! What the log of the program says of single queries: those that failed at `debug`, all at `trace`.

use std::time::Duration;

use dotgate_core::LogDetail;

use super::labels::Labels;
use super::ring::TimedRecord;
use crate::log::message::say;

pub(super) fn log(record: &TimedRecord, detail: LogDetail, labels: &Labels) {
    let (query, ended) = (&record.query, &record.query.ended);
    let is_wanted = match detail {
        LogDetail::Usual => false,
        LogDetail::Debug => ended.failure.is_some(),
        LogDetail::Trace => true,
    };
    if !is_wanted {
        return;
    }
    let client = query.client.map(|client| client.to_string());
    let question = query.question().map(|question| question.to_string());
    let upstream = ended
        .upstream
        .and_then(|upstream| labels.upstream(upstream));
    let (transport, outcome) = (query.transport.label(), ended.outcome.label());
    let (rcode, ms) = (ended.rcode, milliseconds(query.took));
    let attempts = (ended.attempts > 0).then_some(ended.attempts);
    match ended.failure {
        Some(failure) => say!(
            QUERY_FAILED,
            client,
            transport,
            question,
            outcome,
            rcode,
            reason = failure.text(),
            upstream,
            attempts,
            ms
        ),
        None => say!(
            QUERY_DONE, client, transport, question, outcome, rcode, upstream, attempts, ms
        ),
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
