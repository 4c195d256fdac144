//! What clients over QUIC get of a turn, with real sockets.

#![expect(
    clippy::disallowed_methods,
    reason = "the crate of QUIC has no other time"
)]

use std::net::UdpSocket as Socket;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use dotgate_config::{CertificateFiles, ServerTlsFiles};
use dotgate_core::{Access, Counters, Settings, Shared, UpstreamId, UpstreamSettings};
use dotgate_net::BindOptions;
use dotgate_testbed::certificates::{Leaf, TestAuthority};
use dotgate_testbed::quic::{QuicClient, QuicClientSetup};
use dotgate_tls::TicketSecret;
use mio::Events;

use super::*;
use crate::worker::ready::{Served, TURN_SHARE, work};
use crate::worker::{Worker, WorkerCommand, WorkerSetup};

const NAME: &str = "dns.example";

/// Queries of one client at once: as many as it may have streams.
const QUERIES: usize = 100;

/// A client with its connection.
struct Client {
    socket: Socket,
    quic: QuicClient,
}

/// A worker whose turns a test takes, with a socket for datagrams and one for QUIC.
struct World {
    worker: Worker,
    counters: Arc<Counters>,
    plain: SocketAddr,
    listener: SocketAddr,
    setup: QuicClientSetup,
    _commands: Sender<WorkerCommand>,
}

impl World {
    fn new() -> World {
        let authority = TestAuthority::new().unwrap();
        let options = BindOptions {
            share_port: false,
            receive_buffer_bytes: 1 << 20,
        };
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let [plain, quic] = [(); 2].map(|()| UdpSocket::bind(any_port, &options).unwrap());
        let settings = Settings {
            access: Access::of(["127.0.0.0/8".parse().unwrap()]),
            queries_max: 10_000,
            queries_per_client_max: 10_000,
            streams_max: 100,
            streams_per_client_max: 100,
            stream_queries_max: 1_000,
            ..Settings::for_upstreams(vec![UpstreamSettings::new(UpstreamId(0), "nowhere")])
        };
        let counters = Arc::new(Counters::new());
        let (commands, orders) = channel();
        let setup = QuicClientSetup::new(authority.pem(), &[b"doq"], None).unwrap();
        let (plain_address, address) = (plain.local_addr().unwrap(), quic.local_addr().unwrap());
        let parts = WorkerSetup {
            id: WorkerId(0),
            settings: Arc::new(settings),
            shared: Shared::alone(),
            messages: channel().1,
            upstreams: [].into(),
            counters: Arc::clone(&counters),
            pulse: Arc::default(),
            udp: vec![Arc::new(plain)],
            streams: Vec::new(),
            quic: vec![Arc::new(quic)],
            tls: Some(tls(&authority)),
            udp_path: UdpPath::default(),
            commands: orders,
            records: crate::views::ring(&Arc::default()).0,
            copies: crate::views::tap(&Arc::default()).0,
            reports: tokio::sync::mpsc::channel(100).0,
            last_packet: Arc::new(AtomicU64::new(0)),
        };
        World {
            worker: Worker::new(parts).unwrap().0,
            counters,
            plain: plain_address,
            listener: address,
            setup,
            _commands: commands,
        }
    }

    /// Takes one turn, and returns how many queries it answered.
    fn turn(&mut self) -> u64 {
        let before = self.counters.get(Count::QueriesLocal);
        let mut events = Events::with_capacity(16);
        self.worker
            .poll
            .poll(&mut events, Some(Duration::ZERO))
            .unwrap();
        self.worker.turn(&events);
        self.counters.get(Count::QueriesLocal) - before
    }

    fn connect(&mut self) -> Client {
        let socket = Socket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let now = Instant::now();
        let quic = QuicClient::connect(&self.setup, now, self.listener, NAME).unwrap();
        let mut client = Client { socket, quic };
        while !client.quic.is_connected() {
            client.send(self.listener);
            self.turn();
            client.receive(self.listener);
        }
        client.send(self.listener);
        self.turn();
        client
    }
}

impl Client {
    fn send(&mut self, to: SocketAddr) {
        for packet in self.quic.packets(Instant::now()) {
            self.socket.send_to(&packet, to).unwrap();
        }
    }

    fn receive(&mut self, from: SocketAddr) {
        let mut buffer = [0; 2_048];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.quic.on_packet(Instant::now(), from, &buffer[..length]);
        }
        let due = self.quic.next_deadline();
        if due.is_some_and(|due| due <= Instant::now()) {
            self.quic.on_timeout(Instant::now());
        }
    }
}

fn tls(authority: &TestAuthority) -> ServerTls {
    let own = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = own.write(folder.path()).unwrap();
    let files = ServerTlsFiles {
        certificates: vec![CertificateFiles {
            certificate,
            key: Some(key),
        }],
        client_authorities: None,
        ticket_key: None,
    };
    ServerTls::load(&files, &TicketSecret::random().unwrap()).unwrap()
}

/// A query for a name that dotgate answers itself.
fn query(id: u16) -> Vec<u8> {
    dotgate_message::query(id, "localhost")
}

#[test]
fn a_turn_serves_clients_as_far_as_their_share_of_it_goes_and_datagrams_meanwhile() {
    const CLIENTS: usize = 10;
    let mut world = World::new();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| world.connect()).collect();
    let mut streams = Vec::new();
    for client in &mut clients {
        for _ in 0..QUERIES {
            streams.push(client.quic.ask(&query(0)).unwrap());
        }
        client.send(world.listener);
    }
    let plain = Socket::bind("127.0.0.1:0").unwrap();
    plain.send_to(&query(7), world.plain).unwrap();
    let mut turns = Vec::new();
    let mut answered = 0;
    while answered < (CLIENTS * QUERIES) as u64 + 1 {
        let count = world.turn();
        turns.push(count);
        answered += count;
        for client in &mut clients {
            client.receive(world.listener);
            client.send(world.listener);
        }
    }
    let mut buffer = [0; 512];
    assert!(plain.recv(&mut buffer).unwrap() > 12);
    let served = Served {
        read: query(0).len(),
        has_shaken_hands: false,
    };
    // The last client is served to its end.
    let most = (TURN_SHARE / work(&served, 0) + QUERIES) as u64;
    assert!(turns.iter().all(|count| *count <= most), "{turns:?}");
}
