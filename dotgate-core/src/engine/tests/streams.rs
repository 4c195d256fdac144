use dotgate_message::{Compose as _, framed, query};

use super::lab::{Lab, MS, SECOND};
use crate::admit::AccessList;
use crate::counters::Count;
use crate::counters::labels::{Limit, StreamEnd};
use crate::limits;
use crate::outbox::Event;
use crate::stream::StreamKind;

impl Lab {
    /// The IDs of the responses written to the client's connection.
    fn stream_ids(&self) -> Vec<u8> {
        let messages = self.stream_messages();
        messages.iter().map(|message| message[1]).collect()
    }
}

#[test]
fn pipelined_queries_are_answered_as_their_responses_come() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    let mut bytes = framed(&query(1, "slow.example"));
    bytes.extend(framed(&query(2, "fast.example")));
    bytes.extend(framed(&query(3, "x.localhost")));
    assert!(lab.stream_send(stream, &bytes));
    let slow = lab.next_forwarded();
    lab.answer_all();
    assert_eq!(lab.stream_ids(), [3, 2]);
    lab.answer(&slow);
    assert_eq!(lab.stream_ids(), [3, 2, 1]);
}

#[test]
fn bytes_of_a_query_may_come_one_at_a_time() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    for byte in framed(&query(7, "a.example")) {
        assert!(lab.stream_send(stream, &[byte]));
    }
    lab.answer_all();
    assert_eq!(lab.stream_ids(), [7]);
}

#[test]
fn a_client_that_has_sent_its_last_byte_still_gets_its_responses() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    lab.stream_send(stream, &framed(&query(1, "a.example")));
    lab.engine.clients_mut().stream_ended(stream);
    lab.settle();
    assert!(lab.closed_streams.is_empty());
    lab.answer_all();
    assert_eq!(lab.stream_ids(), [1]);
    assert_eq!(lab.closed_streams, [stream]);
}

#[test]
fn beyond_its_limit_a_connection_is_not_read_and_nothing_of_it_is_lost() {
    let mut settings = super::lab::settings(1);
    settings.stream_queries_max = 2;
    let mut lab = Lab::with(settings);
    let stream = lab.connect();
    let mut bytes = Vec::new();
    for n in 1..=5 {
        bytes.extend(framed(&query(n, &format!("n{n}.example"))));
    }
    assert!(!lab.stream_send(stream, &bytes), "paused");
    lab.engine.clients_mut().stream_ended(stream);
    lab.open(0);
    assert_eq!(lab.forwarded.len(), 2);
    lab.answer_all();
    assert_eq!(lab.stream_ids(), [1, 2, 3, 4, 5]);
    assert_eq!(lab.closed_streams, [stream]);
    lab.expect_idle();
}

#[test]
fn a_connection_whose_framing_is_lost_is_closed_and_one_empty_frame_is_forgiven() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    lab.stream_send(stream, &[0, 0]);
    assert!(lab.closed_streams.is_empty());
    lab.stream_send(stream, &[0, 0]);
    assert_eq!(lab.closed_streams, [stream]);
    let stream = lab.connect();
    lab.stream_send(stream, &framed(&[0; 11]));
    assert_eq!(lab.closed_streams.last(), Some(&stream));
}

#[test]
fn after_a_few_malformed_messages_a_connection_is_read_no_more_and_closed() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    let mut other_opcode = query(1, "a.example");
    other_opcode[2] |= 2 << 3;
    let mut no_question = query(2, "a.example");
    no_question.truncate(12);
    no_question[5] = 0;
    let mut bytes = framed(&query(7, "waiting.example"));
    for n in 0..100 {
        bytes.extend(framed([&other_opcode, &no_question][n % 2]));
    }
    lab.stream_send(stream, &bytes);
    let rejected = limits::STREAM_REJECTED as usize;
    assert_eq!(lab.stream_messages().len(), rejected);
    assert!(!lab.engine.clients().stream_reads(stream));
    assert!(lab.closed_streams.is_empty(), "a query of it is in flight");
    lab.answer_all();
    assert_eq!(lab.stream_messages().len(), rejected + 1);
    assert_eq!(lab.closed_streams, [stream]);
    assert_eq!(lab.count(Count::StreamsCutOff), 1);
    let ends = lab.engine.counters().clients();
    assert_eq!(ends.stream_ends(StreamEnd::Malformed), 1);
    lab.expect_idle();
}

#[test]
fn a_message_that_ends_too_early_is_answered_and_nothing_behind_it_is_read() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    let whole = query(1, "a.example");
    let mut bytes = framed(&whole[..20]);
    bytes.extend(framed(&query(2, "b.localhost")));
    lab.stream_send(stream, &bytes);
    let messages = lab.stream_messages();
    assert_eq!(messages.len(), 1, "the next frame is out of step");
    assert_eq!(messages[0][3] & 15, 1);
    assert_eq!(lab.closed_streams, [stream]);
}

#[test]
fn a_connection_that_is_closed_has_a_reason() {
    let mut lab = Lab::opened(1);
    let [_idle, half, ended, framing] = [(); 4].map(|()| lab.connect());
    lab.stream_send(half, &[0]);
    lab.engine.clients_mut().stream_ended(ended);
    lab.stream_send(framing, &framed(&[0; 11]));
    lab.client_reads = false;
    lab.pass(SECOND);
    let unread = lab.connect();
    lab.stream_send(unread, &framed(&query(3, "c.localhost")));
    lab.pass(20 * SECOND);
    assert_eq!(lab.closed_streams.len(), 5);
    let ends = lab.engine.counters().clients();
    for (end, times) in [
        (StreamEnd::Idle, 1),
        (StreamEnd::IncompleteQuery, 1),
        (StreamEnd::Finished, 1),
        (StreamEnd::Framing, 1),
        (StreamEnd::Unread, 1),
        (StreamEnd::Malformed, 0),
    ] {
        assert_eq!(ends.stream_ends(end), times, "{end:?}");
    }
}

#[test]
fn the_response_for_a_client_that_has_gone_is_dropped() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    lab.stream_send(stream, &framed(&query(1, "a.example")));
    lab.engine.clients_mut().stream_closed(stream);
    lab.answer_all();
    assert_eq!(lab.count(Count::ClientsGone), 1);
    lab.expect_idle();
}

#[test]
fn idle_and_half_sent_connections_are_closed_after_ten_seconds() {
    let mut lab = Lab::opened(1);
    let idle = lab.connect();
    let half = lab.connect();
    lab.stream_send(half, &[0]);
    lab.pass(9_999 * MS);
    assert!(lab.closed_streams.is_empty());
    lab.pass(MS);
    assert_eq!(lab.closed_streams.len(), 2);
    assert!(lab.closed_streams.contains(&idle) && lab.closed_streams.contains(&half));
    assert_eq!(lab.count(Count::StreamsCutOff), 1);
}

#[test]
fn at_the_limit_the_longest_idle_connection_makes_room() {
    let mut lab = Lab::opened(1);
    let mut streams = Vec::new();
    for n in 0..10_u8 {
        let peer = std::net::IpAddr::from([192, 0, 2, n]);
        streams.push(
            lab.engine
                .clients_mut()
                .stream_opened(lab.now, (peer, StreamKind::Tcp).into())
                .unwrap(),
        );
    }
    let newcomer = std::net::IpAddr::from([192, 0, 2, 77]);
    assert!(
        lab.engine
            .clients_mut()
            .stream_opened(lab.now, (newcomer, StreamKind::Tcp).into())
            .is_none(),
        "none is idle yet"
    );
    lab.pass(SECOND);
    assert!(
        lab.engine
            .clients_mut()
            .stream_opened(lab.now, (newcomer, StreamKind::Tcp).into())
            .is_some()
    );
    lab.settle();
    assert_eq!(lab.closed_streams, [streams[0]]);
}

/// The address of a client, by its number.
fn client(number: u8) -> std::net::IpAddr {
    std::net::IpAddr::from([192, 0, 2, number])
}

#[test]
fn newcomers_find_room_among_idle_connections_whatever_was_closed_before() {
    let mut settings = super::lab::settings(1);
    (settings.streams_max, settings.streams_per_client_max) = (100, 25);
    let mut lab = Lab::with(settings);
    let mut earlier = Vec::new();
    for n in 0..100 {
        earlier.push(
            lab.engine
                .clients_mut()
                .stream_opened(lab.now, (client(n % 4), StreamKind::Tcp).into())
                .unwrap(),
        );
    }
    for stream in earlier.drain(..50) {
        lab.engine.clients_mut().stream_closed(stream);
    }
    for n in 0..50 {
        assert!(
            lab.engine
                .clients_mut()
                .stream_opened(lab.now, (client(n % 4), StreamKind::Tcp).into())
                .is_some()
        );
    }
    lab.pass(1_500 * MS);
    for n in 10..20 {
        let newcomer = lab
            .engine
            .clients_mut()
            .stream_opened(lab.now, (client(n), StreamKind::Tcp).into());
        assert!(newcomer.is_some(), "newcomer {n}");
        lab.settle();
    }
    assert_eq!(lab.closed_streams.len(), 10);
    assert_eq!(lab.engine.load().streams, 100);
}

#[test]
fn the_client_with_most_connections_gives_way_first_even_if_all_are_in_use() {
    let mut settings = super::lab::settings(1);
    (settings.streams_max, settings.streams_per_client_max) = (10, 9);
    let mut lab = Lab::with(settings);
    let modest = lab
        .engine
        .clients_mut()
        .stream_opened(lab.now, (client(1), StreamKind::Tcp).into())
        .unwrap();
    lab.pass(MS);
    let mut greedy = Vec::new();
    for n in 0..9 {
        let stream = lab
            .engine
            .clients_mut()
            .stream_opened(lab.now, (client(2), StreamKind::Tcp).into())
            .unwrap();
        lab.stream_send(stream, &framed(&query(n, &format!("n{n}.example"))));
        greedy.push(stream);
        lab.pass(MS);
    }
    lab.pass(500 * MS);
    for n in 3..7 {
        assert!(
            lab.engine
                .clients_mut()
                .stream_opened(lab.now, (client(n), StreamKind::Tcp).into())
                .is_some()
        );
        lab.settle();
    }
    assert_eq!(lab.closed_streams, greedy[..4], "the earliest first");
    lab.pass(SECOND);
    assert!(
        lab.engine
            .clients_mut()
            .stream_opened(lab.now, (client(8), StreamKind::Tcp).into())
            .is_some()
    );
    lab.settle();
    assert_eq!(
        lab.closed_streams[4..],
        [modest],
        "an idle one before those in use"
    );
}

#[test]
fn nobody_gives_way_to_a_client_that_has_as_many_connections() {
    let mut settings = super::lab::settings(1);
    (settings.streams_max, settings.streams_per_client_max) = (4, 4);
    let mut lab = Lab::with(settings);
    for n in [1, 1, 2, 2] {
        assert!(
            lab.engine
                .clients_mut()
                .stream_opened(lab.now, (client(n), StreamKind::Tcp).into())
                .is_some()
        );
    }
    assert!(
        lab.engine
            .clients_mut()
            .stream_opened(lab.now, (client(1), StreamKind::Tcp).into())
            .is_none()
    );
    lab.settle();
    assert!(lab.closed_streams.is_empty());
}

#[test]
fn keepalive_is_sent_to_clients_with_edns_alone() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect();
    lab.stream_send(stream, &framed(&query(1, "x.localhost")));
    lab.stream_send(stream, &framed(&query(2, "x.localhost").with_edns()));
    let keepalive = [0, 11, 0, 2, 0, 100];
    let places: Vec<usize> = lab
        .stream_bytes
        .windows(6)
        .enumerate()
        .filter(|(_, window)| *window == keepalive)
        .map(|(place, _)| place)
        .collect();
    assert_eq!(places.len(), 1);
    assert!(places[0] > lab.stream_bytes.len() / 2);
}

#[test]
fn a_client_that_reconnects_with_malformed_messages_is_paced_unless_it_is_exempt() {
    for (is_exempt, opened) in [(false, limits::PACED_STREAMS as usize), (true, 50)] {
        let mut settings = super::lab::settings(1);
        if is_exempt {
            settings.exempt = AccessList::new(["192.0.2.9/32".parse().unwrap()]);
        }
        let mut lab = Lab::with(settings);
        for framing_is_lost in [true, false, true, false, true] {
            let stream = lab.connect();
            let garbage = if framing_is_lost { 11 } else { 20 };
            lab.stream_send(stream, &framed(&query(1, "a.example")[..garbage]));
            assert_eq!(lab.closed_streams.last(), Some(&stream));
        }
        // The process is one client's target as a whole, whichever worker takes its connection.
        let mut other = Lab::sharing_with(&lab);
        let connect = |lab: &mut Lab| {
            let stream = lab.connect_from("192.0.2.9");
            stream.map(|stream| lab.engine.clients_mut().stream_closed(stream))
        };
        let got = (0..50).filter(|n| {
            let lab = if n % 2 == 0 { &mut lab } else { &mut other };
            connect(lab).is_some()
        });
        assert_eq!(got.count(), opened);
        let counters = [&lab, &other].map(|lab| lab.engine.counters().clients());
        let refused = counters.map(|clients| clients.limits(Limit::StreamsMalformed));
        assert_eq!(refused[0] + refused[1], 50 - opened as u64);
        assert!(lab.connect_from("192.0.2.10").is_some());
        let hit = |event: &Event| {
            matches!(
                event,
                Event::LimitHit {
                    limit: Limit::StreamsMalformed,
                    max: 5,
                    ..
                }
            )
        };
        assert_eq!(lab.events.iter().any(hit), !is_exempt);
    }
}
