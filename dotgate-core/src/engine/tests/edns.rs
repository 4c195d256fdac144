//! EDNS, hop by hop: what a client's OPT record asks for, and what no OPT record carries through.

use super::lab::{Lab, MS, query, query_with_edns};
use super::message::{DO, Message, RA, RD, response, with_opt};

/// The response of an upstream that does not know EDNS.
fn formerr(query: &[u8]) -> Vec<u8> {
    response(query, RD | RA | 1, [&[], &[], &[]])
}

#[test]
fn one_upstream_without_edns_takes_do_from_no_other_upstream() {
    let mut lab = Lab::opened(2);
    lab.send(&with_opt(query(1, "a.example"), 1_232, DO, &[]));
    let first = lab.next_asked();
    lab.respond(first.session, &formerr(&first.message));
    let again = lab.next_asked();
    assert_eq!(
        (again.upstream, again.message[11]),
        (0, 0),
        "once more without"
    );
    lab.respond(
        again.session,
        &response(&again.message, RD | RA | 5, [&[], &[], &[]]),
    );
    lab.open(1);
    let second = Message::read(&lab.next_asked().message);
    assert_eq!(second.edns_flags(), Some(DO));
}

#[test]
fn edns_is_given_up_for_an_upstream_only_after_it_answered_without() {
    let mut lab = Lab::opened(2);
    lab.ask("a.example");
    for _ in 0..2 {
        let asked = lab.next_asked();
        lab.respond(asked.session, &formerr(&asked.message));
    }
    lab.open(1);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0]);
    lab.ask("b.example");
    assert_eq!(lab.asked[0].message[11], 1, "it was the question, not EDNS");
    let asked = lab.next_asked();
    lab.respond(asked.session, &formerr(&asked.message));
    lab.answer_all();
    lab.ask("c.example");
    let asked = lab.next_asked();
    assert_eq!(asked.message[11], 0, "remembered");
    lab.respond(asked.session, &formerr(&asked.message));
    assert_eq!(
        lab.next_asked().upstream,
        1,
        "asked without already: no second try without"
    );
    lab.pass(300_000 * MS);
    lab.ask("d.example");
    lab.open(0);
    assert_eq!(lab.next_asked().message[11], 1, "not for ever");
}

#[test]
fn a_last_attempt_that_fails_for_edns_is_told_as_what_it_was() {
    let mut lab = Lab::opened(3);
    lab.send(&query_with_edns(1, "a.example"));
    for upstream in [0, 1] {
        let asked = lab.next_asked();
        assert_eq!(asked.upstream, upstream);
        lab.close(asked.session);
        lab.open(upstream + 1);
    }
    let third = lab.next_asked();
    lab.respond(third.session, &formerr(&third.message));
    let told = Message::read(&lab.responses[0]);
    assert_eq!(
        (told.rcode(), told.ede().unwrap().1.as_str()),
        (2, "upstream: answered FORMERR (up2)")
    );
}
