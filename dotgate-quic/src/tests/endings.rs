//! How connections end: by mistakes of clients, in good order, by time.

use super::*;
use crate::CloseCode;

const NO_ERROR: u64 = 0;
const PROTOCOL_ERROR: u64 = 2;
const EXCESSIVE_LOAD: u64 = 4;

/// What a client sends on one stream.
type Sent = (bool, Vec<u8>, bool);

#[test]
fn what_rfc_9250_forbids_is_a_protocol_error() {
    let with_id = [&[0, 1], &query()[2..]].concat();
    let cases: [(&str, Sent); 8] = [
        (
            "two queries",
            (true, [framed(&query()), framed(&query())].concat(), false),
        ),
        (
            "a byte behind it",
            (true, [framed(&query()), vec![0]].concat(), false),
        ),
        ("another ID", (true, framed(&with_id), true)),
        (
            "an end within it",
            (true, framed(&query())[..20].to_vec(), true),
        ),
        ("an end within the length", (true, vec![0], true)),
        ("nothing at all", (true, Vec::new(), true)),
        ("no message", (true, framed(b"\0\0"), true)),
        ("one direction", (false, framed(&query()), true)),
    ];
    for (what, (is_bidirectional, bytes, finishes)) in cases {
        let mut world = World::new();
        let address = client_at(1, 40_000);
        let mut client = world.connected(address);
        let stream = client.open(is_bidirectional).unwrap();
        client.write(stream, &bytes);
        if finishes {
            client.finish(stream);
        }
        world.settle(&mut client, address);
        assert_eq!(client.close_code(), Some(PROTOCOL_ERROR), "{what}");
        let end = world.ends.pop().map(|(_, end)| end);
        assert_eq!(end, Some(QuicEnd::Protocol), "{what}");
        assert!(world.asked.is_empty(), "{what}");
        assert!(world.server.keys().is_empty(), "{what}");
    }
}

#[test]
fn a_cancelled_query_takes_its_place_until_the_engine_has_responded() {
    let mut world = World::new();
    world.answers = false;
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    let cancelled = client.ask(&query()).unwrap();
    let other = client.ask(&query()).unwrap();
    world.settle(&mut client, address);
    client.stop(cancelled, 3);
    world.settle(&mut client, address);
    let third = client.ask(&query()).unwrap();
    world.settle(&mut client, address);
    let asked = std::mem::take(&mut world.asked);
    let ids: std::collections::HashSet<_> = asked.iter().map(|(_, it)| it[..2].to_vec()).collect();
    assert_eq!(ids.len(), 3);
    for (key, query) in asked {
        world.answer(key, &query);
    }
    world.settle(&mut client, address);
    assert_eq!(client.response(cancelled), None);
    for stream in [other, third] {
        assert_eq!(client.response(stream), Some(response()));
    }
    world.pass(&mut client, address, Duration::from_millis(100));
    assert_eq!(world.server.unsent(world.key()), 0);
    assert!(world.ends.is_empty());
}

#[test]
fn a_query_that_is_broken_off_is_none() {
    let mut world = World::new();
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    let broken = client.open(true).unwrap();
    client.write(broken, &[0, 50, 0, 0]);
    world.settle(&mut client, address);
    client.reset(broken, 3);
    let other = client.ask(&query()).unwrap();
    world.settle(&mut client, address);
    assert_eq!(client.response(other), Some(response()));
    assert_eq!(client.received(broken).reset, Some(3));
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn a_connection_that_is_shut_down_ends_after_its_last_response() {
    for is_heard in [true, false] {
        let mut world = World::new();
        world.answers = false;
        let address = client_at(1, 40_000);
        let mut client = world.connected(address);
        let stream = client.ask(&query()).unwrap();
        world.settle(&mut client, address);
        let key = world.key();
        world.server.shut_down(world.now, key, is_heard);
        world.settle(&mut client, address);
        assert_eq!(client.close_code(), None, "a query is in flight");
        let (_, query) = world.asked.pop().unwrap();
        world.answer(key, &query);
        world.settle(&mut client, address);
        world.pass(&mut client, address, Duration::from_millis(100));
        assert_eq!(client.response(stream), Some(response()));
        assert_eq!(client.close_code(), Some(NO_ERROR));
        assert_eq!(world.ends, [(key, QuicEnd::Closed)]);
        assert!(world.server.keys().is_empty());
    }
}

#[test]
fn a_client_that_acknowledges_nothing_is_not_waited_for() {
    let mut world = World::new();
    world.answers = false;
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    client.ask(&query()).unwrap();
    world.settle(&mut client, address);
    let (key, query) = world.asked.pop().unwrap();
    world.server.shut_down(world.now, key, true);
    world.answer(key, &query);
    for _ in 0..20 {
        world.turn();
        world.now = world.now + Duration::from_millis(100);
    }
    assert_eq!(world.ends, [(key, QuicEnd::Closed)]);
}

#[test]
fn what_was_answered_goes_before_the_close() {
    let mut world = World::new();
    world.answers = false;
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    let stream = client.ask(&query()).unwrap();
    world.settle(&mut client, address);
    let (key, query) = world.asked.pop().unwrap();
    world.answer(key, &query);
    world.server.close(world.now, key, CloseCode::ExcessiveLoad);
    world.settle(&mut client, address);
    assert_eq!(client.response(stream), Some(response()));
    assert_eq!(client.close_code(), Some(EXCESSIVE_LOAD));
    assert!(world.server.keys().is_empty());
    assert_eq!(world.server.next_deadline(), None, "nothing is left of it");
}

#[test]
fn late_packets_of_a_connection_that_is_gone_get_a_stateless_reset() {
    let mut world = World::new();
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    // Another worker, or the same one after a fault.
    world.server = QuicServer::new(&world.setup);
    client.ask(&query()).unwrap();
    world.settle(&mut client, address);
    assert!(matches!(
        client.lost(),
        Some(quinn_proto::ConnectionError::Reset)
    ));
}

#[test]
fn an_idle_connection_ends_and_so_does_one_whose_client_left() {
    let mut world = World::new();
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    world.pass(&mut client, address, IDLE + Duration::from_secs(1));
    assert_eq!(world.ends.pop().map(|(_, end)| end), Some(QuicEnd::Closed));
    let mut client = world.connected(address);
    client.close(world.instant(), 0);
    world.settle(&mut client, address);
    assert_eq!(world.ends.pop().map(|(_, end)| end), Some(QuicEnd::Closed));
    assert!(world.server.keys().is_empty());
}
