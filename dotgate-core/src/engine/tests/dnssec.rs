//! DNSSEC through a forwarder that does not validate: DO, CD and AD, and the records that come with them.

use dotgate_message::{
    A, AD, CD, Compose as _, DO, QNAME, RA, RD, RRSIG, query, query_for, record, response,
};

use super::lab::{Lab, settings};
use super::message::{Message, address};
use crate::counters::Count;

/// A query, ID 1, with DO or without.
fn asking(dnssec_ok: bool, flags: u16) -> Vec<u8> {
    let ttl = if dnssec_ok { DO } else { 0 };
    query(1, "a.example")
        .with_flags(RD | flags)
        .with_opt(1_232, ttl, &[])
}

fn signature() -> Vec<u8> {
    let covering_a = [
        &[0, 1, 13, 2, 0, 0, 1, 44][..],
        &[0; 10],
        b"\x07example\0",
        &[9; 64],
    ];
    record(QNAME, RRSIG, 300, &covering_a.concat())
}

#[test]
fn do_and_cd_are_passed_up_as_asked_and_copied_into_the_response() {
    for dnssec_ok in [false, true] {
        for cd in [0, CD] {
            let mut lab = Lab::opened(1);
            lab.send(&asking(dnssec_ok, cd));
            let forwarded = lab.next_forwarded();
            let sent = Message::read(&forwarded.message);
            let edns_flags = if dnssec_ok { DO } else { 0 };
            assert_eq!(
                (sent.edns_flags(), sent.flags),
                (Some(edns_flags), RD | AD | cd)
            );
            let not_ours = CD ^ cd;
            let message = response(
                &forwarded.message,
                RD | RA | not_ours,
                [&[address(1)], &[], &[]],
            );
            lab.respond(forwarded.session, &message);
            let response = Message::read(&lab.responses[0]);
            assert_eq!(
                (response.edns_flags(), response.has(CD)),
                (Some(edns_flags), cd != 0)
            );
        }
    }
}

#[test]
fn local_errors_copy_do_and_cd_and_never_have_ad() {
    let mut lab = Lab::new(1);
    let refused = query_for(1, "a.example", 252)
        .with_flags(RD | CD | AD)
        .with_opt(1_232, DO, &[]);
    let local = query(1, "x.localhost")
        .with_flags(RD | CD | AD)
        .with_opt(1_232, DO, &[]);
    for message in [refused, local, asking(true, CD | AD)] {
        lab.send(&message);
    }
    lab.pass(super::lab::SECOND * 4);
    assert_eq!(lab.rcodes(), [5, 0, 2]);
    for response in &lab.responses {
        let response = Message::read(response);
        assert_eq!(response.edns_flags(), Some(DO));
        assert_eq!((response.has(CD), response.has(AD)), (true, false));
    }
}

#[test]
fn ad_reaches_who_asked_for_it_from_an_authenticated_upstream_that_set_it() {
    for (client, is_reported) in [
        (query(1, "a.example").with_flags(RD), false),
        (query(1, "a.example").with_flags(RD | AD), true),
        (asking(false, 0), false),
        (asking(false, AD), true),
        (asking(true, 0), true),
        (asking(true, AD), true),
    ] {
        for upstream_sets in [false, true] {
            for is_authenticated in [false, true] {
                let mut settings = settings(1);
                settings.groups[0].upstreams[0].is_authenticated = is_authenticated;
                let mut lab = Lab::with(settings);
                lab.send(&client);
                lab.open(0);
                let forwarded = lab.next_forwarded();
                assert!(
                    Message::read(&forwarded.message).has(AD),
                    "always forwarded for"
                );
                let ad = if upstream_sets { AD } else { 0 };
                let message = response(&forwarded.message, RD | RA | ad, [&[address(1)], &[], &[]]);
                lab.respond(forwarded.session, &message);
                let response = Message::read(&lab.responses[0]);
                let expected = is_reported && upstream_sets && is_authenticated;
                assert_eq!(
                    response.has(AD),
                    expected,
                    "{client:?} {upstream_sets} {is_authenticated}"
                );
            }
        }
    }
}

#[test]
fn records_outside_the_chain_are_counted_and_relayed_and_take_ad_away() {
    let mut lab = Lab::opened(1);
    lab.send(&asking(true, 0));
    let forwarded = lab.next_forwarded();
    let off_chain = record(b"\x05other\x07example\0", A, 300, &[203, 0, 113, 9]);
    let message = response(
        &forwarded.message,
        RD | RA | AD,
        [&[address(1), off_chain], &[], &[]],
    );
    lab.respond(forwarded.session, &message);
    let response = Message::read(&lab.responses[0]);
    assert_eq!((response.records.len(), response.has(AD)), (2, false));
    assert_eq!(lab.count(Count::ResponsesOffChain), 1);
}

#[test]
fn a_chain_in_any_order_keeps_ad() {
    let mut lab = Lab::opened(1);
    lab.send(&asking(true, 0));
    let forwarded = lab.next_forwarded();
    let target = b"\x05other\x07example\0";
    let cname = record(QNAME, 5, 300, target);
    let end = record(target, A, 300, &[203, 0, 113, 9]);
    let message = response(
        &forwarded.message,
        RD | RA | AD,
        [&[end, cname, signature()], &[], &[]],
    );
    lab.respond(forwarded.session, &message);
    let response = Message::read(&lab.responses[0]);
    assert_eq!((response.records.len(), response.has(AD)), (3, true));
    assert_eq!(lab.count(Count::ResponsesOffChain), 0);
}

#[test]
fn signatures_are_relayed_to_clients_with_do_and_for_queries_of_their_type() {
    let by_type = query_for(1, "a.example", RRSIG).with_edns();
    for message in [asking(true, 0), by_type, query_for(1, "a.example", RRSIG)] {
        let mut lab = Lab::opened(1);
        lab.send(&message);
        let forwarded = lab.next_forwarded();
        let sections: [&[Vec<u8>]; 3] =
            [&[address(1), signature()], &[signature()], &[signature()]];
        let message = response(&forwarded.message, RD | RA, sections).with_edns();
        lab.respond(forwarded.session, &message);
        let response = Message::read(&lab.responses[0]);
        assert_eq!(response.records, Message::read(&message).records);
    }
}

#[test]
fn an_answer_to_cd_never_answers_a_client_without_it() {
    let mut lab = Lab::opened(1);
    lab.send(&asking(true, CD));
    lab.send_from("192.0.2.2:1", &asking(true, 0));
    assert_eq!(lab.forwarded.len(), 2, "two questions");
    let checked = lab.forwarded.pop().unwrap();
    let unchecked = lab.next_forwarded();
    lab.respond(
        unchecked.session,
        &response(&unchecked.message, RD | RA | CD, [&[address(1)], &[], &[]]),
    );
    assert_eq!(lab.responses.len(), 1);
    assert!(Message::read(&lab.responses[0]).has(CD));
    lab.respond(
        checked.session,
        &super::message::error_with_ede(&checked.message, 2, 6, "bogus"),
    );
    assert_eq!(lab.rcodes(), [0, 2]);
    assert!(!Message::read(&lab.responses[1]).has(CD));
}

#[test]
fn ad_cd_or_opt_in_a_query_never_cost_it_its_answer() {
    for flags in [0, AD, CD, AD | CD] {
        for message in [query(1, "a.example"), query(1, "a.example").with_edns()] {
            let mut lab = Lab::opened(1);
            lab.send(&message.with_flags(RD | flags));
            lab.answer_all();
            assert_eq!(lab.rcodes(), [0]);
        }
    }
}
