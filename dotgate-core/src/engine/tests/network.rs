//! This host gets other addresses or routes, and open sessions may be half-open.

use super::lab::{Lab, MS, SECOND};
use crate::counters::Count;
use crate::failure::{ConnectFault, SessionEnd};
use crate::health::HealthState;
use crate::limits;

#[test]
fn a_session_that_died_with_its_network_is_replaced_before_the_next_query() {
    let mut lab = Lab::opened(1);
    let dead = lab.session_of_last_answer();
    lab.change_network();
    assert_eq!(lab.count(Count::Probes), 1);
    lab.swallow_probes();
    lab.pass(limits::PROBE_WAIT);
    lab.open(0);
    lab.swallow_probes();
    let before = lab.count(Count::Attempts);
    lab.ask("a.example");
    let forwarded = lab.next_forwarded();
    assert_ne!(forwarded.session, dead);
    lab.answer(&forwarded);
    assert_eq!(lab.rcodes(), [0]);
    assert_eq!(lab.count(Count::Attempts) - before, 1);
    // That is no fault of the upstream.
    assert_eq!(lab.state(0), HealthState::Healthy);
    assert!(lab.events.is_empty(), "{:?}", lab.events);
}

#[test]
fn queries_in_flight_are_asked_again_without_waiting_for_suspicion() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    let lost = lab.next_forwarded();
    lab.change_network();
    lab.swallow_probes();
    lab.pass(limits::PROBE_WAIT);
    lab.open_all();
    lab.swallow_probes();
    let again = lab.next_forwarded();
    assert_ne!(again.session, lost.session);
    lab.answer(&again);
    assert_eq!(lab.rcodes(), [0]);
}

#[test]
fn a_session_that_answers_the_probe_stays() {
    let mut lab = Lab::opened(1);
    let session = lab.session_of_last_answer();
    for changes in 1..=3 {
        lab.change_network();
        // A change while the probe is on its way sends no other.
        lab.change_network();
        assert_eq!(lab.count(Count::Probes), changes);
        lab.answer_all();
        lab.pass(SECOND);
    }
    lab.ask("a.example");
    assert_eq!(lab.next_forwarded().session, session);
    assert_eq!(lab.count(Count::SessionsOpened), 1);
}

#[test]
fn an_upstream_that_was_out_of_reach_is_tried_at_once() {
    let mut lab = Lab::new(1);
    lab.ask("a.example");
    lab.fail_open(0, SessionEnd::Connect(ConnectFault::Unreachable));
    // Nothing is asked any more, and nothing is tried.
    lab.pass(60 * SECOND);
    while !lab.openings.is_empty() {
        lab.fail_open(0, SessionEnd::Connect(ConnectFault::Unreachable));
    }
    assert_eq!(lab.state(0), HealthState::Down);
    lab.change_network();
    assert_eq!(lab.openings.len(), 1);
    lab.open(0);
    lab.answer_all();
    lab.pass(MS);
    assert_eq!(lab.state(0), HealthState::Healthy);
}
