//! Answers one query again and again over one long connection, for callgrind to count: `dot tcp|tls COUNT`.
//!
//! The name is in the cache. A client writes a query, the server's turn is [`serve`], and the client reads the response: callgrind
//! counts in `serve` alone, so that what the client does costs nothing. `tls` is TLS 1.3 with the cipher suite that both sides
//! prefer, `tcp` the same turn without it. `tests/instructions.rs` compares two runs with different counts: the handshake
//! is in neither.
#![expect(
    clippy::expect_used,
    reason = "what is wrong here ends the measurement"
)]

use std::io::{self, IoSlice, Read, Write};
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use dotgate_config::{CertificateFiles, ServerTlsFiles};
use dotgate_core::{
    Action, Cache, Counters, Driver, Engine, Event, Moment, ReturnPath, Settings, Shared,
    StreamKey, StreamKind, WorkerId, drive,
};
use dotgate_sim::message::{QueryForm, ResponseForm, framed, query, response, split_frame};
use dotgate_testbed::certificates::{Leaf, TestAuthority};
use dotgate_tls::{ClientProtocol, ServerTls, TicketSecret, TlsChannel};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

const SERVER: &str = "dns.example";

/// As long as the names of the other measurements.
const NAME: &str = "0123456789abcdef01234567.example.com";

const CACHE_BYTES: usize = 1024 * 1024;

/// What the worker of the program reads at once.
const BUFFER_BYTES: usize = 64 * 1024;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// One end of a connection in memory.
#[derive(Default)]
struct Wire {
    inbound: Vec<u8>,
    outbound: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.inbound.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = self.inbound.as_slice().read(buffer)?;
        self.inbound.drain(..length);
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outbound.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        for slice in slices {
            self.outbound.extend_from_slice(slice);
        }
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The server: an engine with one connection.
struct Server {
    engine: Engine,
    now: Moment,
    stream: StreamKey,
    channel: Option<TlsChannel>,
    wire: Wire,
    buffer: Vec<u8>,
}

impl Server {
    fn new(kind: StreamKind, channel: Option<TlsChannel>) -> Server {
        let settings = Settings {
            cache: dotgate_sim::cache_settings(),
            ..dotgate_sim::settings(1)
        };
        let shared = Shared {
            cache: Arc::new(Cache::new(CACHE_BYTES, (1, 2))),
            ..Shared::alone()
        };
        let counters = Arc::new(Counters::new());
        let mut engine = Engine::new(WorkerId(0), Arc::new(settings), shared, counters, [7; 32]);
        let now = Moment::from_nanos(1_000_000_000_000);
        let opened = engine.clients_mut().stream_opened(now, (PEER, kind).into());
        let mut server = Server {
            engine,
            now,
            stream: opened.expect("a connection"),
            channel,
            wire: Wire::default(),
            buffer: vec![0; BUFFER_BYTES],
        };
        server.fill_cache();
        server
    }

    /// Has the name asked once, and answered by the upstream.
    fn fill_cache(&mut self) {
        let path = ReturnPath {
            socket: 0,
            peer: (PEER, 1_000).into(),
            local_ip: None,
            interface: 0,
        };
        let message = query(1, NAME, &QueryForm::default());
        self.engine.on_datagram(self.now, path, &message);
        drive(self, self.now);
    }
}

/// A turn of the worker for one connection: reads, asks the engine, and writes. Callgrind counts in here.
#[inline(never)]
fn serve(server: &mut Server) {
    let now = server.now;
    let (engine, stream) = (&mut server.engine, server.stream);
    match &mut server.channel {
        Some(channel) => {
            let was_handshaking = channel.is_handshaking();
            // The first query may come with the end of the handshake, of which the engine must know before.
            let mut first = Vec::new();
            let mut take = |bytes: &[u8]| match was_handshaking {
                true => first.extend_from_slice(bytes),
                false => {
                    engine.stream_bytes(now, stream, bytes);
                }
            };
            let read = channel.read(&mut server.wire, &mut server.buffer, &mut take);
            if read.expect("sound records").handshake_done_now {
                engine.clients_mut().stream_secured(now, stream, false);
                engine.stream_bytes(now, stream, &first);
            }
        }
        None => {
            if let Ok(length) = server.wire.read(&mut server.buffer) {
                let bytes = server.buffer.get(..length).unwrap_or_default();
                engine.stream_bytes(now, stream, bytes);
            }
        }
    }
    drive(server, now);
    // What the handshake has to say in return.
    let channel = server.channel.as_ref();
    if channel.is_some_and(TlsChannel::wants_write) {
        flush(server, now);
    }
}

fn flush(server: &mut Server, now: Moment) {
    let Some(output) = server.engine.clients_mut().stream_output(server.stream) else {
        return;
    };
    let (taken, left) = match &mut server.channel {
        Some(channel) => {
            let state = channel.write(&mut server.wire, output).expect("room");
            (state.taken, state.encrypted)
        }
        None => {
            let taken = output.len();
            server.wire.outbound.extend_from_slice(output);
            output.clear();
            (taken, 0)
        }
    };
    server.engine.stream_wrote(now, server.stream, taken, left);
}

impl Driver for Server {
    fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    fn act(&mut self, now: Moment, action: Action) {
        match action {
            Action::OpenSession { session, .. } => {
                self.engine.sessions_mut().on_connected(now, session);
                self.engine.session_opened(now, session);
            }
            Action::FlushSession(session) => {
                let asked = self.engine.sessions_mut().output(session);
                let asked = asked.map(std::mem::take).unwrap_or_default();
                if let Some((query, _)) = split_frame(&asked) {
                    let answer = framed(&response(query, &ResponseForm::RIGHT));
                    self.engine.session_bytes(now, session, &answer);
                }
            }
            Action::FlushStream(_) => flush(self, now),
            Action::CloseSession(_)
            | Action::MeasureStreams
            | Action::ResumeStream(_)
            | Action::CloseStream(..) => {}
        }
    }

    fn send_datagrams(&mut self, _now: Moment) {
        self.engine.clients_mut().clear_datagrams();
    }

    fn send_flight_messages(&mut self) {
        while self.engine.poll_flight_message().is_some() {}
    }

    fn log(&mut self, _now: Moment, _event: Event) {}
}

/// The client's end.
enum Client {
    Tls(Box<ClientConnection>),
    Plain,
}

impl Client {
    /// Sends a frame, and returns all plaintext that came.
    fn exchange(&mut self, server: &mut Server, frame: &[u8]) -> Vec<u8> {
        let mut received = Vec::new();
        match self {
            Client::Plain => {
                server.wire.inbound.extend_from_slice(frame);
                serve(server);
                received.append(&mut server.wire.outbound);
            }
            Client::Tls(tls) => {
                tls.writer().write_all(frame).expect("room");
                // Until neither end has anything to say: the handshake takes some turns.
                while tls.wants_write() {
                    let mut sent = Vec::new();
                    while tls.wants_write() {
                        tls.write_tls(&mut sent).expect("memory");
                    }
                    server.wire.inbound.extend_from_slice(&sent);
                    serve(server);
                    let answered = std::mem::take(&mut server.wire.outbound);
                    let mut rest = answered.as_slice();
                    while !rest.is_empty() {
                        tls.read_tls(&mut rest).expect("memory");
                        let state = tls.process_new_packets().expect("sound records");
                        let mut plaintext = vec![0; state.plaintext_bytes_to_read()];
                        tls.reader().read_exact(&mut plaintext).expect("memory");
                        received.extend_from_slice(&plaintext);
                    }
                }
            }
        }
        received
    }
}

/// Both ends of TLS.
fn tls() -> (TlsChannel, Client) {
    let authority = TestAuthority::new().expect("an authority");
    let own = authority
        .issue(&Leaf::for_name(SERVER))
        .expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = own.write(folder.path()).expect("two files");
    let files = ServerTlsFiles {
        certificates: vec![CertificateFiles {
            certificate,
            key: Some(key),
        }],
        client_authorities: None,
        ticket_key: None,
    };
    let secret = TicketSecret::random().expect("randomness");
    let server = ServerTls::load(&files, &secret).expect("TLS for clients");
    let channel = server.accept(ClientProtocol::Dot).expect("a connection");

    let mut roots = RootCertStore::empty();
    roots
        .add(authority.certificate().clone())
        .expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"dot".to_vec()];
    let name = ServerName::try_from(SERVER).expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    (channel, Client::Tls(Box::new(client)))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, count] = arguments.as_slice() else {
        return usage();
    };
    let Ok(count) = count.parse::<usize>() else {
        return usage();
    };
    let (mut server, mut client) = match kind.as_str() {
        "tcp" => (Server::new(StreamKind::Tcp, None), Client::Plain),
        "tls" => {
            let (channel, client) = tls();
            (Server::new(StreamKind::Dot, Some(channel)), client)
        }
        _ => return usage(),
    };
    let asked = framed(&query(1, NAME, &QueryForm::default()));
    // One more in any case, with the handshake.
    let answered = (0..=count).filter(|_| {
        let received = client.exchange(&mut server, &asked);
        split_frame(&received).is_some_and(|(message, rest)| {
            rest.is_empty() && message.len() > asked.len() && message.get(..2) == asked.get(2..4)
        })
    });
    let answered = answered.count();
    if answered == count + 1 {
        ExitCode::SUCCESS
    } else {
        eprintln!("{answered} of {} queries were answered at once", count + 1);
        ExitCode::FAILURE
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: dot tcp|tls COUNT");
    ExitCode::FAILURE
}
