//! What clients over TLS get that no TLS library sends or expects: old versions, compression, a query in the clear after a
//! handshake that failed, and how connections end. Handshakes are written byte by byte, so that these tests need no other program.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use crate::dot::Listener;
use crate::world::dot::{NAME, Offer};
use crate::world::message::{QueryType, Response, query};
use crate::world::wait::BOUND;

/// Content types of records (RFC 8446 section 5.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// A fatal alert, and those that are expected (RFC 8446 section 6).
const FATAL: u8 = 2;
const PROTOCOL_VERSION: u8 = 70;
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// What a ClientHello offers.
struct Hello {
    version: u16,
    compressions: &'static [u8],
    protocol: Option<&'static [u8]>,
}

const TLS12: Hello = Hello {
    version: 0x0303,
    compressions: &[0],
    protocol: None,
};

impl Hello {
    /// The record that it is sent in.
    fn record(&self) -> Vec<u8> {
        // Groups X25519 and P-256; signatures of ECDSA and RSA.
        let mut extensions = extension(10, &[0, 4, 0, 0x1d, 0, 0x17]);
        extensions.extend(extension(13, &[0, 6, 4, 3, 8, 4, 4, 1]));
        if let Some(protocol) = self.protocol {
            let name = [&[protocol.len() as u8], protocol].concat();
            let list = [&(name.len() as u16).to_be_bytes()[..], &name].concat();
            extensions.extend(extension(16, &list));
        }
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        // No session; ECDHE with AES of TLS 1.2, and with CBC of the versions before.
        body.extend([0, 0, 8, 0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x09, 0xc0, 0x13]);
        body.push(self.compressions.len() as u8);
        body.extend(self.compressions);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let length = (body.len() as u32).to_be_bytes();
        let message = [&[1], &length[1..], &body].concat();
        record(HANDSHAKE, &message)
    }
}

fn extension(code: u16, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    [&code.to_be_bytes()[..], &length, data].concat()
}

fn record(content: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [&[content, 3, 1], &length[..], body].concat()
}

fn framed(name: &str) -> Vec<u8> {
    dotgate_message::framed(&query(1, name, QueryType::Address))
}

/// Everything that comes back until the end, which may be a reset.
fn replies(address: SocketAddr, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let mut said = Vec::new();
    for piece in pieces {
        // Behind a refusal, there may be nobody to write to.
        drop(stream.write_all(piece));
    }
    drop(stream.read_to_end(&mut said));
    said
}

/// The fatal alerts of these records, if there is nothing else among them.
fn alerts(mut said: &[u8]) -> Vec<u8> {
    let mut alerts = Vec::new();
    while let Some((head, rest)) = said.split_first_chunk::<5>() {
        let (body, after) = rest.split_at(usize::from(u16::from_be_bytes([head[3], head[4]])));
        assert_eq!((head[0], body[0]), (ALERT, FATAL), "{said:?}");
        alerts.push(body[1]);
        said = after;
    }
    assert!(said.is_empty(), "{said:?}");
    alerts
}

#[test]
fn versions_before_tls_1_2_and_compression_are_refused() {
    let listener = Listener::with(&[]);
    // SSL 3, TLS 1.0 and 1.1 (RFC 8996).
    for version in [0x0300, 0x0301, 0x0302] {
        let hello = Hello { version, ..TLS12 };
        let said = alerts(&replies(listener.address(), &[&hello.record()]));
        assert_eq!(said, [PROTOCOL_VERSION], "{version:x}");
    }
    let compressed = Hello {
        compressions: &[1],
        ..TLS12
    };
    let said = alerts(&replies(listener.address(), &[&compressed.record()]));
    assert_eq!(said.len(), 1);
    // Who offers no compression as well gets none.
    let both = Hello {
        compressions: &[1, 0],
        ..TLS12
    };
    let mut stream = TcpStream::connect(listener.address()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(&both.record()).unwrap();
    let mut said = [0; 5 + 4 + 2 + 32 + 1];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(
        (said[0], said[5], &said[9..11]),
        (HANDSHAKE, 2, &[3, 3][..])
    );
    let session = usize::from(said[43]);
    let mut chosen = vec![0; session + 3];
    stream.read_exact(&mut chosen).unwrap();
    assert_eq!(chosen[session + 2], 0, "a method of compression");
}

#[test]
fn a_query_in_the_clear_after_a_failed_handshake_gets_no_answer() {
    let listener = Listener::with(&[]);
    let other = Hello {
        protocol: Some(b"h2"),
        ..TLS12
    };
    let asked = framed("clear.test");
    // At once with what fails, and behind it.
    let together = [&other.record()[..], &asked].concat();
    for pieces in [&[&together[..]][..], &[&other.record(), &asked]] {
        let said = alerts(&replies(listener.address(), pieces));
        assert!(
            said.is_empty() || said == [NO_APPLICATION_PROTOCOL],
            "{said:?}"
        );
    }
    // In a handshake that has begun well.
    let within = [&TLS12.record()[..], &asked].concat();
    let said = replies(listener.address(), &[&within]);
    assert!(!said.windows(5).any(|part| part == b"clear"), "{said:?}");
    assert_eq!(listener.world.upstreams[0].queries(), 0);
}

#[test]
fn nothing_is_padded_in_the_clear() {
    const PADDING: [u8; 2] = [0, 12];
    let listener = Listener::with(&[]);
    let mut padded = query(7, "padded.test", QueryType::Address);
    let options = padded.len() - 2;
    padded[options..].copy_from_slice(&[0, 14]);
    padded.extend([&PADDING[..], &[0, 10], &[0; 10]].concat());
    let forwarder = listener.world.address();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(BOUND)).unwrap();
    udp.send_to(&padded, forwarder).unwrap();
    let mut over_udp = [0; 4_096];
    let length = udp.recv(&mut over_udp).unwrap();
    let mut tcp = TcpStream::connect(forwarder).unwrap();
    tcp.set_read_timeout(Some(BOUND)).unwrap();
    tcp.write_all(&dotgate_message::framed(&padded)).unwrap();
    let mut head = [0; 2];
    tcp.read_exact(&mut head).unwrap();
    let mut over_tcp = vec![0; usize::from(u16::from_be_bytes(head))];
    tcp.read_exact(&mut over_tcp).unwrap();
    for response in [&over_udp[..length], &over_tcp] {
        Response::read(response).assert_right();
        // Question, one record and an OPT record with keepalive at most.
        assert!(response.len() < 100, "{}", response.len());
    }
}

#[test]
fn every_end_of_ours_is_a_close_notify() {
    // It has had its queries.
    let listener = Listener::with(&[("DOTGATE_TCP_QUERIES_MAX", "1")]);
    let offer = Offer::new(&listener.authority);
    let mut client = offer.connect(listener.address(), NAME).unwrap();
    client.ask("a.test").assert_right();
    assert_eq!(client.receive(), None);
    // It sends what no query can be: an empty message is forgiven once.
    let listener = Listener::with(&[]);
    let offer = Offer::new(&listener.authority);
    let mut client = offer.connect(listener.address(), NAME).unwrap();
    client.ask("a.test").assert_right();
    for _ in 0..2 {
        client.send(b"");
    }
    assert_eq!(client.receive(), None);
    // It has sent its last byte.
    let mut client = offer.connect(listener.address(), NAME).unwrap();
    client.ask("b.test").assert_right();
    client.send_end();
    assert_eq!(client.receive(), None);
}
