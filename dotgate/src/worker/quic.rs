//! A worker's clients over DNS over QUIC: datagrams in and out, connections between them and the engine (RFC 9250).
//!
//! Each socket has an endpoint of its own. Handshakes are the expensive part, and anybody can begin them: few are continued
//! in each turn, and the engine says when a client has to show first that its address is its own. Queries are taken as far as
//! their share of a turn goes, so that datagrams and responses of upstreams do not wait for all of them. A packet of another worker's
//! connection, whose client has got another port, is passed on to that worker, which answers through its own socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use dotgate_core::labels::{ClientHandshake, QuicPacket, StreamEnd};
use dotgate_core::{AcceptedStream, Count, Engine, Moment, StreamKey, StreamKind, WorkerId};
use dotgate_net::{BATCH, LocalAddress, Outgoing, ReceiveBatch, SendBatch, UdpPath, UdpSocket};
use dotgate_quic::{
    CloseCode, HandshakeFault, PacketFate, QuicEnd, QuicServer, QuicSetup, ReceivedPacket,
};
use dotgate_tls::ServerTls;
use dotgate_wire::split_frame;
use mio::unix::SourceFd;
use mio::{Interest, Registry};
use slotmap::SecondaryMap;

use super::poll::{LAST_ROUNDS, Read};
use super::ready::{Served, work};
use super::tokens::{Owner, TokenTable};

/// Handshakes that are begun in one turn, and datagrams of others that are looked at: about a millisecond.
const HANDSHAKES_PER_TURN: usize = 4;

/// Packets that are passed on to other workers in one turn; clients send further ones again.
const MISDIRECTED_PER_TURN: usize = 64;

/// A datagram that reached another worker than the one that has its connection.
#[derive(Debug)]
pub struct MisdirectedPacket {
    /// The address of the listener that it came to.
    listener: SocketAddr,
    peer: SocketAddr,
    local: Option<IpAddr>,
    bytes: Box<[u8]>,
}

/// How a worker listens.
pub(super) struct QuicListening {
    pub(super) worker: WorkerId,
    pub(super) sockets: Vec<Arc<UdpSocket>>,
    pub(super) path: UdpPath,
    /// The idle timeout of connections.
    pub(super) idle: Duration,
}

/// A socket with its connections, and its place in the loop. Without one it is not read any more, but packets leave through it.
struct Listener {
    socket: Arc<UdpSocket>,
    place: Option<usize>,
    server: QuicServer,
    bound: Option<SocketAddr>,
    /// The address that its clients ask, if it is one alone.
    address: Option<IpAddr>,
}

/// Where a connection is.
struct Connection {
    listener: usize,
    is_secured: bool,
}

/// What is needed to read and write, as soon as there is a socket.
struct Batches {
    incoming: ReceiveBatch,
    outgoing: SendBatch,
}

pub(super) struct Quic {
    listeners: Vec<Listener>,
    connections: SecondaryMap<StreamKey, Connection>,
    setup: Option<QuicSetup>,
    path: UdpPath,
    batches: Option<Batches>,
    worker: WorkerId,
    workers: usize,
    /// What is to be passed on to other workers.
    misdirected: Vec<(WorkerId, MisdirectedPacket)>,
}

impl Quic {
    pub(super) fn new(
        registry: &Registry,
        places: &mut TokenTable,
        listening: QuicListening,
        tls: Option<&ServerTls>,
    ) -> io::Result<Quic> {
        let mut quic = Quic {
            listeners: Vec::new(),
            connections: SecondaryMap::new(),
            setup: None,
            path: listening.path,
            batches: None,
            worker: listening.worker,
            workers: 1,
            misdirected: Vec::new(),
        };
        quic.set_tls(tls, listening.idle);
        for socket in listening.sockets {
            quic.add(registry, places, Some(socket))?;
        }
        Ok(quic)
    }

    /// Reads one more socket from now on, if there is one.
    pub(super) fn add(
        &mut self,
        registry: &Registry,
        places: &mut TokenTable,
        socket: Option<Arc<UdpSocket>>,
    ) -> io::Result<()> {
        let Some(socket) = socket else {
            return Ok(());
        };
        // The settings have refused listeners without a certificate.
        let no_tls = || io::Error::other("there is no TLS for clients");
        let setup = self.setup.as_ref().ok_or_else(no_tls)?;
        let path = self.path;
        self.batches.get_or_insert_with(|| Batches {
            incoming: ReceiveBatch::new(path),
            outgoing: SendBatch::new(path),
        });
        let token = places.take(Owner::Quic(self.listeners.len()));
        let mut source = SourceFd(&socket.as_raw_fd());
        registry.register(&mut source, token, Interest::READABLE)?;
        let bound = socket.local_addr().ok();
        let address = bound.map(|address| address.ip());
        self.listeners.push(Listener {
            bound,
            address: address.filter(|ip| !ip.is_unspecified()),
            socket: Arc::clone(&socket),
            place: Some(token.0),
            server: QuicServer::new(setup),
        });
        Ok(())
    }

    /// Clients that connect from now on get this TLS, unless it stays as it is, and this idle timeout.
    pub(super) fn set_tls(&mut self, tls: Option<&ServerTls>, idle: Duration) {
        // What TLS has for QUIC was examined when it was made.
        let worker = self.worker;
        let Some(setup) = tls.and_then(|tls| QuicSetup::new(tls, idle, worker).ok()) else {
            return;
        };
        for listener in &mut self.listeners {
            listener.server.set_setup(&setup);
        }
        self.setup = Some(setup);
    }

    pub(super) fn count(&self) -> usize {
        self.listeners.len()
    }

    /// There are so many workers.
    pub(super) fn set_workers(&mut self, workers: usize) {
        self.workers = workers;
    }

    /// What is to be passed on to other workers.
    pub(super) fn take_misdirected(&mut self) -> Vec<(WorkerId, MisdirectedPacket)> {
        std::mem::take(&mut self.misdirected)
    }

    /// Takes a datagram that another worker has passed on.
    pub(super) fn take_passed_on(
        &mut self,
        passed_on: &MisdirectedPacket,
        engine: &mut Engine,
        now: Moment,
    ) {
        let mut bound = self.listeners.iter().map(|it| it.bound);
        let Some(number) = bound.position(|it| it == Some(passed_on.listener)) else {
            return;
        };
        let packet = ReceivedPacket {
            peer: passed_on.peer,
            local: passed_on.local,
            bytes: &passed_on.bytes,
        };
        if let Some(listener) = self.listeners.get_mut(number) {
            take_packet(&mut listener.server, packet, engine, now);
        }
    }

    /// Whether a connection is one over QUIC.
    pub(super) fn has(&self, key: StreamKey) -> bool {
        self.connections.contains_key(key)
    }

    /// Whether it is to be driven at once.
    pub(super) fn wants_turn(&self) -> bool {
        self.listeners.iter().any(|it| it.server.wants_turn())
    }

    /// When it is to be driven, if nothing happens.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let deadlines = self.listeners.iter();
        deadlines.filter_map(|it| it.server.next_deadline()).min()
    }

    /// Reads one batch.
    pub(super) fn receive(&mut self, number: usize, engine: &mut Engine, now: Moment) -> Read {
        let count = self.receive_batch(number, engine, now);
        Read {
            count,
            // A short batch means that the socket is empty.
            maybe_more: count == BATCH,
        }
    }

    /// Reads what every socket that is still read has queued.
    pub(super) fn receive_last(&mut self, engine: &mut Engine, now: Moment) {
        for number in 0..self.listeners.len() {
            for _ in 0..LAST_ROUNDS {
                if self.receive_batch(number, engine, now) < BATCH {
                    break;
                }
            }
            self.serve_changed(number, usize::MAX, engine, now);
        }
    }

    fn receive_batch(&mut self, number: usize, engine: &mut Engine, now: Moment) -> usize {
        let (Some(listener), Some(batches)) = (self.listeners.get_mut(number), &mut self.batches)
        else {
            return 0;
        };
        if listener.place.is_none() {
            return 0;
        }
        // Most errors of a UDP socket speak of an earlier datagram (ICMP); the next read continues.
        let count = batches.incoming.receive(&listener.socket).unwrap_or(0);
        for datagram in batches.incoming.datagrams() {
            let packet = ReceivedPacket {
                peer: datagram.peer,
                local: datagram.local.ip,
                bytes: datagram.bytes,
            };
            if self.workers > 1
                && let Some(owner) = listener.server.owner(packet.bytes)
                && owner != self.worker
                && owner.index() < self.workers
                && let Some(bound) = listener.bound
            {
                match self.misdirected.len() < MISDIRECTED_PER_TURN {
                    true => self
                        .misdirected
                        .push((owner, MisdirectedPacket::of(packet, bound))),
                    false => engine.clients().count_quic(QuicPacket::Dropped),
                }
                continue;
            }
            take_packet(&mut listener.server, packet, engine, now);
        }
        count
    }

    /// Lets time pass, continues handshakes as far as their share of a turn goes, and serves connections until they have had
    /// `share` of it, as [`work`] counts.
    pub(super) fn take_turn(&mut self, share: usize, engine: &mut Engine, now: Moment) {
        let share = share / self.listeners.len().max(1);
        for number in 0..self.listeners.len() {
            let Some(listener) = self.listeners.get_mut(number) else {
                return;
            };
            let server = &mut listener.server;
            if server.next_deadline().is_some_and(|due| due <= now) {
                server.on_timeout(now);
            }
            server.continue_handshakes(now, HANDSHAKES_PER_TURN);
            for _ in 0..HANDSHAKES_PER_TURN {
                self.accept_one(number, engine, now);
            }
            self.serve_changed(number, share, engine, now);
        }
    }

    /// Begins the next connection, if the client may have one.
    fn accept_one(&mut self, number: usize, engine: &mut Engine, now: Moment) {
        let Some(listener) = self.listeners.get_mut(number) else {
            return;
        };
        let server = &mut listener.server;
        let Some(attempt) = server.next_attempt() else {
            return;
        };
        let peer = attempt.peer().ip();
        if !attempt.is_validated() && engine.clients().must_validate(peer) {
            engine.clients().count_quic(QuicPacket::Retry);
            return server.validate(attempt);
        }
        let accepted = AcceptedStream {
            peer,
            local: listener.address.or(attempt.local()),
            kind: StreamKind::Doq,
        };
        let Some(key) = engine.clients_mut().stream_opened(now, accepted) else {
            engine.clients().count_quic(QuicPacket::Refused);
            return server.refuse(attempt);
        };
        match server.accept(now, attempt, key) {
            Ok(()) => {
                let connection = Connection {
                    listener: number,
                    is_secured: false,
                };
                self.connections.insert(key, connection);
            }
            Err(fault) => engine.clients_mut().stream_failed(key, outcome(fault)),
        }
    }

    /// Passes on between connections and the engine what there is, until `share` is used up. The other connections have their
    /// turn next.
    fn serve_changed(&mut self, number: usize, share: usize, engine: &mut Engine, now: Moment) {
        let Some(listener) = self.listeners.get_mut(number) else {
            return;
        };
        let server = &mut listener.server;
        let mut done = 0;
        while (done < share || dotgate_wire::planted!("quic-queries-have-no-share"))
            && let Some(key) = server.next_changed()
        {
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            let before = output_bytes(engine, key);
            if !connection.is_secured && server.is_established(key) {
                connection.is_secured = true;
                // Whether it resumed an earlier one QUIC does not say.
                engine.clients_mut().stream_secured(now, key, false);
            }
            while engine.clients().stream_reads(key)
                && let Some(query) = server.next_query(now, key)
            {
                engine.stream_message(now, key, None, &query);
                let served = Served {
                    read: query.len(),
                    has_shaken_hands: false,
                };
                done += work(&served, 0);
            }
            done += output_bytes(engine, key).saturating_sub(before);
            engine.clients_mut().stream_buffered(key, server.bytes(key));
            let acknowledged = server.take_acknowledged(key);
            if acknowledged > 0 {
                engine.stream_wrote(now, key, acknowledged, server.unsent(key));
            }
            if let Some(end) = server.take_end(key) {
                self.connections.remove(key);
                report_end(key, end, engine);
            }
        }
    }

    /// Takes the responses that the engine has for a client.
    pub(super) fn respond(&mut self, key: StreamKey, engine: &mut Engine, now: Moment) {
        let Some(server) = self.server_of(key) else {
            return;
        };
        let Some(output) = engine.clients_mut().stream_output(key) else {
            return;
        };
        let mut left = output.as_slice();
        while let Some((message, rest)) = split_frame(left) {
            server.respond(key, message);
            left = rest;
        }
        output.clear();
        let unsent = server.unsent(key);
        engine.stream_wrote(now, key, 0, unsent);
    }

    /// The engine takes queries of a client again.
    pub(super) fn resume(&mut self, key: StreamKey) {
        if let Some(server) = self.server_of(key) {
            server.touch(key);
        }
    }

    /// Closes a connection that the engine has removed for this reason.
    pub(super) fn close(&mut self, key: StreamKey, end: StreamEnd, now: Moment) {
        if let Some(server) = self.server_of(key) {
            server.close(now, key, close_code(end));
        }
        self.connections.remove(key);
    }

    fn server_of(&mut self, key: StreamKey) -> Option<&mut QuicServer> {
        let number = self.connections.get(key)?.listener;
        self.listeners.get_mut(number).map(|it| &mut it.server)
    }

    /// Sends what there is for all clients.
    pub(super) fn send(&mut self, engine: &Engine, now: Moment) {
        let Some(batches) = &mut self.batches else {
            return;
        };
        for listener in &mut self.listeners {
            let Listener { server, socket, .. } = listener;
            server.flush(now);
            let packets = server.packets().map(|packet| Outgoing {
                peer: packet.peer,
                local: LocalAddress {
                    ip: packet.local,
                    interface: 0,
                },
                bytes: packet.bytes,
            });
            let sent = batches.outgoing.send(socket, packets);
            let unsent = sent.refused + sent.dropped;
            if unsent > 0 {
                // QUIC sends them once more.
                engine
                    .counters()
                    .add_many(Count::DatagramsUnsent, unsent as u64);
            }
            server.clear_packets();
        }
    }

    /// Sends clients elsewhere: their connections end with their last responses, which may go unheard where nothing is read.
    pub(super) fn shut_down(&mut self, now: Moment) {
        for Listener { server, place, .. } in &mut self.listeners {
            for key in server.keys() {
                server.shut_down(now, key, place.is_some());
            }
        }
    }

    /// Reads the sockets of these addresses no more; packets still leave through them.
    pub(super) fn stop(
        &mut self,
        registry: &Registry,
        places: &mut TokenTable,
        is_meant: impl Fn(SocketAddr) -> bool,
    ) {
        for Listener { socket, place, .. } in &mut self.listeners {
            if socket.local_addr().is_ok_and(&is_meant)
                && let Some(place) = place.take()
            {
                // A socket that cannot be taken out of the loop is only heard of once more, for nothing.
                drop(registry.deregister(&mut SourceFd(&socket.as_raw_fd())));
                places.give_back(place);
            }
        }
    }

    /// Forgets all connections. Their clients get a stateless reset for what they send next.
    pub(super) fn drop_all(&mut self) {
        self.connections.clear();
        for listener in &mut self.listeners {
            if let Some(setup) = &self.setup {
                listener.server = QuicServer::new(setup);
            }
        }
    }
}

impl MisdirectedPacket {
    pub(super) fn of(packet: ReceivedPacket<'_>, listener: SocketAddr) -> MisdirectedPacket {
        MisdirectedPacket {
            listener,
            peer: packet.peer,
            local: packet.local,
            bytes: packet.bytes.into(),
        }
    }
}

/// What the engine has to send to a client.
fn output_bytes(engine: &mut Engine, key: StreamKey) -> usize {
    let output = engine.clients_mut().stream_output(key);
    output.map_or(0, |output| output.len())
}

fn take_packet(server: &mut QuicServer, packet: ReceivedPacket<'_>, engine: &Engine, now: Moment) {
    let must_validate = |peer| engine.clients().must_validate(peer);
    let fate = server.on_packet(now, packet, must_validate);
    engine.clients().count_quic(label(fate));
}

fn report_end(key: StreamKey, end: QuicEnd, engine: &mut Engine) {
    match end {
        QuicEnd::Closed => engine.clients_mut().stream_closed(key),
        QuicEnd::Handshake(fault) => engine.clients_mut().stream_failed(key, outcome(fault)),
        QuicEnd::Protocol => engine.clients_mut().stream_cut_off(key, StreamEnd::Quic),
        QuicEnd::IncompleteQuery => engine
            .clients_mut()
            .stream_cut_off(key, StreamEnd::IncompleteQuery),
        QuicEnd::Flood => engine.clients_mut().stream_cut_off(key, StreamEnd::Flood),
    }
}

/// What a client hears of the reason (RFC 9250 section 4.3).
fn close_code(end: StreamEnd) -> CloseCode {
    match end {
        StreamEnd::Idle
        | StreamEnd::Retired
        | StreamEnd::Finished
        | StreamEnd::Prohibited
        | StreamEnd::Stopped => CloseCode::NoError,
        StreamEnd::IncompleteQuery
        | StreamEnd::Unread
        | StreamEnd::Handshake
        | StreamEnd::Flood
        | StreamEnd::Displaced
        | StreamEnd::Memory => CloseCode::ExcessiveLoad,
        StreamEnd::Framing
        | StreamEnd::Malformed
        | StreamEnd::ProxyHeader
        | StreamEnd::Tls
        | StreamEnd::Http
        | StreamEnd::Quic => CloseCode::Protocol,
    }
}

fn label(fate: PacketFate) -> QuicPacket {
    match fate {
        PacketFate::Connection => QuicPacket::Connection,
        PacketFate::Attempt => QuicPacket::Attempt,
        PacketFate::Retry => QuicPacket::Retry,
        PacketFate::Answered => QuicPacket::Answered,
        PacketFate::Ignored => QuicPacket::Ignored,
        PacketFate::Dropped => QuicPacket::Dropped,
    }
}

/// The alerts of TLS (RFC 8446 section 6) that say more than that it failed.
const HANDSHAKE_FAILURE: u8 = 40;
const BAD_CERTIFICATE: u8 = 42;
const CERTIFICATE_UNKNOWN: u8 = 46;
const UNKNOWN_CA: u8 = 48;
const PROTOCOL_VERSION: u8 = 70;
const CERTIFICATE_REQUIRED: u8 = 116;
const NO_APPLICATION_PROTOCOL: u8 = 120;

fn outcome(fault: HandshakeFault) -> ClientHandshake {
    match fault {
        HandshakeFault::Closed => ClientHandshake::Closed,
        HandshakeFault::ByClient => ClientHandshake::Alert,
        HandshakeFault::Alert(NO_APPLICATION_PROTOCOL) => ClientHandshake::Alpn,
        HandshakeFault::Alert(HANDSHAKE_FAILURE | PROTOCOL_VERSION) => {
            ClientHandshake::NothingInCommon
        }
        HandshakeFault::Alert(
            BAD_CERTIFICATE..=CERTIFICATE_UNKNOWN | UNKNOWN_CA | CERTIFICATE_REQUIRED,
        ) => ClientHandshake::Certificate,
        HandshakeFault::Alert(_) | HandshakeFault::Protocol => ClientHandshake::Protocol,
    }
}

#[cfg(test)]
mod tests;
