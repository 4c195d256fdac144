//! Connections in memory: a client of the same crate of QUIC, whose streams the tests write, and the engine's part by hand.

#![expect(
    clippy::disallowed_methods,
    reason = "an instant cannot be had otherwise"
)]

mod endings;
mod floods;
mod handshakes;
mod queries;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use dotgate_config::{CertificateFiles, ServerTlsFiles};
use dotgate_core::{Moment, StreamKey, WorkerId};
use dotgate_message::{RA, RD, framed};
use dotgate_testbed::certificates::{Leaf, TestAuthority};
use dotgate_testbed::quic::{QuicClient, QuicClientSetup};
use dotgate_tls::{ServerTls, TicketSecret};
use slotmap::SlotMap;

use crate::{HandshakeFault, PacketFate, QuicEnd, QuicServer, QuicSetup, ReceivedPacket};

const NAME: &str = "dns.example";
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)), 853);
const IDLE: Duration = Duration::from_secs(30);

/// A query for A records of example.org, with ID 0 as on a stream.
fn query() -> Vec<u8> {
    dotgate_message::query(0, "example.org")
}

/// Its response, without records.
fn response() -> Vec<u8> {
    response_to(&query())
}

fn response_to(query: &[u8]) -> Vec<u8> {
    dotgate_message::response(query, RD | RA, [&[], &[], &[]])
}

fn client_at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, last], port))
}

/// A server, and what its driver knows.
struct World {
    server: QuicServer,
    setup: QuicSetup,
    authority: TestAuthority,
    keys: SlotMap<StreamKey, IpAddr>,
    origin: Instant,
    now: Moment,
    /// Whether all clients have to show that their addresses are their own.
    validates: bool,
    /// Whether queries are answered at once.
    answers: bool,
    asked: Vec<(StreamKey, Vec<u8>)>,
    ends: Vec<(StreamKey, QuicEnd)>,
    failed: Vec<HandshakeFault>,
    /// What the server sent, with the client.
    sent: Vec<(SocketAddr, Vec<u8>)>,
    fates: Vec<PacketFate>,
}

fn tls(authority: &TestAuthority, client_authority: Option<&str>) -> ServerTls {
    let directory = tempfile::tempdir().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let (certificate, key) = certificate.write(directory.path()).unwrap();
    let client_authorities = client_authority.map(|pem| {
        let path = directory.path().join("clients.pem");
        std::fs::write(&path, pem).unwrap();
        path
    });
    let files = ServerTlsFiles {
        certificates: vec![CertificateFiles {
            certificate,
            key: Some(key),
        }],
        client_authorities,
        ticket_key: None,
    };
    ServerTls::load(&files, &TicketSecret::random().unwrap()).unwrap()
}

impl World {
    fn new() -> World {
        Self::with_clients_of(None)
    }

    fn with_clients_of(client_authority: Option<&str>) -> World {
        let authority = TestAuthority::new().unwrap();
        let setup = QuicSetup::new(&tls(&authority, client_authority), IDLE, WorkerId(0)).unwrap();
        World {
            server: QuicServer::new(&setup),
            setup,
            authority,
            keys: SlotMap::with_key(),
            origin: Instant::now(),
            now: Moment::from_nanos(1_000_000_000),
            validates: false,
            answers: true,
            asked: Vec::new(),
            ends: Vec::new(),
            failed: Vec::new(),
            sent: Vec::new(),
            fates: Vec::new(),
        }
    }

    fn client_setup(&self) -> QuicClientSetup {
        QuicClientSetup::new(self.authority.pem(), &[b"doq"], None).unwrap()
    }

    fn instant(&self) -> Instant {
        self.origin + Duration::from_nanos(self.now.nanos())
    }

    fn client(&self) -> QuicClient {
        self.client_with(&self.client_setup())
    }

    fn client_with(&self, setup: &QuicClientSetup) -> QuicClient {
        QuicClient::connect(setup, self.instant(), SERVER, NAME).unwrap()
    }

    fn receive(&mut self, peer: SocketAddr, bytes: &[u8]) -> PacketFate {
        let packet = ReceivedPacket {
            peer,
            local: None,
            bytes,
        };
        let validates = self.validates;
        let fate = self.server.on_packet(self.now, packet, |_| validates);
        self.fates.push(fate);
        fate
    }

    /// What the driver does in a turn: what it sends is in `sent`.
    fn turn(&mut self) {
        if self
            .server
            .next_deadline()
            .is_some_and(|due| due <= self.now)
        {
            self.server.on_timeout(self.now);
        }
        while let Some(attempt) = self.server.next_attempt() {
            let key = self.keys.insert(attempt.peer().ip());
            if let Err(fault) = self.server.accept(self.now, attempt, key) {
                self.keys.remove(key);
                self.failed.push(fault);
            }
        }
        self.server.continue_handshakes(self.now, usize::MAX);
        for _ in 0..2 {
            while let Some(key) = self.server.next_changed() {
                while let Some(query) = self.server.next_query(self.now, key) {
                    if self.answers {
                        self.answer(key, &query);
                    }
                    self.asked.push((key, query));
                }
                if let Some(end) = self.server.take_end(key) {
                    self.ends.push((key, end));
                    self.keys.remove(key);
                }
            }
            self.server.flush(self.now);
        }
        let packets = self.server.packets();
        self.sent
            .extend(packets.map(|it| (it.peer, it.bytes.to_vec())));
        self.server.clear_packets();
    }

    fn answer(&mut self, key: StreamKey, query: &[u8]) {
        self.server.respond(key, &response_to(query));
    }

    /// Carries datagrams both ways until nobody has one.
    fn settle(&mut self, client: &mut QuicClient, address: SocketAddr) {
        for _ in 0..100 {
            let packets = client.packets(self.instant());
            let is_done = packets.is_empty();
            for packet in packets {
                self.receive(address, &packet);
            }
            self.turn();
            let (own, others) = std::mem::take(&mut self.sent)
                .into_iter()
                .partition::<Vec<_>, _>(|(peer, _)| *peer == address);
            self.sent = others;
            if own.is_empty() && is_done {
                return;
            }
            for (_, packet) in own {
                client.on_packet(self.instant(), SERVER, &packet);
            }
            // The path takes some time, without which QUIC would send nothing.
            self.now = self.now + Duration::from_millis(1);
            client.on_timeout(self.instant());
        }
        panic!("datagrams without end");
    }

    /// Lets time pass for both, in steps in which timers are due.
    fn pass(&mut self, client: &mut QuicClient, address: SocketAddr, time: Duration) {
        let until = self.now + time;
        loop {
            let of_client = client
                .next_deadline()
                .map(|due| Moment::from_nanos(0) + due.saturating_duration_since(self.origin));
            let due = [self.server.next_deadline(), of_client];
            let due = due.into_iter().flatten().min();
            let due = due.filter(|due| *due <= until);
            self.now = due.map_or(until, |due| due.max(self.now));
            client.on_timeout(self.instant());
            self.settle(client, address);
            if due.is_none() {
                return;
            }
        }
    }

    /// A client that is connected.
    fn connected(&mut self, address: SocketAddr) -> QuicClient {
        let mut client = self.client();
        self.settle(&mut client, address);
        assert!(client.is_connected(), "{:?}", client.lost());
        client
    }

    fn key(&self) -> StreamKey {
        self.keys.keys().next().unwrap()
    }

    fn count(&self, fate: PacketFate) -> usize {
        self.fates.iter().filter(|it| **it == fate).count()
    }
}
