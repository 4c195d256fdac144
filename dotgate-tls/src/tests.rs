//! Handshakes and sessions against a rustls server: in memory, byte for byte, and over loopback.

mod authentication;
mod engine;
mod loopback;
mod resumption;
mod streams;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use dotgate_config::{Authentication, Identity};
use dotgate_core::KeyExchange;
use dotgate_testbed::certificates::{Leaf, ServerCertificate, TestAuthority};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::*;

const NAME: &str = "dns.example.test";

/// Rounds after which two ends that are still talking never come to an end.
const ROUNDS: usize = 50;

/// The client's socket: what it may take and what it has.
#[derive(Debug)]
struct MemorySocket {
    inbound: VecDeque<u8>,
    outbound: Vec<u8>,
    /// All that was ever sent.
    sent: Vec<u8>,
    /// Bytes that one read brings at most.
    segment: usize,
    /// Bytes that `outbound` can hold.
    room: usize,
    write_calls: usize,
    ended: bool,
    reset: bool,
}

impl MemorySocket {
    fn new() -> Self {
        Self {
            inbound: VecDeque::new(),
            outbound: Vec::new(),
            sent: Vec::new(),
            segment: usize::MAX,
            room: usize::MAX,
            write_calls: 0,
            ended: false,
            reset: false,
        }
    }
}

impl Read for MemorySocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reset {
            return Err(io::Error::from(ErrorKind::ConnectionReset));
        }
        if self.inbound.is_empty() {
            return if self.ended {
                Ok(0)
            } else {
                Err(io::Error::from(ErrorKind::WouldBlock))
            };
        }
        let length = buffer.len().min(self.segment).min(self.inbound.len());
        for (byte, came) in buffer.iter_mut().zip(self.inbound.drain(..length)) {
            *byte = came;
        }
        Ok(length)
    }
}

impl Write for MemorySocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.write_calls += 1;
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        let length = bytes.len().min(self.room - self.outbound.len());
        if length == 0 {
            return Err(io::Error::from(ErrorKind::WouldBlock));
        }
        self.outbound.extend_from_slice(&bytes[..length]);
        self.sent.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A server's end in memory, with the client's socket between.
struct Pair {
    client: TlsChannel,
    server: ServerConnection,
    socket: MemorySocket,
    /// Frames that the client has still to send.
    frames: Vec<u8>,
    /// Plaintext that the client received.
    received: Vec<u8>,
    /// Plaintext that the server received.
    arrived: Vec<u8>,
    buffer: Vec<u8>,
    last: Progress,
    handshakes_done: usize,
}

impl Pair {
    fn new(client: TlsChannel, server: &Arc<ServerConfig>) -> Self {
        let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
        server.set_buffer_limit(None);
        Self {
            client,
            server,
            socket: MemorySocket::new(),
            frames: Vec::new(),
            received: Vec::new(),
            arrived: Vec::new(),
            buffer: vec![0; 65_536],
            last: Progress::default(),
            handshakes_done: 0,
        }
    }

    fn write(&mut self) -> Result<WriteState, TlsFailure> {
        self.client.write(&mut self.socket, &mut self.frames)
    }

    fn read(&mut self) -> Result<Progress, TlsFailure> {
        let Self {
            client,
            socket,
            buffer,
            received,
            ..
        } = self;
        let progress = client.read(socket, buffer, &mut |plaintext| {
            received.extend_from_slice(plaintext)
        })?;
        self.handshakes_done += usize::from(progress.handshake_done_now);
        self.last = progress;
        Ok(progress)
    }

    /// The server takes all that was sent and says what it has to say. Its own errors show at the client.
    fn serve(&mut self) {
        let outbound = std::mem::take(&mut self.socket.outbound);
        let mut bytes = outbound.as_slice();
        while !bytes.is_empty() {
            let Ok(1..) = self.server.read_tls(&mut bytes) else {
                break;
            };
            if self.server.process_new_packets().is_err() {
                break;
            }
            // Nothing there is no mistake.
            drop(self.server.reader().read_to_end(&mut self.arrived));
        }
        while self.server.wants_write() {
            self.server.write_tls(&mut self.socket.inbound).unwrap();
        }
    }

    /// Lets both ends talk until neither has anything to say.
    fn settle(&mut self) -> Result<(), TlsFailure> {
        for _ in 0..ROUNDS {
            self.write()?;
            self.serve();
            if self.socket.inbound.is_empty() {
                return Ok(());
            }
            while !self.socket.inbound.is_empty() {
                self.read()?;
            }
        }
        panic!("the two ends go on talking");
    }

    fn facts(&self) -> HandshakeFacts {
        self.client.facts().unwrap()
    }
}

fn name(text: &str) -> Identity {
    Identity::Name(ServerName::try_from(text.to_owned()).unwrap())
}

fn strict(identity: Identity) -> Authentication {
    Authentication {
        identity,
        pins: Vec::new(),
        report_pins: Vec::new(),
        client: None,
        pin_without_clock: false,
        strict: true,
    }
}

fn upstream(authentication: &Authentication, authority: &TestAuthority) -> UpstreamTls {
    let roots = Roots::trusting(authority.certificate()).unwrap();
    UpstreamTls::new(authentication, &roots).unwrap()
}

fn server_with(
    certificate: &ServerCertificate,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn server(certificate: &ServerCertificate) -> Arc<ServerConfig> {
    server_with(certificate, rustls::ALL_VERSIONS, &[b"dot"])
}

/// One handshake between both, as far as it goes.
fn handshake(
    upstream: &UpstreamTls,
    server: &Arc<ServerConfig>,
    alpn: bool,
) -> Result<Pair, TlsFailure> {
    let mut pair = Pair::new(upstream.connect(alpn, KeyExchange::Hybrid)?, server);
    pair.settle()?;
    Ok(pair)
}

/// A session that is open, and the authority it was opened under.
fn open_pair() -> Pair {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    handshake(
        &upstream(&strict(name(NAME)), &authority),
        &server(&certificate),
        true,
    )
    .unwrap()
}
