//! Who may ask, at which listener, and what others get. Clients have addresses of 127.0.0.0/8.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use domain::base::iana::Rcode;
use dotgate_message::framed;
use socket2::{Domain, Socket, Type};

use crate::reload::{House, reload};
use crate::world::World;
use crate::world::http::get;
use crate::world::message::{QueryType, Response, query};
use crate::world::program::Program;
use crate::world::wait::{BOUND, until};

const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What a client with this address gets over UDP.
pub(crate) fn ask(from: Ipv4Addr, at: SocketAddr) -> Response {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(BOUND)).unwrap();
    socket
        .send_to(&query(7, "a.test", QueryType::Address), at)
        .unwrap();
    let mut buffer = [0; 4_096];
    let length = socket.recv(&mut buffer).unwrap();
    Response::read(&buffer[..length])
}

/// What a client with this address gets over TCP; none if its connection is closed.
pub(crate) fn ask_by_tcp(from: Ipv4Addr, at: SocketAddr) -> Option<Response> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&at.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let message = framed(&query(7, "a.test", QueryType::Address));
    // It may be closed before, so that this is refused.
    stream.write_all(&message).ok()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    Some(Response::read(&message))
}

fn prohibited(world: &World, transport: &str) -> Option<f64> {
    let labels = format!("transport=\"{transport}\",type=\"A\",outcome=\"prohibited\"");
    world.metric(&format!("dotgate_queries_total{{{labels}}}"))
}

#[test]
fn entries_hold_for_a_transport_or_at_an_address_and_denying_wins() {
    let world = World::with(
        1,
        &[
            ("HOST", "127.0.0.1,127.0.0.3"),
            ("DOTGATE_ACCESS_ALLOW", "127.0.0.0/8"),
            (
                "DOTGATE_ACCESS_DENY",
                "127.0.0.2@udp,127.0.0.4@tcp,127.0.0.5@127.0.0.3,127.0.0.6",
            ),
        ],
    );
    let first = world.address();
    let second = SocketAddr::new(IpAddr::from([127, 0, 0, 3]), first.port());
    let host = |last| Ipv4Addr::new(127, 0, 0, last);
    for (client, at, by_udp, by_tcp) in [
        (1, first, true, true),
        (1, second, true, true),
        (2, first, false, true),
        (2, second, false, true),
        (4, first, true, false),
        (5, first, true, true),
        (5, second, false, false),
        (6, first, false, false),
        (6, second, false, false),
    ] {
        let response = ask(host(client), at);
        assert_eq!(
            response.rcode == Rcode::NOERROR,
            by_udp,
            "{client} at {at}: {response:?}"
        );
        assert!(by_udp || response.rcode == Rcode::REFUSED);
        let response = ask_by_tcp(host(client), at);
        assert_eq!(response.is_some(), by_tcp, "{client} at {at}: {response:?}");
    }
    assert_eq!(prohibited(&world, "udp"), Some(5.0));
}

#[test]
fn a_wildcard_listener_knows_which_of_its_addresses_was_asked() {
    let world = World::with(
        1,
        &[
            ("HOST", "0.0.0.0"),
            ("DOTGATE_ACCESS_ALLOW", "127.0.0.0/8@127.0.0.3"),
        ],
    );
    let port = world.address().port();
    let at = |last| SocketAddr::from(([127, 0, 0, last], port));
    assert_eq!(ask(OWN, at(3)).rcode, Rcode::NOERROR);
    assert_eq!(ask(OWN, at(1)).rcode, Rcode::REFUSED);
    assert!(ask_by_tcp(OWN, at(3)).is_some());
    assert!(ask_by_tcp(OWN, at(1)).is_none());
}

#[test]
fn clients_that_are_not_allowed_get_no_response_and_ends_connections_that_are_no_longer_allowed() {
    let house = House::new(1);
    let access = |deny: &str| {
        format!("[access]\nallow = [\"127.0.0.0/8\"]\ndeny = [{deny}]\nanswer = \"silence\"\n")
    };
    house.write(&[0], &access("\"127.0.0.2\""));
    let program = house.serve(&[]);
    let socket = UdpSocket::bind((OTHER, 0)).unwrap();
    let message = query(7, "a.test", QueryType::Address);
    socket.send_to(&message, program.address()).unwrap();
    // Datagrams of one socket are handled in order, and the next worker's turn shows the count.
    let silenced = || count(&program, "clients_refused") == 1;
    until("the query to be dropped", silenced);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 512]).is_err(), "it was answered");
    let mut client = program.tcp();
    client.ask("b.test").assert_right();
    house.write(&[0], &access("\"127.0.0.1\", \"127.0.0.2\""));
    reload(&program);
    let mut other = program.tcp();
    other.wait_for_close();
    client.send("c.test");
    client.wait_for_close();
    let status = get(program.admin(), "/api/v1/status").json();
    assert_eq!(status["access"]["answer"], "silence");
}

fn count(program: &Program, name: &str) -> u64 {
    let status = get(program.admin(), "/api/v1/status").json();
    status["counts"][name].as_u64().unwrap()
}

#[test]
fn localnets_are_the_networks_of_this_host() {
    let world = World::with(1, &[("DOTGATE_ACCESS_ALLOW", "localnets@udp")]);
    assert_eq!(ask(OTHER, world.address()).rcode, Rcode::NOERROR);
    assert!(ask_by_tcp(OTHER, world.address()).is_none());
    let world = World::with(1, &[("DOTGATE_ACCESS_DENY", "localnets")]);
    assert_eq!(ask(OWN, world.address()).rcode, Rcode::REFUSED);
}
