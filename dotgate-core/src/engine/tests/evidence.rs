//! What is known of an upstream, and how it is found out for those who ask.

use super::lab::{Lab, MS, SECOND, UNRESPONSIVE_ALONE};
use crate::counters::Count;
use crate::failure::{ConnectFault, Failure, SessionEnd};
use crate::health::Seen;
use crate::limits;

const REFUSED: SessionEnd = SessionEnd::Connect(ConnectFault::Refused);

#[test]
fn live_traffic_shows_that_an_upstream_answers_and_how_fast() {
    let mut lab = Lab::opened(1);
    lab.pass(SECOND);
    let start = lab.now;
    lab.ask("a.example");
    lab.pass(30 * MS);
    assert_eq!(lab.evidence(0).seen_since(start), Seen::Nothing);
    lab.answer_all();
    assert_eq!(lab.evidence(0).seen_since(start), Seen::Response);
    assert_eq!(lab.evidence(0).last_response(), Some(lab.now));
    let round_trip = lab.evidence(0).round_trip().unwrap();
    assert!(
        round_trip > MS && round_trip < 30 * MS,
        "smoothed: {round_trip:?}"
    );
}

#[test]
fn an_error_to_a_clients_question_is_no_evidence_and_any_response_to_a_probe_is() {
    let mut lab = Lab::opened(1);
    lab.pass(SECOND);
    let start = lab.now;
    lab.ask("broken.example");
    let forwarded = lab.next_forwarded();
    lab.answer_with_rcode(&forwarded, 2);
    assert_eq!(lab.evidence(0).seen_since(start), Seen::Nothing);
    lab.probe(0);
    let forwarded = lab.next_forwarded();
    lab.answer_with_rcode(&forwarded, 5);
    assert_eq!(lab.evidence(0).seen_since(start), Seen::Response);
}

#[test]
fn a_probe_goes_over_an_idle_session_or_a_fresh_one_and_only_one_at_a_time() {
    let mut lab = Lab::opened(2);
    lab.pass(SECOND);
    lab.probe(0);
    assert_eq!(lab.next_forwarded().upstream, 0);
    lab.probe(1);
    lab.probe(1);
    assert_eq!(lab.openings.len(), 1);
    lab.open(1);
    lab.probe(1);
    let probe = lab.next_forwarded();
    assert_eq!((probe.upstream, lab.forwarded.len()), (1, 0));
    lab.answer(&probe);
    assert_eq!(lab.evidence(1).last_response(), Some(lab.now));
    assert_eq!(lab.count(Count::Probes), 2);
    assert!(lab.responses.is_empty());
}

#[test]
fn a_probe_shows_which_upstream_refuses_and_which_is_unresponsive() {
    let mut lab = Lab::new(2);
    let start = lab.now;
    lab.probe(0);
    lab.fail_open(0, REFUSED);
    let failure = Failure::Connect(ConnectFault::Refused);
    assert_eq!(lab.evidence(0).last_error(), Some((start, failure)));
    lab.probe(1);
    lab.open(1);
    lab.pass(UNRESPONSIVE_ALONE);
    assert_eq!(
        lab.evidence(1).last_error(),
        Some((lab.now, Failure::NoResponse))
    );
    assert_eq!(lab.evidence(1).last_response(), None);
}

#[test]
fn open_sessions_are_counted_over_all_workers_until_they_end() {
    let mut first = Lab::opened(1);
    let mut second = Lab::sharing_with(&first);
    second.ask("a.example");
    let session = second.open(0);
    assert_eq!(first.evidence(0).open_sessions(), 2);
    second.answer_all();
    second.close(session);
    assert_eq!(first.evidence(0).open_sessions(), 1);
    second.ask("b.example");
    second.open(0);
    drop(second);
    assert_eq!(
        first.evidence(0).open_sessions(),
        1,
        "a worker was restarted"
    );
    first.pass(limits::SESSION_IDLE);
    assert_eq!(first.evidence(0).open_sessions(), 0);
    assert_eq!(first.evidence(0).handshakes(), 3);
}
