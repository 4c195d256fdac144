//! Processes that freeze, are starved, die, and come back as somebody else.
//!
//! Upstreams are dnsdist where the signals are for the process, and scripted ones where what reached them is
//! counted; at the end the forwarder itself is killed. Upstreams that are killed and started again are in
//! `tests/it/peers.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dotgate_testbed::certificates::{Leaf, TestAuthority};

use crate::world::address::own_address;
use crate::world::client::Client;
use crate::world::load::Load;
use crate::world::message::assert_all_right;
use crate::world::peer::{ANSWER, Peer, Product, are_installed};
use crate::world::program::Program;
use crate::world::upstream::{AUTHENTICATION_NAME, Certificate, Credentials, Upstream};

const MS: Duration = Duration::from_millis(1);

/// The client's pause between two questions: what waits through an outage fits in its receive buffer at once.
const GAP: Duration = Duration::from_millis(10);

/// A client of a peer's that asks from when a session is open.
fn load(program: &Program) -> Load {
    let mut client = program.udp().expecting(ANSWER);
    client.ask("warm-up.test").assert_right();
    let load = Load::start(client, GAP);
    load.go_on_for(50);
    load
}

#[track_caller]
fn assert_none_lost(load: Load) {
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
}

#[test]
fn the_only_upstream_freezes_for_a_second_and_no_query_is_lost() {
    if !are_installed(&[Product::Dnsdist], &[]) {
        return;
    }
    let authority = TestAuthority::new().unwrap();
    let peer = Peer::start(Product::Dnsdist, &authority);
    let program = Program::serve(&authority, &peer.written(), &[]);
    let load = load(&program);
    for _ in 0..2 {
        peer.freeze();
        load.go_on_for(100);
        peer.signal("CONT");
        load.go_on_for(50);
    }
    assert_none_lost(load);
}

#[test]
fn an_upstream_that_was_frozen_serves_again_when_the_other_is_killed() {
    if !are_installed(&[Product::Dnsdist], &[]) {
        return;
    }
    let authority = TestAuthority::new().unwrap();
    let first = Peer::start(Product::Dnsdist, &authority);
    let mut second = Peer::start(Product::Dnsdist, &authority);
    let hosts = format!("{},{}", first.written(), second.written());
    let program = Program::serve(&authority, &hosts, &[]);
    let load = load(&program);
    first.freeze();
    load.go_on_for(120);
    first.signal("CONT");
    load.go_on_for(100);
    second.kill();
    load.go_on_for(100);
    assert_none_lost(load);
}

#[test]
fn an_upstream_that_runs_a_tenth_of_the_time_loses_no_query() {
    const QUERIES: usize = 1_000;
    if !are_installed(&[Product::Dnsdist], &[]) {
        return;
    }
    let authority = TestAuthority::new().unwrap();
    let peer = Peer::start(Product::Dnsdist, &authority);
    let program = Program::serve(&authority, &peer.written(), &[]);
    let load = load(&program);
    let mut client = program.tcp().expecting(ANSWER);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // As a container beyond its share of the processor: the kernel holds it, then lets it go on.
            while !is_over.load(Ordering::Relaxed) {
                peer.freeze();
                thread::sleep(90 * MS);
                peer.signal("CONT");
                thread::sleep(10 * MS);
            }
        });
        client.send_together((0..QUERIES).map(|number| format!("name-{number}.test")));
        let responses = client.receive_all();
        load.go_on_for(100);
        is_over.store(true, Ordering::Relaxed);
        assert_all_right(&responses, QUERIES);
    });
    assert_none_lost(load);
}

#[test]
fn an_upstream_that_restarts_with_another_valid_certificate_loses_no_query() {
    if !are_installed(&[Product::Dnsdist], &[]) {
        return;
    }
    let authority = TestAuthority::new().unwrap();
    let mut peer = Peer::start(Product::Dnsdist, &authority);
    let program = Program::serve(&authority, &peer.written(), &[]);
    let load = load(&program);
    for _ in 0..3 {
        peer.keep(&Leaf::for_name(AUTHENTICATION_NAME), &authority);
        peer.kill();
        peer.start_again();
        load.go_on_for(50);
    }
    assert_none_lost(load);
}

#[test]
fn an_upstream_that_restarts_as_somebody_else_is_not_used_and_clients_learn_why() {
    if !are_installed(&[Product::Dnsdist], &[]) {
        return;
    }
    let authority = TestAuthority::new().unwrap();
    let stranger = TestAuthority::new().unwrap();
    let mut peer = Peer::start(Product::Dnsdist, &authority);
    let program = Program::serve(&authority, &peer.written(), &[]);
    let mut client = program.udp().expecting(ANSWER);
    client.ask("before.test").assert_right();
    let (own, other) = (
        Leaf::for_name(AUTHENTICATION_NAME),
        Leaf::for_name("other.test"),
    );
    // Each asks for a name of its own: failures are remembered for a while.
    for (name, leaf, signer, reason) in [
        (
            "first.test",
            &other,
            &authority,
            "tls: certificate for another name",
        ),
        (
            "second.test",
            &own,
            &stranger,
            "tls: certificate authority unknown",
        ),
    ] {
        peer.kill();
        peer.keep(leaf, signer);
        peer.start_again();
        let response = client.ask(name);
        response.assert_failed(22);
        let reported = response.ede.unwrap().1;
        assert!(reported.starts_with(reason), "{reported}");
    }
    peer.kill();
    peer.keep(&own, &authority);
    peer.start_again();
    let mut tries = 0;
    while !client.ask(&format!("after-{tries}.test")).is_right() {
        tries += 1;
        assert!(tries < 100, "not used again");
    }
}

#[test]
fn an_upstream_that_restarts_with_a_certificate_that_is_not_valid_gets_no_query() {
    for (fault, reason) in [
        (Certificate::Expired, "tls: certificate expired"),
        (Certificate::OtherName, "tls: certificate for another name"),
    ] {
        let authority = TestAuthority::new().unwrap();
        let upstream = Upstream::start(&authority);
        let program = Program::serve(&authority, &upstream.written(), &[]);
        let mut client = program.udp();
        client.ask("before.test").assert_right();
        upstream.show(&Credentials::with(fault), &authority);
        upstream.kill();
        upstream.listen();
        for number in 0..20 {
            client.send(&format!("meanwhile-{number}.test"));
        }
        for response in client.receive_all() {
            response.assert_failed(22);
            let reported = response.ede.unwrap().1;
            assert!(reported.starts_with(reason), "{reported}");
        }
        assert_eq!(upstream.queries(), 1, "the one before");
    }
}

#[test]
fn the_forwarder_is_killed_and_the_next_one_serves_the_same_clients() {
    const STREAMS: usize = 50;
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    // Nobody else may get the port between the two.
    let host = own_address().to_string();
    let program = Program::serve(&authority, &upstream.written(), &[("HOST", &host)]);
    let address = program.address();
    let mut client = program.udp();
    let mut streams: Vec<Client> = (0..STREAMS).map(|_| program.tcp()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.ask(&format!("before-{number}.test")).assert_right();
    }
    program.signal("KILL");
    drop(program);
    client.send("meanwhile.test");
    assert!(client.receive_within(100 * MS).is_none());
    for stream in &mut streams {
        stream.wait_for_close();
    }
    // The connections of the one killed are still known to the kernel; they are in nobody's way.
    let port = address.port().to_string();
    let same = [("HOST", host.as_str()), ("PORT", &port)];
    let next = Program::serve(&authority, &upstream.written(), &same);
    assert_eq!(next.address(), address);
    client.ask("meanwhile-again.test").assert_right();
    for number in 0..STREAMS {
        let name = format!("after-{number}.test");
        next.tcp().ask(&name).assert_right();
    }
}
