use dotgate_message::{Compose as _, query};

use super::lab::{Lab, MS, SECOND, rcode_of, settings};
use super::message::Message;
use crate::counters::Count;
use crate::outbox::Event;

#[test]
fn a_query_is_asked_upstream_and_its_response_comes_back_under_its_own_id() {
    let mut lab = Lab::new(1);
    lab.send(&query(0x1234, "Example.ORG"));
    let session = lab.open(0);
    let forwarded = lab.next_forwarded();
    assert_eq!(forwarded.session, session);
    assert_eq!(
        forwarded.message.len() % 128,
        0,
        "padded (RFC 8467 section 4.1)"
    );
    assert_eq!(&forwarded.message[12..25], b"\x07example\x03org\0");
    lab.answer(&forwarded);
    assert_eq!(lab.responses.len(), 1);
    assert_eq!(lab.responses[0][..2], [0x12, 0x34]);
    assert_eq!(&lab.responses[0][12..25], b"\x07Example\x03ORG\0");
    assert_eq!(rcode_of(&lab.responses[0]), 0);
    lab.expect_idle();
}

#[test]
fn identical_questions_in_flight_cost_one_attempt_and_each_client_gets_its_own_case() {
    let mut lab = Lab::opened(1);
    lab.send_from("192.0.2.1:1000", &query(1, "a.example"));
    lab.send_from("192.0.2.2:1000", &query(2, "A.example").with_edns());
    lab.send_from("192.0.2.2:1001", &query(3, "a.EXAMPLE"));
    assert_eq!(lab.forwarded.len(), 1);
    lab.answer_all();
    let seen: Vec<(u8, &[u8])> = lab.responses.iter().map(|r| (r[1], &r[12..23])).collect();
    assert_eq!(
        seen,
        [
            (1, &b"\x01a\x07example\0"[..]),
            (2, b"\x01A\x07example\0"),
            (3, b"\x01a\x07EXAMPLE\0")
        ]
    );
    assert_eq!(
        lab.responses.iter().map(|r| r[11]).collect::<Vec<_>>(),
        [0, 1, 0],
        "OPT to who sent one"
    );
    assert_eq!(lab.count(Count::QueriesMerged), 2);
    lab.expect_idle();
}

#[test]
fn questions_with_other_dnssec_bits_are_other_questions() {
    let mut lab = Lab::opened(1);
    let mut with_cd = query(2, "a.example");
    with_cd[3] |= 0x10;
    let mut with_do = query(3, "a.example").with_edns();
    let flags = with_do.len() - 4;
    with_do[flags] = 0x80;
    lab.send(&query(1, "a.example"));
    lab.send(&with_cd);
    lab.send(&with_do);
    assert_eq!(lab.forwarded.len(), 3);
    let cd: Vec<bool> = lab
        .forwarded
        .iter()
        .map(|forwarded| forwarded.message[3] & 0x10 != 0)
        .collect();
    assert_eq!(cd, [false, true, false]);
}

#[test]
fn a_query_without_any_answer_fails_at_its_deadline_and_not_before() {
    let mut lab = Lab::new(1);
    lab.send(&query(1, "a.example").with_edns());
    lab.open(0);
    lab.pass(3_999 * MS);
    assert!(lab.responses.is_empty());
    lab.pass(MS);
    assert_eq!(lab.rcodes(), [2]);
    let text = String::from_utf8_lossy(&lab.responses[0]).into_owned();
    assert!(text.contains("upstream: no response (up0)"), "{text}");
    lab.expect_idle();
}

#[test]
fn a_later_waiter_keeps_its_own_deadline_and_gets_attempts_of_its_own() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    lab.pass(3_500 * MS);
    lab.send_from("192.0.2.2:1", &query(2, "a.example"));
    lab.forwarded.clear();
    lab.pass(500 * MS);
    assert_eq!(lab.rcodes(), [2], "the first one's deadline");
    lab.pass(10 * MS);
    while let Some(opening) = lab.openings.first().copied() {
        lab.open(opening.upstream);
    }
    lab.answer_all();
    assert_eq!(lab.rcodes(), [2, 0]);
    lab.expect_idle();
}

#[test]
fn clients_outside_the_access_list_are_refused_before_any_work() {
    let mut lab = Lab::opened(1);
    lab.send_from("198.51.100.1:53", &query(1, "a.example"));
    assert_eq!(lab.rcodes(), [5]);
    assert!(lab.forwarded.is_empty());
    assert_eq!(lab.count(Count::ClientsRefused), 1);
}

#[test]
fn beyond_its_quota_a_client_gets_an_error_and_others_are_served() {
    let mut settings = settings(1);
    settings.queries_per_client_max = 2;
    settings.queries_max = 4;
    let mut lab = Lab::with(settings);
    for (n, peer) in [
        (1, "192.0.2.1:1"),
        (2, "192.0.2.1:2"),
        (3, "192.0.2.1:3"),
        (4, "192.0.2.2:1"),
    ] {
        lab.send_from(peer, &query(n, &format!("n{n}.example")).with_edns());
    }
    assert_eq!(lab.rcodes(), [2], "the third of one client");
    assert!(String::from_utf8_lossy(&lab.responses[0]).contains("too many queries in flight"));
    lab.send_from("192.0.2.3:1", &query(5, "n5.example"));
    lab.send_from("192.0.2.4:1", &query(6, "n6.example"));
    assert_eq!(lab.rcodes(), [2, 2], "the fifth of all");
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [2, 2, 0, 0, 0, 0]);
    assert_eq!(
        lab.events
            .iter()
            .filter(|event| matches!(event, Event::LimitHit { .. }))
            .count(),
        2,
        "each limit is logged once in ten seconds"
    );
    lab.expect_idle();
}

#[test]
fn names_of_special_use_never_reach_an_upstream() {
    let mut lab = Lab::opened(1);
    lab.ask("app.localhost");
    lab.ask("printer.local");
    assert_eq!(lab.rcodes(), [0, 3]);
    assert!(lab.forwarded.is_empty());
}

#[test]
fn the_time_from_an_idle_client_costs_nothing() {
    let mut lab = Lab::opened(1);
    lab.pass(60 * SECOND);
    assert_eq!(lab.engine.load().sessions, 0);
    assert_eq!(lab.engine.next_deadline(), None);
}

#[test]
fn a_client_that_may_not_ask_is_refused_whatever_its_message_holds() {
    let mut lab = Lab::new(1);
    let ask = query(1, "a.example").with_edns();
    let cut = ask[..ask.len() - 3].to_vec();
    let mut many = ask.clone();
    many[10..12].copy_from_slice(&[0xff, 0xff]);
    let mut two_questions = ask.clone();
    two_questions[5] = 2;
    for (message, has_question, has_ede) in [
        (&ask, true, true),
        (&many, true, true),
        (&cut, true, false),
        (&two_questions, false, false),
    ] {
        lab.send_from("198.51.100.1:1", message);
        let refused = Message::read(lab.responses.last().unwrap());
        assert_eq!(refused.rcode(), 5, "{message:?}");
        assert_eq!(!refused.question.is_empty(), has_question);
        let ede = has_ede.then(|| (18, "client not in access list".to_owned()));
        assert_eq!(refused.ede(), ede);
    }
    let mut response = ask;
    response[2] |= 0x80;
    lab.send_from("198.51.100.1:1", &response);
    assert_eq!(lab.responses.len(), 4);
    assert_eq!(lab.count(Count::ClientsRefused), 4);
    assert_eq!(lab.count(Count::QueriesMalformed), 0);
}
