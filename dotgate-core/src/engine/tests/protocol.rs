//! The rules every forwarder keeps: IDs, questions, flags, matching, names that are never forwarded.

use std::collections::BTreeSet;

use dotgate_message::{
    A, AA, Compose as _, ECS, QNAME, QR, RA, RD, Z, query, query_for, record, record_in, response,
};

use super::lab::{Lab, MS, SECOND, rcode_of, settings};
use super::message::{Message, address, error_with_ede};
use crate::counters::Count;
use crate::failure::{ConnectFault, SessionEnd};
use crate::limits;
use crate::query::ForwardedClasses;

#[test]
fn an_error_without_a_question_reaches_the_client_with_its_own_question() {
    let mut lab = Lab::opened(1);
    lab.send(&query(7, "Blocked.example").with_edns());
    let forwarded = lab.next_forwarded();
    let mut bare = error_with_ede(&forwarded.message[..], 5, 17, "family filter");
    bare.drain(12..12 + 21);
    bare[5] = 0;
    lab.respond(forwarded.session, &bare);
    let response = Message::read(&lab.responses[0]);
    assert_eq!((response.id, response.flags), (7, QR | RD | RA | 5));
    assert_eq!(response.question, query(7, "Blocked.example")[12..]);
    assert_eq!(
        response.ede(),
        Some((17, "from up0: family filter".to_owned()))
    );
}

#[test]
fn a_hedge_on_the_same_session_leaves_nothing_in_flight() {
    let mut lab = Lab::opened(1);
    lab.ask("stuck.example");
    let stuck = lab.next_forwarded();
    for n in 0..30 {
        lab.pass(50 * MS);
        lab.ask(&format!("n{n}.example"));
        while let Some(place) = lab
            .forwarded
            .iter()
            .position(|forwarded| forwarded.message[13] == b'n')
        {
            let forwarded = lab.forwarded.remove(place);
            lab.answer(&forwarded);
        }
    }
    let hedge = lab.next_forwarded();
    assert_eq!((hedge.session, hedge.message[13]), (stuck.session, b's'));
    lab.answer(&hedge);
    assert_eq!(lab.rcodes(), [0; 31]);
    lab.answer(&stuck);
    assert_eq!(lab.responses.len(), 31);
    assert_eq!(lab.count(Count::ResponsesLate), 1, "known, but too late");
    lab.pass(8 * SECOND);
    assert_eq!(
        lab.closed,
        [stuck.session],
        "idle, so nothing is in flight on it"
    );
}

#[test]
fn ids_towards_upstreams_are_ours_and_each_client_gets_its_own_back() {
    let mut lab = Lab::opened(1);
    for n in 0..40 {
        lab.send(&query(0x4242, &format!("n{n}.example")));
    }
    let ids: BTreeSet<u16> = lab.forwarded.iter().map(|forwarded| forwarded.id).collect();
    assert_eq!(ids.len(), 40);
    assert!(ids.iter().filter(|id| **id == 0x4242).count() <= 1);
    lab.answer_all();
    assert!(
        lab.responses
            .iter()
            .all(|response| response[..2] == [0x42, 0x42])
    );
}

#[test]
fn the_flags_of_a_response_are_ours_whatever_the_upstreams_are() {
    for flags in [0, RA, RD | RA, AA | RA, Z | RA] {
        let mut lab = Lab::opened(1);
        lab.ask("a.example");
        let forwarded = lab.next_forwarded();
        lab.respond(
            forwarded.session,
            &response(&forwarded.message, flags, [&[address(1)], &[], &[]]),
        );
        assert_eq!(
            Message::read(&lab.responses[0]).flags,
            QR | RD | RA,
            "{flags:#x}"
        );
    }
}

#[test]
fn records_of_any_type_are_relayed_complete_and_byte_for_byte_in_their_sections() {
    let mut lab = Lab::opened(1);
    lab.send(&query_for(1, "a.example", 65_280).with_edns());
    let forwarded = lab.next_forwarded();
    assert_eq!(
        Message::read(&forwarded.message).question,
        query_for(1, "a.example", 65_280)[12..]
    );
    // What looks like a pointer in RDATA of an unknown type is none (RFC 3597 section 4).
    let unknown = record(QNAME, 65_280, 300, &[0xc0, 12, 0xc0, 0xff, 0]);
    let other_class = record_in(QNAME, 65_281, 65_282, 300, &[]);
    let sections: [&[Vec<u8>]; 3] = [
        &[unknown.clone(), other_class, unknown.clone()],
        &[record(b"\x07example\0", 2, 60, b"\x02ns\xc0\x0e")],
        &[address(7), unknown],
    ];
    let message = response(&forwarded.message, RD | RA, sections).with_edns();
    lab.respond(forwarded.session, &message);
    let (got, sent) = (Message::read(&lab.responses[0]), Message::read(&message));
    assert_eq!((got.records.len(), &got.records), (6, &sent.records));
    let end = message.len() - 11;
    assert_eq!(lab.responses[0][12..end], message[12..end]);
}

#[test]
fn ttls_are_bounded_and_equal_within_a_set() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    let forwarded = lab.next_forwarded();
    let a = |ttl, last| record(QNAME, A, ttl, &[203, 0, 113, last]);
    let text = |ttl| record(QNAME, 16, ttl, b"\x01t");
    let sections: [&[Vec<u8>]; 3] = [
        &[a(900, 1), a(60, 2)],
        &[text(0x8000_0000)],
        &[record(QNAME, 15, u32::MAX, b"\0\x01\0")],
    ];
    lab.respond(
        forwarded.session,
        &response(&forwarded.message, RD | RA, sections),
    );
    let response = Message::read(&lab.responses[0]);
    let ttls: Vec<u32> = response.records.iter().map(|record| record.ttl).collect();
    assert_eq!(ttls, [60, 60, 604_800, 604_800]);
}

#[test]
fn bytes_behind_a_response_reach_no_client() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    let forwarded = lab.next_forwarded();
    let right = response(&forwarded.message, RD | RA, [&[address(1)], &[], &[]]);
    lab.respond(forwarded.session, &[&right[..], &address(66)].concat());
    assert_eq!(lab.responses[0].len(), right.len());
    assert_eq!(Message::read(&lab.responses[0]).records.len(), 1);
}

#[test]
fn additional_records_of_an_answer_answer_no_other_question() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    let forwarded = lab.next_forwarded();
    let planted = record(b"\x01b\x07example\0", A, 86_400, &[203, 0, 113, 66]);
    let sections: [&[Vec<u8>]; 3] = [&[address(1)], &[], &[planted]];
    lab.respond(
        forwarded.session,
        &response(&forwarded.message, RD | RA, sections),
    );
    lab.ask("b.example");
    assert_eq!(lab.forwarded.len(), 1, "forwarded, not taken from there");
}

#[test]
fn questions_merge_whatever_edns_their_clients_speak() {
    let mut lab = Lab::opened(1);
    let plain = query(1, "a.example");
    for (n, options) in [(24, 1_u8), (24, 2), (32, 3)] {
        let subnet = [0, 1, n, 0, 192, 0, options, 0];
        lab.send(
            &plain
                .clone()
                .with_options(&[(ECS, &subnet[..7 + usize::from(n == 32)])]),
        );
    }
    lab.send(&plain.clone().with_opt(4_096, 0, &[]));
    lab.send(&plain);
    assert_eq!(lab.forwarded.len(), 1);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0; 5]);
}

#[test]
fn bogus_data_and_policy_stand_and_other_errors_are_asked_elsewhere() {
    for code in 0..=30 {
        for rcode in [2, 5] {
            let mut lab = Lab::opened(2);
            lab.send(&query(1, "a.example").with_edns());
            let forwarded = lab.next_forwarded();
            lab.respond(
                forwarded.session,
                &error_with_ede(&forwarded.message, rcode, code, "why"),
            );
            if matches!(code, 6..=12 | 15..=18) {
                let response = Message::read(&lab.responses[0]);
                assert_eq!(response.rcode(), rcode);
                assert_eq!(response.ede(), Some((code, "from up0: why".to_owned())));
            } else {
                lab.open(1);
                lab.answer_all();
                assert_eq!(lab.rcodes(), [0], "{code}");
            }
        }
    }
}

#[test]
fn errors_of_all_upstreams_pass_and_those_about_our_own_query_become_servfail() {
    for (rcode, passed) in [(1, 2), (2, 2), (4, 2), (5, 5)] {
        let mut lab = Lab::opened(1);
        lab.send(&query(1, "a.example").with_edns());
        let forwarded = lab.next_forwarded();
        lab.respond(
            forwarded.session,
            &error_with_ede(&forwarded.message, rcode, 22, ""),
        );
        let response = Message::read(&lab.responses[0]);
        assert_eq!(
            (response.rcode(), response.ede().unwrap().0),
            (passed, 22),
            "{rcode}"
        );
    }
}

#[test]
fn rcodes_that_are_answers_are_passed_as_they_are() {
    for rcode in [0, 3, 6, 7, 8, 9, 10, 11, 15] {
        let mut lab = Lab::opened(2);
        lab.ask("a.example");
        let forwarded = lab.next_forwarded();
        let soa = record(QNAME, 6, 300, &[&[0, 0][..], &[0; 20]].concat());
        lab.respond(
            forwarded.session,
            &response(&forwarded.message, RD | RA | rcode, [&[], &[soa], &[]]),
        );
        let response = Message::read(&lab.responses[0]);
        assert_eq!((response.rcode(), response.records.len()), (rcode, 1));
    }
}

#[test]
fn a_short_answer_to_any_is_passed_as_it_is_and_answers_no_other_type() {
    let mut lab = Lab::opened(1);
    lab.send(&query_for(1, "a.example", 255));
    lab.send(&query_for(1, "a.example", A));
    assert_eq!(lab.forwarded.len(), 2);
    let forwarded = lab.next_forwarded();
    let hinfo = record(QNAME, 13, 3_600, b"\x07RFC8482\0");
    lab.respond(
        forwarded.session,
        &response(&forwarded.message, RD | RA, [&[hinfo], &[], &[]]),
    );
    let response = Message::read(&lab.responses[0]);
    assert_eq!((response.records.len(), response.records[0].rtype), (1, 13));
    assert_eq!(lab.responses.len(), 1);
}

#[test]
fn short_names_are_forwarded_as_they_are() {
    let mut lab = Lab::opened(1);
    for name in ["", "intranet", "host.corp"] {
        lab.ask(name);
        let forwarded = lab.next_forwarded();
        assert_eq!(
            Message::read(&forwarded.message).question,
            query(1, name)[12..]
        );
        lab.answer(&forwarded);
    }
}

#[test]
fn thousands_of_questions_to_a_stalled_upstream_share_no_id_and_all_end_at_their_deadline() {
    let mut settings = settings(1);
    (settings.queries_max, settings.queries_per_client_max) = (20_000, 20_000);
    let mut lab = Lab::with(settings);
    lab.ask("warm-up");
    lab.open(0);
    lab.answer_all();
    for n in 0..20_100 {
        lab.ask(&format!("n{n}.example"));
        while !lab.openings.is_empty() {
            lab.open(0);
        }
    }
    let ids: BTreeSet<_> = lab
        .forwarded
        .iter()
        .map(|forwarded| (forwarded.session, forwarded.id))
        .collect();
    assert_eq!((lab.forwarded.len(), ids.len()), (20_000, 20_000));
    assert!(lab.engine.load().sessions <= limits::SESSIONS_PER_UPSTREAM);
    assert_eq!(
        lab.rcodes(),
        [&[0][..], &[2; 100]].concat(),
        "those beyond the limit"
    );
    lab.pass(4 * SECOND);
    assert_eq!(lab.responses.len(), 20_101);
    lab.expect_idle();
}

#[test]
fn log_messages_name_no_client_and_no_question() {
    let mut lab = Lab::new(2);
    lab.ask("private.example");
    lab.fail_open(0, SessionEnd::Connect(ConnectFault::Refused));
    let session = lab.open(1);
    lab.close(session);
    lab.pass(5 * SECOND);
    assert!(!lab.events.is_empty());
    let response = format!("{:?}", lab.events);
    for word in ["private", "example", "192.0.2", "192, 0, 2"] {
        assert!(!response.contains(word), "{response}");
    }
}

#[test]
fn class_any_and_private_classes_are_forwarded_by_a_setting_and_no_other_class_is() {
    for (any, private) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut settings = settings(1);
        settings.forwarded_classes = ForwardedClasses { any, private };
        let mut lab = Lab::with(settings);
        for (class, is_forwarded) in [
            (1, true),
            (255, any),
            (65_280, private),
            (65_534, private),
            (3, false),
            (4, false),
            (65_279, false),
            (65_535, false),
        ] {
            let before = lab.count(Count::QueriesForwarded);
            lab.send(&query_for(1, "a.example", 1).with_qclass(class));
            let is_asked = lab.count(Count::QueriesForwarded) > before;
            assert_eq!(is_asked, is_forwarded, "class {class}");
        }
        assert!(lab.responses.iter().all(|response| rcode_of(response) == 5));
        // What is answered here is answered here in any class.
        lab.responses.clear();
        lab.send(&query_for(1, "x.onion", 1).with_qclass(255));
        assert_eq!(rcode_of(&lab.responses[0]), if any { 3 } else { 5 });
    }
}
