//! Queries and responses as they should be.

use super::*;
use crate::limits;

#[test]
fn each_stream_has_one_query_and_its_response_with_id_0() {
    let mut world = World::new();
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    assert!(world.server.is_established(world.key()));
    let streams = [(); 3].map(|()| client.ask(&query()).unwrap());
    world.settle(&mut client, address);
    for stream in streams {
        assert_eq!(client.response(stream), Some(response()));
    }
    let mut ids: Vec<_> = world.asked.iter().map(|(_, it)| it[..2].to_vec()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3, "the engine tells them apart by ID");
    assert!(world.asked.iter().all(|(_, it)| it[2..] == query()[2..]));
    assert!(world.ends.is_empty());
}

#[test]
fn responses_go_in_the_order_in_which_the_engine_has_them() {
    let mut world = World::new();
    world.answers = false;
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    let first = client.ask(&query()).unwrap();
    let second = client.ask(&query()).unwrap();
    world.settle(&mut client, address);
    let (key, query) = world.asked.pop().unwrap();
    world.answer(key, &query);
    world.settle(&mut client, address);
    assert_eq!(client.response(first), None);
    assert_eq!(client.response(second), Some(response()));
    let (key, query) = world.asked.pop().unwrap();
    world.answer(key, &query);
    world.settle(&mut client, address);
    assert_eq!(client.response(first), Some(response()));
    world.pass(&mut client, address, Duration::from_millis(100));
    assert_eq!(world.server.unsent(key), 0, "all is acknowledged");
    let bytes = 2 * (response().len() + 2);
    assert_eq!(world.server.take_acknowledged(key), bytes);
}

#[test]
fn a_query_may_come_in_pieces() {
    let mut world = World::new();
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    let stream = client.open(true).unwrap();
    for byte in framed(&query()) {
        client.write(stream, &[byte]);
        world.settle(&mut client, address);
        assert!(world.asked.is_empty(), "without its end it is no query");
    }
    client.finish(stream);
    world.settle(&mut client, address);
    assert_eq!(client.response(stream), Some(response()));
}

#[test]
fn a_long_response_arrives_whole_and_counts_until_it_is_acknowledged() {
    let mut world = World::new();
    world.answers = false;
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    let streams = [(); 3].map(|()| client.ask(&query()).unwrap());
    world.settle(&mut client, address);
    for (key, query) in std::mem::take(&mut world.asked) {
        let mut response = vec![7; 65_535];
        response[..2].copy_from_slice(&query[..2]);
        world.server.respond(key, &response);
    }
    assert_eq!(world.server.unsent(world.key()), 3 * 65_537);
    world.settle(&mut client, address);
    world.pass(&mut client, address, Duration::from_secs(2));
    for stream in streams {
        assert_eq!(client.response(stream).map(|it| it.len()), Some(65_535));
    }
    assert_eq!(world.server.unsent(world.key()), 0);
}

#[test]
fn a_client_has_a_hundred_streams_and_more_once_they_are_over() {
    let mut world = World::new();
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    for _ in 0..5 {
        let mut streams = Vec::new();
        while let Some(stream) = client.ask(&query()) {
            streams.push(stream);
        }
        assert_eq!(streams.len(), limits::STREAMS as usize);
        world.settle(&mut client, address);
        world.pass(&mut client, address, Duration::from_millis(100));
        assert!(streams.iter().all(|it| client.response(*it).is_some()));
    }
}

#[test]
fn a_client_whose_nat_gives_it_another_port_goes_on() {
    let mut world = World::new();
    let mut client = world.connected(client_at(1, 40_000));
    let stream = client.ask(&query()).unwrap();
    world.settle(&mut client, client_at(1, 50_000));
    assert_eq!(client.response(stream), Some(response()));
    let stream = client.ask(&query()).unwrap();
    let asked = world.asked.len();
    for packet in client.packets(world.instant()) {
        let fate = world.receive(client_at(2, 50_000), &packet);
        assert_eq!(fate, PacketFate::Ignored, "another client to the limits");
    }
    world.turn();
    assert_eq!(world.asked.len(), asked);
    assert_eq!(client.response(stream), None);
}

/// Carries datagrams for two seconds, while the driver takes nothing.
fn carry(world: &mut World, client: &mut QuicClient, address: SocketAddr) {
    for _ in 0..200 {
        for packet in client.packets(world.instant()) {
            world.receive(address, &packet);
        }
        world.server.flush(world.now);
        let packets = world.server.packets();
        let packets: Vec<_> = packets.map(|it| it.bytes.to_vec()).collect();
        world.server.clear_packets();
        for packet in packets {
            client.on_packet(world.instant(), SERVER, &packet);
        }
        world.now = world.now + Duration::from_millis(10);
        client.on_timeout(world.instant());
    }
}

fn long_query() -> Vec<u8> {
    framed(&[query(), vec![0; 60_000]].concat())
}

#[test]
fn queries_that_the_engine_does_not_take_are_bounded() {
    let mut world = World::new();
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    let query = long_query();
    let mut left = Vec::new();
    for _ in 0..12 {
        let stream = client.open(true).unwrap();
        let taken = client.write(stream, &query);
        if taken == query.len() {
            client.finish(stream);
        } else {
            left.push((stream, taken));
        }
        carry(&mut world, &mut client, address);
    }
    let queued = world.server.bytes(world.key()) - limits::CONNECTION_BYTES;
    assert!(queued >= limits::QUEUED_BYTES);
    assert!(queued < limits::QUEUED_BYTES + query.len(), "{queued}");
    assert!(left.len() > 5, "the client waits");
    // Once the engine takes some, it goes on.
    for (stream, mut taken) in left {
        while taken < query.len() {
            taken += client.write(stream, &query[taken..]);
            world.pass(&mut client, address, Duration::from_millis(10));
        }
        client.finish(stream);
    }
    world.pass(&mut client, address, Duration::from_millis(100));
    assert_eq!(world.asked.len(), 12);
    assert!(world.ends.is_empty());
}

#[test]
fn pieces_of_queries_are_bounded_and_get_no_more_time_than_others() {
    let mut world = World::new();
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    let streams = [(); 12].map(|()| client.open(true).unwrap());
    let mut sent = 0;
    for _ in 0..5 {
        for stream in streams {
            sent += client.write(stream, &[0xff; 10_000]);
        }
        world.pass(&mut client, address, Duration::from_secs(1));
    }
    let most = limits::QUEUED_BYTES + 2 * limits::WINDOW_BYTES as usize;
    assert!(sent < most, "{sent}");
    world.pass(&mut client, address, limits::QUERY_WAIT);
    let end = world.ends.pop().map(|(_, end)| end);
    assert_eq!(end, Some(QuicEnd::IncompleteQuery));
}
