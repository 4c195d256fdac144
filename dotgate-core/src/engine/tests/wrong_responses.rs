//! What upstreams should not send: none of it reaches a client, and none of it costs one its answer.

use dotgate_message::{
    A, Compose as _, OPT, QR, RA, RD, TC, framed, query, record, record_in, response,
};

use super::lab::{Lab, MS, UNRESPONSIVE_ALONE, answer};
use super::message::{Message, address};
use crate::counters::Count;
use crate::limits;

/// Messages of an upstream that are no response to this question, and their names.
fn wrong_responses(forwarded: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let right = answer(forwarded, 0);
    let changed = |at: usize, bits: u8| {
        let mut message = right.clone();
        message[at] ^= bits;
        message
    };
    let question_end = 12 + 11 + 4;
    let two_opts = right.clone().with_edns();
    let overrun = record_in(&[0], OPT, 1_232, 0, &[0, 15, 0, 9]);
    let no_question = |rcode: u16| {
        let mut message = response(forwarded, RD | RA | rcode, [&[], &[], &[]]);
        message.truncate(12);
        message[5] = 0;
        message
    };
    let looping = record(&[0xc0, question_end as u8], A, 300, &[203, 0, 113, 5]);
    vec![
        ("wrong ID", changed(0, 0x55)),
        ("wrong name", changed(13, 0x03)),
        ("wrong type", changed(question_end - 3, 0x1c)),
        ("wrong class", changed(question_end - 1, 0x02)),
        ("QR clear", changed(2, 0x80)),
        ("opcode", changed(2, 0x20)),
        (
            "random bytes behind our ID",
            [&right[..2], &[0xa5; 60]].concat(),
        ),
        ("nothing", vec![]),
        ("four bytes", right[..4].to_vec()),
        ("cut in a record", right[..right.len() - 12].to_vec()),
        ("two questions", changed(5, 3)),
        ("no error and no question", no_question(0)),
        ("NXDOMAIN and no question", no_question(3)),
        ("records that are not there", changed(6, 0x80)),
        ("two OPT", two_opts),
        (
            "an option that overruns",
            response(forwarded, RD | RA, [&[], &[], &[overrun]]),
        ),
        (
            "a name that leads into itself",
            response(forwarded, RD | RA, [&[looping], &[], &[]]),
        ),
    ]
}

#[test]
fn a_wrong_response_neither_answers_nor_fails_and_the_right_one_is_still_taken() {
    let kinds = wrong_responses(&query(1, "a.example")).len();
    for kind in 0..kinds {
        let mut lab = Lab::opened(1);
        lab.ask("a.example");
        let forwarded = lab.next_forwarded();
        let (name, wrong) = wrong_responses(&forwarded.message).swap_remove(kind);
        lab.respond(forwarded.session, &wrong);
        assert_eq!(lab.count(Count::ResponsesInvalid), 1, "{name}");
        lab.pass(50 * MS);
        assert!(lab.responses.is_empty(), "{name}");
        lab.answer(&forwarded);
        assert_eq!(lab.rcodes(), [0], "{name}");
        assert_eq!(Message::read(&lab.responses[0]).records.len(), 1, "{name}");
        lab.expect_idle();
    }
}

#[test]
fn an_upstream_that_answers_wrongly_alone_costs_time_and_no_answer() {
    let kinds = wrong_responses(&query(1, "a.example")).len();
    for kind in 0..kinds {
        let mut lab = Lab::opened(2);
        lab.ask("a.example");
        let forwarded = lab.next_forwarded();
        let (name, wrong) = wrong_responses(&forwarded.message).swap_remove(kind);
        lab.respond(forwarded.session, &wrong);
        lab.pass(UNRESPONSIVE_ALONE);
        lab.open(1);
        lab.swallow_probes();
        let second = lab.next_forwarded();
        assert_eq!(second.upstream, 1, "{name}");
        lab.answer(&second);
        assert_eq!(lab.rcodes(), [0], "{name}");
    }
}

#[test]
fn wrong_responses_to_the_end_are_a_servfail_that_says_so_at_the_deadline() {
    let mut lab = Lab::opened(1);
    lab.send(&query(1, "a.example").with_edns());
    for _ in 0..40 {
        while !lab.forwarded.is_empty() {
            let forwarded = lab.next_forwarded();
            let mut garbage = vec![0xa5; 62];
            garbage[..2].copy_from_slice(&forwarded.id.to_be_bytes());
            lab.respond(forwarded.session, &garbage);
        }
        assert!(lab.responses.is_empty());
        lab.pass(100 * MS);
        while !lab.openings.is_empty() {
            lab.open(0);
        }
    }
    let response = Message::read(&lab.responses[0]);
    assert_eq!((response.rcode(), response.records.len()), (2, 0));
    assert_eq!(
        response.ede(),
        Some((23, "upstream: malformed response".to_owned()))
    );
    lab.expect_idle();
}

#[test]
fn two_thousand_wrong_ids_before_the_answer_lose_nothing() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    let first = lab.next_forwarded();
    let mut wrong = answer(&first.message, 0);
    wrong[0] ^= 0x55;
    let flood: Vec<u8> = (0..2_000).flat_map(|_| framed(&wrong)).collect();
    lab.engine.session_bytes(lab.now, first.session, &flood);
    lab.settle();
    assert_eq!(lab.closed, [first.session]);
    assert_eq!(
        lab.count(Count::ResponsesInvalid),
        u64::from(limits::SESSION_INVALID_MESSAGES),
        "the rest is not read"
    );
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0]);
    lab.expect_idle();
}

#[test]
fn tc_over_tls_is_a_failure_of_that_upstream() {
    let mut lab = Lab::opened(2);
    lab.send(&query(1, "a.example").with_edns());
    let forwarded = lab.next_forwarded();
    lab.respond(
        forwarded.session,
        &response(&forwarded.message, RD | RA | TC, [&[address(1)], &[], &[]]),
    );
    assert!(lab.responses.is_empty());
    lab.open(1);
    let forwarded = lab.next_forwarded();
    assert_eq!(forwarded.upstream, 1);
    lab.respond(
        forwarded.session,
        &response(&forwarded.message, RD | RA | TC, [&[], &[], &[]]),
    );
    let response = Message::read(&lab.responses[0]);
    assert_eq!(
        response.flags,
        QR | RD | RA | 2,
        "no TC, which would send a client in circles"
    );
    assert_eq!(
        response.ede(),
        Some((23, "upstream: truncated response over tls (up1)".to_owned()))
    );
}

#[test]
fn of_two_responses_the_first_wins() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    let forwarded = lab.next_forwarded();
    for last in [1, 2] {
        let message = response(&forwarded.message, RD | RA, [&[address(last)], &[], &[]]);
        lab.respond(forwarded.session, &message);
    }
    assert_eq!(lab.responses.len(), 1);
    assert_eq!(
        Message::read(&lab.responses[0]).records[0].rdata,
        [203, 0, 113, 1]
    );
    assert_eq!(lab.count(Count::ResponsesInvalid), 1);
}
