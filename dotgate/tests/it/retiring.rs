//! Connections with a bound on their queries or their age: clients that others wrote go on with another one, and lose nothing.

use std::net::SocketAddr;
use std::process::Command;

use dotgate_testbed::certificates::TestAuthority;

use crate::dot::Listener;
use crate::world::World;
use crate::world::client::Client;
use crate::world::doq::{Doq, offer};
use crate::world::dot::{Files, NAME, Offer};
use crate::world::h2::H2;
use crate::world::peer::{are_installed, find};

const BOUND: (&str, &str) = ("DOTGATE_TCP_QUERIES_MAX", "4");

fn retired(world: &World) -> Option<f64> {
    world.metric("dotgate_streams_closed_total{reason=\"retired\"}")
}

/// Nine queries of kdig, which keeps its connection as long as it can, and repeats a query that comes to its end.
fn nine_of_kdig(address: SocketAddr, transport: &str) -> String {
    let names = (0..9).map(|number| format!("n{number}.test"));
    let output = Command::new(find("kdig").unwrap())
        .args([
            format!("@{}", address.ip()),
            "-p".to_owned(),
            address.port().to_string(),
        ])
        .args([transport, "+keepopen"])
        .args(names)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

#[test]
fn kdig_has_its_responses_until_a_connection_ends() {
    if !are_installed(&[], &["kdig"]) {
        return;
    }
    let listener = Listener::with(&[BOUND]);
    let world = &listener.world;
    // It does not repeat what it sends while the connection ends, after four queries and, over TCP, after eight; over TLS it opens
    // no other one.
    for (address, transport, least, ended) in [
        (world.address(), "+tcp", 7, 2.0),
        (world.dot_address(), "+tls", 4, 3.0),
    ] {
        let said = nine_of_kdig(address, transport);
        assert!(said.matches("status: NOERROR").count() >= least, "{said}");
        assert!(retired(world) >= Some(ended), "{said}");
    }
}

#[test]
fn a_client_that_repeats_what_is_unanswered_at_the_end_has_every_response() {
    let world = World::with(1, &[("DOTGATE_TCP_QUERIES_MAX", "20")]);
    let mut answered = 0;
    let mut connections = 0;
    while answered < 200 {
        connections += 1;
        let mut client: Client = world.tcp();
        // Ten at a time, as long as the connection lasts: each that it took is answered before its end.
        for round in 0..2 {
            let names = (0..10).map(|number| format!("n{connections}-{round}-{number}.test"));
            client.send_all(names);
            let responses = client.receive_all();
            responses
                .iter()
                .for_each(|response| response.assert_right());
            answered += responses.len();
        }
    }
    assert_eq!((answered, connections), (200, 10));
    world.wait_for_metric("dotgate_streams_closed_total{reason=\"retired\"}", 10.0);
}

#[test]
fn a_connection_that_reaches_its_age_ends_in_the_words_of_its_transport() {
    let authority = TestAuthority::new().unwrap();
    let files = Files::new(&authority);
    let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
    let world = World::with(
        1,
        &[
            ("DOTGATE_DOT_LISTEN", "127.0.0.1:0"),
            ("DOTGATE_DOH_LISTEN", "127.0.0.1:0"),
            ("DOTGATE_DOQ_LISTEN", "127.0.0.1:0"),
            ("DOTGATE_SERVER_CERTIFICATE_FILE", &certificate),
            ("DOTGATE_SERVER_KEY_FILE", &key),
            ("DOTGATE_TCP_MAX_AGE", "10s"),
            // Nothing else may end them within that time.
            ("DOTGATE_TCP_IDLE", "60s"),
            ("DOTGATE_DOT_IDLE", "60s"),
            ("DOTGATE_DOH_IDLE", "60s"),
            ("DOTGATE_DOQ_IDLE", "60s"),
        ],
    );
    let tls = Offer::new(&authority);
    let mut tcp = world.tcp();
    tcp.ask("tcp.test").assert_right();
    let mut dot = tls.connect(world.dot_address(), NAME).unwrap();
    dot.ask("dot.test").assert_right();
    let mut doh = H2::connect(&tls.with_protocols(&["h2"]), world.doh_address());
    doh.ask("doh.test").assert_right();
    let mut doq = Doq::connect(&offer(&authority), world.doq_address());
    doq.ask("doq.test").assert_right();
    assert_eq!(retired(&world), Some(0.0));

    assert_eq!(doq.close_code(), Some(0), "DOQ_NO_ERROR");
    tcp.wait_for_close();
    assert_eq!(dot.receive(), None, "close_notify");
    assert!(doh.receive().is_none());
    let (_, error) = doh.goaway.expect("a GOAWAY");
    assert_eq!(error, 0, "NO_ERROR");
    world.wait_for_metric("dotgate_streams_closed_total{reason=\"retired\"}", 4.0);
    Doq::connect(&offer(&authority), world.doq_address())
        .ask("next.test")
        .assert_right();
}
