//! Plain upstreams: what is asked over UDP and TCP, and what is believed of what comes back.

use dotgate_message::query;

use super::lab::{ForwardedQuery, Lab, MS, SECOND, answer, id, rcode_of, settings};
use crate::counters::labels::Reason;
use crate::failure::{ConnectFault, Failure, SessionEnd};
use crate::keys::UpstreamId;
use crate::limits;
use crate::link::Link;
use crate::outbox::Event;
use crate::settings::UpstreamSettings;

/// A lab with one plain upstream, which has answered a probe.
fn lab() -> Lab {
    let mut lab = Lab::with(plain_settings(1));
    lab.ask("warm-up");
    let probe = lab.next_forwarded();
    assert!(is_probe(&probe), "the first question is our own");
    lab.receive(&probe, &answer(&probe.message, 0));
    let warm_up = lab.next_forwarded();
    assert!(!is_probe(&warm_up));
    lab.receive(&warm_up, &answer(&warm_up.message, 0));
    assert_eq!(lab.rcodes(), [0]);
    lab.responses.clear();
    lab
}

fn plain_settings(upstreams: usize) -> crate::settings::Settings {
    let mut settings = settings(0);
    let names = (0..upstreams).map(|n| UpstreamSettings::plain(id(n), &format!("plain{n}")));
    settings.groups[0].upstreams = names.collect();
    settings
}

fn is_probe(forwarded: &ForwardedQuery) -> bool {
    forwarded.message[12] == 0
}

fn with_id(message: &[u8], id: u16) -> Vec<u8> {
    [&id.to_be_bytes(), &message[2..]].concat()
}

fn truncated(message: &[u8]) -> Vec<u8> {
    let mut truncated = answer(message, 0);
    truncated[2] |= 2;
    truncated
}

fn errors(lab: &Lab, reason: Reason) -> u64 {
    lab.engine
        .counters()
        .upstream(UpstreamId(0))
        .unwrap()
        .errors(reason)
}

#[test]
fn a_query_over_udp_has_mixed_letters_no_padding_and_an_answer_without_ad() {
    let mut lab = lab();
    lab.ask("a-name-with-many-letters.example");
    let forwarded = lab.next_forwarded();
    let name = &forwarded.message[12..forwarded.message.len() - 15];
    assert!(name.iter().any(u8::is_ascii_uppercase));
    assert!(name.iter().any(u8::is_ascii_lowercase));
    assert_eq!(
        forwarded.message.len(),
        12 + 34 + 4 + 11,
        "header, question, OPT"
    );
    let mut response = answer(&forwarded.message, 0);
    response[3] |= 0x20;
    lab.receive(&forwarded, &response);
    assert_eq!(lab.rcodes(), [0]);
    assert_eq!(lab.responses[0][3] & 0x20, 0, "AD is not passed on");
    assert_eq!(
        lab.responses[0][12..46],
        query(1, "a-name-with-many-letters.example")[12..46]
    );
    lab.expect_idle();
}

#[test]
fn what_does_not_answer_the_query_is_counted_and_the_wait_goes_on() {
    let mut lab = lab();
    lab.ask("some.example");
    let forwarded = lab.next_forwarded();
    let right = answer(&forwarded.message, 0);
    lab.receive(&forwarded, b"garbage");
    lab.receive(&forwarded, &with_id(&right, forwarded.id ^ 1));
    lab.receive(
        &forwarded,
        &with_id(&answer(&query(1, "other.example"), 0), forwarded.id),
    );
    lab.receive(&forwarded, &right[..20]);
    assert!(lab.responses.is_empty());
    assert_eq!(errors(&lab, Reason::UpstreamUnknownId), 2);
    assert_eq!(errors(&lab, Reason::UpstreamWrongQuestion), 1);
    assert_eq!(errors(&lab, Reason::UpstreamMalformed), 1);
    lab.receive(&forwarded, &right);
    lab.receive(&forwarded, &right);
    assert_eq!(lab.rcodes(), [0], "the second response is not read");
    lab.expect_idle();
}

#[test]
fn an_upstream_that_does_not_preserve_name_case_is_accepted() {
    let mut lab = Lab::with(plain_settings(1));
    lab.ask("first.example");
    let probe = lab.next_forwarded();
    lab.receive(&probe, &answer(&probe.message, 0));
    for name in ["first.example", "second.example"] {
        if name != "first.example" {
            lab.ask(name);
        }
        let forwarded = lab.next_forwarded();
        lab.receive(
            &forwarded,
            &with_id(&answer(&query(1, name), 0), forwarded.id),
        );
    }
    assert_eq!(lab.rcodes(), [0, 0]);
    assert_eq!(errors(&lab, Reason::UpstreamCaseNotKept), 1);
}

#[test]
fn another_name_case_from_an_upstream_that_preserves_it_leads_to_tcp() {
    let mut lab = lab();
    lab.ask("some.example");
    let forwarded = lab.next_forwarded();
    lab.receive(
        &forwarded,
        &with_id(&answer(&query(1, "some.example"), 0), forwarded.id),
    );
    assert_eq!(errors(&lab, Reason::UpstreamWrongCase), 1);
    assert_eq!(lab.openings[0].link, Link::Tcp);
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0]);
    lab.expect_idle();
}

#[test]
fn guesses_lead_to_tcp() {
    let mut lab = lab();
    lab.ask("some.example");
    let forwarded = lab.next_forwarded();
    let right = answer(&forwarded.message, 0);
    for guess in 1..=limits::DATAGRAM_INVALID as u16 {
        lab.receive(&forwarded, &with_id(&right, forwarded.id ^ guess));
    }
    lab.receive(&forwarded, &right);
    assert!(
        lab.responses.is_empty(),
        "this port is not believed any more"
    );
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0]);
}

#[test]
fn a_truncated_response_is_asked_for_over_tcp_and_one_without_end_is_a_failure() {
    let mut lab = lab();
    for is_endless in [false, true] {
        lab.ask("large.example");
        let forwarded = lab.next_forwarded();
        lab.receive(&forwarded, &truncated(&forwarded.message));
        if !is_endless {
            assert_eq!(lab.openings[0].link, Link::Tcp);
            lab.open(0);
        }
        let forwarded = lab.next_forwarded();
        match is_endless {
            false => lab.answer(&forwarded),
            true => lab.respond(forwarded.session, &truncated(&forwarded.message)),
        }
    }
    assert_eq!(lab.rcodes(), [0, 2]);
    lab.expect_idle();
}

#[test]
fn what_cannot_be_asked_over_tcp_fails_and_the_upstream_stays() {
    let mut lab = lab();
    lab.ask("large.example");
    let forwarded = lab.next_forwarded();
    lab.receive(&forwarded, &truncated(&forwarded.message));
    lab.fail_open(0, SessionEnd::Connect(ConnectFault::Refused));
    assert_eq!(lab.rcodes(), [2]);
    lab.ask("small.example");
    let forwarded = lab.next_forwarded();
    lab.receive(&forwarded, &answer(&forwarded.message, 0));
    assert_eq!(lab.rcodes(), [2, 0]);
}

#[test]
fn a_lost_datagram_is_sent_again_three_times_in_all() {
    let mut lab = lab();
    lab.ask("some.example");
    lab.pass(limits::DATAGRAM_AGAIN_AFTER);
    lab.pass(limits::DATAGRAM_AGAIN_AFTER);
    lab.swallow_probes();
    let mut ids: Vec<u16> = lab.forwarded.iter().map(|forwarded| forwarded.id).collect();
    assert_eq!(
        ids.len(),
        2,
        "the first of three has given its place to the last"
    );
    ids.dedup();
    assert_eq!(ids.len(), 2);
    lab.answer_all_datagrams();
    assert_eq!(lab.rcodes(), [0]);
    assert_eq!(lab.count(crate::counters::Count::Attempts), 1 + 3);
    lab.expect_idle();
}

#[test]
fn edns_is_left_out_where_it_is_refused() {
    let mut lab = lab();
    lab.ask("some.example");
    let forwarded = lab.next_forwarded();
    let mut refusal = answer(&forwarded.message, 1);
    refusal.truncate(refusal.len() - 11);
    refusal[11] = 0;
    lab.receive(&forwarded, &refusal);
    let forwarded = lab.next_forwarded();
    assert_eq!(forwarded.message[11], 0, "no OPT record");
    let mut plain = answer(&forwarded.message, 0);
    plain.truncate(plain.len() - 11);
    plain[11] = 0;
    lab.receive(&forwarded, &plain);
    assert_eq!(lab.rcodes(), [0]);
}

#[test]
fn a_refusing_host_is_noticed_at_once_and_its_queries_are_answered_when_it_is_back() {
    let mut lab = lab();
    lab.ask("some.example");
    let forwarded = lab.next_forwarded();
    let refused = SessionEnd::Connect(ConnectFault::Refused);
    lab.engine
        .session_closed(lab.now, forwarded.session, refused);
    lab.settle();
    let failure = Failure::Connect(ConnectFault::Refused);
    assert!(lab.events.contains(&Event::UpstreamDown {
        upstream: UpstreamId(0),
        failure
    }));
    lab.pass(limits::TRY_EVERY);
    let probe = lab.next_forwarded();
    assert!(is_probe(&probe));
    lab.receive(&probe, &answer(&probe.message, 0));
    assert!(lab.events.contains(&Event::UpstreamHealthy {
        upstream: UpstreamId(0)
    }));
    lab.answer_all_datagrams();
    assert_eq!(lab.rcodes(), [0]);
    lab.expect_idle();
}

#[test]
fn a_server_that_answers_for_its_own_zone_alone_is_asked_all_the_same() {
    let mut lab = Lab::with(plain_settings(1));
    lab.ask("nas.lan");
    let probe = lab.next_forwarded();
    assert!(is_probe(&probe), "it is never answered");
    let forwarded = lab.next_forwarded();
    lab.receive(&forwarded, &answer(&forwarded.message, 0));
    lab.ask("printer.lan");
    lab.swallow_probes();
    let forwarded = lab.next_forwarded();
    lab.receive(&forwarded, &answer(&forwarded.message, 0));
    assert_eq!(lab.rcodes(), [0, 0]);
    lab.expect_idle();
}

#[test]
fn an_unresponsive_upstream_is_down_and_the_client_learns_why() {
    let mut lab = lab();
    lab.ask("some.example");
    lab.pass(4 * SECOND);
    let failure = Failure::NoResponse;
    assert!(lab.events.contains(&Event::UpstreamDown {
        upstream: UpstreamId(0),
        failure
    }));
    assert_eq!(lab.rcodes(), [2]);
    assert!(rcode_of(&lab.responses[0]) == 2);
    lab.expect_idle();
    lab.forwarded.clear();
    lab.ask("other.example");
    lab.pass(limits::TRY_EVERY * 4);
    let probe = lab.next_forwarded();
    lab.receive(&probe, &answer(&probe.message, 0));
    assert!(lab.events.contains(&Event::UpstreamHealthy {
        upstream: UpstreamId(0)
    }));
    lab.answer_all_datagrams();
    assert_eq!(lab.rcodes(), [2, 0]);
    lab.pass(MS);
}

#[test]
fn a_plain_upstream_is_hedged_by_the_same_rules() {
    let mut lab = Lab::with(plain_settings(2));
    lab.ask("warm-up");
    lab.answer_all_datagrams();
    lab.responses.clear();
    lab.ask("some.example");
    let first = lab.next_forwarded();
    assert_eq!(first.upstream, 0);
    lab.pass(limits::DATAGRAM_AGAIN_AFTER);
    let second = lab.next_forwarded();
    assert_eq!((second.upstream, is_probe(&second)), (1, true));
    lab.receive(&second, &answer(&second.message, 0));
    lab.answer_all_datagrams();
    assert_eq!(lab.rcodes(), [0]);
    lab.expect_idle();
}

/// Its datagram may be lost, and nothing else would ask it again.
#[test]
fn a_question_whose_upstream_a_reload_replaces_is_asked_at_the_next_one() {
    let mut lab = lab();
    lab.ask("www.example");
    let lost = lab.next_forwarded();
    let mut settings = plain_settings(1);
    settings.groups[0].upstreams = vec![UpstreamSettings::plain(id(1), "next")];
    lab.reconfigure(settings);
    let is_it = |it: &ForwardedQuery| !is_probe(it);
    let again = lab.forwarded.iter().position(is_it).unwrap();
    let again = lab.forwarded.remove(again);
    assert_ne!(again.session, lost.session);
    lab.receive(&again, &answer(&again.message, 0));
    assert_eq!(lab.rcodes(), [0]);
}
