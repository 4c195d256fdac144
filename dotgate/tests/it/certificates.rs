//! Who an upstream must be: one that cannot be authenticated gets no query, and nothing leaves in the clear.
//!
//! Upstreams show certificates with every fault; recorded are queries that reached them, handshakes, and the first
//! byte of every connection. RFC 8310 sections 6.6 and 8.1, RFC 7858 section 3.2, RFC 8446 section 4.6.1.

use std::time::Duration;

use dotgate_core::Count;

use crate::world::World;
use crate::world::message::assert_all_right;
use crate::world::upstream::{Certificate, Credentials, End, Form, Step};

/// The first byte of a TLS handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

const FAULTS: [Certificate; 4] = [
    Certificate::Expired,
    Certificate::NotYetValid,
    Certificate::OtherName,
    Certificate::UnknownAuthority,
];

#[test]
fn an_upstream_that_cannot_be_authenticated_gets_no_query_and_the_next_one_answers() {
    for fault in FAULTS {
        let world = World::new(2);
        let bad = &world.upstreams[0];
        bad.show(&Credentials::with(fault), &world.authority);
        let mut client = world.udp();
        for number in 0..20 {
            client.ask(&format!("name-{number}.test")).assert_right();
        }
        bad.wait_until("a handshake that failed", |record| {
            record.failed_handshakes > 0
        });
        let record = bad.record();
        assert_eq!(
            (record.queries.len(), record.full_handshakes),
            (0, 0),
            "{fault:?}"
        );
        assert!(
            record.first_bytes.iter().all(|byte| *byte == HANDSHAKE),
            "{fault:?}"
        );
        assert_eq!(
            world.counts([Count::Attempts, Count::Failed]),
            [20, 0],
            "{fault:?}"
        );
    }
}

#[test]
fn without_an_upstream_that_can_be_authenticated_clients_get_servfail_and_the_reason() {
    for (fault, text) in [
        (Certificate::Expired, "tls: certificate expired"),
        (Certificate::NotYetValid, "tls: certificate not yet valid"),
        (Certificate::OtherName, "tls: certificate for another name"),
        (
            Certificate::UnknownAuthority,
            "tls: certificate authority unknown",
        ),
    ] {
        let world = World::new(2);
        for upstream in &world.upstreams {
            upstream.show(&Credentials::with(fault), &world.authority);
        }
        for mut client in [world.udp(), world.tcp()] {
            let response = client.ask("name.test");
            response.assert_failed(22);
            let reported = response.ede.unwrap().1;
            assert!(reported.starts_with(text), "{reported}");
        }
        for upstream in &world.upstreams {
            let record = upstream.record();
            assert_eq!(record.queries.len(), 0);
            assert!(record.first_bytes.iter().all(|byte| *byte == HANDSHAKE));
        }
        assert_eq!(world.count(Count::Attempts), 0);
    }
}

#[test]
fn a_certificate_that_is_put_right_is_used_without_a_restart() {
    let world = World::new(1);
    let upstream = &world.upstreams[0];
    upstream.show(&Credentials::with(Certificate::Expired), &world.authority);
    let mut client = world.udp();
    client.ask("before.test").assert_failed(22);
    upstream.show(&Credentials::default(), &world.authority);
    let mut tries = 0;
    while !client.ask(&format!("after-{tries}.test")).is_right() {
        tries += 1;
        assert!(tries < 100, "not used again");
    }
}

#[test]
fn a_certificate_that_is_renewed_under_load_loses_nothing() {
    let world = World::new(1);
    world.warm_up();
    let upstream = &world.upstreams[0];
    let load = world.load(Duration::from_millis(4));
    for _ in 0..5 {
        load.go_on_for(25);
        upstream.show(&Credentials::default(), &world.authority);
        upstream.end_all(End::Notify);
    }
    load.go_on_for(25);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
    // The new certificate has a ticket store of its own: nothing can be resumed. A query that was lost with its session may
    // have one of its own besides.
    let handshakes = {
        let record = upstream.record();
        assert_eq!(record.resumed_handshakes, 0);
        record.full_handshakes
    };
    assert!(handshakes >= 6, "{handshakes} handshakes");
    assert_eq!(world.counts([Count::SessionsFailed, Count::Failed]), [0, 0]);
}

#[test]
fn an_upstream_that_knows_other_application_protocols_alone_is_used_without_any() {
    let world = World::new(1);
    let upstream = &world.upstreams[0];
    let other = Credentials {
        alpn: vec![b"h2".to_vec()],
        ..Credentials::default()
    };
    upstream.show(&other, &world.authority);
    let mut client = world.udp();
    client.ask("one.test").assert_right();
    upstream.end_all(End::Fin);
    client.ask("two.test").assert_right();
    let record = upstream.record();
    assert_eq!(
        (record.failed_handshakes, record.connections),
        (1, 3),
        "refused once, remembered"
    );
}

#[test]
fn sessions_are_resumed_where_the_upstream_gives_tickets() {
    for (gives_tickets, expected) in [(true, (1, 9)), (false, (10, 0))] {
        let world = World::new(1);
        let upstream = &world.upstreams[0];
        let credentials = Credentials {
            gives_tickets,
            ..Credentials::default()
        };
        upstream.show(&credentials, &world.authority);
        upstream
            .script(|script| script.all = vec![Step::Send(Form::Right), Step::End(End::Notify)]);
        let mut client = world.udp();
        for number in 1..=10 {
            client.ask(&format!("name-{number}.test")).assert_right();
            world.wait_for(Count::SessionsEndedIdle, number);
        }
        let record = upstream.record();
        assert_eq!(
            (record.full_handshakes, record.resumed_handshakes),
            expected
        );
        assert_eq!(world.count(Count::HandshakesResumed), expected.1);
    }
}
