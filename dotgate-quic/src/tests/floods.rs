//! Clients that send too much, or too little: everything is bounded.

use super::*;
use crate::limits;

#[test]
fn a_flood_of_forged_addresses_costs_a_bounded_number_of_attempts() {
    let mut world = World::new();
    let setup = world.client_setup();
    let mut retries = 0;
    for number in 0..600_u32 {
        let mut client = world.client_with(&setup);
        let [.., high, low] = number.to_be_bytes();
        let address = SocketAddr::from(([203, 0, high, low], 40_000));
        for packet in client.packets(world.instant()) {
            retries += usize::from(world.receive(address, &packet) == PacketFate::Retry);
        }
        world.server.clear_packets();
    }
    assert!(retries > 500, "{retries}");
    let mut attempts = 0;
    while let Some(attempt) = world.server.next_attempt() {
        attempts += 1;
        world.server.validate(attempt);
    }
    assert_eq!(attempts, limits::ATTEMPTS_UNVALIDATED);
    assert!(!world.server.wants_turn());
    let mut client = world.connected(client_at(1, 40_000));
    let stream = client.ask(&query()).unwrap();
    world.settle(&mut client, client_at(1, 40_000));
    assert_eq!(client.response(stream), Some(response()));
}

/// Has the server accept a handshake. Returns the client, and its first datagrams, of which the server has one.
fn begin(world: &mut World, address: SocketAddr) -> (QuicClient, Vec<Vec<u8>>) {
    let mut client = world.client();
    let first = client.packets(world.instant());
    world.receive(address, &first[0]);
    let attempt = world.server.next_attempt().unwrap();
    let key = world.keys.insert(address.ip());
    world.server.accept(world.now, attempt, key).unwrap();
    (client, first)
}

#[test]
fn datagrams_of_handshakes_wait_up_to_a_bound() {
    let mut world = World::new();
    let address = client_at(1, 40_000);
    let (mut client, first) = begin(&mut world, address);
    for _ in 0..2_000 {
        for packet in &first {
            world.receive(address, packet);
        }
    }
    assert!(world.count(PacketFate::Dropped) > 0);
    let waiting = world.count(PacketFate::Connection);
    assert_eq!(waiting, limits::HANDSHAKE_DATAGRAMS_OF_ONE);
    world.settle(&mut client, address);
    assert!(client.is_connected());
}

#[test]
fn the_datagrams_of_one_handshake_leave_room_for_others() {
    let mut world = World::new();
    let mut begun = [1, 2].map(|last| {
        let address = client_at(last, 40_000);
        let (client, first) = begin(&mut world, address);
        (address, client, first)
    });
    // The first client sends its own again and again.
    let (hostile, _, own) = &begun[0];
    for _ in 0..1_000 {
        for packet in own {
            world.receive(*hostile, packet);
        }
    }
    world.fates.clear();
    let (address, client, first) = &mut begun[1];
    for packet in &first[1..] {
        assert_eq!(world.receive(*address, packet), PacketFate::Connection);
    }
    world.settle(client, *address);
    assert!(client.is_connected());
    assert_eq!(world.count(PacketFate::Dropped), 0);
}

#[test]
fn a_client_may_not_cancel_most_of_what_it_asks() {
    let mut world = World::new();
    world.answers = false;
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    let mut cancelled = 0;
    while client.lost().is_none() && cancelled < 1_000 {
        let Some(stream) = client.ask(&query()) else {
            world.pass(&mut client, address, Duration::from_millis(50));
            let asked = std::mem::take(&mut world.asked);
            for (key, query) in asked {
                world.answer(key, &query);
            }
            continue;
        };
        client.stop(stream, 3);
        client.reset(stream, 3);
        cancelled += 1;
        world.settle(&mut client, address);
    }
    assert_eq!(client.close_code(), Some(4), "{cancelled}");
    assert_eq!(world.ends.pop().map(|(_, end)| end), Some(QuicEnd::Flood));
    assert!(world.asked.len() <= limits::QUERIES);
}

#[test]
fn a_client_that_completes_no_query_is_cut_off() {
    let mut world = World::new();
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    let mut slow = Vec::new();
    while let Some(stream) = client.open(true) {
        slow.push(stream);
    }
    for _ in 0..20 {
        for stream in &slow {
            client.write(*stream, &[0]);
        }
        world.settle(&mut client, address);
        if client.lost().is_some() {
            break;
        }
        world.pass(&mut client, address, Duration::from_secs(1));
    }
    let end = world.ends.pop().map(|(_, end)| end);
    // The second byte of each makes an empty message, which a third one may not follow.
    assert_eq!(end, Some(QuicEnd::Protocol));
    let mut client = world.connected(address);
    let stream = client.open(true).unwrap();
    client.write(stream, &[0, 60]);
    world.pass(
        &mut client,
        address,
        limits::QUERY_WAIT + Duration::from_secs(1),
    );
    assert_eq!(client.close_code(), Some(4));
    let end = world.ends.pop().map(|(_, end)| end);
    assert_eq!(end, Some(QuicEnd::IncompleteQuery));
}

#[test]
fn garbage_is_ignored_and_answered_with_no_more_than_it_has() {
    let mut world = World::new();
    let address = client_at(1, 40_000);
    let mut client = world.connected(address);
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let (mut received, mut sent) = (0, 0);
    for round in 0..5_000 {
        let length = usize::from(next()) * if round % 5 == 0 { 5 } else { 1 };
        let mut bytes: Vec<u8> = (0..length).map(|_| next()).collect();
        if round % 3 == 0
            && let Some(start) = bytes.first_chunk_mut()
        {
            // A long header of version 1.
            *start = [0xc3, 0, 0, 0, 1, 8];
        }
        received += bytes.len();
        world.receive(client_at(next(), 1 + u16::from(next())), &bytes);
        world.turn();
        sent += std::mem::take(&mut world.sent)
            .iter()
            .map(|(_, it)| it.len())
            .sum::<usize>();
        world.now = world.now + Duration::from_micros(100);
    }
    assert!(sent < received / 2, "{sent} for {received}");
    let stream = client.ask(&query()).unwrap();
    world.settle(&mut client, address);
    assert_eq!(client.response(stream), Some(response()));
}
