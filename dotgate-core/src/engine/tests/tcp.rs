//! TCP as clients see it: RFC 7766, RFC 7828, RFC 9210 and the limits that keep one client from hurting others.

use std::net::IpAddr;

use dotgate_message::{
    AD, Compose as _, KEEPALIVE, QNAME, QR, RA, RD, TC, framed, query, query_for, record, response,
};

use super::lab::{Lab, MS, SECOND, settings};
use super::message::{Message, address};
use crate::counters::Count;
use crate::limits;
use crate::stream::StreamKind;

/// NULL, whose RDATA is any bytes (RFC 1035 section 3.3.10).
const NULL: u16 = 10;

/// The keepalive values sent so far, in units of 100 ms.
fn advertised_keepalives(lab: &Lab) -> Vec<u16> {
    let messages = lab.stream_messages();
    let options = messages
        .iter()
        .flat_map(|message| Message::read(message).options());
    options
        .filter(|(code, _)| *code == KEEPALIVE)
        .map(|(_, data)| u16::from_be_bytes(data.try_into().unwrap()))
        .collect()
}

#[test]
fn tcp_needs_no_udp_before_it_and_its_response_comes_back_on_it() {
    let mut lab = Lab::new(1);
    let (stream, other) = (lab.connect(), lab.connect());
    lab.stream_send(stream, &framed(&query(1, "a.example")));
    lab.engine.clients_mut().stream_closed(other);
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.stream_messages().len(), 1);
    assert!(lab.responses.is_empty(), "nothing by UDP");
    assert!(lab.closed_streams.is_empty());
}

#[test]
fn length_and_message_are_handed_over_together() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    lab.stream_send(stream, &framed(&query(1, "x.localhost")));
    lab.client_reads = false;
    lab.stream_send(stream, &framed(&query(2, "x.localhost")));
    let waiting = lab
        .engine
        .clients_mut()
        .stream_output(stream)
        .unwrap()
        .clone();
    assert_eq!(
        waiting.len(),
        2 + usize::from(u16::from_be_bytes([waiting[0], waiting[1]]))
    );
}

#[test]
fn the_longest_answer_reaches_tcp_whole_and_udp_with_tc() {
    for has_edns in [false, true] {
        let mut lab = Lab::opened(1);
        let stream = lab.connect();
        let ask = |id, name| match has_edns {
            true => query(id, name).with_edns(),
            false => query(id, name),
        };
        lab.stream_send(stream, &framed(&ask(1, "a.example")));
        lab.send(&ask(2, "a.example"));
        let forwarded = lab.next_forwarded();
        let room = 65_535
            - response(&forwarded.message, 0, [&[], &[], &[]])
                .with_edns()
                .len();
        let rdata = vec![0xc0; room - 12];
        let long = record(QNAME, NULL, 300, &rdata);
        let message = response(&forwarded.message, RD | RA, [&[long], &[], &[]]).with_edns();
        assert_eq!(message.len(), 65_535);
        lab.respond(forwarded.session, &message);
        let whole = lab.stream_messages().remove(0);
        assert_eq!(whole.len(), if has_edns { 65_535 } else { 65_524 });
        let whole = Message::read(&whole);
        assert_eq!(
            (whole.flags, &whole.records[0].rdata),
            (QR | RD | RA, &rdata)
        );
        let cut = Message::read(&lab.responses[0]);
        assert_eq!((cut.flags, cut.records.len()), (QR | RD | RA | TC, 0));
        assert_eq!(cut.question, query(2, "a.example")[12..]);
        assert_eq!(cut.opt.is_some(), has_edns);
    }
}

#[test]
fn the_advertised_keepalive_is_the_current_limit_shorter_under_load_and_0_when_full() {
    let mut settings = settings(1);
    settings.streams_per_client_max = 10;
    let mut lab = Lab::with(settings);
    let ask = framed(&query(1, "x.localhost").with_edns());
    for _ in 0..10 {
        let stream = lab.connect();
        lab.stream_send(stream, &ask);
    }
    assert_eq!(
        advertised_keepalives(&lab),
        [100, 100, 100, 100, 100, 100, 25, 25, 25, 0]
    );
}

#[test]
fn keepalive_is_sent_whether_or_not_the_query_has_that_option() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    let plain = query(1, "x.localhost");
    lab.stream_send(stream, &framed(&plain));
    assert_eq!(advertised_keepalives(&lab), [], "no OPT, no option");
    lab.stream_send(
        stream,
        &framed(&plain.clone().with_options(&[(KEEPALIVE, &[])])),
    );
    lab.stream_send(stream, &framed(&plain.with_edns()));
    assert_eq!(advertised_keepalives(&lab), [100, 100]);
}

#[test]
fn under_load_idle_connections_are_closed_after_a_quarter_of_the_time() {
    let mut settings = settings(1);
    settings.streams_per_client_max = 10;
    let mut lab = Lab::with(settings);
    for _ in 0..7 {
        lab.connect();
    }
    lab.pass(2_499 * MS);
    assert!(lab.closed_streams.is_empty());
    lab.connect();
    lab.pass(8 * SECOND);
    assert!(
        lab.closed_streams.len() >= 2,
        "down to where there is no load"
    );
    lab.pass(10 * SECOND);
    assert_eq!(lab.engine.load().streams, 0);
}

#[test]
fn over_its_limit_a_client_is_turned_away_at_once_and_others_are_served() {
    let mut lab = Lab::opened(1);
    for _ in 0..4 {
        lab.connect();
    }
    let greedy: IpAddr = "192.0.2.9".parse().unwrap();
    assert!(
        lab.engine
            .clients_mut()
            .stream_opened(lab.now, (greedy, StreamKind::Tcp).into())
            .is_none()
    );
    assert_eq!(lab.count(Count::StreamsRefused), 1);
    let other: IpAddr = "192.0.2.10".parse().unwrap();
    let stream = lab
        .engine
        .clients_mut()
        .stream_opened(lab.now, (other, StreamKind::Tcp).into())
        .unwrap();
    lab.stream_send(stream, &framed(&query(1, "x.localhost")));
    assert_eq!(lab.stream_messages().len(), 1);
    let stranger: IpAddr = "198.51.100.1".parse().unwrap();
    assert!(
        lab.engine
            .clients_mut()
            .stream_opened(lab.now, (stranger, StreamKind::Tcp).into())
            .is_none()
    );
    assert_eq!(lab.count(Count::ClientsRefused), 1);
}

#[test]
fn a_client_that_never_reads_is_no_longer_read_then_cut_off_and_others_are_served() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    lab.client_reads = false;
    let ask = framed(&query(1, "x.localhost"));
    let mut sent = 0;
    while lab.stream_send(stream, &ask.repeat(50)) {
        sent += 50;
        assert!(sent < 10_000, "read without end");
    }
    let waiting = lab
        .engine
        .clients_mut()
        .stream_output(stream)
        .unwrap()
        .len();
    let bound = limits::STREAM_UNSENT_BYTES;
    assert!((bound..bound + 512).contains(&waiting), "{waiting}");
    assert!(!lab.engine.clients().stream_reads(stream));
    lab.send(&query(2, "x.localhost"));
    assert_eq!(lab.rcodes(), [0], "others are unaffected");
    lab.pass(limits::STREAM_STALLED);
    assert_eq!(lab.closed_streams, [stream]);
    assert_eq!(lab.count(Count::StreamsCutOff), 1);
}

#[test]
fn responses_that_outgrow_the_buffer_of_a_client_wait_until_it_reads_or_is_cut_off() {
    let mut lab = Lab::opened(1);
    let [reads_later, never_reads] = [(); 2].map(|()| lab.connect());
    lab.client_reads = false;
    for n in 0..40 {
        lab.stream_send(reads_later, &framed(&query(n, &format!("n{n}.example"))));
        lab.stream_send(never_reads, &framed(&query(n, &format!("n{n}.example"))));
    }
    let long = record(QNAME, NULL, 300, &vec![7; 60_000]);
    while !lab.forwarded.is_empty() {
        let forwarded = lab.next_forwarded();
        let message = response(
            &forwarded.message,
            RD | RA,
            [std::slice::from_ref(&long), &[], &[]],
        );
        lab.respond(forwarded.session, &message);
    }
    lab.expect_idle();
    for stream in [reads_later, never_reads] {
        let waiting = lab
            .engine
            .clients_mut()
            .stream_output(stream)
            .unwrap()
            .len();
        let bound = limits::STREAM_UNSENT_BYTES;
        assert!((bound..bound + 65_537).contains(&waiting), "{waiting}");
    }
    let first: Vec<u8> =
        std::mem::take(lab.engine.clients_mut().stream_output(reads_later).unwrap());
    lab.stream_bytes.extend_from_slice(&first);
    lab.client_reads = true;
    lab.engine
        .stream_wrote(lab.now, reads_later, first.len(), 0);
    lab.settle();
    let messages = lab.stream_messages();
    assert_eq!(messages.len(), 40, "those that waited came, too");
    for (number, message) in messages.iter().enumerate() {
        assert_eq!(message[1] as usize, number);
        assert!(message.len() > 60_000);
    }
    assert!(lab.closed_streams.is_empty());
    lab.client_reads = false;
    lab.pass(limits::STREAM_STALLED);
    assert!(lab.closed_streams.contains(&never_reads));
    assert_eq!(lab.count(Count::StreamsCutOff), 1, "the other one is idle");
    assert_eq!(
        lab.count(Count::ClientsGone),
        40 - 3,
        "what never fitted into its buffer"
    );
}

#[test]
fn what_clients_do_to_their_connections_is_no_event_for_the_log() {
    let mut lab = Lab::opened(1);
    let [gone, ended, dripping, idle] = [(); 4].map(|()| lab.connect());
    for stream in [gone, ended] {
        lab.stream_send(stream, &framed(&query(1, "a.example")));
    }
    lab.engine.clients_mut().stream_closed(gone);
    lab.engine.clients_mut().stream_ended(ended);
    lab.stream_send(dripping, &[0]);
    lab.answer_all();
    lab.pass(20 * SECOND);
    assert_eq!(lab.engine.load().streams, 0, "{idle:?} too");
    assert_eq!(lab.events, []);
}

#[test]
fn transfers_and_other_opcodes_are_refused_on_tcp_as_on_udp() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    let mut dso = vec![0, 9, 6 << 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    dso.extend([0, 1, 0, 8, 0, 0, 0x3a, 0x98, 0, 0, 0x3a, 0x98]);
    let rows = [
        (query_for(1, "example", 252).with_edns(), 5, Some(21)),
        (query_for(1, "example", 251).with_edns(), 5, Some(21)),
        (dso, 4, None),
    ];
    for (message, rcode, ede) in rows {
        lab.stream_bytes.clear();
        lab.stream_send(stream, &framed(&message));
        let response = Message::read(&lab.stream_messages()[0]);
        assert_eq!(response.rcode(), rcode);
        assert_eq!(response.ede().map(|(code, _)| code), ede);
        assert_eq!(
            response.flags & 0x7800,
            u16::from(message[2] & 0x78) << 8,
            "same opcode"
        );
    }
    assert!(lab.forwarded.is_empty() && lab.closed_streams.is_empty());
}

#[test]
fn the_last_of_pipelined_queries_may_be_answered_first_by_its_own_question() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    let queries: Vec<Vec<u8>> = (0..20)
        .map(|n| query(n, &format!("N{n}.example")))
        .collect();
    let bytes: Vec<u8> = queries.iter().flat_map(|message| framed(message)).collect();
    lab.stream_send(stream, &bytes);
    while let Some(forwarded) = lab.forwarded.pop() {
        let message = response(&forwarded.message, RD | RA | AD, [&[address(1)], &[], &[]]);
        lab.respond(forwarded.session, &message);
    }
    let response: Vec<Message> = lab
        .stream_messages()
        .iter()
        .map(|m| Message::read(m))
        .collect();
    assert_eq!(response.len(), 20);
    for (response, forwarded) in response.iter().rev().zip(&queries) {
        assert_eq!(
            (response.id, &response.question[..]),
            (u16::from(forwarded[1]), &forwarded[12..])
        );
    }
}
