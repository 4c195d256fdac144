//! Balancers in front that name their clients in PROXY headers: HAProxy and dnsdist, as they come, and headers by hand.
//!
//! Clients have addresses of 127.0.0.0/8, of which the access list denies one: it must be denied behind a balancer too, and
//! responses must find their way back through it.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use domain::base::iana::Rcode;
use dotgate_message::framed;
use tempfile::TempDir;

use crate::access::{ask, ask_by_tcp};
use crate::dot::Listener;
use crate::world::World;
use crate::world::dot::{NAME, Offer};
use crate::world::message::{QueryType, Response, query};
use crate::world::peer::{are_installed, find};
use crate::world::server::Server;
use crate::world::wait::{BOUND, until};

const WELCOME: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
const DENIED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);

const BEHIND_BALANCER: [(&str, &str); 3] = [
    ("DOTGATE_SERVER_PROXY_PROTOCOL_FROM", "127.0.0.1"),
    ("DOTGATE_ACCESS_ALLOW", "127.0.0.1,127.0.0.5"),
    ("DOTGATE_ACCESS_DENY", "127.0.0.6"),
];

/// A header of version 2.
fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [
        &b"\r\n\r\n\0\r\nQUIT\n"[..],
        &[command, family],
        &length,
        rest,
    ]
    .concat()
}

/// One for a client.
fn header_of(client: Ipv4Addr) -> Vec<u8> {
    let [a, b, c, d] = client.octets();
    header(0x21, 0x11, &[a, b, c, d, 127, 0, 0, 1, 0x30, 0x39, 0, 53])
}

fn exchange(at: SocketAddr, message: &[u8]) -> Response {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    socket.set_read_timeout(Some(BOUND)).unwrap();
    socket.send_to(message, at).unwrap();
    let mut buffer = [0; 4_096];
    let length = socket.recv(&mut buffer).unwrap();
    Response::read(&buffer[..length])
}

fn headers(world: &World, result: &str) -> Option<f64> {
    world.metric(&format!(
        "dotgate_proxy_headers_total{{result=\"{result}\"}}"
    ))
}

#[test]
fn a_datagram_is_of_the_client_that_its_header_names() {
    let world = World::with(1, &BEHIND_BALANCER);
    let at = world.address();
    let message = query(7, "a.test", QueryType::Address);
    let with = |header: &[u8]| exchange(at, &[header, &message].concat());
    with(&header_of(WELCOME)).assert_right();
    assert_eq!(with(&header_of(DENIED)).rcode, Rcode::REFUSED);
    // With something about the connection behind the addresses.
    let [a, b, c, d] = WELCOME.octets();
    let long = [a, b, c, d, 127, 0, 0, 1, 0x30, 0x39, 0, 53, 4, 0, 1, 0];
    with(&header(0x21, 0x12, &long)).assert_right();
    with(&header(0x20, 0x00, &[])).assert_right();
    with(&header(0x21, 0x00, &[])).assert_right();
    assert_eq!(headers(&world, "client"), Some(3.0));
    assert_eq!(headers(&world, "local"), Some(2.0));
    // Without a header nobody knows whose query it is.
    let refused = exchange(at, &message);
    assert_eq!(refused.rcode, Rcode::REFUSED);
    assert_eq!(refused.ede.unwrap().1, "no PROXY header");
    assert_eq!(headers(&world, "missing"), Some(1.0));
    // From anybody else a header is a malformed query.
    let socket = UdpSocket::bind((WELCOME, 0)).unwrap();
    socket.set_read_timeout(Some(BOUND)).unwrap();
    let forged = [&header_of(WELCOME)[..], &message].concat();
    socket.send_to(&forged, at).unwrap();
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).unwrap();
    assert!(
        length >= 12 && buffer[3] & 0x0f != 0,
        "{:?}",
        &buffer[..length]
    );
    assert_eq!(ask(WELCOME, at).rcode, Rcode::NOERROR);
    assert_eq!(headers(&world, "client"), Some(3.0));
}

#[test]
fn a_connection_is_of_the_client_that_its_header_names() {
    let world = World::with(1, &BEHIND_BALANCER);
    let at = world.address();
    let message = framed(&query(7, "a.test", QueryType::Address));
    let connect = || {
        let stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream
    };
    let answer = |stream: &mut TcpStream| {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message).ok()?;
        Some(Response::read(&message))
    };
    // Byte by byte, and with the query at once.
    let mut stream = connect();
    stream.set_nodelay(true).unwrap();
    for byte in header_of(WELCOME) {
        stream.write_all(&[byte]).unwrap();
    }
    stream.write_all(&message).unwrap();
    answer(&mut stream).unwrap().assert_right();
    drop(stream);
    let mut stream = connect();
    let all = [
        &header_of(WELCOME)[..],
        &message,
        &framed(&query(8, "b.test", QueryType::Address)),
    ];
    stream.write_all(&all.concat()).unwrap();
    for _ in 0..2 {
        answer(&mut stream).unwrap().assert_right();
    }
    drop(stream);
    for refused in [
        [&header_of(DENIED)[..], &message].concat(),
        message.clone(),
        header(0x21, 0x99, &[0; 12]),
        b"PROXY TCP4 127.0.0.5 127.0.0.1 12345 53\r\n".to_vec(),
    ] {
        let mut stream = connect();
        stream.write_all(&refused).unwrap();
        assert!(answer(&mut stream).is_none(), "{refused:?}");
    }
    assert_eq!(headers(&world, "client"), Some(3.0));
    assert_eq!(headers(&world, "missing"), Some(2.0));
    assert_eq!(headers(&world, "malformed"), Some(1.0));
    // One that sends nothing leaves no trace when it goes.
    drop(connect());
    until("all connections to end", || {
        world.metric("dotgate_streams_open") == Some(0.0)
    });
}

/// A program of others, which ends with this.
struct Balancer {
    child: Child,
    _folder: TempDir,
}

impl Balancer {
    fn start(program: &str, arguments: &[&str], configuration: &str) -> Balancer {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("configuration");
        std::fs::write(&file, configuration).unwrap();
        let mut command = Command::new(find(program).unwrap());
        command.args(arguments).arg(&file).current_dir(&folder);
        let output = || match std::env::var_os("DOTGATE_TEST_PEERS_SPEAK") {
            Some(_) => Stdio::inherit(),
            None => Stdio::null(),
        };
        command
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output());
        Balancer {
            child: command.spawn().unwrap(),
            _folder: folder,
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn wait_for_connections(at: SocketAddr) {
    until("the balancer to listen", || TcpStream::connect(at).is_ok());
}

fn haproxy(listen: SocketAddr, server: SocketAddr) -> Balancer {
    let text = format!(
        "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
         frontend clients\n  bind {listen}\n  default_backend dns\nbackend dns\n  server one {server} send-proxy-v2\n"
    );
    let balancer = Balancer::start("haproxy", &["-db", "-f"], &text);
    wait_for_connections(listen);
    balancer
}

#[test]
fn clients_behind_haproxy_are_known() {
    if !are_installed(&[], &["haproxy"]) {
        return;
    }
    let world = World::with(1, &BEHIND_BALANCER);
    let front = Server::free_address();
    let _balancer = haproxy(front, world.address());
    ask_by_tcp(WELCOME, front).unwrap().assert_right();
    assert!(ask_by_tcp(DENIED, front).is_none());
    ask_by_tcp(WELCOME, front).unwrap().assert_right();
}

#[test]
fn clients_that_speak_tls_behind_haproxy_are_known() {
    if !are_installed(&[], &["haproxy"]) {
        return;
    }
    let listener = Listener::with(&BEHIND_BALANCER);
    let front = Server::free_address();
    let _balancer = haproxy(front, listener.address());
    let offer = Offer::new(&listener.authority);
    let mut client = offer.connect(front, NAME).unwrap();
    client.send_for("a.test");
    Response::read(&client.receive().unwrap()).assert_right();
    let world = &listener.world;
    assert!(headers(world, "client") >= Some(1.0));
    assert_eq!(listener.handshakes("full"), Some(1.0));
    // Without the balancer there is no header, and no handshake.
    assert!(offer.connect(listener.address(), NAME).is_err());
    assert_eq!(headers(world, "missing"), Some(1.0));
}

#[test]
fn clients_behind_dnsdist_are_known_over_udp_and_tcp() {
    if !are_installed(&[], &["dnsdist"]) {
        return;
    }
    let world = World::with(1, &BEHIND_BALANCER);
    let front = Server::free_address();
    let text = format!(
        "setLocal('{front}')\nsetACL('127.0.0.0/8')\nsetSecurityPollSuffix('')\n\
         newServer{{address='{}', useProxyProtocol=true, checkInterval=1, checkName='health.test.'}}\n",
        world.address()
    );
    let _balancer = Balancer::start(
        "dnsdist",
        &["--supervised", "--disable-syslog", "-C"],
        &text,
    );
    wait_for_connections(front);
    // Its first probe must be answered before it forwards anything.
    until("dnsdist to forward", || {
        let socket = UdpSocket::bind((WELCOME, 0)).unwrap();
        let wait = Duration::from_millis(200);
        socket.set_read_timeout(Some(wait)).unwrap();
        let message = query(7, "first.test", QueryType::Address);
        socket.send_to(&message, front).unwrap();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer);
        length.is_ok_and(|length| Response::read(&buffer[..length]).rcode == Rcode::NOERROR)
    });
    ask(WELCOME, front).assert_right();
    assert_eq!(ask(DENIED, front).rcode, Rcode::REFUSED);
    ask_by_tcp(WELCOME, front).unwrap().assert_right();
    // Its connection to dotgate is closed, and what it makes of that is its own.
    let denied = ask_by_tcp(DENIED, front);
    assert!(denied.is_none_or(|response| response.addresses.is_empty()));
    assert!(headers(&world, "client") >= Some(4.0));
    assert!(headers(&world, "local") >= Some(1.0), "its probes");
    let local = IpAddr::from(Ipv4Addr::LOCALHOST);
    assert_eq!(world.address().ip(), local);
}
