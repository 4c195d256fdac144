//! Rates of clients, with sources of 127.0.0.0/8: a flood over UDP costs its source nothing over TCP, and others nothing.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;

use domain::base::iana::Rcode;

use crate::access::{ask, ask_by_tcp};
use crate::world::World;
use crate::world::message::{QueryType, query};
use crate::world::peer::{are_installed, find};
use crate::world::wait::until;

const FORGED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);

/// A forwarder with this rate, which is that of clients on loopback too.
fn limited(rate: &str) -> World {
    World::with(1, &[(rate, "1"), ("DOTGATE_QUERY_EXEMPT", "192.0.2.0/24")])
}

/// Sends more queries from the forged source than it has saved up.
fn flood(world: &World) {
    let socket = UdpSocket::bind((FORGED, 0)).unwrap();
    for id in 0..100 {
        let message = query(id, "flood.test", QueryType::Address);
        socket.send_to(&message, world.address()).unwrap();
    }
    until("the flood to be shed", || {
        world.metric("dotgate_limits_hit_total{limit=\"query_rate\"}") >= Some(90.0)
    });
}

#[test]
fn a_flood_with_a_forged_source_costs_its_owner_nothing_over_tcp_and_others_nothing() {
    let world = limited("DOTGATE_RATE_QUERIES");
    flood(&world);
    ask_by_tcp(FORGED, world.address()).unwrap().assert_right();
    ask(OTHER, world.address()).assert_right();
}

#[test]
fn dig_is_answered_over_tcp_while_its_address_is_flooded() {
    if !are_installed(&[], &["dig"]) {
        return;
    }
    let world = limited("DOTGATE_RATE_QUERIES");
    flood(&world);
    let address = world.address();
    let output = Command::new(find("dig").unwrap())
        .args(["-b", &FORGED.to_string(), "-p", &address.port().to_string()])
        .args([
            &format!("@{}", address.ip()),
            "+tries=4",
            "+timeout=1",
            "+nocookie",
        ])
        .args(["flood.test", "A"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("status: NOERROR") && text.contains("(TCP)"),
        "{text}"
    );
}

#[test]
fn connections_above_the_rate_are_closed_at_once() {
    let world = limited("DOTGATE_RATE_CONNECTIONS");
    for _ in 0..2 {
        let response = ask_by_tcp(FORGED, world.address()).unwrap();
        assert_eq!(response.rcode, Rcode::NOERROR);
    }
    let mut refused = 0;
    until("one connection too many", || {
        refused += usize::from(ask_by_tcp(FORGED, world.address()).is_none());
        refused > 0
    });
    ask_by_tcp(OTHER, world.address()).unwrap().assert_right();
    let hits = world.metric("dotgate_limits_hit_total{limit=\"connection_rate\"}");
    assert!(hits >= Some(1.0));
}
