//! One connection of a client: its socket, and the layers above it up to the engine.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use dotgate_core::{AccessList, Engine, Moment, StreamKey, StreamKind};
use dotgate_tls::{ClientProtocol, ServerTls, TlsFailure, WriteState};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::channel::Channel;
use super::https::{HttpFate, Https};
use super::ready::Served;

pub(super) struct Connection {
    pub(super) socket: TcpStream,
    channel: Channel,
    https: Option<Box<Https>>,
    pub(super) place: usize,
    /// Whether the poll loop reports when it can be written to.
    is_watched_for_room: bool,
    /// What came of a balancer's header, while that is awaited.
    pub(super) header: Option<Vec<u8>>,
}

/// The layers above the socket of a connection.
pub(super) struct Layers {
    channel: Channel,
    https: Option<Box<Https>>,
}

/// What one read of a connection brought.
pub(super) struct ReadOnce {
    pub(super) served: Served,
    pub(super) maybe_more: bool,
    /// Whether there is something to write in return that the engine does not know of.
    pub(super) wants_write: bool,
}

/// A read that ended the connection.
#[derive(Debug)]
pub(super) struct FailedRead {
    pub(super) failure: TlsFailure,
    /// What it cost nevertheless: an error behind a ClientHello comes after the key exchange.
    pub(super) served: Served,
}

/// A socket, with the number of bytes that were read from it.
struct Counted<'s> {
    socket: &'s mut TcpStream,
    read: usize,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.socket.read(buffer)?;
        self.read += length;
        Ok(length)
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Layers {
    /// What clients speak on a connection of this kind; none if TLS cannot begin. The headers of `proxies` are believed.
    pub(super) fn of(
        kind: StreamKind,
        tls: Option<&ServerTls>,
        proxies: &Arc<AccessList>,
    ) -> Option<Layers> {
        let encrypted = |protocol| {
            let channel = tls?.accept(protocol).ok()?;
            Some(Channel::Tls(Box::new(channel)))
        };
        Some(match kind {
            StreamKind::Tcp => Layers {
                channel: Channel::Plain,
                https: None,
            },
            StreamKind::Dot => Layers {
                channel: encrypted(ClientProtocol::Dot)?,
                https: None,
            },
            StreamKind::Doh => Layers {
                channel: encrypted(ClientProtocol::Https)?,
                https: Some(Box::new(Https::new(None))),
            },
            StreamKind::DohProxy => {
                let proxies = Arc::clone(proxies);
                let trust = Arc::new(move |address| proxies.allows(address));
                Layers {
                    channel: Channel::Plain,
                    https: Some(Box::new(Https::new(Some(trust)))),
                }
            }
            // No listener for connections has such ones.
            StreamKind::Doq => return None,
        })
    }
}

impl Connection {
    pub(super) fn new(socket: TcpStream, layers: Layers, place: usize) -> Connection {
        let Layers { channel, https } = layers;
        Connection {
            socket,
            channel,
            https,
            place,
            is_watched_for_room: false,
            header: None,
        }
    }

    /// Whether it is to be read from now.
    pub(super) fn may_read(&mut self, key: StreamKey, engine: &Engine) -> bool {
        match &mut self.https {
            Some(https) => https.may_read(),
            None => engine.clients().stream_reads(key),
        }
    }

    /// Reads once, and hands what the client has sent to the engine.
    pub(super) fn read(
        &mut self,
        key: StreamKey,
        engine: &mut Engine,
        buffer: &mut [u8],
        now: Moment,
    ) -> Result<ReadOnce, FailedRead> {
        let was_handshaking = self.channel.is_handshaking();
        // The first queries may come with the end of the handshake, of which the engine must know before.
        let mut first = Vec::new();
        let https = &mut self.https;
        let mut take = |bytes: &[u8]| match https {
            Some(https) => https.on_bytes(bytes),
            None if was_handshaking => first.extend_from_slice(bytes),
            None => {
                engine.stream_bytes(now, key, bytes);
            }
        };
        let mut socket = Counted {
            socket: &mut self.socket,
            read: 0,
        };
        let progress = self.channel.read(&mut socket, buffer, &mut take);
        let served = Served {
            read: socket.read,
            has_shaken_hands: was_handshaking && socket.read > 0,
        };
        let progress = progress.map_err(|failure| FailedRead {
            failure,
            served: match dotgate_wire::planted!("failed-handshakes-cost-nothing") {
                true => Served::default(),
                false => served,
            },
        })?;
        if progress.handshake_done_now {
            engine
                .clients_mut()
                .stream_secured(now, key, self.channel.is_resumed());
            engine.stream_bytes(now, key, &first);
        }
        let has_ended = progress.peer_closed.is_some();
        match &mut self.https {
            Some(https) if has_ended => https.on_end(),
            None if has_ended => engine.clients_mut().stream_ended(key),
            Some(_) | None => {}
        }
        self.pass_queries(key, engine, now);
        Ok(ReadOnce {
            served,
            maybe_more: progress.maybe_more,
            wants_write: self.has_unsent(),
        })
    }

    /// Passes on what waits for the engine.
    pub(super) fn pass_queries(&mut self, key: StreamKey, engine: &mut Engine, now: Moment) {
        if let Some(https) = &mut self.https {
            https.pass_queries(key, engine, now);
        }
    }

    /// Writes what the socket takes, of `output` and of what the layers have to say.
    pub(super) fn write(&mut self, output: &mut Vec<u8>) -> Result<WriteState, TlsFailure> {
        match &mut self.https {
            Some(https) => {
                https.take_responses(output);
                https.write(&mut self.channel, &mut self.socket)
            }
            None => self.channel.write(&mut self.socket, output),
        }
    }

    /// Has the poll loop report from now on when the socket has room, at once if it has some already.
    pub(super) fn watch_room(&mut self, registry: &Registry) -> Result<(), TlsFailure> {
        if self.is_watched_for_room {
            return Ok(());
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        let watched = registry.reregister(&mut self.socket, Token(self.place), interest);
        self.is_watched_for_room = watched.is_ok();
        watched.map_err(|error| TlsFailure::from_io(&error))
    }

    /// Whether something waits to be written that the engine does not know of.
    pub(super) fn has_unsent(&mut self) -> bool {
        let has_output = |https: &mut Box<Https>| https.has_output() || https.is_over();
        self.channel.wants_write() || self.https.as_mut().is_some_and(has_output)
    }

    /// Whether it is to be served once more, although the socket says nothing new.
    pub(super) fn wants_turn(&self) -> bool {
        self.https.as_ref().is_some_and(|https| https.wants_turn())
    }

    /// Tells the engine if the layers know that the connection is over.
    pub(super) fn report_end(&self, key: StreamKey, engine: &mut Engine) {
        match self.https.as_ref().map(|https| https.fate()) {
            None | Some(HttpFate::Open) => {}
            Some(HttpFate::Ended) => engine.clients_mut().stream_ended(key),
            Some(HttpFate::CutOff(end)) => engine.clients_mut().stream_cut_off(key, end),
        }
    }

    /// Lets the client finish what it has begun, and sends it to another connection for more. False if its protocol has no word
    /// for that.
    pub(super) fn begin_end(&mut self) -> bool {
        let https = self.https.as_mut().map(|https| https.shut_down());
        https.is_some()
    }

    /// Says that nothing more will be sent.
    pub(super) fn close(&mut self) {
        self.begin_end();
        // The client may have disconnected, or not read; then it does not get this.
        if let Some(https) = &mut self.https {
            drop(https.write(&mut self.channel, &mut self.socket));
        }
        self.channel.close_notify();
        drop(self.channel.write(&mut self.socket, &mut Vec::new()));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use dotgate_config::{CertificateFiles, ServerTlsFiles};
    use dotgate_core::{
        Access, Counters, Settings, Shared, UpstreamId, UpstreamSettings, WorkerId,
    };
    use dotgate_testbed::certificates::{Leaf, TestAuthority};
    use dotgate_tls::TicketSecret;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;
    use crate::worker::ready::{TURN_SHARE, work};

    const NAME: &str = "dns.example";
    const NOW: Moment = Moment::from_nanos(1_000_000_000);

    /// A connection over TLS with its engine, and the client.
    struct World {
        engine: Engine,
        key: StreamKey,
        connection: Connection,
        client: std::net::TcpStream,
        tls: ClientConnection,
    }

    impl World {
        fn new() -> World {
            let authority = TestAuthority::new().unwrap();
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
            let server = ServerTls::load(&files, &TicketSecret::random().unwrap()).unwrap();

            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (socket, peer) = listener.accept().unwrap();
            socket.set_nonblocking(true).unwrap();
            let mut engine = engine();
            let opened = (peer.ip(), StreamKind::Dot).into();
            let key = engine.clients_mut().stream_opened(NOW, opened).unwrap();
            let layers = Layers::of(StreamKind::Dot, Some(&server), &Arc::default()).unwrap();
            World {
                engine,
                key,
                connection: Connection::new(TcpStream::from_std(socket), layers, 0),
                client,
                tls: client_of(&authority),
            }
        }

        /// Has the server read what was sent, until it has read so many bytes.
        fn read(&mut self, bytes: usize) -> Result<Vec<Served>, FailedRead> {
            let mut buffer = vec![0; 16 * 1024];
            let (mut all, mut read) = (Vec::new(), 0);
            while read < bytes {
                let World {
                    engine,
                    key,
                    connection,
                    ..
                } = self;
                let served = connection.read(*key, engine, &mut buffer, NOW)?.served;
                read += served.read;
                all.push(served);
            }
            self.connection.write(&mut Vec::new()).unwrap();
            Ok(all)
        }

        /// Sends what the client's TLS has to say, and returns how many bytes that is.
        fn send(&mut self) -> usize {
            let mut records = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut records).unwrap();
            }
            self.client.write_all(&records).unwrap();
            records.len()
        }

        fn shake_hands(&mut self) {
            while self.tls.is_handshaking() {
                let sent = self.send();
                self.read(sent).unwrap();
                self.tls.read_tls(&mut self.client).unwrap();
                self.tls.process_new_packets().unwrap();
            }
            let sent = self.send();
            self.read(sent).unwrap();
        }
    }

    fn engine() -> Engine {
        let settings = Settings {
            access: Access::of(["127.0.0.0/8".parse().unwrap()]),
            ..Settings::for_upstreams(vec![UpstreamSettings::new(UpstreamId(0), "nowhere")])
        };
        let counters = Arc::new(Counters::new());
        Engine::new(
            WorkerId(0),
            Arc::new(settings),
            Shared::alone(),
            counters,
            [7; 32],
        )
    }

    fn client_of(authority: &TestAuthority) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        ClientConnection::new(Arc::new(config), ServerName::try_from(NAME).unwrap()).unwrap()
    }

    #[test]
    fn a_handshake_costs_its_share_of_a_turn_though_it_fails_in_the_same_read() {
        let mut world = World::new();
        let mut sent = world.send();
        // A record of no known type, behind a good ClientHello.
        world.client.write_all(&[99, 3, 3, 0, 1, 0]).unwrap();
        sent += 6;
        let failed = loop {
            // The system may hand over the first part alone.
            if let Err(failed) = world.read(sent) {
                break failed;
            }
        };
        assert!(failed.served.has_shaken_hands);
        assert!(work(&failed.served, 0) > TURN_SHARE / 8);
    }

    #[test]
    fn records_without_a_query_cost_what_records_with_queries_do() {
        let mut world = World::new();
        world.shake_hands();
        let mut sent = 0;
        for _ in 0..20 {
            world.tls.refresh_traffic_keys().unwrap();
            sent += world.send();
        }
        let served = world.read(sent).unwrap();
        let read: usize = served.iter().map(|it| it.read).sum();
        assert_eq!(read, sent);
        // Each takes some microseconds.
        let cost: usize = served.iter().map(|served| work(served, 0)).sum();
        assert!(cost > 20 * 2_000, "{cost}");
    }
}
