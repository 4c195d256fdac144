//! A plain resolver designates an endpoint for DNS over TLS, and queries go there alone (RFC 9462).
//!
//! The resolver is one of the test's own: it answers the one question that it may be asked, and counts all others.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use domain::base::iana::{Rcode, Rtype};
use domain::base::rdata::UnknownRecordData;
use domain::base::{Message, MessageBuilder, ParsedName, Ttl};
use dotgate_testbed::certificates::TestAuthority;

use crate::world::http::get;
use crate::world::program::{Program, authority_file, command, set_up};
use crate::world::upstream::{Certificate, Credentials, Upstream};
use crate::world::wait::until;

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

/// Starts dotgate in front of the resolver. The sandbox would refuse a port that only the resolver knows.
fn serve(authority: &TestAuthority, resolver: &Resolver) -> Program {
    let file = authority_file(authority);
    let mut command = command(&[("DOTGATE_SERVER_SANDBOX", "off")]);
    set_up(&mut command, &file, &resolver.written(), &[]);
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
