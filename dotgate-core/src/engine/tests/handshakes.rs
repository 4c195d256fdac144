//! Large handshakes that do not get through.

use std::sync::Arc;

use super::lab::{Lab, MS, SECOND};
use crate::counters::Count;
use crate::failure::{ConnectFault, SessionEnd, TlsFault};
use crate::key_exchange::{Handshakes, KeyExchange, KeyExchangePolicy};
use crate::keys::UpstreamId;
use crate::limits;
use crate::outbox::Event;

const REDUCED: Event = Event::KeyExchangeReduced {
    upstream: UpstreamId(0),
};

fn offers(lab: &Lab) -> Vec<KeyExchange> {
    let openings = lab.openings.iter();
    openings.map(|opening| opening.key_exchange).collect()
}

/// Closes the session that is open, so that the next query needs another one.
fn reopen(lab: &mut Lab) {
    let session = lab.session_of_last_answer();
    lab.close(session);
    lab.ask("next.example");
}

#[test]
fn a_large_handshake_that_is_reset_is_tried_again_with_a_small_one_at_the_same_address() {
    for end in [
        SessionEnd::Reset,
        SessionEnd::Closed,
        SessionEnd::Tls(TlsFault::Closed),
    ] {
        let mut lab = Lab::new(1);
        lab.ask("a.example");
        assert_eq!(offers(&lab), [KeyExchange::Hybrid]);
        let try_number = lab.openings[0].try_number;
        lab.connect_opening(0);
        lab.fail_open(0, end);
        assert_eq!(offers(&lab), [KeyExchange::Classical], "at once, {end:?}");
        assert_eq!(lab.openings[0].try_number, try_number);
        lab.open(0);
        lab.answer_all();
        assert_eq!(lab.rcodes(), [0]);
        assert_eq!(lab.events, [REDUCED], "not down, and said once");
        assert_eq!(lab.count(Count::HandshakesFellBack), 1);

        reopen(&mut lab);
        assert_eq!(offers(&lab), [KeyExchange::Classical], "remembered");
        let mut second = Lab::sharing_with(&lab);
        second.ask("b.example");
        assert_eq!(offers(&second), [KeyExchange::Classical], "by all workers");
        lab.open(0);
        lab.answer_all();
        lab.pass(limits::CLASSICAL_FOR);
        lab.ask("later.example");
        assert_eq!(offers(&lab), [KeyExchange::Hybrid], "for a while");
        assert_eq!(lab.events, [REDUCED]);
    }
}

#[test]
fn while_an_upstream_is_down_both_handshakes_take_turns_at_each_address() {
    let mut lab = Lab::new(1);
    let mut seen = Vec::new();
    lab.ask("a.example");
    for _ in 0..6 {
        let opening = lab.openings[0];
        seen.push((opening.try_number, opening.key_exchange));
        lab.connect_opening(0);
        lab.fail_open(0, SessionEnd::Reset);
        lab.pass(limits::TRY_EVERY);
    }
    let expected = [0, 1, 2].map(|n| [(n, KeyExchange::Hybrid), (n, KeyExchange::Classical)]);
    assert_eq!(seen, expected.concat());
}

#[test]
fn a_large_handshake_without_a_response_is_hedged_by_a_small_one_and_two_wins_are_remembered() {
    let mut lab = Lab::new(1);
    lab.ask("a.example");
    for round in 0..2 {
        lab.connect_opening(0);
        lab.pass(limits::HANDSHAKE_HEDGE_AFTER);
        assert_eq!(
            offers(&lab),
            [KeyExchange::Hybrid, KeyExchange::Classical],
            "round {round}"
        );
        lab.openings.swap(0, 1);
        lab.open(0);
        lab.answer_all();
        assert!(lab.openings.is_empty(), "the other one is closed");
        reopen(&mut lab);
    }
    assert_eq!(offers(&lab), [KeyExchange::Classical]);
    assert_eq!(lab.events, [REDUCED]);
}

#[test]
fn a_large_handshake_that_succeeds_between_makes_a_lost_one_chance() {
    let mut lab = Lab::new(1);
    lab.ask("a.example");
    for _ in 0..2 {
        lab.connect_opening(0);
        lab.pass(limits::HANDSHAKE_HEDGE_AFTER);
        lab.openings.swap(0, 1);
        lab.open(0);
        lab.answer_all();
        reopen(&mut lab);
        assert_eq!(offers(&lab), [KeyExchange::Hybrid]);
        lab.open(0);
        lab.answer_all();
        reopen(&mut lab);
    }
    assert!(lab.events.is_empty());
}

#[test]
fn what_has_nothing_to_do_with_the_size_is_not_tried_again() {
    for end in [
        SessionEnd::Connect(ConnectFault::Refused),
        SessionEnd::Tls(TlsFault::CertificateName),
        SessionEnd::Tls(TlsFault::IssuerUnknown),
    ] {
        let mut lab = Lab::new(1);
        lab.ask("a.example");
        lab.connect_opening(0);
        lab.fail_open(0, end);
        assert!(lab.openings.is_empty(), "{end:?}");
        lab.pass(limits::TRY_EVERY);
        assert_eq!(offers(&lab), [KeyExchange::Hybrid], "{end:?}");
    }
    // A connection that is refused after it stood, and one that never stood.
    let mut lab = Lab::new(1);
    lab.ask("a.example");
    lab.pass(limits::HANDSHAKE_HEDGE_AFTER);
    assert_eq!(offers(&lab), [KeyExchange::Hybrid, KeyExchange::Hybrid]);
}

#[test]
fn the_settings_may_demand_either_handshake() {
    for (policy, offer) in [
        (KeyExchangePolicy::Hybrid, KeyExchange::Hybrid),
        (KeyExchangePolicy::Classical, KeyExchange::Classical),
    ] {
        let mut settings = super::lab::settings(1);
        settings.groups[0].upstreams[0].handshakes = Arc::new(Handshakes::new(policy));
        let mut lab = Lab::with(settings);
        lab.ask("a.example");
        lab.connect_opening(0);
        lab.fail_open(0, SessionEnd::Reset);
        assert!(lab.openings.is_empty());
        lab.pass(limits::TRY_EVERY + 100 * MS);
        assert_eq!(offers(&lab), [offer]);
        lab.open(0);
        lab.pass(SECOND);
        assert!(!lab.events.contains(&REDUCED));
    }
}
