//! How connections begin.

use dotgate_testbed::certificates::Purpose;

use super::*;

/// The alert no_application_protocol (RFC 7301 section 3.2).
const NO_APPLICATION_PROTOCOL: u8 = 120;

#[test]
fn a_client_that_does_not_offer_doq_is_refused() {
    for protocols in [&[][..], &[b"dot".as_slice()], &[b"h3", b"doq-i02"]] {
        let mut world = World::new();
        let setup = QuicClientSetup::new(world.authority.pem(), protocols, None).unwrap();
        let mut client = world.client_with(&setup);
        world.settle(&mut client, client_at(1, 40_000));
        assert_eq!(
            client.alert(),
            Some(NO_APPLICATION_PROTOCOL),
            "{protocols:?}"
        );
        let fault = HandshakeFault::Alert(NO_APPLICATION_PROTOCOL);
        let ended = world.ends.first().map(|(_, end)| *end);
        let failed = world.failed.first().copied();
        assert!(
            failed == Some(fault) || ended == Some(QuicEnd::Handshake(fault)),
            "{failed:?} {ended:?}"
        );
        assert!(world.server.keys().is_empty());
    }
}

#[test]
fn a_client_may_have_to_show_that_its_address_is_its_own() {
    let mut world = World::new();
    world.validates = true;
    let address = client_at(1, 40_000);
    let mut client = world.client();
    let first = client.packets(world.instant());
    for packet in &first {
        world.receive(address, packet);
    }
    assert!(
        world.server.next_attempt().is_none(),
        "nothing is left of it"
    );
    assert!(world.server.keys().is_empty());
    let retries = world.count(PacketFate::Retry);
    assert!(retries >= 1);
    let sent: usize = world.server.packets().map(|it| it.bytes.len()).sum();
    let received: usize = first.iter().map(Vec::len).sum();
    assert!(sent < received, "{sent} for {received}");
    world.settle(&mut client, address);
    assert!(client.is_connected());
    let stream = client.ask(&query()).unwrap();
    world.settle(&mut client, address);
    assert_eq!(client.response(stream), Some(response()));
}

#[test]
fn a_token_is_good_at_the_address_that_it_was_made_for() {
    let mut world = World::new();
    world.validates = true;
    let mut client = world.client();
    for packet in client.packets(world.instant()) {
        world.receive(client_at(1, 40_000), &packet);
    }
    world.turn();
    for (_, packet) in std::mem::take(&mut world.sent) {
        client.on_packet(world.instant(), SERVER, &packet);
    }
    // With the token, from an address that never saw it.
    for packet in client.packets(world.instant()) {
        world.receive(client_at(2, 40_000), &packet);
    }
    assert_eq!(world.count(PacketFate::Attempt), 0);
    assert!(world.server.next_attempt().is_none());
}

#[test]
fn clients_need_a_certificate_where_authorities_are_named() {
    let authority = TestAuthority::new().unwrap();
    let own = Leaf {
        purpose: Purpose::Client,
        ..Leaf::for_name("client.example")
    };
    let own = authority.issue(&own).unwrap();
    let mut world = World::with_clients_of(Some(authority.pem()));
    let identity = (own.pem.as_str(), own.key_pem.as_str());
    for (identity, is_served) in [(Some(identity), true), (None, false)] {
        let setup = QuicClientSetup::new(world.authority.pem(), &[b"doq"], identity).unwrap();
        let mut client = world.client_with(&setup);
        world.settle(&mut client, client_at(1, 40_000));
        let stream = client.ask(&query());
        world.settle(&mut client, client_at(1, 40_000));
        let response = stream.and_then(|stream| client.response(stream));
        assert_eq!(response.is_some(), is_served);
    }
    let end = world.ends.pop().map(|(_, end)| end);
    assert!(
        matches!(end, Some(QuicEnd::Handshake(HandshakeFault::Alert(_)))),
        "{end:?}"
    );
}

#[test]
fn a_refused_client_hears_of_it() {
    let mut world = World::new();
    let mut client = world.client();
    let address = client_at(1, 40_000);
    for packet in client.packets(world.instant()) {
        world.receive(address, &packet);
    }
    let attempt = world.server.next_attempt().unwrap();
    assert_eq!((attempt.peer(), attempt.is_validated()), (address, false));
    world.server.refuse(attempt);
    world.settle(&mut client, address);
    assert!(client.lost().is_some());
    assert!(world.server.keys().is_empty());
}

#[test]
fn other_versions_of_quic_are_negotiated_and_short_packets_ignored() {
    let mut world = World::new();
    let mut packet = vec![0xc0, 0x6b, 0x33, 0x43, 0xcf, 8];
    packet.extend([1; 8]);
    packet.push(8);
    packet.extend([2; 8]);
    let mut long = packet.clone();
    long.resize(1_200, 0);
    assert_eq!(
        world.receive(client_at(1, 40_000), &long),
        PacketFate::Answered
    );
    let answer = world.server.packets().next().unwrap().bytes.to_vec();
    assert_eq!(answer[1..5], [0; 4], "a packet of version negotiation");
    assert!(answer.len() < 60);
    assert_eq!(
        world.receive(client_at(1, 40_000), &packet),
        PacketFate::Ignored
    );
}
