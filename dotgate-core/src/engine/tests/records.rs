//! What becomes an event at which detail of the log, and the records of queries.

use super::lab::{Lab, MS, SECOND};
use crate::counters::labels::{AttemptKind, ClientTransport, Ending, Outcome};
use crate::failure::{ConnectFault, Failure, SessionEnd};
use crate::keys::UpstreamId;
use crate::outbox::{Event, LogDetail};
use crate::record::QueryRecord;
use crate::routes::RouteId;

/// REFUSED.
const REFUSED: u8 = 5;

/// A query that is answered, the same again, one that is refused, one that fails, a probe, and the end of the session.
fn observed_at(detail: LogDetail, is_recording: bool) -> (Vec<Event>, Vec<QueryRecord>) {
    let mut lab = Lab::opened(1);
    lab.engine.sessions_mut().set_log_detail(detail);
    lab.engine.clients_mut().set_recording(is_recording);
    lab.events.clear();
    lab.ask("right.example");
    lab.pass(20 * MS);
    lab.answer_all();
    lab.send(&[0; 12]);
    lab.probe(0);
    lab.pass(10 * MS);
    lab.answer_all();
    lab.pass(10 * SECOND);
    lab.ask("lost.example");
    lab.fail_open(0, SessionEnd::Connect(ConnectFault::Refused));
    lab.pass(5 * SECOND);
    (
        std::mem::take(&mut lab.events),
        std::mem::take(&mut lab.records),
    )
}

fn events_at(detail: LogDetail) -> Vec<Event> {
    observed_at(detail, false).0
}

#[test]
fn at_the_usual_detail_nothing_of_a_single_query_is_an_event() {
    let events = events_at(LogDetail::Usual);
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(matches!(
        events[0],
        Event::UpstreamDown {
            upstream: UpstreamId(0),
            ..
        }
    ));
}

#[test]
fn at_debug_probes_and_ended_sessions_are_events() {
    let events = events_at(LogDetail::Debug);
    let is_answered = |event: &Event| {
        matches!(
            event,
            Event::ProbeAnswered {
                upstream: UpstreamId(0),
                ..
            }
        )
    };
    assert!(events.iter().any(is_answered), "{events:?}");
    assert!(events.contains(&Event::ProbeSent {
        upstream: UpstreamId(0)
    }));
    let ended = events.iter().any(|event| {
        matches!(
            event,
            Event::SessionEnded {
                ending: Ending::Idle,
                ..
            }
        )
    });
    assert!(ended, "{events:?}");
    assert!(events.iter().all(|e| e.detail() <= LogDetail::Debug));
}

#[test]
fn at_trace_attempts_are_events() {
    let events = events_at(LogDetail::Trace);
    let attempts = events.iter().filter_map(|event| {
        let Event::Attempted { kind, question, .. } = event else {
            return None;
        };
        Some((*kind, question.to_string()))
    });
    let attempts: Vec<_> = attempts.collect();
    assert_eq!(
        attempts,
        [(AttemptKind::First, "right.example. A IN".to_owned())]
    );
}

#[test]
fn at_trace_the_end_of_a_failed_attempt_is_an_event() {
    let mut lab = Lab::opened(2);
    lab.engine.sessions_mut().set_log_detail(LogDetail::Trace);
    lab.events.clear();
    lab.ask("refused.example");
    let forwarded = lab.next_forwarded();
    lab.answer_with_rcode(&forwarded, REFUSED);
    lab.ask("lost.example");
    let ends = |lab: &Lab| {
        let failed = lab.events.iter().filter_map(|event| {
            let Event::AttemptFailed {
                question, failure, ..
            } = event
            else {
                return None;
            };
            Some((question.to_string(), failure.text()))
        });
        failed.collect::<Vec<_>>()
    };
    assert_eq!(ends(&lab).len(), 1, "{:?}", lab.events);
    assert_eq!(ends(&lab)[0].0, "refused.example. A IN");
    lab.pass(30 * SECOND);
    let lost: Vec<_> = ends(&lab);
    let lost = lost.iter().filter(|(name, _)| name == "lost.example. A IN");
    let attempts = lab.events.iter().filter(|event| {
        let Event::Attempted { question, .. } = event else {
            return false;
        };
        question.to_string() == "lost.example. A IN"
    });
    let (lost, attempts) = (lost.count(), attempts.count());
    assert!((1..=attempts).contains(&lost), "{:?}", lab.events);
}

#[test]
fn every_query_has_a_record_while_records_are_read() {
    let (events, records) = observed_at(LogDetail::Usual, true);
    assert_eq!(events.len(), 1, "{events:?}");
    let outcomes: Vec<Outcome> = records.iter().map(|record| record.ended.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Answered, Outcome::Malformed, Outcome::Failed]
    );
    let right = &records[0];
    assert_eq!(right.ended.upstream, Some(UpstreamId(0)));
    assert_eq!((right.ended.rcode, right.ended.attempts), (0, 1));
    assert_eq!(
        (right.took, right.ended.upstream_took),
        (20 * MS, Some(20 * MS))
    );
    assert_eq!(right.transport, ClientTransport::Udp);
    assert_eq!(right.ended.route, Some(RouteId::DEFAULT));
    assert!(right.client.is_some() && right.port.is_some());
    assert_eq!(records[1].ended.route, None);
    let failed = &records[2];
    let refused = Failure::Connect(ConnectFault::Refused);
    assert_eq!(failed.ended.failure, Some(refused));
    assert_eq!(failed.ended.ede, Some(refused.ede()));
    assert_eq!(failed.ended.upstream, Some(UpstreamId(0)));
    let question = failed.question().unwrap();
    assert!(question.to_string().starts_with("lost.example. A"));
}

#[test]
fn no_query_has_a_record_while_nobody_reads_them() {
    let (_, records) = observed_at(LogDetail::Trace, false);
    assert!(records.is_empty(), "{records:?}");
}
