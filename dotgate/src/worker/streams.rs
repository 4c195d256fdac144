//! A worker's client connections, over TCP, TLS and HTTPS: accepting, reading and writing; their rules are the engine's.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dotgate_core::{
    AcceptedStream, Count, Engine, KernelBuffers, Moment, StreamKey, StreamKind, limits,
};
use dotgate_net::tcp::{defer_until_data, has_waiting, is_of_one_connection};
use dotgate_tls::{ServerTls, TlsFailure};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry};
use slotmap::SecondaryMap;

use super::connection::{Connection, FailedRead, Layers};
use super::control::StreamListener;
use super::header::{self, Awaited};
use super::poll::{Ready, register};
use super::ready::{self, ReadyStreams, Served};
use super::spare::is_out_of_descriptors;
use super::tokens::{Owner, TokenTable};

/// Connections accepted from one listener in one turn.
const ACCEPTS: usize = 32;

/// Bytes of one connection that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// Connections that are measured in one turn, in about half a millisecond.
const MEASURED_PER_TURN: usize = 256;

/// The pause in accepting after the system had no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

struct Listener {
    socket: TcpListener,
    kind: StreamKind,
    /// The address that its clients ask, if it is one alone.
    address: Option<IpAddr>,
    place: usize,
}

pub(super) struct Streams {
    registry: Registry,
    /// One that is closed leaves its number free.
    listeners: Vec<Option<Listener>>,
    /// For clients that speak TLS.
    tls: Option<ServerTls>,
    connections: SecondaryMap<StreamKey, Connection>,
    ready: ReadyStreams,
    to_measure: Vec<StreamKey>,
    accept_again_at: Option<Moment>,
    /// The error with which the system refused to accept, last time that it did.
    refused: Option<i32>,
}

/// How far accepting came.
#[derive(PartialEq, Eq)]
pub(super) enum Accepted {
    /// No one waits any longer.
    All,
    /// Others may wait.
    Some,
    /// The system has no descriptor left; accepting pauses.
    NoDescriptor,
    /// The system refuses to accept at all, for another reason than before; accepting pauses.
    Refused(String),
}

impl Streams {
    pub(super) fn new(
        registry: &Registry,
        places: &mut TokenTable,
        listeners: Vec<StreamListener>,
        tls: Option<ServerTls>,
    ) -> io::Result<Streams> {
        let mut streams = Streams {
            registry: registry.try_clone()?,
            listeners: Vec::new(),
            tls,
            connections: SecondaryMap::new(),
            ready: ReadyStreams::default(),
            to_measure: Vec::new(),
            accept_again_at: None,
            refused: None,
        };
        for listener in listeners {
            streams.add_listener(places, Some(listener))?;
        }
        Ok(streams)
    }

    /// Accepts from one more listener from now on, if there is one.
    pub(super) fn add_listener(
        &mut self,
        places: &mut TokenTable,
        listener: Option<StreamListener>,
    ) -> io::Result<()> {
        let Some(listener) = listener else {
            return Ok(());
        };
        let mut socket = TcpListener::from_std(listener.socket);
        // Best effort: without it, a worker wakes up once more for each connection.
        drop(defer_until_data(&socket, true));
        let address = socket.local_addr().map(|address| address.ip());
        let owner = Owner::Listener(self.listeners.len());
        let registry = &self.registry;
        let place = register(registry, places, owner, &mut socket, Interest::READABLE)?;
        self.listeners.push(Some(Listener {
            socket,
            kind: listener.kind,
            address: address.ok().filter(|ip| !ip.is_unspecified()),
            place,
        }));
        Ok(())
    }

    /// Clients that connect from now on get this TLS, unless it stays as it is.
    pub(super) fn set_tls(&mut self, tls: Option<&ServerTls>) {
        if let Some(tls) = tls {
            self.tls = Some(tls.clone());
        }
    }

    pub(super) fn listener_count(&self) -> usize {
        self.listeners.len()
    }

    /// When accepting continues after a pause.
    pub(super) fn accept_again_at(&self) -> Option<Moment> {
        self.accept_again_at
    }

    pub(super) fn end_pause(&mut self) {
        self.accept_again_at = None;
    }

    pub(super) fn accept(
        &mut self,
        number: usize,
        engine: &mut Engine,
        places: &mut TokenTable,
        now: Moment,
    ) -> Accepted {
        if self.accept_again_at.is_some() {
            return Accepted::All;
        }
        for tried in 0..ACCEPTS {
            let Some(Some(listener)) = self.listeners.get(number) else {
                return Accepted::All;
            };
            if tried > 0 && !has_waiting(&listener.socket) {
                return Accepted::All;
            }
            let (listener_kind, local) = (listener.kind, listener.address);
            match listener.socket.accept() {
                Ok((socket, peer)) => {
                    let kind = engine.clients().stream_kind(listener_kind, peer.ip());
                    let of_socket = || socket.local_addr().ok().map(|address| address.ip());
                    let accepted = AcceptedStream {
                        peer: peer.ip(),
                        local: local.or_else(of_socket),
                        kind,
                    };
                    if let Some(key) = engine.clients_mut().stream_opened(now, accepted) {
                        self.add(key, kind, socket, engine, places);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Accepted::All,
                Err(error) if is_out_of_descriptors(&error) => {
                    return self.pause_accepting(engine, now);
                }
                Err(error) if is_of_one_connection(&error) => {}
                // A filter of system calls, or no memory: to try at once would never end.
                Err(error) => {
                    self.accept_again_at = Some(now + ACCEPT_PAUSE);
                    let is_known = self.refused == error.raw_os_error();
                    self.refused = error.raw_os_error();
                    return if is_known {
                        Accepted::All
                    } else {
                        Accepted::Refused(error.to_string())
                    };
                }
            }
        }
        Accepted::Some
    }

    /// Stops accepting for a while: the system has no descriptor for a client.
    pub(super) fn pause_accepting(&mut self, engine: &Engine, now: Moment) -> Accepted {
        if self.accept_again_at.is_some() {
            return Accepted::All;
        }
        engine.counters().add(Count::DescriptorsExhausted);
        self.accept_again_at = Some(now + ACCEPT_PAUSE);
        Accepted::NoDescriptor
    }

    fn add(
        &mut self,
        key: StreamKey,
        kind: StreamKind,
        mut socket: TcpStream,
        engine: &mut Engine,
        places: &mut TokenTable,
    ) {
        let Some(layers) = Layers::of(kind, self.tls.as_ref(), engine.clients().http_proxies())
        else {
            return engine.clients_mut().stream_closed(key);
        };
        // Nearly every response finds room; `flush` asks for news of it otherwise.
        let (registry, interest) = (&self.registry, Interest::READABLE);
        match register(registry, places, Owner::Stream(key), &mut socket, interest) {
            Ok(place) => {
                let mut connection = Connection::new(socket, layers, place);
                connection.header = engine.clients().stream_awaits_header(key).then(Vec::new);
                self.connections.insert(key, connection);
                // With most connections, the first query is there.
                self.ready.add(key, Ready::NEW);
            }
            Err(_) => engine.clients_mut().stream_closed(key),
        }
    }

    /// Has a connection served in its turn.
    pub(super) fn note_ready(&mut self, key: StreamKey, ready: Ready) {
        if self.connections.contains_key(key) {
            self.ready.add(key, ready);
        }
    }

    /// Has every connection served in its turn.
    pub(super) fn note_all_ready(&mut self) {
        for key in self.connections.keys() {
            self.ready.add(key, Ready::AGAIN);
        }
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Serves connections in the order in which they became ready, until they have had `share` of the turn. True if a
    /// client has sent anything.
    pub(super) fn serve(
        &mut self,
        share: usize,
        engine: &mut Engine,
        buffer: &mut [u8],
        places: &mut TokenTable,
        now: Moment,
    ) -> bool {
        let mut work = 0;
        let mut has_read = false;
        // Those that become ready meanwhile have their turn later.
        for _ in 0..self.ready.len() {
            if work >= share {
                break;
            }
            let Some((key, ready)) = self.ready.next() else {
                break;
            };
            let unsent = |engine: &mut Engine| {
                engine
                    .clients_mut()
                    .stream_output(key)
                    .map_or(0, |out| out.len())
            };
            let before = unsent(engine);
            let served = self.serve_one(key, ready, engine, buffer, places, now);
            has_read |= served.read > 0;
            work += ready::work(&served, unsent(engine).saturating_sub(before));
        }
        has_read
    }

    /// Writes what waited for room, then reads once.
    fn serve_one(
        &mut self,
        key: StreamKey,
        ready: Ready,
        engine: &mut Engine,
        buffer: &mut [u8],
        places: &mut TokenTable,
        now: Moment,
    ) -> Served {
        if ready.is_writable && self.has_unsent(key, engine) {
            self.flush(key, engine, places, now);
        }
        let Some(connection) = self.connections.get_mut(key) else {
            return Served::default();
        };
        if connection.header.is_some() {
            return self.serve_header(key, engine, places, now);
        }
        connection.pass_queries(key, engine, now);
        if !connection.may_read(key, engine) {
            return Served::default();
        }
        let buffer = buffer.get_mut(..READ_BYTES).unwrap_or_default();
        match connection.read(key, engine, buffer, now) {
            Ok(read) => {
                // A short read is the last one, unless the end is behind it.
                if read.maybe_more || (read.served.read > 0 && ready.is_read_closed) {
                    self.ready.add(key, ready);
                }
                if read.wants_write {
                    self.flush(key, engine, places, now);
                }
                read.served
            }
            Err(FailedRead { failure, served }) => {
                self.fail(key, &failure, engine, places);
                served
            }
        }
    }

    /// Reads on in a balancer's header. At its end the connection becomes that of the client.
    fn serve_header(
        &mut self,
        key: StreamKey,
        engine: &mut Engine,
        places: &mut TokenTable,
        now: Moment,
    ) -> Served {
        let Some(connection) = self.connections.get_mut(key) else {
            return Served::default();
        };
        let Connection { socket, header, .. } = connection;
        let header = header.get_or_insert_default();
        match header::read(socket, header, (key, engine), now) {
            Awaited::More => {}
            Awaited::Client(client) => {
                if let Some(mut connection) = self.connections.remove(key) {
                    connection.header = None;
                    places.change(connection.place, Owner::Stream(client));
                    self.connections.insert(client, connection);
                    self.ready.remove(key);
                    // What follows the header may be there already.
                    self.ready.add(client, Ready::AGAIN);
                }
            }
            Awaited::Nobody => self.forget(key, places),
        }
        Served::default()
    }

    /// Whether something waits for a client.
    fn has_unsent(&mut self, key: StreamKey, engine: &mut Engine) -> bool {
        let connection = self.connections.get_mut(key);
        connection.is_some_and(Connection::has_unsent)
            || engine
                .clients_mut()
                .stream_output(key)
                .is_some_and(|output| !output.is_empty())
    }

    /// A connection has failed.
    fn fail(
        &mut self,
        key: StreamKey,
        failure: &TlsFailure,
        engine: &mut Engine,
        places: &mut TokenTable,
    ) {
        match failure {
            TlsFailure::Reset | TlsFailure::Io(_) => engine.clients_mut().stream_closed(key),
            failure => engine
                .clients_mut()
                .stream_failed(key, failure.outcome_for_client()),
        }
        self.forget(key, places);
    }

    /// Writes what waits for a client, as far as the system takes it.
    pub(super) fn flush(
        &mut self,
        key: StreamKey,
        engine: &mut Engine,
        places: &mut TokenTable,
        now: Moment,
    ) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if engine.clients().stream_is_leaving(key) {
            connection.begin_end();
        }
        let Some(output) = engine.clients_mut().stream_output(key) else {
            return;
        };
        let written = connection.write(output).and_then(|state| {
            if state.wants_writable {
                connection.watch_room(&self.registry)?;
            }
            Ok(state)
        });
        match written {
            Ok(state) => {
                engine.stream_wrote(now, key, state.taken, state.encrypted);
                connection.pass_queries(key, engine, now);
                connection.report_end(key, engine);
                if connection.wants_turn() && !state.wants_writable {
                    self.ready.add(key, Ready::AGAIN);
                }
            }
            Err(failure) => self.fail(key, &failure, engine, places),
        }
    }

    /// Measures what the kernel buffers for each client, a part of them in each turn.
    pub(super) fn begin_measuring(&mut self) {
        if self.to_measure.is_empty() {
            self.to_measure.extend(self.connections.keys());
        }
    }

    pub(super) fn is_measuring(&self) -> bool {
        !self.to_measure.is_empty()
    }

    /// Reports to the engine what the kernel buffers for some of the clients. True if these were the last ones.
    pub(super) fn measure_some(&mut self, engine: &mut Engine, now: Moment) -> bool {
        if self.to_measure.is_empty() {
            return false;
        }
        let left = self.to_measure.len().saturating_sub(MEASURED_PER_TURN);
        for key in self.to_measure.drain(left..) {
            let Some(connection) = self.connections.get(key) else {
                continue;
            };
            let is_full = engine
                .clients_mut()
                .stream_output(key)
                .is_some_and(|output| !output.is_empty());
            let measured = match dotgate_net::tcp::buffered(&connection.socket) {
                Some(buffered) => KernelBuffers {
                    bytes: buffered.bytes,
                    is_sending: buffered.is_sending,
                    acknowledged: buffered.acknowledged,
                },
                // Where the system does not report it, its buffer is full or nearly empty.
                None if is_full => KernelBuffers {
                    bytes: limits::STREAM_KERNEL_BYTES,
                    ..KernelBuffers::default()
                },
                None => KernelBuffers::default(),
            };
            engine.clients_mut().stream_measured(now, key, measured);
        }
        left == 0
    }

    /// Closes a connection that the engine has removed, in good order.
    pub(super) fn close(&mut self, key: StreamKey, places: &mut TokenTable) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.close();
        }
        self.forget(key, places);
    }

    /// Sends clients to other connections for what they ask from now on, where their protocol has a word for that.
    pub(super) fn send_elsewhere(
        &mut self,
        engine: &mut Engine,
        places: &mut TokenTable,
        now: Moment,
    ) {
        let begin_end = |(key, it): (StreamKey, &mut Connection)| it.begin_end().then_some(key);
        let ending: Vec<_> = self.connections.iter_mut().filter_map(begin_end).collect();
        for key in ending {
            self.flush(key, engine, places, now);
        }
    }

    fn forget(&mut self, key: StreamKey, places: &mut TokenTable) {
        if let Some(connection) = self.connections.remove(key) {
            self.ready.remove(key);
            places.give_back(connection.place);
        }
    }

    pub(super) fn drop_all(&mut self, places: &mut TokenTable) {
        self.ready = ReadyStreams::default();
        for (_, connection) in self.connections.drain() {
            places.give_back(connection.place);
        }
    }

    /// Has connections of silent clients accepted at once from now on, so that none waits in the system when the listeners close.
    pub(super) fn accept_at_once(&self) {
        for listener in self.listeners.iter().flatten() {
            // Best effort, like the opposite.
            drop(defer_until_data(&listener.socket, false));
        }
    }

    /// Stops accepting at these addresses and closes the listeners; existing connections continue.
    pub(super) fn stop_accepting(
        &mut self,
        places: &mut TokenTable,
        is_meant: impl Fn(SocketAddr) -> bool,
    ) {
        for slot in &mut self.listeners {
            let is_meant =
                |listener: &mut Listener| listener.socket.local_addr().is_ok_and(&is_meant);
            if let Some(mut listener) = slot.take_if(is_meant) {
                // The socket may live on in another process, where this loop would still hear of it.
                drop(self.registry.deregister(&mut listener.socket));
                places.give_back(listener.place);
            }
        }
    }
}
