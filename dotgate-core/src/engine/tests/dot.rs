//! TLS handshakes of clients, and what a connection of DNS over TLS is served differently from one over TCP.

use std::time::Duration;

use dotgate_message::{Compose as _, framed, query};

use super::lab::{Lab, MS, SECOND};
use crate::counters::Count;
use crate::counters::labels::{
    ClientHandshake, ClientTransport, Limit, Outcome, RecordType, StreamEnd,
};
use crate::limits::{STREAM_HANDSHAKE, STREAM_HANDSHAKES, STREAM_HANDSHAKES_PER_CLIENT};
use crate::outbox::{Event, LogDetail};
use crate::stream::StreamKind;

const CLIENT: &str = "192.0.2.9";

/// An option without data: padding, and edns-tcp-keepalive.
const PADDING: [u8; 4] = [0, 12, 0, 0];
const KEEPALIVE: [u8; 4] = [0, 11, 0, 0];

impl Lab {
    fn handshakes(&self, outcome: ClientHandshake) -> u64 {
        self.engine.counters().clients().handshakes(outcome)
    }

    fn ends(&self, end: StreamEnd) -> u64 {
        self.engine.counters().clients().stream_ends(end)
    }
}

#[test]
fn a_handshake_has_a_deadline_and_a_secured_connection_the_idle_timeout_of_its_kind() {
    let mut lab = Lab::opened(1);
    let stalled = lab.connect_by(StreamKind::Dot, CLIENT).unwrap();
    lab.pass(STREAM_HANDSHAKE - MS);
    let secured = lab.connect_by(StreamKind::Dot, CLIENT).unwrap();
    lab.engine
        .clients_mut()
        .stream_secured(lab.now, secured, false);
    assert!(lab.closed_streams.is_empty());
    lab.pass(MS);
    assert_eq!(lab.closed_streams, [stalled]);
    lab.pass(30 * SECOND - 2 * MS);
    assert_eq!(lab.closed_streams, [stalled]);
    lab.pass(MS);
    assert_eq!(lab.closed_streams, [stalled, secured]);
    assert_eq!(lab.handshakes(ClientHandshake::Timeout), 1);
    assert_eq!(lab.handshakes(ClientHandshake::Full), 1);
    assert_eq!(
        (lab.ends(StreamEnd::Handshake), lab.ends(StreamEnd::Idle)),
        (1, 1)
    );
    lab.expect_idle();
}

#[test]
fn at_debug_each_handshake_of_a_client_is_an_event_and_at_the_usual_detail_none_is() {
    let handshakes = |detail| {
        let mut lab = Lab::opened(1);
        lab.engine.clients_mut().set_log_detail(detail);
        let [done, failed, stalled] =
            [(); 3].map(|()| lab.connect_by(StreamKind::Dot, CLIENT).unwrap());
        lab.pass(5 * MS);
        let clients = lab.engine.clients_mut();
        clients.stream_secured(lab.now, done, true);
        clients.stream_failed(failed, ClientHandshake::Alert);
        lab.pass(STREAM_HANDSHAKE);
        assert_eq!(lab.closed_streams, [stalled]);
        let ended = lab.events.iter().filter_map(|event| {
            let Event::ClientHandshake {
                client,
                transport: ClientTransport::Dot,
                result,
                ..
            } = event
            else {
                return None;
            };
            (client.to_string() == CLIENT).then_some(*result)
        });
        ended.collect::<Vec<_>>()
    };
    assert_eq!(
        handshakes(LogDetail::Debug),
        [
            ClientHandshake::Resumed,
            ClientHandshake::Alert,
            ClientHandshake::Timeout
        ]
    );
    assert!(handshakes(LogDetail::Usual).is_empty());
}

#[test]
fn the_handshake_that_began_first_gives_way_and_one_address_has_a_quarter() {
    let mut settings = super::lab::settings(1);
    settings.streams_max = 1_000;
    settings.streams_per_client_max = 1_000;
    let mut lab = Lab::with(settings);
    let mut streams = Vec::new();
    for n in 0..STREAM_HANDSHAKES {
        let peer = format!("192.0.2.{}", n / STREAM_HANDSHAKES_PER_CLIENT);
        streams.push(lab.connect_by(StreamKind::Dot, &peer).unwrap());
    }
    assert!(lab.connect_by(StreamKind::Dot, "192.0.2.1").is_none());
    assert!(lab.connect_from("192.0.2.1").is_some(), "without TLS");
    assert!(lab.closed_streams.is_empty());
    lab.connect_by(StreamKind::Dot, "192.0.2.200").unwrap();
    assert_eq!(lab.closed_streams, [streams[0]]);
    assert_eq!(lab.handshakes(ClientHandshake::Displaced), 1);
    let limits = lab.engine.counters().clients();
    assert_eq!(limits.limits(Limit::Handshakes), 2);
    // One that is complete leaves its place, whatever its age.
    lab.engine
        .clients_mut()
        .stream_secured(lab.now, streams[1], false);
    lab.connect_by(StreamKind::Dot, "192.0.2.201").unwrap();
    lab.connect_by(StreamKind::Dot, "192.0.2.202").unwrap();
    assert_eq!(lab.closed_streams, [streams[0], streams[2]]);
}

#[test]
fn a_failure_is_counted_as_one_of_the_handshake_or_of_the_connection_and_its_place_is_free() {
    let mut lab = Lab::opened(1);
    for (outcome, is_secured) in [
        (ClientHandshake::NotTls, false),
        (ClientHandshake::Alpn, false),
        (ClientHandshake::Protocol, true),
    ] {
        let stream = lab.connect_by(StreamKind::Dot, CLIENT).unwrap();
        if is_secured {
            lab.engine
                .clients_mut()
                .stream_secured(lab.now, stream, true);
        }
        lab.engine.clients_mut().stream_failed(stream, outcome);
        lab.engine.clients_mut().stream_failed(stream, outcome);
    }
    let left = lab.connect_by(StreamKind::Dot, CLIENT).unwrap();
    lab.engine.clients_mut().stream_closed(left);
    let counts = ClientHandshake::ALL.iter().map(|it| lab.handshakes(*it));
    assert_eq!(counts.sum::<u64>(), 4);
    assert_eq!(lab.handshakes(ClientHandshake::Resumed), 1);
    assert_eq!(lab.handshakes(ClientHandshake::Closed), 1);
    assert_eq!(lab.handshakes(ClientHandshake::Alpn), 1);
    assert_eq!(lab.ends(StreamEnd::Tls), 1);
    assert_eq!(lab.count(Count::StreamsCutOff), 1);
    lab.expect_idle();
}

#[test]
fn a_response_over_tls_is_padded_exactly_when_its_query_was_and_has_the_idle_timeout() {
    for (kind, options, length, idle) in [
        (
            StreamKind::Dot,
            &[PADDING, KEEPALIVE].concat()[..],
            468,
            300,
        ),
        (StreamKind::Dot, &KEEPALIVE[..], 0, 300),
        (StreamKind::Tcp, &PADDING[..], 0, 100),
    ] {
        let mut lab = Lab::opened(1);
        let stream = lab.connect_by(kind, CLIENT).unwrap();
        lab.engine
            .clients_mut()
            .stream_secured(lab.now, stream, false);
        let mut asked = query(1, "x.localhost").with_edns();
        *asked.last_mut().unwrap() = u8::try_from(options.len()).unwrap();
        asked.extend_from_slice(options);
        lab.stream_send(stream, &framed(&asked));
        let messages = lab.stream_messages();
        let [response] = &messages[..] else {
            panic!("one response");
        };
        assert_eq!(response.len() % 468 == 0, length > 0, "{kind:?}");
        let keepalive = [&[0, 11, 0, 2][..], &u16::to_be_bytes(idle)].concat();
        let is_there = |option: &[u8]| response.windows(option.len()).any(|it| it == option);
        assert!(is_there(&keepalive), "{kind:?}");
        let transport = match kind {
            StreamKind::Tcp => ClientTransport::Tcp,
            StreamKind::Dot => ClientTransport::Dot,
            StreamKind::Doh | StreamKind::DohProxy => ClientTransport::Https,
            StreamKind::Doq => ClientTransport::Doq,
        };
        let counters = lab.engine.counters();
        let local = |via| {
            counters
                .clients()
                .queries(via, RecordType::A, Outcome::Local)
        };
        assert_eq!(local(transport), 1);
    }
}

#[test]
fn what_is_encrypted_and_not_sent_counts_as_unsent() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect_by(StreamKind::Dot, CLIENT).unwrap();
    lab.engine
        .clients_mut()
        .stream_secured(lab.now, stream, false);
    lab.stream_send(stream, &framed(&query(1, "x.localhost")));
    // The lab's driver has taken all of it; it says now that the system has not.
    lab.engine.stream_wrote(lab.now, stream, 0, 40);
    lab.engine.clients_mut().stream_ended(stream);
    lab.settle();
    assert!(lab.closed_streams.is_empty());
    lab.engine.stream_wrote(lab.now, stream, 60, 0);
    lab.settle();
    assert_eq!(lab.closed_streams, [stream]);

    let stalled = lab.connect_by(StreamKind::Dot, CLIENT).unwrap();
    lab.engine
        .clients_mut()
        .stream_secured(lab.now, stalled, false);
    lab.engine.stream_wrote(lab.now, stalled, 0, 40);
    lab.pass(Duration::from_secs(11));
    assert_eq!(lab.closed_streams, [stream, stalled]);
    assert_eq!(lab.ends(StreamEnd::Unread), 1);
}
