use dotgate_message::{Compose as _, query};

use super::lab::{Lab, MS, SECOND, UNRESPONSIVE};
use crate::counters::Count;
use crate::failure::{ConnectFault, Failure, SessionEnd, TlsFault};
use crate::keys::UpstreamId;
use crate::limits;
use crate::outbox::Event;

const REFUSED: SessionEnd = SessionEnd::Connect(ConnectFault::Refused);

#[test]
fn upstreams_are_asked_in_order_and_only_one_of_them() {
    let mut lab = Lab::opened(3);
    lab.ask("a.example");
    assert_eq!(lab.forwarded.len(), 1);
    assert_eq!(lab.next_forwarded().upstream, 0);
    assert!(lab.openings.is_empty());
}

#[test]
fn when_the_first_is_killed_the_second_answers_and_the_first_is_tried_until_it_is_back() {
    let mut lab = Lab::opened(2);
    lab.ask("a.example");
    let session = lab.forwarded[0].session;
    lab.close(session);
    lab.open(1);
    let second = lab.next_forwarded();
    assert_eq!(second.upstream, 1, "at once, not after a wait");
    lab.answer(&second);
    lab.ask("b.example");
    assert_eq!(
        lab.openings[0].upstream, 0,
        "one lost connection does not condemn it"
    );
    lab.fail_open(0, REFUSED);
    let second = lab.next_forwarded();
    assert_eq!(second.upstream, 1);
    lab.answer(&second);
    assert_eq!(
        lab.events,
        [Event::UpstreamDown {
            upstream: UpstreamId(0),
            failure: Failure::Connect(ConnectFault::Refused)
        }]
    );
    lab.ask("c.example");
    let second = lab.next_forwarded();
    assert_eq!(second.upstream, 1, "it is not waited for");
    lab.answer(&second);
    lab.pass(limits::TRY_EVERY);
    lab.open(0);
    let probe = lab.next_forwarded();
    assert_eq!(
        (probe.upstream, &probe.message[12..15]),
        (0, &[0, 0, 2][..]),
        "our own question, no client's"
    );
    lab.ask("d.example");
    assert_eq!(
        lab.next_forwarded().upstream,
        1,
        "not well before it has answered"
    );
    lab.answer(&probe);
    lab.ask("e.example");
    assert_eq!(lab.next_forwarded().upstream, 0, "back to the first");
    assert_eq!(
        lab.events[1..],
        [Event::UpstreamHealthy {
            upstream: UpstreamId(0)
        }]
    );
}

#[test]
fn when_the_first_freezes_its_queries_are_answered_by_the_second_after_three_tenths_of_a_second() {
    let mut lab = Lab::opened(2);
    let mut sent = Vec::new();
    for n in 0..5 {
        lab.ask(&format!("n{n}.example"));
        sent.push(lab.now);
        lab.pass(20 * MS);
    }
    lab.forwarded.clear();
    lab.pass(220 * MS);
    assert_eq!(lab.count(Count::SessionsUnresponsive), 1);
    lab.open_all();
    lab.forwarded.retain(|forwarded| forwarded.upstream == 1);
    assert_eq!(lab.forwarded.len(), 5);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0; 5]);
    lab.ask("next.example");
    assert_eq!(
        lab.next_forwarded().upstream,
        1,
        "the silent one takes no new ones"
    );
    assert_eq!(lab.count(Count::SessionsIsolating), 5);
}

#[test]
fn while_the_first_stays_frozen_nothing_waits_for_it_again() {
    let mut lab = Lab::opened(2);
    lab.ask("a.example");
    lab.ask("b.example");
    lab.pass(UNRESPONSIVE);
    lab.open_all();
    lab.forwarded.retain(|forwarded| forwarded.upstream == 1);
    lab.answer_all();
    for n in 0..500 {
        lab.pass(20 * MS);
        lab.forwarded.clear();
        lab.ask(&format!("n{n}.example"));
        let forwarded = lab
            .forwarded
            .iter()
            .find(|forwarded| forwarded.upstream == 1)
            .cloned();
        lab.answer(&forwarded.unwrap_or_else(|| panic!("query {n} waits for the frozen one")));
    }
    assert_eq!(lab.rcodes(), [0; 502]);
    let tries = lab.count(Count::SessionsStarted) - lab.count(Count::SessionsIsolating);
    assert!((2..=40).contains(&tries), "{tries} tries in ten seconds");
}

#[test]
fn a_black_hole_is_left_after_a_quarter_second() {
    let mut lab = Lab::new(2);
    lab.ask("a.example");
    lab.pass(249 * MS);
    assert_eq!(lab.openings.len(), 1);
    lab.pass(MS);
    lab.open(1);
    assert_eq!(lab.next_forwarded().upstream, 1);
    lab.ask("b.example");
    assert_eq!(lab.next_forwarded().upstream, 1, "at once");
}

#[test]
fn errors_are_asked_elsewhere_and_the_clients_never_see_them() {
    let mut lab = Lab::opened(2);
    for n in 0..30 {
        lab.ask(&format!("n{n}.example"));
        let first = lab.next_forwarded();
        if first.upstream == 0 {
            lab.answer_with_rcode(&first, 2);
            if lab.forwarded.is_empty() {
                lab.open(1);
            }
            let second = lab.next_forwarded();
            assert_eq!(second.upstream, 1);
            lab.answer(&second);
        } else {
            lab.answer(&first);
        }
    }
    assert_eq!(lab.rcodes(), [0; 30]);
    let wasted = lab.count(Count::AttemptsRetry);
    assert_eq!(
        wasted,
        limits::AVOIDABLE_ERRORS as u64 + 1,
        "then it gets one trial a second"
    );
}

#[test]
fn an_error_that_all_upstreams_give_is_passed_on_with_its_source() {
    let mut lab = Lab::opened(2);
    lab.send(&query(1, "a.example").with_edns());
    let first = lab.next_forwarded();
    lab.answer_with_rcode(&first, 5);
    lab.open(1);
    let second = lab.next_forwarded();
    lab.answer_with_rcode(&second, 2);
    assert_eq!(lab.rcodes(), [2]);
    assert!(
        String::from_utf8_lossy(&lab.responses[0]).contains("upstream: answered SERVFAIL (up1)")
    );
    lab.expect_idle();
}

#[test]
fn without_a_valid_certificate_the_query_fails_at_once_and_says_why() {
    let mut lab = Lab::new(2);
    lab.send(&query(1, "a.example").with_edns());
    lab.fail_open(0, SessionEnd::Tls(TlsFault::CertificateExpired));
    lab.fail_open(1, SessionEnd::Tls(TlsFault::CertificateName));
    assert_eq!(lab.rcodes(), [2]);
    assert!(
        String::from_utf8_lossy(&lab.responses[0])
            .contains("tls: certificate for another name (up1)")
    );
    assert_eq!(lab.count(Count::Attempts), 0, "not one byte of it left");
    lab.send(&query(2, "b.example").with_edns());
    lab.pass(SECOND);
    assert_eq!(lab.rcodes().len(), 2, "and within a second while it lasts");
    lab.expect_idle();
}

#[test]
fn a_restart_is_waited_for_and_loses_nothing() {
    let mut lab = Lab::opened(1);
    for n in 0..50 {
        lab.ask(&format!("n{n}.example"));
    }
    let session = lab.forwarded[0].session;
    lab.close(session);
    for _ in 0..8 {
        lab.fail_open(0, REFUSED);
        lab.pass(limits::TRY_EVERY);
    }
    lab.open(0);
    assert_eq!(lab.forwarded.len(), 1, "our own question first");
    lab.answer_all();
    lab.open_all();
    assert_eq!(lab.forwarded.len(), 50);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0; 50]);
    lab.expect_idle();
}

#[test]
fn an_upstream_that_one_worker_finds_healthy_serves_waiters_of_another() {
    let mut one = Lab::new(1);
    let mut other = Lab::sharing_with(&one);
    one.ask("a.example");
    one.fail_open(0, REFUSED);
    other.ask("b.example");
    assert!(other.openings.is_empty(), "the one tries for both");
    one.pass(limits::TRY_EVERY);
    one.open(0);
    one.answer_all();
    other.now = one.now;
    other.pass(limits::RECOVERY_REVIEW);
    other.open(0);
    other.answer_all();
    assert_eq!(other.rcodes(), [0], "without a further query");
}

#[test]
fn a_worker_that_left_the_tries_to_another_knows_why_they_failed() {
    let mut one = Lab::new(1);
    let mut other = Lab::sharing_with(&one);
    one.ask("a.example");
    one.fail_open(0, SessionEnd::Tls(TlsFault::CertificateExpired));
    other.send(&query(2, "b.example").with_edns());
    assert!(other.openings.is_empty());
    other.pass(SECOND);
    let text = String::from_utf8_lossy(&other.responses[0]).into_owned();
    assert!(text.contains("tls: certificate expired (up0)"), "{text}");
}

#[test]
fn an_upstream_that_was_cut_off_is_healthy_again_whatever_it_answers() {
    let mut lab = Lab::new(2);
    lab.ask("a.example");
    lab.fail_open(0, REFUSED);
    lab.open(1);
    lab.answer_all();
    lab.pass(limits::TRY_EVERY);
    lab.open(0);
    let probe = lab.next_forwarded();
    lab.answer_with_rcode(&probe, 5);
    lab.ask("b.example");
    assert_eq!(lab.next_forwarded().upstream, 0);
}

#[test]
fn in_a_long_outage_queries_fail_within_a_second_and_recover_with_the_upstream() {
    let mut lab = Lab::new(1);
    for _ in 0..60 {
        lab.ask("a.example");
        while !lab.openings.is_empty() {
            lab.fail_open(0, REFUSED);
        }
        lab.pass(250 * MS);
    }
    lab.send(&query(1, "b.example").with_edns());
    lab.pass(SECOND);
    assert_eq!(lab.responses.len(), 61, "each a.example, and b.example");
    lab.ask("c.example");
    lab.pass(500 * MS);
    let attempts = lab.openings.len();
    assert!(attempts <= 2, "one try, and one hedge");
    lab.ask("d.example");
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.rcodes().last(), Some(&0));
}

#[test]
fn in_a_long_outage_every_query_sees_a_try_before_it_fails() {
    let mut lab = Lab::new(1);
    for _ in 0..60 {
        lab.ask("a.example");
        while !lab.openings.is_empty() {
            lab.fail_open(0, REFUSED);
        }
        lab.pass(250 * MS);
    }
    // The network is back; a handshake takes 100 ms. Whenever the next query comes, it is answered.
    lab.pass(3 * SECOND);
    lab.ask("warm.example");
    while !lab.openings.is_empty() {
        lab.fail_open(0, REFUSED);
    }
    lab.responses.clear();
    lab.pass(MS);
    lab.ask("b.example");
    for _ in 0..10 {
        lab.pass(100 * MS);
        if !lab.openings.is_empty() {
            lab.pass(100 * MS);
            lab.open(0);
            lab.answer_all();
            break;
        }
    }
    assert!(lab.rcodes().contains(&0), "{:?}", lab.rcodes());
}

#[test]
fn a_session_that_ends_again_and_again_without_a_response_is_not_reopened_without_pause() {
    let mut lab = Lab::new(1);
    for n in 0..100 {
        lab.ask(&format!("n{n}.example"));
        while !lab.openings.is_empty() {
            let session = lab.open(0);
            lab.close(session);
        }
        lab.pass(10 * MS);
    }
    let started = lab.count(Count::SessionsStarted);
    assert!(started <= 8, "{started} sessions in one second");
}
