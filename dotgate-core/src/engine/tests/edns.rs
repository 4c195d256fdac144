//! EDNS, hop by hop: what a client's OPT record asks for, and what no OPT record carries through.

use dotgate_message::{
    COOKIE, Compose as _, DO, ECS, EDE, KEEPALIVE, PADDING, QNAME, RA, RD, TC, framed, query,
    query_for, record, response,
};

use super::cache::with_cache;
use super::lab::{Lab, MS, settings};
use super::message::{Message, address, error_with_ede};
use crate::counters::Count;
use crate::failure::{SessionEnd, TlsFault};
use crate::limits;
use crate::outbox::ReturnPath;

/// The response of an upstream that does not know EDNS.
fn formerr(query: &[u8]) -> Vec<u8> {
    response(query, RD | RA | 1, [&[], &[], &[]])
}

#[test]
fn one_upstream_without_edns_takes_do_from_no_other_upstream() {
    let mut lab = Lab::opened(2);
    lab.send(&query(1, "a.example").with_opt(1_232, DO, &[]));
    let first = lab.next_forwarded();
    lab.respond(first.session, &formerr(&first.message));
    let again = lab.next_forwarded();
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
    let second = Message::read(&lab.next_forwarded().message);
    assert_eq!(second.edns_flags(), Some(DO));
}

#[test]
fn edns_is_given_up_for_an_upstream_only_after_it_answered_without() {
    let mut lab = Lab::opened(2);
    lab.ask("a.example");
    for _ in 0..2 {
        let forwarded = lab.next_forwarded();
        lab.respond(forwarded.session, &formerr(&forwarded.message));
    }
    lab.open(1);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0]);
    lab.ask("b.example");
    assert_eq!(
        lab.forwarded[0].message[11], 1,
        "it was the question, not EDNS"
    );
    let forwarded = lab.next_forwarded();
    lab.respond(forwarded.session, &formerr(&forwarded.message));
    lab.answer_all();
    lab.ask("c.example");
    let forwarded = lab.next_forwarded();
    assert_eq!(forwarded.message[11], 0, "remembered");
    lab.respond(forwarded.session, &formerr(&forwarded.message));
    assert_eq!(
        lab.next_forwarded().upstream,
        1,
        "forwarded without already: no second try without"
    );
    lab.pass(300_000 * MS);
    lab.ask("d.example");
    lab.open(0);
    assert_eq!(lab.next_forwarded().message[11], 1, "not for ever");
}

#[test]
fn a_last_attempt_that_fails_for_edns_is_reported_as_what_it_was() {
    let mut lab = Lab::opened(3);
    lab.send(&query(1, "a.example").with_edns());
    for upstream in [0, 1] {
        let forwarded = lab.next_forwarded();
        assert_eq!(forwarded.upstream, upstream);
        lab.answer_with_rcode(&forwarded, 2);
        lab.open(upstream + 1);
    }
    let third = lab.next_forwarded();
    lab.respond(third.session, &formerr(&third.message));
    let response = Message::read(&lab.responses[0]);
    assert_eq!(
        (response.rcode(), response.ede().unwrap().1.as_str()),
        (2, "upstream: answered FORMERR (up2)")
    );
}

/// The options of every kind that a hop may meet.
const ALL_OPTIONS: [(u16, &[u8]); 9] = [
    (3, b"nsid"),
    (ECS, &[0, 1, 24, 0, 192, 0, 2]),
    (9, &[0, 0, 0, 9]),
    (COOKIE, &[1; 24]),
    (KEEPALIVE, &[0, 50]),
    (PADDING, &[0; 40]),
    (18, b"\x02er\x07example\0"),
    (19, &[2, 0, 0, 0, 0, 7]),
    (65_001, b"unknown"),
];

#[test]
fn no_option_of_a_client_reaches_an_upstream() {
    let mut lab = Lab::opened(1);
    lab.send(&query(1, "a.example").with_opt(4_096, 0xffff, &ALL_OPTIONS));
    let sent = Message::read(&lab.forwarded[0].message);
    assert_eq!(sent.option_codes(), [PADDING]);
    let opt = sent.opt.clone().unwrap();
    assert_eq!(
        (opt.rclass, opt.ttl),
        (1_232, DO),
        "our size, no flag but DO"
    );
}

#[test]
fn no_option_of_an_upstream_reaches_a_client_and_its_size_is_ours() {
    for by_tcp in [false, true] {
        let mut lab = Lab::opened(1);
        let stream = lab.connect();
        let message = query(1, "a.example").with_opt(4_096, 0x4000, &ALL_OPTIONS);
        match by_tcp {
            false => lab.send(&message),
            true => assert!(lab.stream_send(stream, &framed(&message))),
        }
        let forwarded = lab.next_forwarded();
        let sections: [&[Vec<u8>]; 3] = [&[address(1)], &[], &[]];
        let plain = response(&forwarded.message, RD | RA, sections);
        let mut options = ALL_OPTIONS;
        options[4].1 = &[0, 9];
        lab.respond(forwarded.session, &plain.with_opt(4_000, 0xffff, &options));
        let response = if by_tcp {
            lab.stream_messages().remove(0)
        } else {
            lab.responses.remove(0)
        };
        let response = Message::read(&response);
        let expected: &[u16] = if by_tcp { &[KEEPALIVE] } else { &[] };
        assert_eq!(
            response.option_codes(),
            expected,
            "neither padded nor copied"
        );
        let opt = response.opt.unwrap();
        assert_eq!((opt.rclass, opt.ttl), (1_232, 0));
    }
}

#[test]
fn a_sessions_first_query_asks_for_keepalive_and_each_is_padded_exactly_once() {
    let mut lab = Lab::new(1);
    for n in 0..60_usize {
        let name = format!("{}.example", "n".repeat(n + 1));
        lab.send(&query(1, &name).with_options(&[(PADDING, &[0; 9])]));
    }
    lab.open(0);
    let sent: Vec<Message> = lab
        .forwarded
        .iter()
        .map(|forwarded| Message::read(&forwarded.message))
        .collect();
    assert_eq!(
        sent[0].options()[0],
        (KEEPALIVE, vec![]),
        "no value from a client"
    );
    assert_eq!(sent[0].option_codes(), [KEEPALIVE, PADDING]);
    for (sent, forwarded) in sent[1..].iter().zip(&lab.forwarded[1..]) {
        assert_eq!(sent.option_codes(), [PADDING]);
        assert_eq!(forwarded.message.len() % 128, 0);
    }
}

#[test]
fn the_idle_timeout_an_upstream_advertises_is_used_with_a_margin() {
    for (tenths, limit) in [
        (20_u16, 1_800 * MS),
        (200, 18_000 * MS),
        (60_000, 60_000 * MS),
    ] {
        let mut lab = Lab::new(1);
        lab.ask("a.example");
        let session = lab.open(0);
        let forwarded = lab.next_forwarded();
        let options: [(u16, &[u8]); 1] = [(KEEPALIVE, &tenths.to_be_bytes())];
        lab.respond(
            session,
            &response(&forwarded.message, RD | RA, [&[], &[], &[]]).with_options(&options),
        );
        lab.pass(limit - MS);
        assert!(lab.closed.is_empty(), "{tenths}");
        lab.pass(MS);
        assert_eq!(
            lab.closed,
            [session],
            "{tenths}: we close before the upstream does"
        );
    }
}

/// The response to a client whose OPT record has this size: to an answer that has `bytes` bytes without OPT.
fn response_of(bytes: usize, udp_size: Option<u16>, cap: u16) -> Vec<u8> {
    let mut settings = settings(1);
    settings.udp_response_max = cap;
    let mut lab = Lab::with(settings);
    let plain = query(1, "a.example");
    lab.send(&match udp_size {
        Some(size) => plain.with_opt(size, 0, &[]),
        None => plain,
    });
    lab.open(0);
    let forwarded = lab.next_forwarded();
    let room = bytes - response(&forwarded.message, 0, [&[], &[], &[]]).len() - 12;
    let filler = record(QNAME, 16, 300, &vec![7; room]);
    lab.respond(
        forwarded.session,
        &response(&forwarded.message, RD | RA, [&[filler], &[], &[]]),
    );
    lab.responses.remove(0)
}

#[test]
fn udp_responses_keep_to_the_clients_size_and_to_ours() {
    for (udp_size, cap, limit) in [
        (None, 1_232, 512),
        (Some(0), 1_232, 512),
        (Some(511), 1_232, 512),
        (Some(512), 1_232, 512),
        (Some(900), 1_232, 900),
        (Some(1_232), 1_232, 1_232),
        (Some(4_096), 1_232, 1_232),
        (Some(65_535), 1_400, 1_400),
    ] {
        let opt_len = if udp_size.is_some() { 11 } else { 0 };
        let fits = response_of(limit - opt_len, udp_size, cap);
        assert_eq!(
            (fits.len(), Message::read(&fits).has(TC)),
            (limit, false),
            "{udp_size:?}"
        );
        for bytes in [limit - opt_len + 1, 13_000, 60_000] {
            let cut = Message::read(&response_of(bytes, udp_size, cap));
            assert_eq!(
                (cut.has(TC), cut.records.len(), cut.rcode()),
                (true, 0, 0),
                "{udp_size:?}"
            );
            assert_eq!(cut.opt.is_some(), udp_size.is_some());
        }
    }
}

#[test]
fn tc_is_not_set_for_additional_records_alone() {
    let mut lab = Lab::opened(1);
    lab.send(&query(1, "a.example").with_edns());
    let forwarded = lab.next_forwarded();
    let additional = record(QNAME, 16, 300, &[7; 1_200]);
    let sections: [&[Vec<u8>]; 3] = [&[address(1)], &[address(2)], &[additional]];
    lab.respond(
        forwarded.session,
        &response(&forwarded.message, RD | RA, sections),
    );
    let response = Message::read(&lab.responses[0]);
    assert_eq!((response.has(TC), response.records.len()), (false, 2));
}

#[test]
fn extended_rcodes_are_the_upstreams_hop_and_are_asked_elsewhere() {
    for rcode in [16_u16, 23, 4_095] {
        let mut lab = Lab::opened(2);
        lab.send(&query(1, "a.example").with_edns());
        for upstream in [0, 1] {
            let forwarded = lab.next_forwarded();
            assert_eq!(forwarded.upstream, upstream);
            let plain = response(&forwarded.message, RD | RA | rcode & 15, [&[], &[], &[]]);
            lab.respond(
                forwarded.session,
                &plain.with_opt(1_232, u32::from(rcode >> 4) << 24, &[]),
            );
            if upstream == 0 {
                lab.open(1);
            }
        }
        let response = Message::read(&lab.responses[0]);
        assert_eq!(
            (response.rcode(), response.edns_flags()),
            (2, Some(0)),
            "{rcode}"
        );
    }
}

#[test]
fn an_extended_error_is_passed_on_with_its_source_and_only_to_clients_with_edns() {
    for (text, response) in [
        ("", "from up0"),
        ("signature expired", "from up0: signature expired"),
        (r#"{"c":["mailto:a@example"]}"#, "from up0"),
    ] {
        let mut lab = Lab::opened(1);
        lab.send(&query(1, "a.example").with_edns());
        lab.send_from("192.0.2.2:1", &query(2, "a.example"));
        let forwarded = lab.next_forwarded();
        lab.respond(
            forwarded.session,
            &error_with_ede(&forwarded.message, 3, 19, text),
        );
        let with = Message::read(&lab.responses[0]);
        assert_eq!(
            (with.rcode(), with.ede()),
            (3, Some((19, response.to_owned())))
        );
        let without = Message::read(&lab.responses[1]);
        assert_eq!((without.rcode(), without.opt), (3, None));
    }
}

#[test]
fn an_extended_error_gives_way_before_any_record_does() {
    let mut lab = Lab::opened(1);
    lab.send(&query(1, "a.example").with_opt(512, 0, &[]));
    let forwarded = lab.next_forwarded();
    let empty = response(&forwarded.message, RD | RA, [&[], &[], &[]]).len();
    let filler = record(QNAME, 16, 300, &vec![7; 512 - 11 - 12 - empty]);
    let data = [&[0, 3][..], b"stale"].concat();
    let message =
        response(&forwarded.message, RD | RA, [&[filler], &[], &[]]).with_options(&[(EDE, &data)]);
    lab.respond(forwarded.session, &message);
    assert_eq!(lab.responses[0].len(), 512);
    let response = Message::read(&lab.responses[0]);
    assert_eq!(
        (response.has(TC), response.records.len(), response.ede()),
        (false, 1, None)
    );
}

#[test]
fn every_local_failure_has_its_extended_error() {
    let response = |lab: &Lab| Message::read(lab.responses.last().unwrap()).ede().unwrap();
    let ask = query(1, "a.example").with_edns();
    let mut settings = settings(1);
    settings.queries_max = 1;
    let mut lab = Lab::with(settings);
    lab.send_from("198.51.100.1:1", &ask);
    assert_eq!(response(&lab), (18, "client not in access list".to_owned()));
    lab.send(&ask);
    lab.send(&query(1, "b.example").with_edns());
    assert_eq!(
        response(&lab),
        (23, "dotgate: too many queries in flight".to_owned())
    );
    lab.pass(4_000 * MS);
    assert_eq!(
        response(&lab),
        (14, "connect: no session to any upstream".to_owned())
    );
    let mut lab = Lab::new(1);
    lab.send(&ask);
    lab.fail_open(0, SessionEnd::Tls(TlsFault::PinMismatch));
    assert_eq!(response(&lab), (22, "tls: no pin matches (up0)".to_owned()));
    let mut lab = Lab::opened(1);
    lab.send(&ask);
    lab.pass(4_000 * MS);
    assert_eq!(
        response(&lab),
        (23, "upstream: no response (up0)".to_owned())
    );
    lab.send(&query(1, "a.example").with_edns().with_flags(0));
    assert_eq!(response(&lab), (20, "recursion not desired".to_owned()));
    lab.send(&query_for(1, "a.example", 252).with_edns());
    assert_eq!(response(&lab), (21, "no zone transfers".to_owned()));
}

#[test]
fn a_response_that_the_system_refuses_goes_out_shorter_and_the_limit_is_remembered() {
    let mut lab = with_cache(1, 1);
    let asking = query_for(1, "long.example", 16).with_opt(1_232, DO, &[]);
    lab.send(&asking);
    let filler = record(QNAME, 16, 3_000, &[7; 900]);
    let forwarded = lab.next_forwarded();
    let message = response(&forwarded.message, RD | RA, [&[filler], &[], &[]]);
    lab.respond(forwarded.session, &message);
    let whole = lab.responses.remove(0);
    let path = |client: &str| ReturnPath {
        socket: 0,
        peer: client.parse().unwrap(),
        local_ip: None,
        interface: 0,
    };
    let ask = |lab: &mut Lab, client: &str| {
        lab.engine.on_datagram(lab.now, path(client), &asking);
        let sent: Vec<_> = lab
            .engine
            .clients()
            .datagrams()
            .map(|sent| sent.bytes.to_vec())
            .collect();
        assert_eq!(sent.len(), 1);
        sent[0].clone()
    };
    for client in ["192.0.2.1:1000", "192.0.2.2:1000"] {
        assert_eq!(ask(&mut lab, client).len(), whole.len());
        lab.engine.clients_mut().shorten_refused(&[(0, true)]);
        let sent: Vec<_> = lab.engine.clients().datagrams().collect();
        assert_eq!((sent.len(), sent[0].path), (1, path(client)));
        let short = Message::read(sent[0].bytes);
        assert!(short.has(TC) && short.records.is_empty() && short.opt.is_some());
        assert_eq!(short.question, Message::read(&whole).question);
        // There is nothing to make shorter.
        lab.engine.clients_mut().shorten_refused(&[(0, true)]);
        assert_eq!(lab.engine.clients().datagram_count(), 0);
        // The same client gets no such response for a while, another one does.
        assert!(Message::read(&ask(&mut lab, client)).has(TC));
        lab.engine.clients_mut().clear_datagrams();
        assert_eq!(ask(&mut lab, "192.0.2.7:1000").len(), whole.len());
        lab.engine.clients_mut().clear_datagrams();
    }
    assert_eq!(lab.count(Count::DatagramsTruncated), 2);
    lab.pass(limits::PATH_LIMIT_FOR);
    assert_eq!(ask(&mut lab, "192.0.2.1:1000").len(), whole.len());
    // A refusal for another reason teaches no limit.
    lab.engine.clients_mut().shorten_refused(&[(0, false)]);
    assert_eq!(lab.engine.clients().datagram_count(), 1);
    lab.engine.clients_mut().clear_datagrams();
    assert_eq!(ask(&mut lab, "192.0.2.1:1000").len(), whole.len());
}
