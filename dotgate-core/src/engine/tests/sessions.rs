use dotgate_message::{Compose as _, query};

use super::lab::{Lab, MS, SECOND, UNRESPONSIVE, UNRESPONSIVE_ALONE, answer};
use crate::counters::Count;
use crate::failure::{ConnectFault, SessionEnd, TlsFault};
use crate::keys::UpstreamId;
use crate::limits;
use crate::outbox::Event;

#[test]
fn queries_of_a_session_that_ends_are_asked_once_more_on_fresh_ones() {
    let mut lab = Lab::opened(1);
    for n in 0..20 {
        lab.ask(&format!("n{n}.example"));
    }
    let session = lab.forwarded[0].session;
    lab.close(session);
    assert!(lab.responses.is_empty());
    lab.open_all();
    assert!(
        lab.forwarded
            .iter()
            .all(|forwarded| forwarded.session != session)
    );
    assert_eq!(lab.forwarded.len(), 20);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0; 20]);
    assert_eq!(lab.count(Count::Attempts), 1 + 40);
    assert!(lab.events.is_empty(), "{:?}", lab.events);
    lab.expect_idle();
}

#[test]
fn a_close_with_nothing_in_flight_is_no_failure_and_shows_the_idle_timeout() {
    let mut lab = Lab::new(1);
    lab.ask("a.example");
    let session = lab.open(0);
    lab.answer_all();
    lab.pass(4 * SECOND);
    lab.close(session);
    assert_eq!(lab.count(Count::SessionsEndedIdle), 1);
    assert!(lab.events.is_empty());
    lab.pass(4 * SECOND);
    lab.ask("b.example");
    lab.open(0);
    lab.answer_all();
    lab.pass(3_599 * MS);
    assert!(lab.closed.is_empty());
    lab.pass(MS);
    assert_eq!(lab.closed.len(), 1, "closed before the peer does");
}

#[test]
fn responses_are_matched_in_any_order() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    lab.ask("b.example");
    lab.ask("c.example");
    let mut forwarded = std::mem::take(&mut lab.forwarded);
    forwarded.reverse();
    for forwarded in &forwarded {
        lab.answer(forwarded);
    }
    let names: Vec<u8> = lab.responses.iter().map(|response| response[13]).collect();
    assert_eq!(names, *b"cba");
}

#[test]
fn wrong_ids_wrong_questions_and_garbage_are_counted_and_the_wait_goes_on() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    let forwarded = lab.next_forwarded();
    let right = answer(&forwarded.message, 0);
    let mut wrong_id = right.clone();
    wrong_id[0] ^= 0x55;
    let mut wrong_question = right.clone();
    wrong_question[13] = b'z';
    let mut query_back = right.clone();
    query_back[2] &= 0x7f;
    let cut = &right[..right.len() - 12];
    for bad in [
        &wrong_id[..],
        &wrong_question,
        &query_back,
        cut,
        &right[..2],
        &[],
    ] {
        lab.respond(forwarded.session, bad);
    }
    assert!(lab.responses.is_empty());
    assert_eq!(lab.count(Count::ResponsesInvalid), 6);
    lab.respond(forwarded.session, &right);
    lab.respond(forwarded.session, &right);
    assert_eq!(lab.rcodes(), [0]);
    assert_eq!(
        lab.count(Count::ResponsesInvalid),
        7,
        "the second one is a duplicate"
    );
}

#[test]
fn a_hundred_invalid_messages_without_a_response_between_close_the_session() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    let forwarded = lab.next_forwarded();
    let mut wrong = answer(&forwarded.message, 0);
    wrong[0] ^= 0x55;
    for _ in 1..limits::SESSION_INVALID_MESSAGES {
        lab.respond(forwarded.session, &wrong);
    }
    assert!(lab.closed.is_empty());
    lab.respond(forwarded.session, &wrong);
    assert_eq!(lab.closed, [forwarded.session]);
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0]);
}

#[test]
fn one_name_that_is_never_answered_is_hedged_and_fails_alone() {
    let mut lab = Lab::opened(1);
    lab.ask("stuck.example");
    let stuck = lab.next_forwarded();
    for n in 0..30 {
        lab.pass(50 * MS);
        lab.ask(&format!("n{n}.example"));
        lab.forwarded
            .retain(|forwarded| forwarded.message[12..17] != *b"\x05stuc");
        lab.answer_all();
    }
    assert_eq!(lab.rcodes(), [0; 30]);
    assert_eq!(lab.count(Count::AttemptsHedge), 1, "after 1.5 s");
    assert_eq!(lab.count(Count::SessionsUnresponsive), 0);
    assert_eq!(lab.count(Count::SessionsStarted), 1);
    lab.answer(&stuck);
    assert_eq!(lab.responses.len(), 31, "either attempt may win");
    lab.expect_idle();
}

#[test]
fn the_id_of_a_query_that_was_given_up_stays_taken_and_its_late_response_is_dropped() {
    let mut lab = Lab::opened(1);
    lab.ask("stuck.example");
    let stuck = lab.next_forwarded();
    for n in 0..90 {
        lab.pass(50 * MS);
        lab.ask(&format!("n{n}.example"));
        lab.forwarded
            .retain(|forwarded| forwarded.message[12..17] != *b"\x05stuc");
        lab.answer_all();
    }
    let failed = lab.rcodes().iter().filter(|rcode| **rcode == 2).count();
    assert_eq!(failed, 1);
    let before = lab.responses.len();
    lab.answer(&stuck);
    assert_eq!(lab.responses.len(), before);
    assert_eq!(lab.count(Count::ResponsesLate), 1);
    assert_eq!(lab.count(Count::ResponsesInvalid), 0);
}

#[test]
fn queries_of_an_unresponsive_session_are_asked_once_more_on_fresh_ones() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    lab.ask("b.example");
    let unresponsive = lab.forwarded[0].session;
    lab.pass(UNRESPONSIVE - MS);
    assert!(lab.openings.is_empty());
    lab.pass(MS);
    assert_eq!(lab.count(Count::SessionsUnresponsive), 1);
    lab.open_all();
    lab.swallow_probes();
    assert_eq!(lab.forwarded.len(), 2 + 2, "both hedged");
    lab.forwarded
        .retain(|forwarded| forwarded.session != unresponsive);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0, 0]);
    assert!(!lab.closed.contains(&unresponsive));
    lab.pass(1_500 * MS);
    assert!(lab.closed.contains(&unresponsive));
    lab.expect_idle();
}

#[test]
fn a_query_that_is_alone_has_longer_before_its_session_is_judged() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    lab.pass(UNRESPONSIVE_ALONE - MS);
    assert_eq!(lab.count(Count::SessionsUnresponsive), 0);
    lab.pass(MS);
    assert_eq!(lab.count(Count::SessionsUnresponsive), 1);
    lab.open_all();
    lab.swallow_probes();
    let hedge = lab
        .forwarded
        .iter()
        .find(|forwarded| forwarded.session != lab.forwarded[0].session)
        .cloned();
    lab.answer(&hedge.unwrap());
    assert_eq!(lab.rcodes(), [0], "within a second of a half-open death");
}

#[test]
fn an_unresponsive_session_that_answers_again_is_left_once_all_is_answered() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    lab.ask("b.example");
    let (first, second) = (lab.next_forwarded(), lab.next_forwarded());
    lab.pass(UNRESPONSIVE);
    lab.swallow_probes();
    lab.answer(&first);
    lab.pass(SECOND);
    assert!(!lab.closed.contains(&first.session));
    lab.ask("c.example");
    assert!(
        lab.forwarded
            .iter()
            .all(|forwarded| forwarded.session != first.session)
    );
    lab.answer(&second);
    assert_eq!(lab.rcodes(), [0, 0]);
    lab.pass(limits::PROBE_WAIT);
    lab.pass(limits::HEDGE_AFTER);
    assert!(lab.closed.contains(&first.session));
}

#[test]
fn a_slow_handshake_gets_a_second_one_and_is_given_up_at_five_seconds() {
    let mut lab = Lab::new(1);
    lab.ask("a.example");
    lab.pass(749 * MS);
    assert_eq!(lab.openings.len(), 1);
    lab.pass(MS);
    assert_eq!(lab.openings.len(), 2);
    lab.pass(SECOND);
    assert_eq!(lab.openings.len(), 2, "and no third");
    let slow = lab.openings[0].session;
    lab.openings.swap(0, 1);
    lab.open(0);
    assert_eq!(lab.closed, [slow], "the first is not needed any more");
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0]);
}

#[test]
fn a_keepalive_of_zero_drains_the_session() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    lab.ask("b.example");
    let first = lab.next_forwarded();
    let mut response = answer(&first.message, 0);
    let end = response.len();
    response[end - 1] = 6;
    response.extend_from_slice(&[0, 11, 0, 2, 0, 0]);
    lab.respond(first.session, &response);
    lab.ask("c.example");
    lab.open(0);
    assert_eq!(lab.forwarded.len(), 2);
    assert_ne!(lab.forwarded[1].session, first.session);
    lab.answer_all();
    lab.pass(MS);
    assert_eq!(lab.closed, [first.session]);
    assert_eq!(lab.rcodes(), [0; 3]);
}

#[test]
fn a_busy_session_gets_a_second_one() {
    let mut settings = super::lab::settings(1);
    settings.queries_max = 5_000;
    settings.queries_per_client_max = 5_000;
    let mut lab = Lab::with(settings);
    lab.ask("warm.example");
    lab.open(0);
    lab.answer_all();
    for n in 1..limits::SESSION_BUSY {
        lab.ask(&format!("n{n}.example"));
    }
    assert!(lab.openings.is_empty());
    lab.ask("one-more.example");
    let second = lab.open(0);
    lab.ask("and-one.example");
    assert_eq!(
        lab.forwarded.last().map(|forwarded| forwarded.session),
        Some(second)
    );
    lab.answer_all();
    lab.expect_idle();
}

#[test]
fn alpn_is_given_up_once_it_was_refused_and_counts_as_no_failure() {
    let mut lab = Lab::new(1);
    lab.ask("a.example");
    assert!(lab.openings[0].alpn);
    lab.fail_open(0, SessionEnd::Tls(TlsFault::AlpnRejected));
    assert!(!lab.openings[0].alpn);
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0]);
    assert_eq!(
        lab.events,
        [Event::AlpnRejected {
            upstream: UpstreamId(0)
        }]
    );
}

#[test]
fn without_a_file_descriptor_opening_is_tried_again_after_a_pause() {
    let mut lab = Lab::new(1);
    lab.ask("a.example");
    lab.fail_open(0, SessionEnd::Connect(ConnectFault::NoDescriptor));
    assert!(lab.openings.is_empty(), "no busy loop");
    lab.pass(limits::DESCRIPTOR_PAUSE);
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0]);
    assert!(lab.events.is_empty(), "the upstream did nothing wrong");
}

#[test]
fn an_upstream_that_knows_no_edns_is_asked_once_more_without() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    let forwarded = lab.next_forwarded();
    let mut formerr = query(forwarded.id, "a.example");
    formerr[2..4].copy_from_slice(&[0x81, 0x81]);
    lab.respond(forwarded.session, &formerr);
    let plain = lab.next_forwarded();
    assert_eq!(plain.message[11], 0, "no OPT");
    lab.answer(&plain);
    assert_eq!(lab.rcodes(), [0]);
    lab.ask("b.example");
    assert_eq!(lab.forwarded[0].message[11], 0, "remembered");
    lab.answer_all();
    let mut with_do = query(3, "c.example").with_edns();
    let flags = with_do.len() - 4;
    with_do[flags] = 0x80;
    lab.send(&with_do);
    assert_eq!(
        lab.forwarded[0].message[11], 1,
        "DNSSEC needs EDNS, so it is tried"
    );
}

#[test]
fn bytes_may_come_one_at_a_time() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    let forwarded = lab.next_forwarded();
    let message = answer(&forwarded.message, 0);
    let mut frame = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(&message);
    for byte in frame {
        lab.engine
            .session_bytes(lab.now, forwarded.session, &[byte]);
        lab.settle();
    }
    assert_eq!(lab.rcodes(), [0]);
}

#[test]
fn a_query_that_runs_elsewhere_too_is_not_asked_a_third_time_when_one_session_ends() {
    let mut lab = Lab::opened(2);
    lab.ask("a.example");
    lab.ask("b.example");
    let unresponsive = lab.forwarded[0].session;
    lab.pass(UNRESPONSIVE);
    lab.open_all();
    assert_eq!(lab.count(Count::SessionsIsolating), 2);
    lab.close(unresponsive);
    assert_eq!(lab.count(Count::Attempts), 1 + 2 + 2);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0, 0]);
    lab.expect_idle();
}

#[test]
fn both_attempts_on_one_session_end_with_it_and_cost_one_further_attempt() {
    let mut lab = Lab::opened(1);
    lab.ask("stuck.example");
    for n in 0..31 {
        lab.pass(50 * MS);
        lab.ask(&format!("n{n}.example"));
        lab.forwarded
            .retain(|forwarded| forwarded.message[12..17] != *b"\x05stuc");
        lab.answer_all();
    }
    assert_eq!(lab.count(Count::AttemptsHedge), 1);
    let attempts = lab.count(Count::Attempts);
    let session = lab.session_of_last_answer();
    lab.close(session);
    lab.open(0);
    assert_eq!(lab.count(Count::Attempts), attempts + 1);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0; 32]);
    lab.expect_idle();
}

#[test]
fn a_session_with_an_unanswered_probe_still_ends_idle() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    lab.close(lab.forwarded[0].session);
    lab.fail_open(0, SessionEnd::Connect(ConnectFault::Refused));
    lab.pass(3 * SECOND);
    let session = lab.open(0);
    assert_eq!(lab.next_forwarded().session, session, "the probe");
    lab.pass(100 * MS);
    lab.ask("b.example");
    let forwarded = lab.next_forwarded();
    lab.answer(&forwarded);
    lab.pass(limits::HEDGE_AFTER + limits::SESSION_IDLE);
    assert!(lab.closed.contains(&session));
    assert_eq!(lab.engine.load().sessions, 0);
}

#[test]
fn queries_on_a_session_that_answers_nothing_later_are_hedged_on_a_fresh_one() {
    let mut lab = Lab::new(1);
    lab.ask("slow.example");
    let session = lab.open(0);
    lab.pass(500 * MS);
    lab.answer_all();
    lab.ask("stuck.example");
    let stuck = lab.next_forwarded();
    lab.pass(limits::HEDGE_AFTER);
    assert_eq!(
        lab.count(Count::SessionsUnresponsive),
        0,
        "so slow is no silence"
    );
    let fresh = lab.open(0);
    let again = lab.next_forwarded();
    assert_eq!((again.session, stuck.session), (fresh, session));
    assert_eq!(again.message[12..30], stuck.message[12..30]);
    lab.answer(&again);
    assert_eq!(lab.rcodes(), [0, 0]);
}

#[test]
fn a_failed_opening_is_retried_after_a_pause_while_another_session_answers() {
    let mut lab = Lab::new(1);
    lab.ask("slow.example");
    lab.open(0);
    lab.pass(500 * MS);
    lab.answer_all();
    lab.ask("stuck.example");
    lab.pass(limits::HEDGE_AFTER);
    for _ in 0..3 {
        lab.fail_open(0, SessionEnd::Connect(ConnectFault::Refused));
        assert!(lab.openings.is_empty(), "not at once, and not for ever");
        lab.pass(limits::TRY_EVERY);
    }
    assert!(lab.events.is_empty(), "it is well: {:?}", lab.events);
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0, 0]);
}

#[test]
fn an_upstream_is_not_tried_for_queries_that_have_their_response() {
    let mut lab = Lab::new(1);
    lab.ask("a.example");
    lab.pass(60 * SECOND);
    assert_eq!(lab.rcodes(), [2]);
    assert_eq!(lab.count(Count::SessionsStarted), 2, "one, and one hedge");
    assert_eq!(lab.engine.next_deadline(), None);
}

#[test]
fn a_query_lost_on_one_session_is_asked_again_though_it_runs_on_one_that_is_overdue() {
    let mut lab = Lab::opened(2);
    lab.ask("a.example");
    lab.pass(UNRESPONSIVE_ALONE);
    let hedge = lab.open(1);
    lab.ask("b.example");
    let other = lab.forwarded.pop().unwrap();
    lab.answer(&other);
    lab.pass(limits::HEDGE_AFTER - UNRESPONSIVE_ALONE);
    lab.close(hedge);
    let fresh = lab.open(1);
    lab.forwarded.retain(|forwarded| forwarded.session == fresh);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0, 0]);
}

#[test]
fn a_query_on_an_unresponsive_session_gets_a_fresh_one_though_an_older_one_is_open() {
    let mut lab = Lab::opened(1);
    lab.ask("late.example");
    let late = lab.next_forwarded();
    lab.pass(UNRESPONSIVE_ALONE);
    let older = lab.open(0);
    let again = lab.next_forwarded();
    lab.answer(&again);
    lab.answer(&late);
    lab.ask("a.example");
    lab.pass(UNRESPONSIVE_ALONE);
    let fresh = lab.open(0);
    assert_ne!(fresh, older);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0, 0]);
}
