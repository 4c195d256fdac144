//! What holds for any datagrams at a listener of QUIC: shared with the fuzz target.

#![expect(
    clippy::disallowed_methods,
    reason = "an instant cannot be had otherwise"
)]

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use dotgate_config::{CertificateFiles, ServerTlsFiles};
use dotgate_core::{Moment, StreamKey, WorkerId};
use dotgate_quic::{QuicServer, QuicSetup, ReceivedPacket, limits};
use dotgate_testbed::certificates::{Leaf, TestAuthority};
use dotgate_testbed::quic::{QuicClient, QuicClientSetup};
use dotgate_tls::{ServerTls, TicketSecret};
use slotmap::SlotMap;

const NAME: &str = "dns.example";

/// Both ends, made once.
fn setups() -> &'static (QuicSetup, QuicClientSetup) {
    static SETUPS: OnceLock<(QuicSetup, QuicClientSetup)> = OnceLock::new();
    SETUPS.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let authority = TestAuthority::new().unwrap();
        let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
        let [path, key] = ["pem", "key"].map(|name| directory.path().join(name));
        std::fs::write(&path, &certificate.pem).unwrap();
        std::fs::write(&key, &certificate.key_pem).unwrap();
        let files = ServerTlsFiles {
            certificates: vec![CertificateFiles {
                certificate: path,
                key: Some(key),
            }],
            client_authorities: None,
            ticket_key: None,
        };
        let tls = ServerTls::load(&files, &TicketSecret::random().unwrap()).unwrap();
        (
            QuicSetup::new(&tls, Duration::from_secs(30), WorkerId(0)).unwrap(),
            QuicClientSetup::new(authority.pem(), &[b"doq"], None).unwrap(),
        )
    })
}

/// Sends datagrams that `input` describes, each with a byte for its length and one for its kind: bytes as they are, or the first
/// packets of a client with some of them changed.
///
/// # Panics If more is sent or buffered than the limits permit.
pub(crate) fn check_quic(input: &[u8]) {
    let (setup, client) = setups();
    let server_address = SocketAddr::from(([192, 0, 2, 53], 853));
    let mut server = QuicServer::new(setup);
    let mut keys: SlotMap<StreamKey, ()> = SlotMap::with_key();
    let (mut received, mut sent) = (0, 0);
    let mut now = Moment::from_nanos(1_000_000_000);
    let mut left = input;
    while let Some(([length, kind], rest)) = left.split_first_chunk() {
        let (bytes, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        left = rest;
        let peer = SocketAddr::from(([198, 51, 100, kind >> 4], 40_000));
        let mut packets = vec![bytes.to_vec()];
        if kind & 3 == 0 {
            let client = QuicClient::connect(client, Instant::now(), server_address, NAME);
            packets = client.unwrap().packets(Instant::now());
            for packet in &mut packets {
                for (place, byte) in bytes.iter().enumerate() {
                    let place = place * 37 + usize::from(*byte);
                    if let Some(changed) = packet.get_mut(place) {
                        *changed ^= byte;
                    }
                }
            }
        }
        for packet in packets {
            received += packet.len();
            let packet = ReceivedPacket {
                peer,
                local: None,
                bytes: &packet,
            };
            server.on_packet(now, packet, |_| kind & 4 == 0);
        }
        if kind & 8 == 0 {
            sent += turn(&mut server, &mut keys, now);
        }
        now = now + Duration::from_millis(u64::from(*kind));
        assert!(server.keys().len() <= keys.len());
    }
    sent += turn(&mut server, &mut keys, now);
    assert!(sent <= 3 * received, "{sent} for {received}");
    assert!(server.next_attempt().is_none() && limits::ATTEMPTS > 0);
}

fn turn(server: &mut QuicServer, keys: &mut SlotMap<StreamKey, ()>, now: Moment) -> usize {
    server.on_timeout(now);
    while let Some(attempt) = server.next_attempt() {
        let key = keys.insert(());
        if server.accept(now, attempt, key).is_err() {
            keys.remove(key);
        }
    }
    server.continue_handshakes(now, usize::MAX);
    while let Some(key) = server.next_changed() {
        while server.next_query(now, key).is_some() {}
        if server.take_end(key).is_some() {
            keys.remove(key);
        }
    }
    server.flush(now);
    let sent = server.packets().map(|packet| packet.bytes.len()).sum();
    server.clear_packets();
    sent
}
