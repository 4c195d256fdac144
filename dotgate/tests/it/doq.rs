//! Clients over QUIC, with sockets: queries, certificates, limits, floods, and the end of a connection (RFC 9250).
//!
//! Clients are one made of the crate of QUIC that the forwarder uses, and kdig where it can. Counted are answers, datagrams and what
//! a client gets.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use dotgate_testbed::certificates::{Leaf, TestAuthority};
use dotgate_testbed::quic::QuicClientSetup;

use crate::program::run_with;
use crate::world::World;
use crate::world::doq::{Doq, offer};
use crate::world::dot::{Files, NAME};
use crate::world::house::House;
use crate::world::http::get;
use crate::world::message::{QueryType, Response, query};
use crate::world::peer::{are_installed, find};
use crate::world::program::Program;
use crate::world::upstream::{Form, Step};
use crate::world::wait::until;

const NO_ERROR: Option<u64> = Some(0);
const PROTOCOL_ERROR: Option<u64> = Some(2);

/// A forwarder with a listener for QUIC.
struct Listener {
    world: World,
    authority: TestAuthority,
    /// They go with it.
    _files: Files,
    setup: QuicClientSetup,
}

impl Listener {
    fn new() -> Listener {
        Listener::with(&[])
    }

    fn with(variables: &[(&str, &str)]) -> Listener {
        let authority = TestAuthority::new().unwrap();
        let files = Files::new(&authority);
        let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
        let own = [
            ("DOTGATE_DOQ_LISTEN", "127.0.0.1:0"),
            ("DOTGATE_SERVER_CERTIFICATE_FILE", &*certificate),
            ("DOTGATE_SERVER_KEY_FILE", &*key),
        ];
        let set = |name: &str| variables.iter().any(|(written, _)| *written == name);
        let own = own.into_iter().filter(|(name, _)| !set(name));
        let all: Vec<_> = own.chain(variables.iter().copied()).collect();
        Listener {
            world: World::with(1, &all),
            setup: offer(&authority),
            authority,
            _files: files,
        }
    }

    fn address(&self) -> SocketAddr {
        self.world.doq_address()
    }

    fn connect(&self) -> Doq {
        Doq::connect(&self.setup, self.address())
    }

    fn packets(&self, result: &str) -> f64 {
        let series = format!("dotgate_client_quic_packets_total{{result=\"{result}\"}}");
        self.world.metric(&series).unwrap_or_default()
    }

    fn ends(&self, reason: &str) -> Option<f64> {
        let series = format!("dotgate_streams_closed_total{{reason=\"{reason}\"}}");
        self.world.metric(&series)
    }
}

#[test]
fn queries_over_quic_are_answered_as_their_responses_come_and_counted_apart() {
    let listener = Listener::new();
    let world = &listener.world;
    let slow = [
        Step::Wait(Duration::from_millis(200)),
        Step::Send(Form::Right),
    ];
    world.upstreams[0].script(|script| {
        script.on("slow.test", &slow);
    });
    let mut client = listener.connect();
    let asked = ["slow.test", "fast.test"].map(|name| query(0, name, QueryType::Address));
    let [slow, fast] = asked.map(|message| client.client.ask(&message).unwrap());
    client.drive("the fast one", |client| client.response(fast).is_some());
    assert_eq!(client.client.response(slow), None);
    client.drive("the slow one", |client| client.response(slow).is_some());
    for stream in [fast, slow] {
        let response = Response::read(&client.client.response(stream).unwrap());
        assert_eq!(response.id, 0);
        response.assert_right();
    }
    let of = |transport: &str| {
        let labels = format!("transport=\"{transport}\",type=\"A\",outcome=\"answered\"");
        world.metric(&format!("dotgate_queries_total{{{labels}}}"))
    };
    assert_eq!(of("doq"), Some(2.0));
    assert_eq!(of("udp"), Some(0.0));
    let full = world.metric("dotgate_client_handshakes_total{result=\"full\"}");
    assert_eq!(full, Some(1.0));
}

#[test]
fn a_response_is_padded_if_its_query_was_and_a_keepalive_is_an_error() {
    let listener = Listener::new();
    let mut client = listener.connect();
    let with_option = |option: &[u8]| {
        let mut message = query(0, "a.test", QueryType::Address);
        let length = message.len() - 2;
        message[length..].copy_from_slice(&(option.len() as u16).to_be_bytes());
        message.extend(option);
        message
    };
    let padded = client.exchange(&with_option(&[0, 12, 0, 2, 0, 0])).unwrap();
    assert_eq!(padded.len() % 468, 0);
    assert_ne!(client.exchange(&with_option(&[])).unwrap().len() % 468, 0);
    assert_eq!(client.exchange(&with_option(&[0, 11, 0, 0])), None);
    assert_eq!(client.close_code(), PROTOCOL_ERROR);
    assert_eq!(listener.ends("quic"), Some(1.0));
}

#[test]
fn what_the_rfc_forbids_ends_the_connection_and_others_are_served() {
    let listener = Listener::new();
    let mut other = listener.connect();
    let mut client = listener.connect();
    let response = client.exchange(&query(7, "a.test", QueryType::Address));
    assert_eq!(response, None, "the message ID must be 0");
    assert_eq!(client.close_code(), PROTOCOL_ERROR);
    let mut client = listener.connect();
    let stream = client.client.open(false).unwrap();
    client.client.write(stream, b"\0\x0c");
    assert_eq!(client.close_code(), PROTOCOL_ERROR);
    // A response is no query.
    let mut client = listener.connect();
    let mut message = query(0, "a.test", QueryType::Address);
    message[2] |= 0x80;
    assert_eq!(client.exchange(&message), None);
    assert_eq!(client.close_code(), PROTOCOL_ERROR);
    other.ask("b.test").assert_right();
    assert_eq!(listener.ends("quic"), Some(2.0));
    assert_eq!(listener.ends("framing"), Some(1.0));
}

#[test]
fn other_protocols_are_refused_and_the_name_chooses_the_certificate() {
    let listener = Listener::new();
    let others = QuicClientSetup::new(listener.authority.pem(), &[b"h3"], None).unwrap();
    let refused = Doq::connect(&others, listener.address());
    assert_eq!(refused.client.alert(), Some(120));
    let alpn = "dotgate_client_handshakes_total{result=\"alpn\"}";
    until("the refusal to be counted", || {
        listener.world.metric(alpn) == Some(1.0)
    });
    listener.connect().ask("a.test").assert_right();
}

#[test]
fn an_idle_connection_ends_without_an_error() {
    let listener = Listener::with(&[("DOTGATE_DOQ_IDLE", "1s")]);
    let mut client = listener.connect();
    client.ask("a.test").assert_right();
    client.drive("the end", |client| client.lost().is_some());
    assert!(matches!(client.client.close_code(), None | NO_ERROR));
}

#[test]
fn a_connection_that_has_had_its_queries_ends_without_an_error_once_they_are_answered() {
    let listener = Listener::with(&[("DOTGATE_TCP_QUERIES_MAX", "3")]);
    let mut client = listener.connect();
    for number in 0..3 {
        assert!(client.client.lost().is_none());
        client.ask(&format!("n{number}.test")).assert_right();
    }
    assert_eq!(client.close_code(), NO_ERROR);
    until("the end to be counted", || {
        listener.ends("retired") == Some(1.0)
    });
    listener.connect().ask("next.test").assert_right();
}

#[test]
fn a_client_whose_port_changes_goes_on() {
    let listener = Listener::with(&[("DOTGATE_SERVER_WORKERS", "1")]);
    let mut client = listener.connect();
    client.ask("a.test").assert_right();
    client.change_port();
    client.ask("b.test").assert_right();
}

#[test]
fn a_client_whose_port_changes_goes_on_whichever_worker_gets_its_packets() {
    let listener = Listener::with(&[("DOTGATE_SERVER_WORKERS", "4")]);
    let mut client = listener.connect();
    client.ask("first.test").assert_right();
    // The kernel chooses the worker by the port: some of these lead to another one than the first.
    for number in 0..12 {
        client.change_port();
        client.ask(&format!("n{number}.test")).assert_right();
    }
    let handshakes = "dotgate_client_handshakes_total{result=\"full\"}";
    assert_eq!(listener.world.metric(handshakes), Some(1.0));
    assert_eq!(listener.packets("answered"), 0.0);
}

#[test]
fn large_responses_arrive_whole() {
    let listener = Listener::new();
    listener.world.upstreams[0].script(|script| script.all = vec![Step::Send(Form::Long)]);
    let mut client = listener.connect();
    let message = query(0, "long.test", QueryType::Text);
    let streams = [(); 20].map(|()| client.client.ask(&message).unwrap());
    client.drive("all of them", |client| {
        streams.iter().all(|it| client.response(*it).is_some())
    });
    let whole = |stream| client.client.response(stream).unwrap().len() > 50_000;
    assert!(streams.into_iter().all(whole));
}

#[test]
fn clients_that_may_not_ask_get_no_connection_and_rates_hold() {
    let listener = Listener::with(&[("DOTGATE_ACCESS_DENY", "127.0.0.1@doq")]);
    let mut refused = Doq::new(&listener.setup, listener.address());
    refused.send_first();
    refused.drive("the refusal", |client| client.lost().is_some());
    assert_eq!(listener.packets("refused"), 1.0);
    listener.world.udp().ask("a.test").assert_right();
}

#[test]
fn a_flood_of_handshakes_is_answered_with_retry_and_clients_are_served() {
    let listener = Listener::with(&[("DOTGATE_SERVER_WORKERS", "1")]);
    let mut before = listener.connect();
    // Each begins a handshake at an address of its own, and goes no further: what a forged address can do.
    let sources = (2..=250).map(|last| SocketAddr::from(([127, 0, 7, last], 0)));
    let mut flood: Vec<Doq> = sources
        .map(|own| Doq::from(own, &listener.setup, listener.address()))
        .collect();
    for client in &mut flood {
        client.send();
    }
    until("the flood to be answered", || {
        listener.packets("attempt") + listener.packets("retry") + listener.packets("dropped")
            >= 240.0
    });
    assert!(
        listener.packets("retry") >= 100.0,
        "{}",
        listener.packets("retry")
    );
    before.ask("before.test").assert_right();
    listener.connect().ask("during.test").assert_right();
    listener.world.udp().ask("udp.test").assert_right();
}

#[test]
fn one_address_has_its_share_of_connections_alone() {
    let listener = Listener::with(&[
        ("DOTGATE_TCP_CONNECTIONS_PER_CLIENT_MAX", "3"),
        ("DOTGATE_SERVER_WORKERS", "1"),
    ]);
    let mut clients = [(); 3].map(|()| listener.connect());
    let refused = listener.connect();
    assert!(!refused.client.is_connected());
    for client in &mut clients {
        client.ask("a.test").assert_right();
    }
    let limit = "dotgate_limits_hit_total{limit=\"streams_per_client\"}";
    assert!(listener.world.metric(limit) >= Some(1.0));
}

#[test]
fn where_connections_have_a_rate_every_address_is_validated() {
    let listener = Listener::with(&[
        ("DOTGATE_RATE_CONNECTIONS", "1000"),
        ("DOTGATE_QUERY_EXEMPT", "192.0.2.1"),
    ]);
    listener.connect().ask("a.test").assert_right();
    assert!(listener.packets("retry") >= 1.0);
}

#[test]
fn garbage_is_counted_and_costs_nobody_anything() {
    let listener = Listener::with(&[("DOTGATE_SERVER_WORKERS", "1")]);
    let mut client = listener.connect();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..500_usize {
        let bytes: Vec<u8> = (0..number).map(|at| (at * number % 251) as u8).collect();
        socket.send_to(&bytes, listener.address()).unwrap();
    }
    client.ask("a.test").assert_right();
    until("the garbage to be counted", || {
        listener.packets("ignored") + listener.packets("answered") >= 400.0
    });
}

/// The program with a listener for QUIC.
fn serve(house: &House, files: &Files, port: &str, more: &[(&str, &str)]) -> Program {
    let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
    let own = [
        ("DOTGATE_DOQ_LISTEN", "127.0.0.1:0"),
        ("DOTGATE_SERVER_CERTIFICATE_FILE", &*certificate),
        ("DOTGATE_SERVER_KEY_FILE", &*key),
        ("DOTGATE_SERVER_WORKERS", "2"),
    ];
    let set = |name: &str| more.iter().any(|(written, _)| *written == name);
    let own = own.into_iter().filter(|(name, _)| !set(name));
    let all: Vec<_> = own.chain(more.iter().copied()).collect();
    house.serve(port, &all)
}

#[test]
fn a_process_that_is_replaced_ends_its_connections_and_clients_connect_again() {
    let house = House::new();
    let files = Files::new(&house.authority);
    std::fs::write(files.path("tickets"), [7; 48]).unwrap();
    let secret = files.text("tickets");
    let secret = ("DOTGATE_SERVER_TICKET_KEY_FILE", &*secret);
    let old = serve(&house, &files, "0", &[secret]);
    let listen = old.doq_address().to_string();
    let setup = offer(&house.authority);
    let mut idle = Doq::connect(&setup, old.doq_address());
    idle.ask("before.test").assert_right();
    let port = old.address().port().to_string();
    let next = serve(
        &house,
        &files,
        &port,
        &[secret, ("DOTGATE_DOQ_LISTEN", &listen)],
    );
    assert_eq!(next.doq_address().to_string(), listen);
    assert_eq!(idle.close_code_unheard(), NO_ERROR);
    Doq::connect(&setup, next.doq_address())
        .ask("after.test")
        .assert_right();
}

#[test]
fn a_process_that_ends_answers_what_was_asked_and_closes_without_an_error() {
    let house = House::new();
    let files = Files::new(&house.authority);
    let program = serve(&house, &files, "0", &[]);
    let wait = [
        Step::Wait(Duration::from_millis(300)),
        Step::Send(Form::Right),
    ];
    house.upstream.script(|script| {
        script.on("slow.test", &wait);
    });
    let mut client = Doq::connect(&offer(&house.authority), program.doq_address());
    client.ask("before.test").assert_right();
    let stream = client
        .client
        .ask(&query(0, "slow.test", QueryType::Address));
    client.send();
    until("the query to be sent", || house.upstream.queries() >= 2);
    program.signal("TERM");
    assert_eq!(client.close_code(), NO_ERROR);
    let response = client.client.response(stream.unwrap()).unwrap();
    Response::read(&response).assert_right();
}

#[test]
fn the_status_and_the_log_have_the_listener() {
    let house = House::new();
    let files = Files::new(&house.authority);
    let program = serve(&house, &files, "0", &[]);
    let status = get(program.admin(), "/api/v1/status");
    let address = program.doq_address();
    assert!(
        status
            .body
            .contains(&format!("\"listen_doq\":[\"{address}\"]")),
        "{}",
        status.body
    );
}

#[test]
fn what_cannot_be_served_ends_it_with_status_2_and_the_reason() {
    let authority = TestAuthority::new().unwrap();
    let files = Files::new(&authority);
    let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
    let listen = ("DOTGATE_DOQ_LISTEN", "127.0.0.1:0");
    for (variables, reason) in [
        (&[listen][..], "encrypted listeners need a certificate"),
        (
            &[
                ("DOTGATE_DOQ_LISTEN", "127.0.0.1:5300"),
                ("PORT", "5300"),
                ("DOTGATE_SERVER_CERTIFICATE_FILE", &certificate),
                ("DOTGATE_SERVER_KEY_FILE", &key),
            ],
            "is already a listener without TLS",
        ),
    ] {
        let (status, said) = run_with(variables);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(reason), "{reason}: {said}");
    }
}

#[test]
fn a_renewed_certificate_is_shown_to_new_clients_and_connections_stay() {
    let house = House::new();
    let files = Files::new(&house.authority);
    let program = serve(&house, &files, "0", &[]);
    let setup = offer(&house.authority);
    let mut old = Doq::connect(&setup, program.doq_address());
    old.ask("before.test").assert_right();
    let other = TestAuthority::new().unwrap();
    files.write("dns", &other.issue(&Leaf::for_name(NAME)).unwrap());
    program.wait_for_line("configuration reloaded");
    // With the tickets of the old client, no certificate would be shown.
    let refused = Doq::connect(&offer(&house.authority), program.doq_address());
    assert!(
        !refused.client.is_connected(),
        "its authority is another one"
    );
    let mut new = Doq::connect(&offer(&other), program.doq_address());
    new.ask("new.test").assert_right();
    old.ask("after.test").assert_right();
}

#[test]
fn kdig_asks_over_quic() {
    if !are_installed(&[], &["kdig"]) {
        return;
    }
    let kdig = find("kdig").unwrap();
    let known = Command::new(&kdig).args(["+quic", "-h"]).output().unwrap();
    if String::from_utf8_lossy(&known.stderr).contains("invalid option") {
        return;
    }
    let listener = Listener::new();
    let address = listener.address();
    // Without authentication: version 3.2 ends with a segmentation fault if it is to authenticate a server over QUIC.
    let mut command = Command::new(kdig);
    command.args([
        &format!("@{}", address.ip()),
        "-p",
        &address.port().to_string(),
    ]);
    let output = command.args(["+quic", "+timeout=5", "+retry=0", "a.test", "A"]);
    let output = output.output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(said.contains("status: NOERROR"), "{said}");
    assert!(
        said.contains("QUIC session") && said.contains("PADDING"),
        "{said}"
    );
}
