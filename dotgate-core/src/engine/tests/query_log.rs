//! What becomes an event at which detail of the log.

use super::lab::{Lab, MS, SECOND};
use crate::counters::labels::{ClientTransport, Ending, Outcome};
use crate::failure::{ConnectFault, Failure, SessionEnd};
use crate::keys::UpstreamId;
use crate::outbox::{Event, LogDetail, QueryEvent};

/// A query that is answered, one that is refused, one that fails, a probe, and the end of the session.
fn events_at(detail: LogDetail) -> Vec<Event> {
    let mut lab = Lab::opened(1);
    lab.engine.set_log_detail(detail);
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
    std::mem::take(&mut lab.events)
}

fn queries(events: &[Event]) -> Vec<&QueryEvent> {
    let mut queries = Vec::new();
    for event in events {
        if let Event::Query(query) = event {
            queries.push(&**query);
        }
    }
    queries
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
fn at_debug_failed_queries_probes_and_ended_sessions_are_events() {
    let events = events_at(LogDetail::Debug);
    let [failed] = queries(&events)[..] else {
        panic!("{events:?}");
    };
    assert_eq!(
        failed.failure,
        Some(Failure::Connect(ConnectFault::Refused))
    );
    assert_eq!(failed.upstream, Some(UpstreamId(0)));
    let question = failed.question.as_ref().unwrap();
    assert!(question.to_string().starts_with("lost.example. A"));
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
fn at_trace_every_query_is_an_event_with_its_outcome() {
    let events = events_at(LogDetail::Trace);
    let outcomes: Vec<Outcome> = queries(&events).iter().map(|query| query.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Answered, Outcome::Malformed, Outcome::Failed]
    );
    let right = queries(&events)[0];
    assert_eq!((right.upstream, right.rcode), (Some(UpstreamId(0)), 0));
    assert_eq!(right.waited, 20 * MS);
    assert_eq!(right.transport, ClientTransport::Udp);
    assert!(right.client.is_some());
}
