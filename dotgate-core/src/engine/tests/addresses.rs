//! Upstreams with several addresses.

use super::lab::{Lab, SECOND};
use crate::counters::Count;
use crate::failure::{ConnectFault, SessionEnd, TlsFault};
use crate::health::HealthState;
use crate::limits;

const UNREACHABLE: SessionEnd = SessionEnd::Connect(ConnectFault::Unreachable);

/// With one upstream of so many addresses, to which a session is being opened for a query.
fn opening(addresses: usize) -> Lab {
    let mut lab = Lab::new(1);
    lab.settings.groups[0].upstreams[0]
        .handshakes
        .set_addresses(addresses);
    lab.ask("a.example");
    assert_eq!(tries(&lab), [0]);
    lab
}

fn tries(lab: &Lab) -> Vec<u32> {
    lab.openings
        .iter()
        .map(|opening| opening.try_number)
        .collect()
}

fn state(lab: &Lab) -> HealthState {
    lab.settings.groups[0].upstreams[0].health.state()
}

#[test]
fn the_next_address_is_tried_beside_one_that_does_not_respond_and_the_winner_is_used() {
    let mut lab = opening(2);
    lab.pass(limits::OPENING_SLOW_AFTER);
    assert_eq!(tries(&lab), [0, 1]);
    let slow = lab.openings[0].session;
    let other = lab.openings.remove(1);
    lab.engine
        .sessions_mut()
        .on_connected(lab.now, other.session);
    lab.engine.session_opened(lab.now, other.session);
    lab.settle();
    assert_eq!(lab.next_forwarded().session, other.session);
    assert_eq!(lab.closed, [slow]);
    assert_eq!(state(&lab), HealthState::Healthy);
}

#[test]
fn a_handshake_that_takes_long_is_not_raced() {
    let mut lab = opening(2);
    lab.connect_opening(0);
    lab.pass(limits::OPENING_SLOW_AFTER);
    assert_eq!(tries(&lab), [0]);
}

#[test]
fn one_address_is_not_tried_twice_at_once() {
    let mut lab = opening(1);
    lab.pass(limits::OPENING_SLOW_AFTER);
    assert_eq!(tries(&lab), [0]);
}

#[test]
fn an_address_that_cannot_be_connected_to_is_no_evidence_while_another_one_is_left() {
    let mut lab = opening(3);
    lab.fail_open(0, UNREACHABLE);
    assert_eq!(tries(&lab), [1], "at once");
    lab.fail_open(0, UNREACHABLE);
    assert_eq!((tries(&lab), state(&lab)), (vec![2], HealthState::Healthy));
    lab.fail_open(0, UNREACHABLE);
    assert_eq!(state(&lab), HealthState::Down);
    assert_eq!(lab.count(Count::SessionsFailed), 3);
}

#[test]
fn an_address_that_is_not_the_upstream_is_evidence_at_once() {
    let mut lab = opening(2);
    lab.connect_opening(0);
    lab.fail_open(0, SessionEnd::Tls(TlsFault::CertificateExpired));
    assert_eq!(state(&lab), HealthState::Down);
}

#[test]
fn a_session_that_opens_starts_the_addresses_from_the_first_again() {
    let mut lab = opening(2);
    lab.fail_open(0, UNREACHABLE);
    let session = lab.open(0);
    lab.answer_all();
    lab.close(session);
    lab.pass(SECOND);
    lab.ask("b.example");
    assert_eq!(tries(&lab), [0]);
}
