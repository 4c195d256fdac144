//! A plain resolver designates an endpoint for DNS over TLS, and queries go there alone (RFC 9462).
//!
//! The resolver is one of the test's own, which answers the one question that it may be asked and counts all others; in the
//! last test it is dotgate.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use domain::base::iana::{Rcode, Rtype};
use domain::base::rdata::UnknownRecordData;
use domain::base::{Message, MessageBuilder, Name, ParsedName, Ttl};
use dotgate_testbed::certificates::{Leaf, TestAuthority};

use crate::world::dot::{Files, NAME};
use crate::world::house::House;
use crate::world::http::get;
use crate::world::program::{Program, authority_file, command, set_up};
use crate::world::server::Server;
use crate::world::upstream::{Certificate, Credentials, Upstream};
use crate::world::wait::{BOUND, until};

/// The resolver in the clear.
struct Resolver {
    address: SocketAddr,
    /// Questions about its endpoint.
    asked: Arc<AtomicUsize>,
    /// All other questions.
    others: Arc<AtomicUsize>,
}

impl Resolver {
    /// Starts one that designates this endpoint; none without.
    fn start(endpoint: Option<(Ipv4Addr, u16)>) -> Resolver {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let resolver = Resolver {
            address: socket.local_addr().unwrap(),
            asked: Arc::default(),
            others: Arc::default(),
        };
        let (asked, others) = (Arc::clone(&resolver.asked), Arc::clone(&resolver.others));
        // It ends with the test's process.
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let query = Message::from_octets(&buffer[..length]).unwrap();
                let question = query.sole_question().unwrap();
                let is_meant = question.qtype() == Rtype::SVCB
                    && question.qname().to_string() == "_dns.resolver.arpa";
                let counted = if is_meant { &asked } else { &others };
                counted.fetch_add(1, Relaxed);
                let endpoint = endpoint.filter(|_| is_meant);
                let answer = respond(&query, *question.qname(), endpoint);
                socket.send_to(&answer, client).unwrap();
            }
        });
        resolver
    }

    fn written(&self) -> String {
        format!("ddr:{}@{}", self.address.ip(), self.address.port())
    }
}

fn respond(
    query: &Message<&[u8]>,
    name: ParsedName<&[u8]>,
    endpoint: Option<(Ipv4Addr, u16)>,
) -> Vec<u8> {
    let answer = MessageBuilder::new_vec().start_answer(query, Rcode::NOERROR);
    let mut answer = answer.unwrap();
    if let Some((ip, port)) = endpoint {
        // Priority 1, target dot.test, alpn=dot, port, ipv4hint.
        let mut data = b"\0\x01\x03dot\x04test\0\0\x01\0\x04\x03dot\0\x03\0\x02".to_vec();
        data.extend(port.to_be_bytes());
        data.extend(b"\0\x04\0\x04");
        data.extend(ip.octets());
        let data = UnknownRecordData::from_octets(Rtype::SVCB, data).unwrap();
        answer.push((name, Ttl::from_secs(300), data)).unwrap();
    }
    answer.finish()
}

/// Starts dotgate in front of the resolver.
fn serve(authority: &TestAuthority, resolver: &Resolver) -> Program {
    serve_in_front_of(authority, &resolver.written())
}

/// The sandbox would refuse a port that only the resolver knows.
fn serve_in_front_of(authority: &TestAuthority, resolver: &str) -> Program {
    let file = authority_file(authority);
    let mut command = command(&[("DOTGATE_SERVER_SANDBOX", "off")]);
    set_up(&mut command, &file, resolver, &[]);
    Program::serve_as_is(command, file)
}

fn endpoint(upstream: &Upstream) -> Option<(Ipv4Addr, u16)> {
    let ip = upstream.ip().to_string();
    Some((Ipv4Addr::from_str(&ip).unwrap(), upstream.port()))
}

#[test]
fn queries_go_to_the_designated_endpoint_whose_certificate_has_the_resolvers_address() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let resolver = Resolver::start(endpoint(&upstream));
    let credentials = Credentials::with(Certificate::ForAddress(resolver.address.ip()));
    upstream.show(&credentials, &authority);
    let program = serve(&authority, &resolver);
    let mut client = program.udp();
    until("the endpoint to be found", || {
        client.ask("first.test").rcode == Rcode::NOERROR
    });
    client.ask("second.test").assert_right();
    assert_eq!(upstream.queries_for("second.test"), 1);
    assert_eq!(resolver.others.load(Relaxed), 0, "in the clear");
    assert_eq!(resolver.asked.load(Relaxed), 1);
    let page = get(program.admin(), "/metrics").body;
    let sample = format!(
        "dotgate_upstream_lookups_total{{upstream=\"{}\",result=\"found\"}} 1",
        resolver.written()
    );
    assert!(page.lines().any(|line| line == sample), "{sample}: {page}");

    let health = get(program.admin(), "/healthz").body;
    let found = format!("{}:{}", upstream.ip(), upstream.port());
    assert!(health.contains(&found), "{health}");
    let (status, said) =
        program.run_with(&["check", "--probe"], &[("DNS_HOST", &resolver.written())]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&found), "{said}");
}

#[test]
fn an_endpoint_without_the_resolvers_address_gets_no_query_and_neither_does_the_resolver() {
    let authority = TestAuthority::new().unwrap();
    // A certificate that is right for its name, as an attacker on the path could have one.
    let upstream = Upstream::start(&authority);
    let resolver = Resolver::start(endpoint(&upstream));
    let program = serve(&authority, &resolver);
    upstream.wait_until("a handshake", |record| record.connections > 0);
    assert_eq!(program.udp().ask("secret.test").rcode, Rcode::SERVFAIL);
    assert_eq!(upstream.queries(), 0);
    assert_eq!(resolver.others.load(Relaxed), 0, "in the clear");
}

#[test]
fn without_a_designated_endpoint_queries_fail() {
    let authority = TestAuthority::new().unwrap();
    let resolver = Resolver::start(None);
    let program = serve(&authority, &resolver);
    let line = program.wait_for_line("designates no endpoint");
    assert!(line.contains(&resolver.written()), "{line}");
    assert_eq!(program.udp().ask("secret.test").rcode, Rcode::SERVFAIL);
    assert_eq!(resolver.others.load(Relaxed), 0, "in the clear");
}

/// How many endpoints a resolver designates.
fn designated(resolver: SocketAddr) -> u16 {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_rd(true);
    let mut question = builder.question();
    let name: Name<Vec<u8>> = "_dns.resolver.arpa".parse().unwrap();
    question.push((name, Rtype::SVCB)).unwrap();
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    socket.set_read_timeout(Some(BOUND)).unwrap();
    socket.send_to(&question.finish(), resolver).unwrap();
    let mut buffer = [0; 1_232];
    let length = socket.recv(&mut buffer).unwrap();
    let response = Message::from_octets(&buffer[..length]).unwrap();
    assert_eq!(response.header().rcode(), Rcode::NOERROR);
    response.header_counts().ancount()
}

#[test]
fn dotgate_designates_its_listeners_and_another_dotgate_asks_there() {
    let house = House::new();
    let files = Files::new(&house.authority);
    let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
    let [tls, https] = [(); 2].map(|()| Server::free_address().to_string());
    let variables = [
        ("DOTGATE_DOT_LISTEN", &*tls),
        ("DOTGATE_DOQ_LISTEN", &tls),
        ("DOTGATE_DOH_LISTEN", &https),
        ("DOTGATE_SERVER_CERTIFICATE_FILE", &certificate),
        ("DOTGATE_SERVER_KEY_FILE", &key),
    ];
    let resolver = house.serve("0", &variables);
    assert_eq!(designated(resolver.address()), 0, "nothing proves it");

    // A certificate that holds the address of the plain listener arrives.
    let mut leaf = Leaf::for_name(NAME);
    leaf.addresses.push(resolver.address().ip());
    files.write("dns", &house.authority.issue(&leaf).unwrap());
    resolver.wait_for_line("configuration reloaded");
    assert_eq!(designated(resolver.address()), 3);

    let (ip, port) = (resolver.address().ip(), resolver.address().port());
    let program = serve_in_front_of(&house.authority, &format!("ddr:{ip}@{port}"));
    let mut client = program.udp();
    until("the listener to be found", || {
        client.ask("first.test").rcode == Rcode::NOERROR
    });
    client.ask("second.test").assert_right();
    let page = get(resolver.admin(), "/metrics").body;
    let of = |transport: &str| {
        let labels = format!("transport=\"{transport}\",type=\"A\",outcome=\"answered\"");
        let series = format!("dotgate_queries_total{{{labels}}} ");
        let value = page.lines().find_map(|line| line.strip_prefix(&series));
        value.unwrap().parse::<f64>().unwrap()
    };
    assert_eq!((of("dot"), of("udp")), (2.0, 0.0));
}
